"""The reduction: as many schedules as there are traces, no bug left out, and nothing called a proof that is none."""

from __future__ import annotations

import itertools
import time
from collections.abc import Awaitable, Callable
from functools import partial
from math import factorial
from typing import Any

import pytest
import trio

import racewindow as rw

Subject = Callable[[rw.World], Awaitable[Any]]
Body = Callable[[], Awaitable[None]]


def of_tasks(*make: Callable[[rw.World], list[Body]], declared: bool = True) -> Subject:
    """A subject whose tasks are made anew for each schedule."""

    async def subject(world: rw.World) -> None:
        if declared:
            world.memory_declared()
        await world.together(*(body for one in make for body in one(world)))

    return subject


def writers(count: int, *, cells: int) -> Subject:
    def make(world: rw.World) -> list[Body]:
        shared = [world.cell(0, name=f"c{number}") for number in range(cells)]
        return [partial(shared[number % cells].write, number) for number in range(count)]

    return of_tasks(make)


def writer_and_readers(count: int) -> Subject:
    def make(world: rw.World) -> list[Body]:
        shared = [world.cell(0, name=f"c{number}") for number in range(count)]

        async def write() -> None:
            for cell in shared:
                await cell.write(1)

        async def read(number: int) -> None:
            await shared[number].read()

        return [write, *(partial(read, number) for number in range(count))]

    return of_tasks(make)


class TestOracles:
    @pytest.mark.parametrize("count", range(1, 6))
    def test_writers_of_different_cells_are_one_trace(self, count: int) -> None:
        found = rw.prove(writers(count, cells=count))
        assert (found.verdict, found.executions, found.classes, found.blocked) == ("proved", 1, 1, 0)
        assert found.footprints == "declared or observed"

    @pytest.mark.parametrize("count", range(1, 6))
    def test_writers_of_one_cell_are_as_many_traces_as_orders(self, count: int) -> None:
        found = rw.prove(writers(count, cells=1))
        assert (found.executions, found.classes, found.blocked) == (factorial(count), factorial(count), 0)

    @pytest.mark.parametrize("count", range(1, 7))
    def test_a_writer_of_n_cells_and_a_reader_of_each_are_two_to_the_n_traces(self, count: int) -> None:
        found = rw.prove(writer_and_readers(count))
        assert (found.executions, found.classes, found.blocked) == (2**count, 2**count, 0)

    def test_without_a_promise_about_memory_every_interleaving_is_run(self) -> None:
        """Two tasks of two steps: six."""

        def make(world: rw.World) -> list[Body]:
            async def task(cell: rw.Cell[int]) -> None:
                await cell.write(await cell.read() + 1)

            return [partial(task, world.cell(0)), partial(task, world.cell(0))]

        found = rw.prove(of_tasks(make, declared=False))
        assert found.executions == found.classes == 6
        assert found.footprints.startswith("assumed to touch anything")
        assert rw.prove(of_tasks(make)).executions == 1

    def test_a_point_that_declares_nothing_may_touch_anything(self) -> None:
        """Even where the memory is declared."""

        def make(world: rw.World) -> list[Body]:
            async def task() -> None:
                await world.point("somewhere")

            return [task, task, task]

        assert rw.prove(of_tasks(make)).executions == 6


async def _nothing() -> None:
    await trio.lowlevel.checkpoint()


class TestBugsThatOnlyShowIn:
    """Each is hidden from plain cells, and each schedule that fails needs one particular order."""

    def check(self, make: Callable[[rw.World], list[Body]], limits: rw.Limits | None = None) -> None:
        reduced = rw.prove(of_tasks(make), limits=limits)
        assert reduced.verdict == "failed"
        whole = rw.explore(of_tasks(make), strategy=rw.Bounded(None), schedules=None, limits=limits)
        assert 0 < whole.failures < whole.schedules

    def test_is_set(self) -> None:
        def make(world: rw.World) -> list[Body]:
            event = trio.Event()

            async def look() -> None:
                await _nothing()
                world.check(not event.is_set(), "seen")

            async def set_it() -> None:
                await _nothing()
                event.set()

            return [look, set_it]

        self.check(make)

    def test_channel_statistics(self) -> None:
        def make(world: rw.World) -> list[Body]:
            send, receive = trio.open_memory_channel[int](1)

            async def look() -> None:
                await _nothing()
                world.check(receive.statistics().current_buffer_used == 0, "seen")

            async def fill() -> None:
                await _nothing()
                send.send_nowait(1)

            return [look, fill]

        self.check(make)

    def test_who_waits_for_an_event(self) -> None:
        def make(world: rw.World) -> list[Body]:
            event = trio.Event()

            async def look() -> None:
                await _nothing()
                waiting = event.statistics().tasks_waiting
                event.set()
                world.check(waiting == 0, "seen")

            async def wait() -> None:
                await _nothing()
                await event.wait()

            return [look, wait]

        self.check(make)

    def test_a_locked_lock_and_a_semaphore_value(self) -> None:
        def make(world: rw.World) -> list[Body]:
            lock, semaphore = trio.Lock(), trio.Semaphore(1)

            async def look() -> None:
                await _nothing()
                world.check(not (lock.locked() and semaphore.value == 0), "seen")

            async def hold() -> None:
                async with semaphore, lock:
                    await _nothing()

            return [look, hold]

        self.check(make)

    def test_a_lock_that_was_lent_to_a_condition(self) -> None:
        def make(world: rw.World) -> list[Body]:
            lock = trio.Lock()
            first, second = trio.Condition(lock), trio.Condition(lock)

            async def look() -> None:
                await _nothing()
                world.check(not first.locked(), "seen")

            async def hold() -> None:
                async with second:
                    await _nothing()

            return [look, hold]

        self.check(make)

    def test_the_time(self) -> None:
        """Only a timer that fires early lets it pass while the other task can run."""

        def make(world: rw.World) -> list[Body]:
            async def look() -> None:
                await _nothing()
                world.check(trio.current_time() == 0, "seen")

            return [look, partial(trio.sleep, 1)]

        self.check(make, rw.Limits(time="adversarial", timers_max=1))

    def test_a_scope_that_was_cancelled(self) -> None:
        def make(world: rw.World) -> list[Body]:
            scope = trio.CancelScope()

            async def look() -> None:
                await _nothing()
                world.check(not scope.cancelled_caught, "seen")

            async def wait() -> None:
                with scope:
                    await trio.sleep_forever()

            async def cancel() -> None:
                await _nothing()
                scope.cancel()

            return [look, wait, cancel]

        self.check(make)

    def test_a_deadline_that_somebody_moved(self) -> None:
        def make(world: rw.World) -> list[Body]:
            scope = trio.CancelScope(deadline=10)

            async def look() -> None:
                await _nothing()
                world.check(scope.deadline == 10, "seen")

            async def move() -> None:
                await _nothing()
                scope.deadline = 20

            return [look, move]

        self.check(make)

    def test_the_children_of_a_nursery(self) -> None:
        async def subject(world: rw.World) -> None:
            world.memory_declared()

            async def look(nursery: trio.Nursery) -> None:
                await _nothing()
                world.check(len(nursery.child_tasks) == 2, "seen")

            async with trio.open_nursery() as nursery:
                nursery.start_soon(look, nursery)
                nursery.start_soon(_nothing)

        assert rw.prove(subject).verdict == "failed"

    def test_a_nursery_that_somebody_else_starts_a_task_in(self) -> None:
        """The parent goes on when the child has, and not before the call that started it has returned."""

        async def subject(world: rw.World) -> tuple[str, ...]:
            world.memory_declared()
            empty: tuple[str, ...] = ()
            log = world.cell(empty, name="log")

            async def child(task_status: trio.TaskStatus[None]) -> None:
                await _nothing()
                task_status.started()
                await log.write((*log.value, "child"))

            async def starter(nursery: trio.Nursery) -> None:
                await nursery.start(child)
                await log.write((*log.value, "started"))

            async with trio.open_nursery() as outer:
                async with trio.open_nursery() as inner:
                    outer.start_soon(starter, inner)
                    await _nothing()
                await log.write((*log.value, "inner closed"))
            return log.value

        reduced: set[object] = set()
        whole: set[object] = set()
        for strategy, seen in ((rw.DPOR(), reduced), (rw.Bounded(None), whole)):
            found = rw.explore(
                subject,
                strategy=strategy,
                schedules=None,
                on_run=lambda run, seen=seen: seen.add((run.result, tuple(v.kind for v in run.violations))),  # type: ignore[misc]
            )
            assert found.complete
        assert reduced == whole

    def test_a_task_that_a_crash_kills_before_its_step(self) -> None:
        """The victim's step is in no schedule that crashes first."""

        async def subject(world: rw.World) -> None:
            world.memory_declared()
            process = world.process("victim")
            cell = world.cell(0, name="c")

            async def victim() -> None:
                await cell.write(1)

            async def crash() -> None:
                await _nothing()
                world.crash(process)

            world.start(crash, name="crash")
            world.start(victim, name="victim", process=process)
            await world.quiet()
            world.check(cell.value == 0, "written")

        assert rw.prove(subject).verdict == "failed"

    def test_a_task_that_is_left_behind_when_the_subject_returns(self) -> None:
        async def subject(world: rw.World) -> int:
            world.memory_declared()
            cell = world.cell(0, name="c")
            world.start(partial(cell.write, 1), name="late")
            await _nothing()
            return cell.value

        results: set[int] = set()
        rw.explore(subject, strategy=rw.DPOR(), schedules=None, on_run=lambda run: results.add(run.result))
        assert results == {0, 1}

    def test_every_violation_is_found_though_the_first_ends_the_schedule(self) -> None:
        def make(world: rw.World) -> list[Body]:
            async def fail(kind: str) -> None:
                await _nothing()
                world.check(False, kind)

            return [partial(fail, "one"), partial(fail, "two")]

        kinds: set[str] = set()
        rw.explore(
            of_tasks(make),
            strategy=rw.DPOR(),
            schedules=None,
            on_run=lambda run: kinds.update(violation.kind for violation in run.violations),
        )
        assert kinds == {"one", "two"}

    def test_a_cell_that_is_looked_at_without_a_point(self) -> None:
        def make(world: rw.World) -> list[Body]:
            cell = world.cell(0, name="c")

            async def look() -> None:
                await _nothing()
                world.check(cell.value == 0, "seen")

            return [look, partial(cell.write, 1)]

        self.check(make)

    def test_an_attribute_of_a_watched_class(self) -> None:
        class Account:
            def __init__(self) -> None:
                self.balance = 0
                self.entries: list[int] = []

            async def pay(self, world: rw.World) -> None:
                balance = self.balance
                await world.point("between", reads=())
                self.balance = balance + 1
                self.entries.append(balance)

        async def subject(world: rw.World) -> None:
            world.memory_declared()
            world.watch(Account)
            account = Account()
            await world.together(partial(account.pay, world), partial(account.pay, world))
            world.check(account.balance == 2, "lost-update")

        assert rw.prove(subject).verdict == "failed"
        assert "__getattribute__" not in vars(Account)


class TestHosts:
    def test_on_asyncio_nothing_is_left_out(self) -> None:
        """That host does not see what primitives do, so every schedule is run."""

        async def subject(world: rw.World) -> None:
            world.memory_declared()
            cells = [world.cell(0), world.cell(0)]
            await world.together(*(partial(cell.write, 1) for cell in cells))

        reduced = rw.explore(subject, strategy=rw.DPOR(), schedules=None, host="asyncio")
        whole = rw.explore(subject, strategy=rw.Bounded(None), schedules=None, host="asyncio")
        assert reduced.schedules == whole.schedules
        assert reduced.notes == (
            "dpor: on the asyncio host nobody sees what steps share, so each may touch anything: no schedule is left out",
        )

    def test_trio_is_left_as_it_was(self) -> None:
        before = {kind: dict(vars(kind)) for kind in (trio.Event, trio.Lock, trio.CancelScope, trio.Nursery)}
        rw.prove(writers(2, cells=1))
        assert before == {kind: dict(vars(kind)) for kind in before}


class TestSubjectsThatDoNotRepeat:
    def test_a_set_of_objects_is_told_with_the_choice(self) -> None:
        numbers = itertools.count()

        async def subject(world: rw.World) -> None:
            async def task(number: int) -> None:
                await world.point(f"p{number}")
                await world.point("q")

            first = next(numbers) % 7
            await world.together(partial(task, first), partial(task, 8))

        with pytest.raises(rw.ReplayDiverged, match=r"does not repeat itself.*order of a set"):
            rw.prove(subject)

    def test_the_wall_clock_in_a_branch_is_told_with_the_choice(self) -> None:
        async def subject(world: rw.World) -> None:
            async def task() -> None:
                await world.point(f"at {time.perf_counter_ns()}")

            await world.together(task, task)

        with pytest.raises(rw.ReplayDiverged, match=r"does not repeat itself.*it uses the wall clock"):
            rw.prove(subject)


# -- the store of the issue that started it all, small -----------------------------------------------------------------


def store(variant: str) -> Subject:
    """Client a: add, commit. Client b: reload, commit. Broken when a message is archived twice.

    ``correct`` archives and switches under a lock; ``narrow`` looks for what others have claimed, and claims, in two steps.
    """

    async def subject(world: rw.World) -> None:
        world.memory_declared()
        lock = trio.Lock()
        empty: tuple[str, ...] = ()
        live, archive, claimed = (world.cell(empty, name=name) for name in ("live", "archive", "claimed"))

        async def commit() -> None:
            if variant == "correct":
                async with lock:
                    messages = await live.read()
                    await archive.write(archive.value + messages)
                    await live.write(tuple(one for one in live.value if one not in messages))
                return
            taken = await claimed.read()
            messages = tuple(one for one in live.value if one not in taken)
            await claimed.write(claimed.value + messages)
            await archive.write(archive.value + messages)
            world.start(partial(switch, messages), name=f"{world.task.name}/switch")

        async def switch(messages: tuple[str, ...]) -> None:
            await world.point("rename", reads=())
            await live.write(tuple(one for one in live.value if one not in messages))

        async def a() -> None:
            await world.point("open", reads=())
            await live.write((*live.value, "m1"))
            await commit()

        async def b() -> None:
            for _ in range(11):
                await world.point("think", reads=())
            await live.read()
            await commit()

        await world.together(a, b)
        await world.quiet()
        world.check(len(set(archive.value)) == len(archive.value), "archived-twice")

    return subject


class TestStore:
    def test_the_correct_one_is_proved_without_any_bound(self) -> None:
        found = rw.prove(store("correct"))
        assert found.verdict == "proved"
        assert found.executions <= 400

    def test_the_narrow_race_is_always_found(self) -> None:
        found = rw.prove(store("narrow"))
        assert found.verdict == "failed"
        assert found.first is not None
        assert rw.replay(store("narrow"), found.first.token).verdict == "failed"
