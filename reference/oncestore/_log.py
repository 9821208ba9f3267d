"""The log of messages: one checksummed line each, only ever appended to.

Why appending is enough, even to repair: a process that dies while it writes leaves a line without an end. The next
holder of the lock strikes that line out by ending it with CAN (which no JSON line can hold) and a newline, in the same
write as its own record. Repair by rename would be one more thing that a crash can leave half done: a log renamed into
place, not yet fsynced, which the next writer cannot tell from a durable one.

Only the line without an end may be dropped, for its writer was never answered: an answer waits for the fsync of the
whole line. Any other line that makes no sense was acknowledged once, and is reported instead.
"""

from dataclasses import dataclass

from ._errors import Corrupt
from ._messages import Message, decode
from ._storage import Storage

_STRUCK_OUT = b"\x18"


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """What a log held when it was read."""

    messages: tuple[Message, ...] = ()
    blank: bool = True  # no byte was ever written: the file, or even its directory, may be missing or not durable
    torn: bool = False  # the last line has no end

    @property
    def repair(self) -> bytes:
        """What has to be written before anything else is."""
        return _STRUCK_OUT + b"\n" if self.torn else b""

    def find(self, message_id: str) -> Message | None:
        return next((message for message in self.messages if message.id == message_id), None)


async def read_log(storage: Storage, path: str) -> Log:
    """The log at ``path``; a missing one is blank. One call: read. Raises Corrupt."""
    try:
        data = await storage.read(path)
    except FileNotFoundError:
        return Log()
    *lines, tail = data.split(b"\n")
    messages = []
    for number, line in enumerate(lines, start=1):
        if line.endswith(_STRUCK_OUT):
            continue
        try:
            messages.append(decode(line))
        except ValueError as error:
            raise Corrupt(path, number, str(error)) from error
    return Log(messages=tuple(messages), blank=not data, torn=bool(tail))
