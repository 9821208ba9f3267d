"""The reference store with one thing taken away. A simulator that cannot kill these is not worth running."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import ClassVar

import oncestore
from oncestore import CommitTask, Outcome, Session
from oncestore._task import Progress
from racewindow.disk import Disk, DiskLock
from racewindow.implementations.disk_storage import DiskStorage
from racewindow.implementations.reference import Reference


class _WithoutLock(DiskStorage):
    @asynccontextmanager
    async def lock(self, path: str, *, wait: bool = True) -> AsyncGenerator[oncestore.Lock]:
        if path.startswith("locks/"):
            yield DiskLock()
        else:
            async with self.disk.lock(path, wait=wait) as lock:
                yield lock


class _WithoutFsync(DiskStorage):
    async def append(self, path: str, data: bytes) -> None:
        await self.disk.put(path, data, "append")


class _WithoutDirectoryFsync(DiskStorage):
    async def fsync_directory(self, path: str) -> None: ...


class _OnAnotherStorage(Reference):
    """The reference, with a storage that keeps less than it promises."""

    mutant = True
    wrapper: ClassVar[type[DiskStorage]]

    @classmethod
    def storage(cls, disk: Disk) -> oncestore.Storage:
        return cls.wrapper(disk)


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
        if not (messages := await self.reload()):
            return CommitTask(self._store, self.id, 0, Progress().end("skipped"))
        text = await self._store.extract(messages, self._store.make_id())
        number = await self._live.claim(lambda number: number)
        assert number is not None
        extraction = self._store.extraction(self.id)
        await extraction._record(number, Outcome(text=text, attempts=1, time=self._store.clock()))
        return CommitTask(self._store, self.id, number, Progress().end("completed"))


class _LateStore(oncestore.SessionStore):
    session_type = _LateSession


class ClaimAfterExtraction(Reference):
    """Mutant of the reference: the messages are handed to the extractor before they are claimed."""

    name = "reference-claim-after-extraction"
    mutant = True
    store_type = _LateStore


MUTANTS = (WithoutLock, WithoutFsync, WithoutDirectoryFsync, ClaimAfterExtraction)
