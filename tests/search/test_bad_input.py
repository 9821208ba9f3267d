"""Bad input and bad subjects: each has an outcome of its own, and says what to do."""

from __future__ import annotations

import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio

import racewindow as rw
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

    def test_one_that_polls_for_ever_is_unknown_too(self) -> None:
        """Where only time moves."""

        async def subject(world: rw.World) -> None:
            while True:
                await world.sleep(1)

        found = rw.explore(subject, schedules=1, limits=rw.Limits(max_steps=50))
        assert (found.verdict, found.reason) == ("unknown", "schedule 0: max_steps=50 was reached")


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
