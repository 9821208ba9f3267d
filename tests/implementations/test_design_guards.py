"""What each design does for safety is there for a reason: without it, schedules fail in a way in which the design itself does not.

The mutants are here, and not in the package: nobody ever ran them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

import racewindow as rw
from racewindow.disk import DiskLock, Granularity
from racewindow.experiments import windows
from racewindow.implementations.designs import (
    ArchiveThenClear,
    CommitInPlace,
    CommitInPlaceUngated,
    CopyOnWrite,
    CopyOnWriteEarlyClear,
    DurableQueue,
    EnqueueAfterUnlock,
    LockedIntent,
    PathLock,
    RedoLog,
    TwoPhase,
    TwoPhaseChained,
)
from racewindow.implementations.designs._model import Design
from racewindow.implementations.designs._task import Task
from racewindow.implementations.designs.archive_then_clear import ArchivingHandle
from racewindow.implementations.designs.durable_queue import DurableQueueHandle
from racewindow.implementations.designs.enqueue_after_unlock import EnqueueAfterUnlockHandle
from racewindow.implementations.designs.locked_intent import IntentHandle
from racewindow.implementations.designs.path_lock import PathLockHandle
from racewindow.implementations.designs.redo_log import RedoLogHandle
from racewindow.implementations.designs.two_phase import TwoPhaseHandle
from racewindow.implementations.designs.two_phase_chained import ChainedHandle
from racewindow.kernel import Run
from racewindow.sessions import Case, Environment, story

BROKEN: dict[str, tuple[type[Design], str, str, Granularity]] = {}
"""By what it lacks: the mutant, the story in which that shows, the violation that the design itself does not have, the granularity."""


def lacking(what: str, scenario: str, violation: str, disk: Granularity = "atomic") -> Any:
    def register(mutant: type[Design]) -> type[Design]:
        mutant.name = what.replace(" ", "-")
        BROKEN[what] = (mutant, scenario, violation, disk)
        return mutant

    return register


class _Lockless:
    """A disk whose locks are always free."""

    def __init__(self, disk: Any) -> None:
        self._disk = disk

    def __getattr__(self, name: str) -> Any:
        return getattr(self._disk, name)

    @asynccontextmanager
    async def lock(self, path: str, *, wait: bool = True, label: str = "") -> AsyncIterator[DiskLock]:
        await self._disk._world.point(label)
        yield DiskLock()


class _LocklessHandle(PathLockHandle):
    def __init__(self, store: Any) -> None:
        super().__init__(store)
        self.disk = _Lockless(self.disk)  # type: ignore[assignment]


class PathLockLockless(PathLock):
    name = "path-lock-without-its-lock"
    handle_type = _LocklessHandle


class _LocklessTwoPhaseHandle(TwoPhaseHandle):
    def __init__(self, store: Any) -> None:
        super().__init__(store)
        self.disk = _Lockless(self.disk)  # type: ignore[assignment]


class TwoPhaseLockless(TwoPhase):
    name = "two-phase-without-its-lock"
    handle_type = _LocklessTwoPhaseHandle


class _ClearsFirst(RedoLogHandle):
    async def archive(self) -> bool:
        await self.store.write_live((), label="live.clear")
        return await super().archive()


@lacking("redo-log its archive before the clear", "crash-during-commit", "nothing-lost")
class RedoLogClearsFirst(RedoLog):
    handle_type = _ClearsFirst


class _ForgetfulHandle(TwoPhaseHandle):
    async def give_up(self, number: int, marker: str) -> None:
        await self.store.redo_done(marker)


@lacking("two-phase the marker of a failure", "extractor-fails", "nothing-stranded")
class TwoPhaseForgetsFailures(TwoPhase):
    handle_type = _ForgetfulHandle

    @classmethod
    def archive_task(cls, env: Environment, path: str) -> str:
        return ""


class _AdmittingHandle(ChainedHandle):
    async def admit(self) -> None: ...


class TwoPhaseChainedAdmits(TwoPhaseChained):
    name = "two-phase-chained-admits-all"
    handle_type = _AdmittingHandle


class _ClearsThenArchives(ArchivingHandle):
    async def switch(self, messages: Sequence[str]) -> None:
        self.mem.clear()
        await self.store.write_live(self.mem, label="live.clear")
        await self.store.write_archive(self.index, messages)


@lacking("archive-then-clear the order of its two writes", "crash-during-commit", "nothing-lost", "suspending")
class ClearThenArchive(ArchiveThenClear):
    handle_type = _ClearsThenArchives


class _DoesItAgain(DurableQueueHandle):
    async def resume(self, number: int, task: Task) -> None:
        await self.env.extract(await self.store.read_archive(number))
        await self.store.mark(number, ".done")
        task.end("completed")


@lacking("durable-queue the look at done", "queue-repeats", "extracted-once")
class DurableQueueDoesItAgain(DurableQueue):
    handle_type = _DoesItAgain


class _AddsUnlocked(IntentHandle):
    async def add(self, message: str) -> None:
        await self.store.write_live([*await self.store.read_live(), message])


@lacking("locked-intent the lock of an add", "add-during-extraction", "nothing-lost")
class LockedIntentAddsUnlocked(LockedIntent):
    handle_type = _AddsUnlocked


class _Trusting(IntentHandle):
    async def read_again(self) -> list[str]:
        return list(self.mem)


@lacking("locked-intent the second look at L", "free-running", "extracted-once")
class LockedIntentTrustsItsMemory(LockedIntent):
    handle_type = _Trusting


@lacking("locked-intent the progress in its intent", "queue-repeats", "extracted-once")
class LockedIntentKeepsNoProgress(LockedIntent):
    async def read_intent(self, number: int) -> dict[str, Any]:
        intent = await super().read_intent(number)
        intent.pop("extracted", None)
        return intent


class _AlsoTrusting(EnqueueAfterUnlockHandle):
    async def read_again(self) -> list[str]:
        return list(self.mem)


@lacking("enqueue-after-unlock the second look at L", "free-running", "extracted-once")
class EnqueueAfterUnlockTrustsItsMemory(EnqueueAfterUnlock):
    handle_type = _AlsoTrusting


def kinds_of(case: Case, preemptions: int = 1, schedules: int = 300) -> set[str]:
    """Every kind of violation in the first schedules within the bound."""
    runs: list[Run] = []
    rw.explore(
        case.subject(),
        strategy=rw.Bounded(preemptions),
        schedules=schedules,
        limits=case.limits,
        name=case.name,
        on_run=runs.append,
    )
    return {violation.kind for run in runs for violation in run.violations}


@pytest.mark.parametrize("what", BROKEN)
def test_without_its_guard_a_design_fails_as_it_does_not_with_it(what: str) -> None:
    mutant, scenario, violation, disk = BROKEN[what]
    design: Any = mutant.__bases__[0]
    assert violation not in kinds_of(Case(implementation=design, scenario=story(scenario), disk=disk))
    assert violation in kinds_of(Case(implementation=mutant, scenario=story(scenario), disk=disk))


def test_the_register_of_commit_in_place_keeps_a_second_commit_from_taking_the_same() -> None:
    scenario = story("commit-again-at-once")
    assert kinds_of(Case(implementation=CommitInPlace, scenario=scenario, disk="atomic")) == set()
    ungated = Case(implementation=CommitInPlaceUngated, scenario=scenario, disk="atomic")
    assert kinds_of(ungated) >= {"committed-once", "extracted-once"}


def test_the_earlier_clear_closes_the_window_after_completion() -> None:
    failing = [
        windows(Case(implementation=design, scenario=story("after-completion"))).widths["failing"].item()
        for design in (CopyOnWriteEarlyClear, CopyOnWrite)
    ]
    assert failing[0] == 0 < failing[1]


@pytest.mark.parametrize(("guarded", "unguarded"), [(PathLock, PathLockLockless), (TwoPhase, TwoPhaseLockless)])
def test_the_lock_closes_the_gap_in_which_it_is_held(guarded: type[Design], unguarded: type[Design]) -> None:
    scenario = story("a: add m1; commit | b: reload; commit")
    maps = []
    for design in (guarded, unguarded):
        frame = windows(Case(implementation=design, scenario=scenario, topology="separate-stores")).frame
        maps.append(dict(zip(frame["gap"], frame["violation"], strict=True)))
    closed = [gap for gap in maps[1] if maps[1][gap] and not maps[0][gap]]
    assert closed, maps
    assert not [gap for gap in maps[0] if maps[0][gap] and not maps[1][gap]]


def test_a_failed_archive_keeps_later_commits_out_so_that_what_they_would_take_stays_live() -> None:
    """Without the gate they are accepted, and fail behind it."""
    stranded = []
    for design in (TwoPhaseChained, TwoPhaseChainedAdmits):
        case = Case(implementation=design, scenario=story("extractor-fails"), disk="atomic")
        runs: list[Run] = []
        rw.explore(case.subject(), strategy=rw.Bounded(0), schedules=50, limits=case.limits, on_run=runs.append)
        struck = [run for run in runs if run.result.handovers[0].outcome == "failed"]
        assert struck
        stranded.append({message for run in struck for each in run.violations for message in each.messages})
    assert stranded == [{"m1"}, {"m1", "m2"}]
