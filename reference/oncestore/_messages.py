"""A message, and the line of a log that holds it: a JSON object whose last member is a checksum of the others."""

import json
import re
import zlib
from dataclasses import dataclass

from ._errors import UsageError

_to_json = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
_LINE = re.compile(rb'(\{.+),"sum":"([0-9a-f]{8})"\}', re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Message:
    """One message of a conversation; ``time`` is in seconds, by the clock of the store that accepted it."""

    id: str
    role: str
    content: str
    time: float

    def __repr__(self) -> str:
        content = self.content if len(self.content) <= 24 else self.content[:23] + "…"
        return f"<Message {self.id} {self.role}: {content!r}>"

    def says_the_same_as(self, other: "Message") -> bool:
        """Whether a client could have meant the two as one: the time of arrival is not what it said."""
        return (self.role, self.content) == (other.role, other.content)


def encode(message: Message) -> bytes:
    """The line for a message, newline included. JSON escapes control characters, so no line holds another newline."""
    for field in ("id", "role", "content"):
        if not isinstance(getattr(message, field), str):
            raise UsageError(f"{field} is a {type(getattr(message, field)).__name__}; a message holds text: pass a str")
    if not message.id or not message.role:
        raise UsageError("a message has an empty id or role; give both at least one character")
    members = {"id": message.id, "role": message.role, "content": message.content, "time": message.time}
    try:
        body = _to_json(members).encode()
    except UnicodeEncodeError as error:
        raise UsageError(
            "a message holds half of a surrogate pair, probably cut out of longer text; cut at whole characters"
        ) from error
    return b'%s,"sum":"%08x"}\n' % (body[:-1], zlib.crc32(body))


def decode(line: bytes) -> Message:
    """The message of a line without its newline; ValueError says why there is none."""
    found = _LINE.fullmatch(line)
    if found is None:
        raise ValueError("not a checksummed record")
    body = found[1] + b"}"
    if zlib.crc32(body) != int(found[2], 16):
        raise ValueError("the checksum does not match")
    try:
        return Message(**json.loads(body))
    except TypeError as error:
        raise ValueError("the members are not those of a message") from error
