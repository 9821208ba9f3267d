"""What the files of an archive say. Everything about a commit is derived from them; nothing here writes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from . import _layout as layout
from ._errors import Corrupt
from ._log import read_log
from ._messages import Message
from ._storage import Storage

Status = Literal["accepted", "running", "completed", "failed", "skipped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of an archive: the extractor's ``text``, or the ``error`` of the last of ``attempts`` attempts."""

    text: str | None = None
    error: str | None = None
    attempts: int
    time: float


async def archive_numbers(storage: Storage, session: str) -> list[int]:
    """The archives there are, ascending; a session that never committed has none. One call: list."""
    try:
        names = await storage.list(layout.archives(session))
    except FileNotFoundError:
        return []
    return sorted(int(name) for name in names if name.isdecimal())


async def read_status(storage: Storage, session: str, number: int) -> Status:
    """accepted, completed or failed. One call: list. Raises FileNotFoundError without an archive."""
    names = await storage.list(layout.archive(session, number))
    # A success beats a failure: a retry that succeeded leaves the record of the failure where it is.
    return "completed" if layout.EXTRACTION in names else "failed" if layout.FAILURE in names else "accepted"


async def read_outcome(storage: Storage, session: str, number: int) -> Outcome | None:
    """What is recorded; None while there is nothing. Calls: list, read. Raises Corrupt."""
    status = await read_status(storage, session, number)
    if status == "accepted":
        return None
    name = layout.EXTRACTION if status == "completed" else layout.FAILURE
    path = f"{layout.archive(session, number)}/{name}"
    try:
        return Outcome(**await layout.read_json(storage, path))
    except TypeError as error:
        raise Corrupt(path, 1, "not the members of an outcome") from error


async def read_claimed(storage: Storage, session: str, number: int) -> tuple[Sequence[Message], str]:
    """What was claimed, and the idempotency key for it. Calls: read, read. Raises Corrupt."""
    directory = layout.archive(session, number)
    claim = await layout.read_json(storage, f"{directory}/{layout.CLAIM}")
    log = await read_log(storage, layout.log(directory))
    if len(log.messages) != claim.get("messages"):
        why = f"{claim.get('messages')} messages were claimed and {len(log.messages)} are here"
        raise Corrupt(layout.log(directory), len(log.messages) + 1, why)
    return log.messages, str(claim["key"])
