"""Every state once: the outcomes of a search that leaves nothing out, in fewer schedules."""

from __future__ import annotations

import itertools

import pytest
import trio
from tests.races import Subject, lost_updates

import racewindow as rw
from racewindow.bench.subject import on_trio
from racewindow.kernel import Run


def outcomes(subject: Subject, strategy: rw.Bounded | rw.States) -> tuple[rw.Exploration, set[object]]:
    runs: list[Run] = []
    found = rw.explore(subject, strategy=strategy, schedules=None, on_run=runs.append)
    assert found.complete
    return found, {(run.verdict, tuple(violation.kind for violation in run.violations), run.result) for run in runs}


async def same_values(world: rw.World) -> int:
    """Four writers of one value: to whoever reads it, their order makes no difference, although they depend on each other."""
    value = world.cell(0, name="v")

    async def write() -> None:
        await value.write(1)

    await world.together(write, write, write, write)
    return value.value


async def undeclared(world: rw.World) -> int:
    """A sum in a variable that nobody declared, at points that declare nothing."""
    total = 0

    def adding(amount: int) -> object:
        async def add() -> None:
            nonlocal total
            for _ in range(2):
                await world.point("add")
                total += amount

        return add

    await world.together(adding(1), adding(10))  # type: ignore[arg-type]
    return total


async def library(world: rw.World) -> int:
    """What an object of a C library remembers cannot be compared."""
    numbers = itertools.count()

    async def draw() -> None:
        await world.point("draw")
        next(numbers)

    await world.together(draw, draw)
    return next(numbers)


async def locks_that_cross(world: rw.World) -> None:
    one, two = trio.Lock(), trio.Lock()

    async def forth() -> None:
        async with one, two:
            await world.point("both")

    async def back() -> None:
        async with two, one:
            await world.point("both")

    await world.together(forth, back)


class TestOutcomes:
    @pytest.mark.parametrize(
        "subject", [lost_updates(2), lost_updates(3), same_values, undeclared, library, locks_that_cross]
    )
    def test_are_those_of_every_schedule(self, subject: Subject) -> None:
        """Random programs of all primitives are compared in test_dpor_cross_check."""
        every, expected = outcomes(subject, rw.Bounded(None))
        some, found = outcomes(subject, rw.States())
        assert found == expected
        assert some.verdict == every.verdict
        assert some.schedules <= every.schedules

    def test_orders_that_make_no_difference_are_not_told_apart(self) -> None:
        """Of four writers, it matters which are left, and not who came first."""
        found = outcomes(same_values, rw.States())[0]
        assert found.schedules < outcomes(same_values, rw.Bounded(None))[0].schedules == 24

    def test_what_cannot_be_compared_is_not_merged_and_told(self) -> None:
        found = outcomes(library, rw.States())[0]
        assert found.schedules == 2
        assert found.notes == (
            "states: 0 states, 0 schedules came to one seen before; 1 choices stood in states that cannot be compared",
        )

    def test_a_loop_is_followed_once(self) -> None:
        """It comes back to a state on the way there: whether it ever ends is another question, which its bound answers."""

        async def subject(world: rw.World) -> None:
            async def turn() -> None:
                while True:
                    await world.point("turn")

            await world.together(turn, turn)

        found = rw.explore(subject, strategy=rw.States(), schedules=100, limits=rw.Limits(max_steps=30))
        assert (found.verdict, found.complete) == ("unknown", True)
        assert found.schedules < 10

    def test_by_its_name(self) -> None:
        assert rw.search.strategy_named("states") == rw.States()

    @pytest.mark.exhaustive
    def test_the_correct_store_is_proved_without_a_bound(self) -> None:
        """Two clients, a background task and a lock, in at most 400 schedules."""
        found = rw.explore(on_trio("correct"), strategy=rw.States(), schedules=400, name="correct")
        assert (found.verdict, found.complete) == ("proved", True)

    @pytest.mark.exhaustive
    def test_the_narrow_race_is_always_found(self) -> None:
        found = rw.explore(on_trio("narrow"), strategy=rw.States(), schedules=400, name="narrow")
        assert found.verdict == "failed"
