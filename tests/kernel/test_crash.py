"""process-crash: tasks are abandoned where they stand, and nothing of them is left behind."""

from __future__ import annotations

import gc
import sys
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing
from functools import partial
from typing import Any

import pytest
import trio

import racewindow as rw
from racewindow.kernel import Engine, Run
from racewindow.kernel.hosts import run_on
from racewindow.search import RandomWalk

Subject = Callable[[rw.World], Awaitable[Any]]


@pytest.fixture
def complaints(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What Python would have printed about exceptions that nobody could catch, and warnings."""
    said: list[str] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda args: said.append(repr(args.exc_value)))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield said
        gc.collect()
        said += [str(warning.message) for warning in caught]
    assert said == []


def results_of(subject: Subject, **options: Any) -> list[Any]:
    """What the subject returned in every schedule; none of them may fail."""
    runs: list[Run] = []
    options = {"strategy": rw.Bounded(None), "schedules": None} | options
    found = rw.explore(subject, on_run=runs.append, **options)
    assert found.first is None, found.first
    return [run.result for run in runs]


class TestCrash:
    def test_its_tasks_never_run_again(self) -> None:
        """Not even their finally blocks, before the verdict; survivors go on."""

        async def subject(world: rw.World) -> tuple[str, str, int]:
            dead, alive = "", ""
            process = world.process("store")

            async def victim() -> None:
                nonlocal dead
                try:
                    for letter in "abc":
                        await world.point(letter)
                        dead += letter
                finally:
                    dead += "!"

            async def survivor() -> None:
                nonlocal alive
                for letter in "xy":
                    await world.point(letter)
                    alive += letter

            world.start(victim, process=process, advance=True)
            world.start(survivor, advance=True)
            await world.point("crash")
            killed = world.crash(process)
            seen = dead
            await world.quiet()
            assert dead == seen
            return dead, alive, len(killed)

        results = set(results_of(subject))
        assert results == {("", "xy", 1), ("a", "xy", 1), ("ab", "xy", 1), ("abc!", "xy", 0)}

    def test_children_die_with_their_process(self) -> None:
        """Nursery children, together() and started tasks inherit the failure domain."""

        async def subject(world: rw.World) -> list[str]:
            log: list[str] = []
            process = world.process("store")

            async def leaf(name: str) -> None:
                await world.point("leaf")
                log.append(name)

            async def store() -> None:
                world.start(partial(leaf, "started"))
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(leaf, "child")
                    await world.together(partial(leaf, "together"))

            world.start(store, process=process, advance=True)
            killed = world.crash(process)
            await world.quiet()
            assert {task.process for task in killed} == {process}
            return log

        assert results_of(subject) == [[]]

    def test_wakes_nobody_who_is_dead(self) -> None:
        """Events, alarms and cancellations for the dead are spent on nobody."""

        async def subject(world: rw.World) -> str:
            log = ""
            process, event, scope = world.process("store"), trio.Event(), world.scope()

            async def waits() -> None:
                nonlocal log
                await event.wait()
                log += "event"

            async def sleeps() -> None:
                nonlocal log
                await trio.sleep(1)
                log += "sleep"

            async def is_cancelled() -> None:
                nonlocal log
                try:
                    await scope.run(trio.sleep_forever)
                finally:
                    log += "cancelled"

            async def is_quiet() -> None:
                nonlocal log
                await world.quiet()
                log += "quiet"

            for function in (waits, sleeps, is_cancelled, is_quiet):
                world.start(function, process=process, advance=True)
            await world.point("crash")
            world.crash(process)
            event.set()
            scope.cancel()
            await trio.sleep(5)
            await world.quiet()
            return log

        assert set(results_of(subject)) == {""}

    def test_the_timers_of_the_dead_do_not_ring(self) -> None:
        """No time passes for them, and none of them is offered as a choice."""

        async def subject(world: rw.World) -> float:
            process = world.process("store")

            async def sleeps() -> None:
                with trio.fail_after(100):
                    await trio.sleep(50)

            world.start(sleeps, process=process, advance=True)
            world.start(partial(trio.sleep, 7), name="survivor", advance=True)
            world.crash(process)
            await world.quiet(within_s=1000)
            return world.now

        assert results_of(subject) == [7.0]
        assert set(results_of(subject, limits=rw.Limits(time="adversarial"))) == {7.0}

    def test_a_scope_that_the_living_share_keeps_its_timer(self) -> None:
        """Only what belongs to the dead alone is disarmed."""

        async def subject(world: rw.World) -> float:
            process = world.process("store")
            nurseries: list[trio.Nursery] = []

            async def lends_its_nursery() -> None:
                with trio.move_on_after(9):
                    async with trio.open_nursery() as nursery:
                        nurseries.append(nursery)
                        await trio.sleep_forever()

            async def borrows() -> None:
                nurseries[0].start_soon(trio.sleep_forever)
                await trio.sleep_forever()

            world.start(lends_its_nursery, advance=True)
            world.start(borrows, process=process, advance=True)
            await world.point("crash")
            world.crash(process)
            await world.quiet(within_s=20)
            return world.now

        assert results_of(subject, schedules=1) == [9.0]

    def test_by_itself(self) -> None:
        """The step goes on to its next await, and what it still starts never runs."""

        async def subject(world: rw.World) -> str:
            log = ""
            process = world.process("store")

            async def more() -> None:
                nonlocal log
                log += "more"

            async def victim() -> None:
                nonlocal log
                async with trio.open_nursery() as nursery:
                    world.crash(process)
                    nursery.start_soon(more)
                    world.start(more)
                    log += "rest"
                    await world.point("after")
                    log += "after"

            world.start(victim, process=process)
            await world.quiet()
            return log

        assert results_of(subject) == ["rest"]

    def test_by_a_step_that_ends_its_task(self) -> None:
        """The last step of a task may take down its own process."""

        async def subject(world: rw.World) -> str:
            process = world.process("store")

            async def victim() -> None:
                await world.point("last")
                world.crash(process)

            world.start(victim, process=process)
            await world.quiet()
            return "on"

        assert results_of(subject) == ["on"]

    def test_of_somebody_earlier_in_line(self) -> None:
        """The books stay right when the one who crashes them comes later, or sooner, in the order of creation."""

        async def subject(world: rw.World) -> str:
            log = ""
            process = world.process("store")

            async def walk(name: str) -> None:
                nonlocal log
                for _ in range(2):
                    await world.point(name)
                    log += name

            async def crash() -> None:
                nonlocal log
                await world.point("crash")
                world.crash(process)
                log += "!"
                await world.point("after")
                log += "."

            world.start(partial(walk, "a"), process=process, advance=True)
            world.start(partial(walk, "b"), advance=True)
            world.start(crash, advance=True)
            world.start(partial(walk, "c"), process=process, advance=True)
            await world.quiet()
            return log

        results = results_of(subject)
        assert len(results) > 100
        for log in set(results):
            assert log.count("b") == 2
            assert log.count("!") == log.count(".") == 1
            assert not set(log.partition("!")[2]) & {"a", "c"}

    def test_undoes_what_dies_with_the_process(self) -> None:
        """Locks and leases are released once, in the order they were registered."""

        async def subject(world: rw.World) -> list[str]:
            released: list[str] = []
            process = world.process("store")
            process.on_crash += [partial(released.append, "lock"), partial(released.append, "lease")]
            world.crash(process)
            world.crash(process)
            return released

        assert results_of(subject) == [["lock", "lease"]]

    def test_nobody_starts_in_a_crashed_process(self) -> None:
        """A restarted store is a new process."""

        async def subject(world: rw.World) -> None:
            process = world.process("store")
            world.crash(process)
            world.start(partial(trio.sleep, 1), process=process)

        with pytest.raises(rw.UsageError, match="has crashed; start the task in a new one"):
            rw.explore(subject)

    def test_the_dead_are_no_deadlock(self) -> None:
        """Who is named as waiting is alive."""

        async def subject(world: rw.World) -> None:
            process = world.process("store")

            async def waits() -> None:
                await trio.sleep_forever()

            world.start(waits, process=process, advance=True)
            world.crash(process)
            await trio.Event().wait()

        runs: list[Run] = []
        rw.explore(subject, schedules=1, on_run=runs.append)
        assert runs[0].violation is not None
        assert runs[0].violation.messages == ("main",)


async def crash_course(world: rw.World) -> int:
    """Everything that is unpleasant to abandon, abandoned wherever the schedule pleases."""
    process = world.process("store")
    lock, event = trio.Lock(), trio.Event()
    send, receive = trio.open_memory_channel[int](1)

    async def late() -> None:
        await world.point("late")

    async def cleans_up() -> None:
        async with lock:
            try:
                await world.point("work")
                await trio.sleep(1)
            finally:
                await world.point("cleanup")
                world.start(late)
                world.note("cleaned")
                with trio.CancelScope(shield=True):
                    await trio.sleep(1)

    async def numbers() -> AsyncIterator[int]:
        try:
            for number in range(3):
                await world.point("number")
                yield number
        finally:
            await world.point("close")

    async def generates() -> None:
        async with aclosing(numbers()) as stream:  # type: ignore[type-var]
            async for number in stream:
                await send.send(number)

    async def nests() -> None:
        with trio.move_on_after(3):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(cleans_up)
                async with trio.open_nursery() as inner:
                    inner.start_soon(event.wait)
                    async for _ in receive:
                        await trio.to_thread.run_sync(int)

    async def catches_everything() -> None:
        for _ in range(2):
            try:  # noqa: SIM105
                await world.point("stubborn")
            except BaseException:
                pass

    for function in (cleans_up, generates, nests, catches_everything):
        world.start(function, process=process)
    await world.point("one")
    await world.point("two")
    return len(world.crash(process))


class TestAbandonment:
    @pytest.mark.slow
    def test_ten_thousand_crashes_leave_nothing_behind(self, complaints: list[str]) -> None:
        """No complaint on stderr, no task in trio's books, no growing memory."""
        books: list[tuple[int, ...]] = []
        objects: list[int] = []
        killed = 0

        def driver(engine: Engine) -> None:
            nonlocal killed
            runner = engine._runner  # type: ignore[attr-defined]
            nursery = engine._nursery  # type: ignore[attr-defined]
            search = RandomWalk().search(5)
            scopes = nursery._cancel_status
            for index in range(10_000):
                search.begin(index)
                run = engine.execute(crash_course, search, rw.Limits())
                assert run.verdict == "passed"
                killed += run.result
                if index % 1000 == 999:
                    counted = (runner.tasks, runner.runq, nursery.child_tasks, scopes._children, scopes._tasks)
                    books.append((*map(len, counted), len(runner.deadlines._heap), runner.deadlines._active))
                    del run
                    gc.collect()
                    objects.append(len(gc.get_objects()))

        run_on("trio", driver)
        assert killed > 20_000
        assert len(set(books)) == 1, books
        assert max(objects[2:]) - min(objects[2:]) < 700, objects  # not one in ten of seven thousand schedules
        assert complaints == []

    @pytest.mark.parametrize("limits", [rw.Limits(), rw.Limits(max_steps=9), rw.Limits(time="adversarial")])
    def test_so_does_every_other_end(self, complaints: list[str], limits: rw.Limits) -> None:
        """The subject returns, fails or runs out of steps while others are anywhere."""

        async def subject(world: rw.World) -> None:
            await crash_course(world)
            event = trio.Event()
            await (event.wait() if world.step % 3 == 0 else world.point("three"))
            world.check(world.step % 3 == 1, "step-count")

        found = rw.explore(subject, schedules=300, limits=limits)
        assert {one.verdict for one in found.found} & {"failed", "unknown"}
        del found
        gc.collect()
        assert complaints == []

    def test_finally_blocks_of_abandoned_tasks_change_no_verdict(self) -> None:
        """They run when the verdict stands: what they check, note, start or raise counts for nothing."""

        async def subject(world: rw.World) -> str:
            async def victim() -> None:
                try:
                    await world.point("victim")
                finally:
                    world.note("too late")
                    world.start(partial(trio.sleep, 1))
                    world.check(False, "too-late")

            async def raises() -> None:
                try:
                    await trio.sleep_forever()
                finally:
                    raise ValueError("too late")

            world.start(victim, advance=True)
            world.start(raises, advance=True)
            return "ended"

        runs: list[Run] = []
        rw.explore(subject, schedules=3, on_run=runs.append)
        assert [(run.verdict, run.result) for run in runs] == [("passed", "ended")] * 3
        assert [step.notes for run in runs for step in run.trace if step.notes] == []

    def test_a_record_that_is_kept_keeps_no_coroutines(self) -> None:
        """Experiments hold on to thousands of runs."""
        runs: list[Run] = []
        rw.explore(crash_course, schedules=5, on_run=runs.append)
        assert all(point.task is not None and point.task.handle is None for run in runs for point in run.points)
