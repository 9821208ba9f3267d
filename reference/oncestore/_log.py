"""The log of messages: one checksummed line each, only ever appended to.

A process that dies while it writes, or a loss of power, leaves a line without an end. It may be dropped, for its writer
was never answered: an answer waits for the fsync of the whole line. Any other line that makes no sense was acknowledged
once, and is reported instead.
"""

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing

from ._errors import Corrupt
from ._messages import Message, decode
from ._storage import Storage


class LogReader:
    """Reads a log piece by piece, so that memory does not grow with it. Calls: chunks.

    A missing log is an empty one. To go on where somebody stopped, say how many bytes and lines came before. Whoever may
    stop before the end closes what he reads from: ``contextlib.aclosing``.
    """

    def __init__(self, storage: Storage, path: str, size: int = 0, count: int = 0) -> None:
        self._storage = storage
        self.path = path
        self.size = size  # bytes up to the end of the last whole line
        self.count = count  # whole lines
        self.torn = False  # the last line has no end

    async def lines(self) -> AsyncGenerator[bytes]:
        """The whole lines, without their newlines, unexamined."""
        rest = b""
        try:
            async with aclosing(self._storage.chunks(self.path, self.size)) as chunks:
                async for chunk in chunks:
                    *lines, rest = (rest + chunk).split(b"\n")
                    for line in lines:
                        self.size += len(line) + 1
                        self.count += 1
                        yield line
        except FileNotFoundError:
            return
        self.torn = bool(rest)

    async def messages(self) -> AsyncGenerator[Message]:
        """The messages, in order. Raises Corrupt."""
        async with aclosing(self.lines()) as lines:
            async for line in lines:
                yield self._decode(line)

    async def find(self, message_id: str) -> Message | None:
        """The message with this id."""
        start = b'{"id":%s,' % json.dumps(message_id, ensure_ascii=False).encode()
        async with aclosing(self.lines()) as lines:
            async for line in lines:
                if line.startswith(start):
                    return self._decode(line)
        return None

    def _decode(self, line: bytes) -> Message:
        try:
            return decode(line)
        except ValueError as error:
            raise Corrupt(self.path, self.count, str(error)) from error


async def read_messages(storage: Storage, path: str) -> tuple[Message, ...]:
    """All messages of a log. Calls: chunks. Raises Corrupt."""
    return tuple([message async for message in LogReader(storage, path).messages()])


async def copy_lines(storage: Storage, source: str, target: str, size: int) -> None:
    """Append the first ``size`` bytes of one log to another. Calls: chunks, append for each piece."""
    async with aclosing(storage.chunks(source)) as chunks:
        async for chunk in chunks:
            await storage.append(target, chunk[:size])
            size -= len(chunk[:size])
            if not size:
                break
