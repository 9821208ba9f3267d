"""Where things are, and how files other than the log are written.

::

    sessions/<id>/live/messages.jsonl                 what was added and not yet claimed
    sessions/<id>/archives/<n>/messages.jsonl         what commit n claimed: the live directory, renamed
                               claim.json             the idempotency key handed to the extractor
                               extraction.json        completed (beats a failure)
                               failure.json           failed
    locks/<id>                                        held to add and to claim
    leases/<id>                                       held to extract

Locks live outside the sessions, for a lock inside a directory that is renamed would guard the wrong one.
"""

import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

import trio

from ._errors import Corrupt, UsageError
from ._storage import File, Mode, Storage

SESSIONS = "sessions"
LOG, CLAIM, EXTRACTION, FAILURE = "messages.jsonl", "claim.json", "extraction.json", "failure.json"
_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


def check_session_id(session: str) -> str:
    """The id itself, fit to be a file name that cannot leave the root. Raises UsageError."""
    if not isinstance(session, str) or not _ID.fullmatch(session) or session in (".", ".."):
        raise UsageError(
            f"{session!r} is no session id; ids become file names: use 1 to 128 of A-Z a-z 0-9 . _ - (not '.' or '..')"
        )
    return session


def home(session: str) -> str:
    return f"{SESSIONS}/{session}"


def live(session: str) -> str:
    return f"{SESSIONS}/{session}/live"


def archives(session: str) -> str:
    return f"{SESSIONS}/{session}/archives"


def archive(session: str, number: int) -> str:
    return f"{SESSIONS}/{session}/archives/{number}"


def log(directory: str) -> str:
    return f"{directory}/{LOG}"


async def ensure_directory(storage: Storage, path: str) -> None:
    """One call: make_directory. Its entry is durable only after an fsync of its parent, whoever made it."""
    with suppress(FileExistsError):
        await storage.make_directory(path)


@asynccontextmanager
async def opened(storage: Storage, path: str, mode: Mode) -> AsyncIterator[File]:
    """A file that is closed whatever happens. Calls: open, ..., close."""
    file = await storage.open(path, mode)
    try:
        yield file
    finally:
        with trio.CancelScope(shield=True):
            await file.close()


async def write_durably(storage: Storage, path: str, data: bytes) -> None:
    """Replace what is in a file. Calls: open, write, fsync, close."""
    async with opened(storage, path, "replace") as file:
        await file.write(data)
        await file.fsync()


async def put_durably(storage: Storage, directory: str, name: str, members: Mapping[str, object]) -> None:
    """A JSON file that appears whole or not at all. Calls: those of write_durably, rename, fsync_directory."""
    path = f"{directory}/{name}"
    await write_durably(storage, f"{path}.new", to_json(members))  # one that a dead process left means nothing
    await storage.rename(f"{path}.new", path)
    await storage.fsync_directory(directory)


def to_json(members: Mapping[str, object]) -> bytes:
    # ASCII only: an error text of the extractor may hold what UTF-8 cannot.
    return json.dumps(members, separators=(",", ":")).encode() + b"\n"


async def read_json(storage: Storage, path: str) -> dict[str, Any]:
    data = await storage.read(path)
    try:
        members = json.loads(data)
    except ValueError as error:
        raise Corrupt(path, 1, "not JSON") from error
    if not isinstance(members, dict):
        raise Corrupt(path, 1, "not a JSON object")
    return members
