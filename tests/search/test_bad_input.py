"""Bad input and bad subjects: each has an outcome of its own, and says what to do."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio

import racewindow as rw
from racewindow.kernel import Run
from racewindow.search import strategy_named


async def passes(world: rw.World) -> None:
    await world.point("p")


class TestWrongArguments:
    @pytest.mark.parametrize(
        ("ask", "words"),
        [
            (lambda: rw.PCT(depth=0), "depth=0: give a whole number of at least 1"),
            (lambda: strategy_named("pct:depth=0"), "depth=0: give a whole number of at least 1"),
            (lambda: rw.explore(passes, schedules=-1), "schedules=-1: at least one schedule has to run"),
            (lambda: rw.prove(passes, max_executions=0), "schedules=0: at least one schedule has to run"),
            (lambda: rw.explore(passes, time_limit_s=-1.0), "the limit must be positive"),
            (lambda: rw.Bounded(preemptions=-1), "the bound cannot be negative"),
            (
                lambda: strategy_named("pcd"),
                r"unknown strategy 'pcd' \(did you mean 'pct'\?\); there are: random-walk,",
            ),
            (lambda: rw.explore(lambda world: None, schedules=1), "must be an async function that takes a world"),
            (lambda: rw.explore(passes(None), schedules=1), "must be an async function"),  # type: ignore[arg-type]
        ],
        ids=["depth", "named-depth", "schedules", "executions", "time", "bound", "strategy", "sync", "coroutine"],
    )
    @pytest.mark.filterwarnings("ignore:coroutine 'passes' was never awaited")
    def test_it_is_said_before_anything_runs(self, ask: Callable[[], object], words: str) -> None:
        with pytest.raises(rw.UsageError, match=words):
            ask()


class TestSubjects:
    def test_one_that_never_yields_has_one_schedule(self) -> None:
        """There is nothing to choose: it is proved by its only execution."""

        async def subject(world: rw.World) -> None:
            world.check(True, "fine")

        found = rw.prove(subject)
        assert (found.verdict, found.executions, found.found[0].steps) == ("proved", 1, 1)

    def test_one_that_raises_has_failed_with_its_error(self) -> None:
        async def subject(world: rw.World) -> None:
            await world.point("p")
            raise LookupError("no such thing")

        found = rw.explore(subject, schedules=3)
        assert (found.verdict, found.failures) == ("failed", 3)
        assert found.first is not None
        assert str(found.first.violation) == "LookupError: no such thing (certain at step 1)"

    def test_one_that_deadlocks_says_who_waits_where(self) -> None:
        async def subject(world: rw.World) -> None:
            one, two = trio.Lock(), trio.Lock()

            async def forth() -> None:
                async with one, two:
                    pass

            async def back() -> None:
                async with two, one:
                    pass

            await world.together(forth, back)

        first = rw.prove(subject).first
        assert first is not None
        assert first.violation is not None
        assert first.violation.kind == "deadlock"
        assert "forth at Lock.acquire, back at Lock.acquire" in first.violation.detail

    def test_one_that_loops_for_ever_is_unknown(self) -> None:
        """Neither a pass nor a hang: a bound was hit, and its name is said."""

        async def subject(world: rw.World) -> None:
            while True:
                await world.point("again")

        found = rw.explore(subject, schedules=2, limits=rw.Limits(max_steps=50))
        assert (found.verdict, found.reason) == ("unknown", "schedule 0: max_steps=50 was reached")

    def test_one_that_polls_for_ever_is_a_livelock(self) -> None:
        """Where only time moves, and nothing else ever will."""

        async def subject(world: rw.World) -> None:
            while True:
                await world.sleep(1)

        found = rw.explore(subject, schedules=1)
        assert found.first is not None
        assert str(found.first.violation).startswith("livelock: nothing but time changes any more: main went round")


async def spins(world: rw.World) -> None:
    await world.point("before")
    while True:
        pass


async def spins_in_a_child(world: rw.World) -> None:
    """And takes every exception for one of its own."""

    async def child() -> None:
        await world.point("before")
        while True:
            try:
                sum(range(100))
            except Exception:
                continue

    await world.together(child, child)


class TestSpinning:
    """A step that never ends cannot be left to the kernel, which has no control meanwhile."""

    LIMITS = rw.Limits(step_limit_s=0.2)

    @pytest.mark.parametrize("host", ["trio", "asyncio"])
    @pytest.mark.parametrize("subject", [spins, spins_in_a_child])
    def test_it_is_interrupted_and_said_where(self, subject: Callable[[rw.World], Awaitable[Any]], host: str) -> None:
        """Unknown, for a bound was hit; and no further schedule has to wait as long."""
        found = rw.explore(subject, schedules=100, host=host, limits=self.LIMITS)
        assert (found.verdict, found.schedules, found.failures) == ("unknown", 1, 0)
        assert re.search(
            r"schedule 0: step_limit_s=0\.2 was reached: step \d \(.* at before\) does not give up control; it was in .*spins.*"
            r"\(test_bad_input\.py:\d+\)",
            found.reason,
        )

    def test_a_proof_is_none_when_a_schedule_was_given_up(self) -> None:
        assert rw.prove(spins, limits=self.LIMITS).verdict == "unknown"

    def test_the_next_exploration_is_none_the_worse(self) -> None:
        rw.explore(spins, schedules=1, limits=self.LIMITS)
        assert rw.prove(passes).verdict == "proved"

    def test_a_limit_that_makes_no_sense(self) -> None:
        with pytest.raises(rw.UsageError, match="step_limit_s=0: the limit must be positive; inf means none"):
            rw.Limits(step_limit_s=0)


class TestResources:
    """What a point declares."""

    @pytest.mark.parametrize("names", [["x", "y"], ("x", "y"), {"y", "x"}, {"x": 1, "y": 2}])
    @pytest.mark.parametrize("once", [False, True])
    def test_any_iterable_of_names_will_do(self, names: Any, once: bool) -> None:
        """Also one that can be read but once; a set comes in the same order everywhere."""
        runs: list[Run] = []

        async def subject(world: rw.World) -> None:
            await world.point("p", reads=iter(sorted(names)) if once else names, writes=["z"])

        rw.explore(subject, schedules=1, on_run=runs.append)
        assert str(runs[0].trace[1]).endswith("p [reads x, y; writes z]")

    @pytest.mark.parametrize("reads", ["x", ["x", 1], 7, [["x"]]])
    def test_anything_else_is_said_at_once(self, reads: Any) -> None:
        """A single name is easily taken for many of one letter each."""

        async def subject(world: rw.World) -> None:
            await world.point("p", reads=reads)

        with pytest.raises(
            rw.UsageError, match=r"reads=.*: give the names of resources, as in reads=\('cell', 'lock'\)"
        ):
            rw.explore(subject, schedules=1)

    @pytest.mark.parametrize("resource", [["x"], 7])
    def test_what_a_step_touched_has_a_name_too(self, resource: Any) -> None:
        async def subject(world: rw.World) -> None:
            world.touch(resource)

        with pytest.raises(rw.UsageError, match="give the names of resources"):
            rw.explore(subject, schedules=1)


class Thing:
    """Its place in a set is not its own choice, like that of an object with an address for a hash."""

    def __init__(self, number: int, address: int) -> None:
        self.number, self.address = number, address

    def __hash__(self) -> int:
        return self.address


class TestEscapes:
    """What the kernel cannot control is reported as such, with the first step that differs and the likely cause."""

    def test_the_clock_in_a_branch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        ticks = iter(range(1000))
        monkeypatch.setattr(time, "time", lambda: float(next(ticks)))

        async def subject(world: rw.World) -> None:
            if time.time() % 2:
                await world.point("odd")
            await world.point("even")

        self.diverges(subject, r"at step 1 .*Likely cause: .*time\.time\(\)")

    def test_the_order_of_a_set(self) -> None:
        executions: list[int] = []

        async def subject(world: rw.World) -> None:
            executions.append(1)
            for thing in {Thing(number, (number + len(executions)) % 5) for number in range(5)}:
                await world.point(f"thing {thing.number}")

        self.diverges(subject, r"at step 1 .*Likely cause: it uses the order of a set")

    def test_a_real_thread(self) -> None:
        counted: list[int] = []

        async def subject(world: rw.World) -> None:
            thread = threading.Thread(target=lambda: counted.append(1))
            thread.start()
            thread.join()
            await world.point("odd" if len(counted) % 2 else "even")

        self.diverges(subject, r"at step 1 .*Likely cause: .*a real thread")

    def test_without_a_suspect_the_usual_causes_are_told(self) -> None:
        executions: list[int] = []

        async def subject(world: rw.World) -> None:
            executions.append(1)
            await world.point("odd" if len(executions) % 2 else "even")

        self.diverges(subject, r"at step 1 .*Usual causes: wall-clock time, random numbers")

    def diverges(self, subject: Callable[[rw.World], Awaitable[Any]], words: str) -> None:
        with pytest.raises(rw.ReplayDiverged, match=f"does not repeat itself.*{words}"):
            rw.explore(subject, schedules=5)
