"""The reference store with one thing taken away. A simulator that cannot kill these is not worth running."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, ClassVar, cast

import oncestore
from oncestore import CommitTask, Outcome, Session
from oncestore._task import Progress
from racewindow.disk import Disk, DiskFile
from racewindow.implementations.reference import Reference


class _Storage:
    """The simulated disk, with something taken away by a subclass."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk

    def __getattr__(self, name: str) -> Any:
        return getattr(self._disk, name)


class _WithoutLock(_Storage):
    @asynccontextmanager
    async def lock(self, path: str) -> AsyncIterator[None]:
        if path.startswith("locks/"):
            yield
        else:
            async with self._disk.lock(path):
                yield


class _LazyFile:
    """A handle whose fsync promises what it does not do."""

    def __init__(self, file: DiskFile) -> None:
        self.write = file.write
        self.close = file.close

    async def fsync(self) -> None: ...


class _WithoutFsync(_Storage):
    async def open(self, path: str, mode: Any) -> Any:
        file = await self._disk.open(path, mode)
        return _LazyFile(file) if path.endswith("messages.jsonl") else file


class _WithoutDirectoryFsync(_Storage):
    async def fsync_directory(self, path: str) -> None: ...


class _OnAnotherStorage(Reference):
    """The reference, with a storage that keeps less than it promises."""

    mutant = True
    wrapper: ClassVar[type[_Storage]]

    @classmethod
    def storage(cls, disk: Disk) -> oncestore.Storage:
        return cast("oncestore.Storage", cls.wrapper(disk))


class WithoutLock(_OnAnotherStorage):
    """Mutant of the reference: the session's lock is taken away."""

    name = "reference-without-lock"
    wrapper = _WithoutLock


class WithoutFsync(_OnAnotherStorage):
    """Mutant of the reference: the live log is written, but never fsynced."""

    name = "reference-without-fsync"
    wrapper = _WithoutFsync


class WithoutDirectoryFsync(_OnAnotherStorage):
    """Mutant of the reference: directory entries are made, but never fsynced."""

    name = "reference-without-directory-fsync"
    wrapper = _WithoutDirectoryFsync


class _LateSession(Session):
    """Extracts what it read, claims it afterwards, and records the result at once."""

    async def commit(self, *, wait: bool = False) -> CommitTask:
        async with self._lock():
            log = await self._read_live()
        if not log.messages:
            return CommitTask(self._extraction, 0, Progress().end("skipped"))
        text = await self._store.extract(log.messages, self._store.make_id())
        async with self._lock():
            number = await self._next_number()
            await self._claim(number, log)
        outcome = Outcome(text=text, error=None, attempts=1, time=self._store.clock())
        await self._extraction._record(number, outcome)
        return CommitTask(self._extraction, number, Progress().end("completed"))


class _LateStore(oncestore.SessionStore):
    session_type = _LateSession


class ClaimAfterExtraction(Reference):
    """Mutant of the reference: the messages are handed to the extractor before they are claimed."""

    name = "reference-claim-after-extraction"
    mutant = True
    store_type = _LateStore


MUTANTS = (WithoutLock, WithoutFsync, WithoutDirectoryFsync, ClaimAfterExtraction)
