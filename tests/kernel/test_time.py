"""Virtual time: it costs nothing, and passes when nothing else can happen, or whenever it hurts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest
import trio

import racewindow as rw
from racewindow.kernel import Run

Subject = Callable[[rw.World], Awaitable[Any]]


def runs_of(subject: Subject, **options: Any) -> list[Run]:
    """Every schedule of the subject."""
    runs: list[Run] = []
    options = {"strategy": rw.Bounded(None), "schedules": None} | options
    rw.explore(subject, on_run=runs.append, **options)
    return runs


def adversarial(timers_max: int = 2) -> rw.Limits:
    return rw.Limits(time="adversarial", timers_max=timers_max)


class TestIdle:
    def test_years_pass_at_once(self) -> None:
        """The clock starts at zero in every schedule."""

        async def subject(world: rw.World) -> float:
            assert world.now == trio.current_time() == 0.0
            await trio.sleep(3e8)  # noqa: ASYNC116
            await world.sleep(0.5)
            return world.now

        assert [run.result for run in runs_of(subject, strategy=None, schedules=3)] == [3e8 + 0.5] * 3

    def test_sleepers_wake_in_the_order_of_their_alarms(self) -> None:
        """Two that wake at the same moment may go in either order."""

        async def subject(world: rw.World) -> str:
            order = ""

            async def sleeper(name: str, seconds: float) -> None:
                nonlocal order
                await trio.sleep(seconds)
                order += name

            await world.together(partial(sleeper, "c", 3), partial(sleeper, "a", 1), partial(sleeper, "b", 1))
            return order

        assert {run.result for run in runs_of(subject)} == {"abc", "bac"}

    def test_whoever_wakes_first_is_a_free_choice(self) -> None:
        """No preemption is charged for it, although the task that slept last wakes as well."""

        async def subject(world: rw.World) -> str:
            order = ""

            async def sleeper(name: str) -> None:
                nonlocal order
                await trio.sleep(1)
                order += name

            await world.together(partial(sleeper, "a"), partial(sleeper, "b"))
            return order

        runs = runs_of(subject, strategy=rw.Bounded(0))
        assert sorted(run.result for run in runs) == ["ab", "ba"]
        assert [run.preemptions for run in runs] == [0, 0]

    def test_time_is_a_step_in_the_trace(self) -> None:
        """Of nobody, with the seconds in its remark."""

        async def subject(world: rw.World) -> None:
            await trio.sleep(1.5)

        steps = runs_of(subject)[0].trace
        assert [(step.task, step.label, step.notes) for step in steps] == [
            ("main", "start", ()),
            ("time", "pass", ("+1.5 s",)),
            ("main", "sleep", ()),
        ]

    def test_timeouts_cut_off_waits(self) -> None:
        """move_on_after moves on, fail_after fails."""

        async def subject(world: rw.World) -> tuple[bool, float]:
            with trio.move_on_after(2) as scope:
                await trio.sleep(5)
            with pytest.raises(trio.TooSlowError), trio.fail_after(3):
                await trio.Event().wait()
            return scope.cancelled_caught, world.now

        assert [run.result for run in runs_of(subject)] == [(True, 5.0)]

    def test_a_timeout_does_not_cut_off_what_can_run(self) -> None:
        """In time=idle the clock waits for the runnable."""

        async def subject(world: rw.World) -> bool:
            with trio.move_on_after(0.001) as scope:
                for _ in range(50):
                    await world.point("busy")
            return scope.cancelled_caught

        assert [run.result for run in runs_of(subject)] == [False]

    @pytest.mark.parametrize("seconds", [0, -1])
    def test_a_timeout_that_is_over_before_it_begins(self, seconds: float) -> None:
        """It needs no time to pass: the first checkpoint raises."""

        async def subject(world: rw.World) -> str:
            log = ""
            with trio.move_on_at(trio.current_time() + seconds):
                log += "begun"
                await world.point("p")
                log += " on"
            return log

        assert [run.result for run in runs_of(subject)] == ["begun"]

    def test_a_deadline_that_is_moved(self) -> None:
        """The old one does not fire."""

        async def subject(world: rw.World) -> float:
            with trio.move_on_after(5) as scope:
                scope.deadline += 5
                await trio.sleep_forever()
            return world.now

        assert [run.result for run in runs_of(subject)] == [10.0]

    def test_timers_of_one_schedule_do_not_ring_in_the_next(self) -> None:
        """What an abandoned task had armed is forgotten."""

        async def subject(world: rw.World) -> float:
            async def sleeper() -> None:
                await trio.sleep(3)

            world.start(sleeper)
            await world.point("p")
            await trio.sleep(1)
            return world.now

        assert {run.result for run in runs_of(subject)} == {1.0}


async def expiring_lease(world: rw.World) -> None:
    """A holder writes under a lease of ten seconds; another one takes over when it has expired."""
    holder, writer = "", ""

    async def first() -> None:
        nonlocal holder, writer
        holder = "first"
        await world.point("write")
        if writer != "":
            world.check(False, "written-twice")
        writer = "first"
        holder = ""

    async def second() -> None:
        nonlocal holder, writer
        with trio.move_on_after(10):
            while holder:
                await trio.sleep(60)
        if holder:
            writer = "second"

    await world.together(first, second)


class TestAdversarial:
    def test_finds_a_race_with_expiry_that_idle_time_misses(self) -> None:
        """The lease runs out although its holder could have gone on."""
        assert rw.prove(expiring_lease).verdict == "proved"
        found = rw.prove(expiring_lease, limits=adversarial(1))
        assert found.verdict == "failed"
        assert found.first is not None
        run = rw.replay(expiring_lease, found.first.token, limits=adversarial(1))
        assert run.violation is not None
        assert run.violation.kind == "written-twice"

    def test_without_timers_to_fire_it_is_idle_time(self) -> None:
        """timers_max=0 changes nothing."""
        assert rw.prove(expiring_lease, limits=adversarial(0)).verdict == "proved"

    @pytest.mark.parametrize("timers_max", [0, 1, 2, 3])
    def test_fires_so_many_timers_early_and_no_more(self, timers_max: int) -> None:
        """Ten points against timers of one second each: no schedule is further ahead than the bound."""

        async def subject(world: rw.World) -> float:
            now = 0.0

            async def busy() -> None:
                nonlocal now
                for _ in range(6):
                    await world.point("busy")
                now = world.now

            async def ticker() -> None:
                for _ in range(5):
                    await trio.sleep(1)

            await world.together(busy, ticker)
            return now

        runs = runs_of(subject, limits=adversarial(timers_max), strategy=rw.Bounded(2))
        assert {run.result for run in runs} == set(map(float, range(timers_max + 1)))

    def test_every_moment_of_one_timer_exactly_once(self) -> None:
        """Before each of four points, or after the last."""

        async def subject(world: rw.World) -> int:
            count = 0
            with trio.move_on_after(1):
                for _ in range(4):
                    await world.point("p")
                    count += 1
                await trio.sleep_forever()
            return count

        runs = runs_of(subject, limits=adversarial(1))
        assert sorted(run.result for run in runs) == [0, 1, 2, 3, 4]

    def test_two_timers_one_of_them_early(self) -> None:
        """A token that lets one timer fire early does not let the next one fire as well."""

        async def subject(world: rw.World) -> str:
            order = ""

            async def sleeper(name: str, seconds: float) -> None:
                nonlocal order
                await trio.sleep(seconds)
                order += name

            async def busy() -> None:
                nonlocal order
                for letter in "xy":
                    await world.point(letter)
                    order += letter

            await world.together(partial(sleeper, "1", 1), partial(sleeper, "2", 2), busy)
            world.check(order != "1xy2", "the-order")
            return order

        runs = runs_of(subject, limits=adversarial(2))
        assert {run.result for run in runs if run.result} >= {"xy12", "12xy", "x12y", "x1y2"}
        found = rw.prove(subject, limits=adversarial(2))
        assert found.first is not None
        assert rw.replay(subject, found.first.token, limits=adversarial(2)).violation is not None

    def test_a_token_of_adversarial_time_is_not_for_idle_time(self) -> None:
        """The limits are part of what a token depends on."""
        found = rw.prove(expiring_lease, limits=adversarial(1))
        assert found.first is not None
        with pytest.raises(rw.ReplayDiverged, match="limits"):
            rw.replay(expiring_lease, found.first.token)

    def test_together_is_not_disturbed_by_an_armed_timer(self) -> None:
        """Tasks on their way to their first point get there before a timer may fire."""

        async def subject(world: rw.World) -> float:
            starts: list[float] = []

            async def task() -> None:
                starts.append(world.now)
                await world.point("p")

            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.sleep, 1)
                nursery.start_soon(trio.sleep, 2)
                await trio.sleep(0.5)
                before = world.now
                await world.together(task, task)
            assert starts == [before, before]
            return before

        runs = runs_of(subject, limits=adversarial(3), strategy=rw.RandomWalk(), schedules=300)
        assert len({run.result for run in runs}) > 1
        assert all(run.verdict == "passed" for run in runs)
