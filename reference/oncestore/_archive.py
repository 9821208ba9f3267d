"""What the files of an archive say. Everything about a commit is derived from them: there is no second truth."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from . import _layout as layout
from ._errors import Corrupt, UnknownSession
from ._ids import Ids, from_bytes
from ._log import LogReader
from ._messages import Message
from ._storage import Storage

Status = Literal["accepted", "running", "completed", "failed", "skipped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A commit: the idempotency ``key`` handed to the extractor, the size of the log in bytes, and when, in seconds."""

    key: str
    bytes: int
    time: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a commit: the extractor's ``text``, or the ``error`` of the last of ``attempts``; when, in seconds."""

    text: str | None = None
    error: str | None = None
    attempts: int
    time: float


async def archive_numbers(storage: Storage, session: str) -> list[int]:
    """The archives there are, ascending. One call: list. Raises UnknownSession."""
    try:
        names = await storage.list(layout.archives(session))
    except FileNotFoundError as error:
        raise UnknownSession(f"there is no session {session!r} here; create it first") from error
    return sorted(int(name) for name in names if name.isdecimal())


def status_of(names: Sequence[str]) -> Status:
    """accepted, running, completed or failed, by the names of the files in an archive.

    ``running`` means that an attempt was begun; whoever began it may be dead, and another one about to try again.
    """
    # A success beats a failure: a retry that succeeded leaves the record of the failure where it is.
    if layout.EXTRACTION in names:
        return "completed"
    return "failed" if layout.FAILURE in names else "running" if attempts_of(names) else "accepted"


def has_result(names: Sequence[str]) -> bool:
    """Whether the extraction of an archive that holds these files has ended."""
    return layout.EXTRACTION in names or layout.FAILURE in names


def attempts_of(names: Sequence[str]) -> int:
    """How often the extractor was handed an archive that holds these files."""
    return sum(name.startswith("attempt-") for name in names)


async def is_pending(storage: Storage, session: str, number: int) -> bool:
    """Whether there is no result yet. One call: list. Raises FileNotFoundError without an archive."""
    return not has_result(await storage.list(layout.archive(session, number)))


async def read_outcome(storage: Storage, session: str, number: int, names: Sequence[str]) -> Outcome | None:
    """What is recorded in an archive that holds these files; None while there is nothing. Calls: read. Raises Corrupt."""
    if not has_result(names):
        return None
    name = layout.EXTRACTION if layout.EXTRACTION in names else layout.FAILURE
    return await layout.read_record(storage, f"{layout.archive(session, number)}/{name}", Outcome)


async def read_claim(storage: Storage, session: str, number: int) -> Claim:
    """One call: read. Raises Corrupt, and FileNotFoundError without an archive."""
    return await layout.read_record(storage, f"{layout.archive(session, number)}/{layout.CLAIM}", Claim)


async def read_claimed(storage: Storage, session: str, number: int) -> tuple[Sequence[Message], str]:
    """What was claimed, and the idempotency key for it. Calls: read, chunks. Raises Corrupt."""
    claim = await read_claim(storage, session, number)
    log = LogReader(storage, layout.log(layout.archive(session, number)))
    messages = [message async for message in log.messages()]
    if log.size != claim.bytes:
        raise Corrupt(log.path, log.count + 1, f"{claim.bytes} bytes were claimed and {log.size} are here")
    return messages, claim.key


async def read_ids(storage: Storage, session: str, number: int) -> Ids:
    """The message ids of an archive, from its index. Calls: read; without an index: chunks, put_durably."""
    directory = layout.archive(session, number)
    with suppress(FileNotFoundError):
        if (ids := from_bytes(await storage.read(f"{directory}/{layout.IDS}"))) is not None:
            return ids
    ids = Ids()
    async for message in LogReader(storage, layout.log(directory)).messages():
        ids.add(message.id)
    with suppress(OSError):  # one that cannot be kept will be made again
        await layout.put_durably(storage, directory, layout.IDS, ids.to_bytes())
    return ids
