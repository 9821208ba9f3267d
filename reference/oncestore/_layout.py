"""Where things are, and how files other than the log are written.

::

    sessions/<id>/live/messages.jsonl                 what was added and not yet claimed
    sessions/<id>/archives/<n>/messages.jsonl         what commit n claimed: the live directory, renamed
                               claim.json             the idempotency key handed to the extractor
                               attempt-<k>.json       the extractor was, or is, at it for the k-th time
                               extraction.json        completed (beats a failure)
                               failure.json           failed
                               ids                    index of the message ids; may be missing, and is made again
    new/<id>                                          a session being made
    deleted/<id>                                      was a session; the id, and its task ids, are never used again
    locks/<id>                                        held to add and to claim
    leases/<id>                                       held to extract

Archives are siblings of ``live``, so that a claim is one rename. Locks live outside the sessions, for a lock inside a
directory that is renamed would guard the wrong one.
"""

import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TypeVar

from ._errors import Corrupt, UsageError
from ._storage import Storage

T = TypeVar("T")

SESSIONS, NEW, DELETED = "sessions", "new", "deleted"
LOG, CLAIM, EXTRACTION, FAILURE, IDS = "messages.jsonl", "claim.json", "extraction.json", "failure.json", "ids"
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


def deleted(session: str) -> str:
    return f"{DELETED}/{session}"


def live(session: str) -> str:
    return f"{SESSIONS}/{session}/live"


def archives(session: str) -> str:
    return f"{SESSIONS}/{session}/archives"


def archive(session: str, number: int) -> str:
    return f"{SESSIONS}/{session}/archives/{number}"


def lock(session: str) -> str:
    return f"locks/{session}"


def lease(session: str) -> str:
    return f"leases/{session}"


def attempt(number: int) -> str:
    return f"attempt-{number}.json"


def log(directory: str) -> str:
    return f"{directory}/{LOG}"


async def ensure_directory(storage: Storage, path: str) -> None:
    """One call: make_directory. Its entry is durable only after an fsync of its parent, whoever made it."""
    with suppress(FileExistsError):
        await storage.make_directory(path)


async def put_durably(storage: Storage, directory: str, name: str, data: bytes) -> None:
    """A file that appears whole or not at all. Calls: write, rename, fsync_directory."""
    path = f"{directory}/{name}"
    await storage.write(f"{path}.new", data)  # one that a dead process left means nothing
    await storage.rename(f"{path}.new", path)
    await storage.fsync_directory(directory)


async def erase(storage: Storage, directory: str) -> None:
    """Remove what is in a directory, at any depth; it may be anything, half erased already."""
    for name in await storage.list(directory):
        path = f"{directory}/{name}"
        try:
            await storage.remove(path)
        except OSError:
            await erase(storage, path)
            await storage.remove(path)


def to_json(members: Mapping[str, object]) -> bytes:
    # ASCII only: an error text of the extractor may hold what UTF-8 cannot.
    return json.dumps(members, separators=(",", ":")).encode() + b"\n"


async def read_record(storage: Storage, path: str, kind: Callable[..., T]) -> T:
    """What ``to_json`` wrote, given to ``kind`` as keyword arguments. One call: read. Raises Corrupt."""
    data = await storage.read(path)
    try:
        return kind(**json.loads(data))
    except (ValueError, TypeError) as error:
        raise Corrupt(path, 1, f"not what is recorded here: {error}") from error
