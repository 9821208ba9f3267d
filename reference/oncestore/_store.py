"""A store: one process's view of a storage."""

import logging
import os
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import trio

from . import _layout as layout
from ._archive import archive_numbers, read_status
from ._directory import DirectoryStorage
from ._errors import StoreClosed, StoreError, UnknownTask, UsageError
from ._extraction import Extract, Extraction
from ._session import Session
from ._storage import Storage
from ._task import CommitTask, Progress

_logger = logging.getLogger("oncestore")


def _make_id() -> str:
    return uuid.uuid4().hex


class SessionStore:
    """Made by ``open_store``; several may work on one root at the same time."""

    session_type: type[Session] = Session

    def __init__(
        self,
        storage: Storage,
        *,
        extract: Extract,
        nursery: trio.Nursery,
        make_id: Callable[[], str] = _make_id,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.storage = storage
        self.extract = extract
        self.nursery = nursery
        self.make_id = make_id
        self.clock = clock
        self._extractions: dict[str, Extraction] = {}
        self._open = True

    def __repr__(self) -> str:
        return f"<SessionStore {self.storage!r} {'open' if self._open else 'closed'}>"

    def session(self, id: str) -> Session:
        """A handle that knows no messages yet; storage is not touched. Raises UsageError."""
        return self.session_type(self, layout.check_session_id(id))

    async def task(self, id: str) -> CommitTask:
        """The commit with this id, whichever store made it. Calls: list, fsync_directory. Raises UnknownTask."""
        self.check_open()
        session, _, digits = id.rpartition(":")
        try:
            extraction, number = self.extraction(layout.check_session_id(session)), int(digits)
            if number == 0:
                return CommitTask(extraction, 0, Progress().end("skipped"))
            status = await extraction.observe(number)
        except (UsageError, ValueError, FileNotFoundError) as error:
            raise UnknownTask(
                f"there is no commit {id!r} here; an id is '<session>:<archive>', as commit() returned it, "
                "and is good only on the root it came from"
            ) from error
        if status == "completed" or (status == "failed" and number not in extraction.under_way):
            return CommitTask(extraction, number, Progress().end(status))
        # Unfinished, here or elsewhere: to queue for the lease is to take over should its holder die.
        return CommitTask(extraction, number, extraction.start(number))

    async def recover(self) -> None:
        """Start what was claimed and never extracted. Calls: list; per session: list, list."""
        for session in await self.storage.list(layout.SESSIONS):
            try:
                extraction = self.extraction(layout.check_session_id(session))
                numbers = await archive_numbers(self.storage, session)
                # In archive order: when the newest has a result, all have.
                if numbers and await read_status(self.storage, session, numbers[-1]) == "accepted":
                    extraction.start(numbers[-1])
            except (OSError, StoreError) as error:
                _logger.warning("session %s was not recovered: %s", session, error)

    def extraction(self, session: str) -> Extraction:
        """The background work of a session, shared by all its handles in this store."""
        if session not in self._extractions:
            self._extractions[session] = Extraction(self.storage, session, self.extract, self.clock, self.nursery)
        return self._extractions[session]

    def check_open(self) -> None:
        if not self._open:
            raise StoreClosed("the store was left; use it, its sessions and its tasks inside 'async with open_store'")

    def close(self) -> None:
        self._open = False
        for extraction in self._extractions.values():
            extraction.close(
                StoreClosed(
                    "the store was left before the extraction ended; the archive is safe: "
                    "open a store on this root, which extracts it, and ask for the task there"
                )
            )


@asynccontextmanager
async def open_store(
    root: str | os.PathLike[str] | Storage,
    extract: Extract,
    *,
    make_id: Callable[[], str] = _make_id,
    clock: Callable[[], float] = time.time,
    store_type: type[SessionStore] = SessionStore,
) -> AsyncIterator[SessionStore]:
    """Open the store on a directory (created when missing) or any Storage, and recover what others left undone.

    Leaving the block waits for the extractions under way; an exception or cancellation abandons them to the next store
    that opens.

    Parameters
    ----------
    root
        A path, or a storage object.
    extract
        ``await extract(messages, key)`` returns text. ``key`` is the same whenever the same archive is handed over
        again, which a crash makes necessary: an extractor with effects elsewhere uses it to have them once.
    make_id
        Ids for messages added without one, and for keys: unique text.
    clock
        Seconds, for the times that are stored.
    store_type
        A subclass, for those who study what happens when the protocol is changed.

    >>> import trio
    >>> from oncestore import MemoryStorage, open_store
    >>> async def extract(messages, key):
    ...     return " / ".join(message.content for message in messages)
    >>> async def main():
    ...     async with open_store(MemoryStorage(), extract) as store:
    ...         session = store.session("s")
    ...         await session.add("user", "hello")
    ...         task = await session.commit(wait=True)
    ...         return task.status, await session.reload(), (await task.outcome()).text
    >>> trio.run(main)
    ('completed', (), 'hello')
    """
    if isinstance(root, str | os.PathLike):
        storage: Storage = (directory := DirectoryStorage(root))
        await directory.make_root()
    else:
        storage = root
    # At every opening, for whoever made the directory may have died before its entry was durable.
    await layout.ensure_directory(storage, layout.SESSIONS)
    await storage.fsync_directory("")
    raised: Exception | None = None
    store: SessionStore | None = None
    try:
        async with trio.open_nursery() as nursery:
            store = store_type(storage, extract=extract, nursery=nursery, make_id=make_id, clock=clock)
            nursery.start_soon(store.recover)
            try:
                yield store
            except Exception as error:
                # Raised again outside the nursery, which would wrap the caller's exception in a group.
                raised = error
                nursery.cancel_scope.cancel()
    finally:
        if store is not None:
            store.close()
    if raised is not None:
        raise raised
