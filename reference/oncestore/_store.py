"""A store: one process's view of a storage."""

import logging
import os
import re
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import ClassVar, TypeVar

import trio

from . import _layout as layout
from ._archive import archive_numbers, is_pending, status_of
from ._directory import DirectoryStorage
from ._errors import StoreClosed, StoreError, UnknownSession, UnknownTask, UsageError
from ._extraction import Extract, Extraction
from ._live import Live, Plainly
from ._session import Session
from ._storage import Storage
from ._task import CommitTask, Progress

_logger = logging.getLogger("oncestore")
_NUMBER = re.compile("0|[1-9][0-9]{0,17}")
_SESSIONS_REMEMBERED = 1000
_REST_SHARE = 20  # a look at all sessions takes at most a twentieth of the time

T = TypeVar("T")


def _make_id() -> str:
    return os.urandom(16).hex()


@dataclass(eq=False, repr=False, kw_only=True)
class SessionStore:
    """Made by ``open_store``, which tells what the fields are; several may work on one root at the same time."""

    session_type: ClassVar[type[Session]] = Session
    live_type: ClassVar[type[Live]] = Live
    extraction_type: ClassVar[type[Extraction]] = Extraction

    storage: Storage
    extract: Extract
    nursery: trio.Nursery
    extractors_most: int
    extract_timeout_s: float
    attempts_most: int
    takeover_s: float
    group_commit: bool
    make_id: Callable[[], str]
    clock: Callable[[], float]

    def __post_init__(self) -> None:
        self.extractors = trio.CapacityLimiter(self.extractors_most)
        self.closed: StoreError | None = None  # why nothing can be started any more
        self._lives: dict[str, Live] = {}
        self._extractions: dict[str, Extraction] = {}
        self._erased: set[str] = set()  # deleted sessions of which nothing is left
        self._watching = trio.CancelScope()

    def __repr__(self) -> str:
        return f"<SessionStore {self.storage!r} {'open' if self.closed is None else 'closed'}>"

    async def create(self, id: str) -> Session:
        """Make a new session. Raises AlreadyExists, also for an id that was deleted; UsageError, NotStored."""
        self.check_open()
        session = self.session(id)
        await self.live(id).create()
        return session

    def session(self, id: str) -> Session:
        """A handle; storage is not touched, so whether there is such a session comes out later. Raises UsageError."""
        return self.session_type(self, layout.check_session_id(id))

    async def sessions(self) -> list[str]:
        """The sorted ids there are. One call: list."""
        self.check_open()
        return await self.storage.list(layout.SESSIONS)

    async def delete(self, id: str) -> None:
        """Remove a session with all that is in it; its id is not used again. Raises UnknownSession, CommitPending."""
        self.check_open()
        await self.live(layout.check_session_id(id)).delete()

    async def task(self, id: str) -> CommitTask:
        """The commit with this id, whichever store made it. Calls: list, fsync_directory. Raises UnknownTask."""
        self.check_open()
        session, _, digits = id.rpartition(":")
        try:
            if not _NUMBER.fullmatch(digits):
                raise ValueError(digits)
            extraction, number = self.extraction(layout.check_session_id(session)), int(digits)
            if number == 0:
                await archive_numbers(self.storage, session)
                return CommitTask(self, session, 0, Progress().end("skipped"))
            status = status_of(await extraction.observe(number))
        except (UsageError, UnknownSession, ValueError, FileNotFoundError) as error:
            raise UnknownTask(
                f"there is no commit {id!r} here; an id is '<session>:<archive>', as commit() returned it, "
                "and is good only on the root it came from"
            ) from error
        if status == "completed" or (status == "failed" and number not in extraction.under_way):
            return CommitTask(self, session, number, Progress().end(status))
        # Unfinished, here or elsewhere: to queue for the lease is to take over should its holder die.
        return CommitTask(self, session, number, extraction.want(number))

    def live(self, session: str) -> Live:
        """What this store knows of a live log, shared by all handles."""
        return _remembered(self._lives, session, lambda: self.live_type(self, session))

    def extraction(self, session: str) -> Extraction:
        """The background work of a session, shared by all handles."""
        return _remembered(self._extractions, session, lambda: self.extraction_type(self, session))

    async def watch(self) -> None:
        """Start what was claimed and never extracted: at first, and from then on what dead stores leave behind."""
        with self._watching:
            while True:
                began = trio.current_time()
                await self._look_around()
                await self._clean_up()
                await trio.sleep(max(self.takeover_s, _REST_SHARE * (trio.current_time() - began)))

    async def _clean_up(self) -> None:
        """Erase what is left of deleted sessions. Calls: list; for new ones fsync_directory twice, those of erase."""
        with suppress(OSError):  # the next look tries again
            if left := [id for id in await self.storage.list(layout.DELETED) if id not in self._erased]:
                # Who deleted them may have died before this. A session that came back with the next loss of power would
                # come back without what was erased, and nobody was told that it is deleted.
                await self.storage.fsync_directory(layout.DELETED)
                await self.storage.fsync_directory(layout.SESSIONS)
            for session in left:
                await layout.erase(self.storage, layout.deleted(session))
                self._erased.add(session)

    async def _look_around(self) -> None:
        """Calls: list; per session: list, list."""
        try:
            sessions = await self.storage.list(layout.SESSIONS)
        except OSError as error:
            _logger.warning("sessions were not looked for: %s", error)
            return
        for session in sessions:
            try:
                numbers = await archive_numbers(self.storage, layout.check_session_id(session))
                # In archive order: when the newest has a result, all have.
                if numbers and await is_pending(self.storage, session, numbers[-1]):
                    self.extraction(session).look_after(numbers[-1])
            except (OSError, StoreError) as error:
                _logger.warning("session %s was not looked at: %s", session, error)

    def check_open(self) -> None:
        if self.closed is not None:
            raise StoreClosed("the store was left; use it, its sessions and its tasks inside 'async with open_store'")

    def leave(self) -> None:
        """Begin nothing more; what is under way goes on."""
        self.closed = StoreClosed(
            "the store was left before the extraction ended; the archive is safe: "
            "open a store on this root, which extracts it, and ask for the task there"
        )
        self._watching.cancel()
        for extraction in self._extractions.values():
            extraction.leave()

    def close(self) -> None:
        """Tell those who wait for what was not done."""
        assert self.closed is not None, "a store is left first"
        for extraction in self._extractions.values():
            extraction.interrupt(self.closed)


def _remembered(known: dict[str, T], key: str, make: Callable[[], T]) -> T:
    """The value for a key, made when it is not there; those not asked for in a long time are forgotten."""
    value = known[key] = known.pop(key) if key in known else make()
    for _ in range(2):  # while many have work under way, and stay, there are more; it gets fewer again
        if len(known) > _SESSIONS_REMEMBERED:
            oldest = next(iter(known))
            if getattr(kept := known.pop(oldest), "under_way", None):
                known[oldest] = kept
    return value


@asynccontextmanager
async def open_store(
    root: str | os.PathLike[str] | Storage,
    extract: Extract,
    *,
    extractors_most: int = 8,
    extract_timeout_s: float = 600.0,
    attempts_most: int = 3,
    takeover_s: float = 10.0,
    group_commit: bool = True,
    make_id: Callable[[], str] = _make_id,
    clock: Callable[[], float] = time.time,
    store_type: type[SessionStore] = SessionStore,
) -> AsyncGenerator[SessionStore]:
    """Open the store on a directory (created when missing) or any Storage, and extract what others left undone.

    Leaving the block waits for the extractions under way; an exception or cancellation abandons them to the next store
    that opens, or that is open elsewhere.

    Parameters
    ----------
    root
        A path, or a storage object.
    extract
        ``await extract(messages, key)`` returns text. ``key`` is the same whenever the same archive is handed over
        again, which a crash makes necessary: an extractor with effects elsewhere uses it to have them once.
    extractors_most
        How many sessions are extracted at once by this store; within a session it is one after the other.
    extract_timeout_s
        An extractor that takes longer, in seconds, is cancelled, and its attempt has failed. May be infinite.
    attempts_most
        After so many attempts that were begun and never ended, for the process was killed, a failure is recorded.
    takeover_s
        How often to look for the work of stores that died, in seconds. May be infinite: then only when opening.
    group_commit
        Whether adds that come at the same time share one fsync.
    make_id
        Ids for messages added without one, for keys and for stores: unique text.
    clock
        Seconds, for the times that are stored.
    store_type
        A subclass, for those who study what happens when the protocol is changed.

    Raises
    ------
    UsageError
        For a limit that is no positive number.
    NotStored
        When the root cannot be made or written.

    >>> import trio
    >>> from oncestore import MemoryStorage, open_store
    >>> async def extract(messages, key):
    ...     return " / ".join(message.content for message in messages)
    >>> async def main():
    ...     async with open_store(MemoryStorage(), extract) as store:
    ...         session = await store.create("s")
    ...         await session.add("user", "hello")
    ...         task = await session.commit(wait=True)
    ...         return task.status, await session.reload(), (await task.outcome()).text
    >>> trio.run(main)
    ('completed', (), 'hello')
    """
    limits = {"extractors_most": extractors_most, "attempts_most": attempts_most}
    times = {"extract_timeout_s": extract_timeout_s, "takeover_s": takeover_s}
    for name, limit in (limits | times).items():
        if not limit > 0 or (name in limits and not isinstance(limit, int)):
            raise UsageError(
                f"{name} is {limit!r}; it has to be a positive {'integer' if name in limits else 'number'}"
            )
    with Plainly("stored"):
        storage = await _prepare(root)
    raised: Exception | None = None
    try:
        async with trio.open_nursery() as nursery:
            store = store_type(
                storage=storage,
                extract=extract,
                nursery=nursery,
                extractors_most=extractors_most,
                extract_timeout_s=extract_timeout_s,
                attempts_most=attempts_most,
                takeover_s=takeover_s,
                group_commit=group_commit,
                make_id=make_id,
                clock=clock,
            )
            nursery.start_soon(store.watch)
            try:
                yield store
            except Exception as error:
                # Raised again outside the nursery, which would wrap the caller's exception in a group.
                raised = error
                nursery.cancel_scope.cancel()
            finally:
                store.leave()
    finally:
        store.close()
    if raised is not None:
        raise raised


async def _prepare(root: str | os.PathLike[str] | Storage) -> Storage:
    """Calls: make_root, list, make_directory for each that is missing, fsync_directory."""
    storage = DirectoryStorage(root) if isinstance(root, str | os.PathLike) else root
    await storage.make_root()
    there = await storage.list("")
    for name in (layout.SESSIONS, layout.NEW, layout.DELETED):
        if name not in there:
            await layout.ensure_directory(storage, name)
    # At every opening, for whoever made them may have died before their entries were durable.
    await storage.fsync_directory("")
    return storage
