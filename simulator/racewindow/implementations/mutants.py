"""The reference store with one line of its protocol taken away. A simulator that cannot kill these is not worth running.

``docs/protocol.md`` tells which line each of them lacks, and what then goes wrong. Most are a storage that does less than it was
asked for; the others override one step of the store.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, ClassVar, TypeVar

import oncestore
from oncestore import CommitTask, Message, Outcome, Session
from oncestore._archive import read_outcome
from oncestore._extraction import Extraction
from oncestore._live import Live, _State
from oncestore._log import LogReader
from oncestore._task import Progress
from racewindow.disk import Disk, DiskLock
from racewindow.implementations.disk_storage import DiskStorage
from racewindow.implementations.reference import Reference

T = TypeVar("T")


class Mutant(Reference):
    """The reference, on a storage or with a store that does less."""

    mutant = True
    on: ClassVar[type[DiskStorage]] = DiskStorage

    @classmethod
    def storage(cls, disk: Disk) -> oncestore.Storage:
        return cls.on(disk)


# -- locks -----------------------------------------------------------------------------------------------------------------


class _Unlocked(DiskStorage):
    free = "locks/"

    @asynccontextmanager
    async def lock(self, path: str, *, wait: bool = True) -> AsyncGenerator[oncestore.Lock]:
        if path.startswith(self.free):
            yield DiskLock()
        else:
            async with self.disk.lock(path, wait=wait) as lock:
                yield lock


class WithoutLock(Mutant):
    """Mutant of the reference: the session's lock is taken away."""

    name = "reference-without-lock"
    on = _Unlocked


class _Unleased(_Unlocked):
    free = "leases/"


class WithoutLease(Mutant):
    """Mutant of the reference: two stores may be at the same archive."""

    name = "reference-without-lease"
    on = _Unleased


class _Trusting(DiskStorage):
    @asynccontextmanager
    async def lock(self, path: str, *, wait: bool = True) -> AsyncGenerator[oncestore.Lock]:
        async with self.disk.lock(path, wait=wait) as lock:
            if not lock.note or lock.note.endswith("?"):
                lock.note = "somebody"
            yield lock


class TrustsTheDead(Mutant):
    """Mutant of the reference: what one who died or failed at work left in the log counts as whole and durable."""

    name = "reference-trusts-the-dead"
    on = _Trusting


# -- durability ------------------------------------------------------------------------------------------------------------


def _without_fsync_of(directory: str) -> type[DiskStorage]:
    class Lazy(DiskStorage):
        async def fsync_directory(self, path: str) -> None:
            if path != directory:
                await self.disk.fsync_directory(path)

    return Lazy


class _WithoutDirectoryFsync(DiskStorage):
    async def fsync_directory(self, path: str) -> None: ...


class WithoutDirectoryFsync(Mutant):
    """Mutant of the reference: directory entries are made, but never fsynced."""

    name = "reference-without-directory-fsync"
    on = _WithoutDirectoryFsync


class WithoutRootFsync(Mutant):
    """Mutant of the reference: the top directories are made, but their entries are not fsynced."""

    name = "reference-without-root-fsync"
    on = _without_fsync_of("")


class _Rootless(DiskStorage):
    async def make_root(self) -> None: ...


class WithoutPlaceFsync(Mutant):
    """Mutant of the reference: the root is made, but its entry in the directory above it is not fsynced."""

    name = "reference-without-place-fsync"
    on = _Rootless


class WithoutSessionsFsync(Mutant):
    """Mutant of the reference: the entry of a new session is not fsynced."""

    name = "reference-without-sessions-fsync"
    on = _without_fsync_of("sessions")


class WithoutNewSessionFsync(Mutant):
    """Mutant of the reference: what is in a new session is not fsynced before it appears."""

    name = "reference-without-new-session-fsync"
    on = _without_fsync_of("new/s")


class WithoutHomeFsync(Mutant):
    """Mutant of the reference: the entry of a new live directory is not fsynced."""

    name = "reference-without-home-fsync"
    on = _without_fsync_of("sessions/s")


class WithoutLiveFsync(Mutant):
    """Mutant of the reference: the entry of a new log is not fsynced."""

    name = "reference-without-live-fsync"
    on = _without_fsync_of("sessions/s/live")


class _Claiming(DiskStorage):
    """Knows whether a commit is between the writing of the claim and the rename, or right after the rename."""

    def __init__(self, disk: Disk) -> None:
        super().__init__(disk)
        self.before = self.after = False

    async def write(self, path: str, data: bytes) -> None:
        self.before = path.endswith("claim.json")
        await super().write(path, data)

    async def rename(self, source: str, target: str) -> None:
        await super().rename(source, target)
        self.before, self.after = False, source.endswith("/live")

    async def append(self, path: str, data: bytes) -> None:
        self.after = False
        await super().append(path, data)


class _WithoutClaimEntryFsync(_Claiming):
    async def fsync_directory(self, path: str) -> None:
        if not self.before:
            await self.disk.fsync_directory(path)


class WithoutClaimEntryFsync(Mutant):
    """Mutant of the reference: the entry of the claim is not fsynced before the rename."""

    name = "reference-without-claim-entry-fsync"
    on = _WithoutClaimEntryFsync


class _WithoutRenameFsync(_Claiming):
    async def fsync_directory(self, path: str) -> None:
        if not (self.after and path in ("sessions/s", "sessions/s/archives")):
            await self.disk.fsync_directory(path)


class WithoutRenameFsync(Mutant):
    """Mutant of the reference: the rename that claims is not fsynced before the commit is accepted."""

    name = "reference-without-rename-fsync"
    on = _WithoutRenameFsync


class WithoutArchiveFsync(Mutant):
    """Mutant of the reference: the entry of a result is not fsynced before the commit is completed."""

    name = "reference-without-archive-fsync"
    on = _without_fsync_of("sessions/s/archives/1")


def _without_fsync_in(name: str) -> type[DiskStorage]:
    class Lazy(DiskStorage):
        async def append(self, path: str, data: bytes) -> None:
            if path.endswith(name):
                await self.disk.put(path, data, "append")
            else:
                await super().append(path, data)

        async def write(self, path: str, data: bytes) -> None:
            if path.endswith(name):
                await self.disk.put(path, data, "replace")
            else:
                await super().write(path, data)

    return Lazy


class WithoutFsync(Mutant):
    """Mutant of the reference: the live log is written, but never fsynced."""

    name = "reference-without-fsync"
    on = _without_fsync_in("messages.jsonl")


class WithoutClaimFsync(Mutant):
    """Mutant of the reference: the claim is written, but not fsynced."""

    name = "reference-without-claim-fsync"
    on = _without_fsync_in("claim.json")


class WithoutResultFsync(Mutant):
    """Mutant of the reference: a result is renamed into place before its content is durable."""

    name = "reference-without-result-fsync"
    on = _without_fsync_in("extraction.json.new")


class _InPlace(DiskStorage):
    async def write(self, path: str, data: bytes) -> None:
        await super().write(path.removesuffix(".new"), data)

    async def rename(self, source: str, target: str) -> None:
        if source != f"{target}.new":
            await super().rename(source, target)


class ResultInPlace(Mutant):
    """Mutant of the reference: a result is written where it is looked for."""

    name = "reference-result-in-place"
    on = _InPlace


class _Blind(DiskStorage):
    async def chunks(self, path: str, start: int = 0) -> AsyncGenerator[bytes]:
        async for chunk in super().chunks(path, start):
            yield chunk[: chunk.rfind(b"\n") + 1]


class WithoutRepair(Mutant):
    """Mutant of the reference: a line without an end is not noticed, and the next record is written behind it."""

    name = "reference-without-repair"
    on = _Blind


class _KeepsClaim(DiskStorage):
    async def write(self, path: str, data: bytes) -> None:
        if not path.endswith("claim.json") or self.disk.peek(path) is None:
            await super().write(path, data)


class KeepsOldClaim(Mutant):
    """Mutant of the reference: a claim that a dead process left in live is kept."""

    name = "reference-keeps-old-claim"
    on = _KeepsClaim


class _Unmarked(DiskStorage):
    async def write(self, path: str, data: bytes) -> None:
        if "/attempt-" not in path:
            await super().write(path, data)


class WithoutAttemptMark(Mutant):
    """Mutant of the reference: an attempt leaves no mark before it ends."""

    name = "reference-without-attempt-mark"
    on = _Unmarked


class _FailureFirst(DiskStorage):
    async def list(self, path: str) -> list[str]:
        names = await super().list(path)
        return [name for name in names if name != "extraction.json" or "failure.json" not in names]


class FailureBeatsSuccess(Mutant):
    """Mutant of the reference: an archive with a failure and a success counts as failed."""

    name = "reference-failure-beats-success"
    on = _FailureFirst


# -- steps of the store ----------------------------------------------------------------------------------------------------


class _MindfulLive(Live):
    async def _look(self, lock: oncestore.Lock) -> _State:
        return self._state or await super()._look(lock)


class _MindfulStore(oncestore.SessionStore):
    live_type = _MindfulLive


class TrustsItsMemory(Mutant):
    """Mutant of the reference: a store does not look at what others did to the log since it last held the lock."""

    name = "reference-trusts-its-memory"
    store_type = _MindfulStore


class _HastyLive(Live):
    async def add(self, message: Message, *, may_repeat: bool) -> Message:
        self._store.nursery.start_soon(partial(super().add, message, may_repeat=may_repeat))
        return message


class _HastyStore(oncestore.SessionStore):
    live_type = _HastyLive


class AnswersEarly(Mutant):
    """Mutant of the reference: an add is answered before it is written."""

    name = "reference-answers-early"
    store_type = _HastyStore


class _NoIdsLive(Live):
    async def _find(self, state: Any, id: str) -> Message | None:
        return None


class _NoIdsStore(oncestore.SessionStore):
    live_type = _NoIdsLive


class WithoutIds(Mutant):
    """Mutant of the reference: nobody looks whether a message id was used before."""

    name = "reference-without-ids"
    store_type = _NoIdsStore


class _LiveIdsLive(Live):
    async def _find(self, state: Any, id: str) -> Message | None:
        return await LogReader(self._storage, self._path).find(id)


class _LiveIdsStore(oncestore.SessionStore):
    live_type = _LiveIdsLive


class WithoutArchivedIds(Mutant):
    """Mutant of the reference: message ids are looked for in the live log only."""

    name = "reference-without-archived-ids"
    store_type = _LiveIdsStore


class _LateSession(Session):
    """Extracts what it read, claims it afterwards, and records the result at once."""

    async def commit(self, *, wait: bool = False) -> CommitTask:
        if not (messages := await self.reload()):
            return CommitTask(self._store, self.id, 0, Progress().end("skipped"))
        text = await self._store.extract(messages, self._store.make_id())
        number = await self._live.claim(lambda number: number)
        if number is None:  # somebody else was faster
            return CommitTask(self._store, self.id, 0, Progress().end("skipped"))
        extraction = self._store.extraction(self.id)
        await extraction._record(number, Outcome(text=text, attempts=1, time=self._store.clock()))
        return CommitTask(self._store, self.id, number, Progress().end("completed"))


class _LateStore(oncestore.SessionStore):
    session_type = _LateSession


class ClaimAfterExtraction(Mutant):
    """Mutant of the reference: the messages are handed to the extractor before they are claimed."""

    name = "reference-claim-after-extraction"
    store_type = _LateStore


class _UnshieldedLive(Live):
    async def claim(self, then: Callable[[int], T]) -> T | None:
        async with self._exclusive("committed") as state:
            if not state.size:
                return None
            number = state.number
            await self._claim(state)
            claimed = then(number)
        return claimed  # noqa: RET504 - outside of the lock, as in the original


class _UnshieldedStore(oncestore.SessionStore):
    live_type = _UnshieldedLive

    async def watch(self) -> None:  # it would find the archive in the end
        await self._look_around()


class WithoutShield(Mutant):
    """Mutant of the reference: a commit can be cancelled between claim and extraction, and nobody looks again."""

    name = "reference-without-shield"
    store_type = _UnshieldedStore


class _ForgivingExtraction(Extraction):
    async def observe(self, number: int) -> Sequence[str]:
        return await self._storage.list(f"sessions/{self.session}/archives/{number}")


class _ForgivingStore(oncestore.SessionStore):
    extraction_type = _ForgivingExtraction


class WithoutObservedFsync(Mutant):
    """Mutant of the reference: a result found in an archive is believed without making it durable."""

    name = "reference-without-observed-fsync"
    store_type = _ForgivingStore


class _TellingTask(CommitTask):
    async def outcome(self) -> Outcome | None:
        storage = self._store.storage
        names = await storage.list(f"sessions/{self.session_id}/archives/{self.archive}")
        return await read_outcome(storage, self.session_id, self.archive, names)


class _TellingStore(oncestore.SessionStore):
    async def task(self, id: str) -> CommitTask:
        task = await super().task(id)
        return _TellingTask(self, task.session_id, task.archive, task._progress)


class TellsTooEarly(Mutant):
    """Mutant of the reference: an outcome is told as it was found, without making it durable."""

    name = "reference-tells-too-early"
    store_type = _TellingStore


class _HeedlessExtraction(Extraction):
    async def _pending(self, newest: int) -> list[tuple[int, int]]:
        self._claimed = newest
        return await super()._pending(newest)


class _HeedlessStore(oncestore.SessionStore):
    extraction_type = _HeedlessExtraction


class WithoutFoundFsync(Mutant):
    """Mutant of the reference: an archive that somebody else claimed is extracted without making the claim durable."""

    name = "reference-without-found-fsync"
    store_type = _HeedlessStore


class _SleepyStore(oncestore.SessionStore):
    async def watch(self) -> None:
        await self._look_around()


class WithoutTakeover(Mutant):
    """Mutant of the reference: nobody looks for the work of stores that died."""

    name = "reference-without-takeover"
    store_type = _SleepyStore


MUTANTS: tuple[type[Mutant], ...] = (
    WithoutLock,
    WithoutLease,
    TrustsTheDead,
    TrustsItsMemory,
    WithoutFsync,
    WithoutDirectoryFsync,
    WithoutRootFsync,
    WithoutPlaceFsync,
    WithoutSessionsFsync,
    WithoutNewSessionFsync,
    WithoutHomeFsync,
    WithoutLiveFsync,
    WithoutClaimFsync,
    WithoutClaimEntryFsync,
    WithoutRenameFsync,
    WithoutArchiveFsync,
    WithoutResultFsync,
    WithoutObservedFsync,
    TellsTooEarly,
    WithoutFoundFsync,
    ResultInPlace,
    WithoutRepair,
    KeepsOldClaim,
    WithoutAttemptMark,
    FailureBeatsSuccess,
    AnswersEarly,
    WithoutIds,
    WithoutArchivedIds,
    ClaimAfterExtraction,
    WithoutShield,
    WithoutTakeover,
)
