"""Exact counts against formulas and against plain enumeration, and the curve of a failing schedule."""

from __future__ import annotations

import random
from functools import partial
from math import factorial, prod

import pytest
from scipy.stats import binomtest
from tests.races import Subject, independent, intruder, lost_updates
from tests.search.test_dpor import store
from tests.search.test_dpor_cross_check import random_program, subject_of

import racewindow as rw
from racewindow.kernel import token_of


def increments(tasks: int) -> Subject:
    """The lost update, with its memory declared."""

    async def subject(world: rw.World) -> None:
        world.memory_declared()
        await lost_updates(tasks)(world)

    return subject


class TestCount:
    @pytest.mark.parametrize("steps", [(1, 1), (3, 3), (4, 5), (1, 2, 3), (2, 2, 2), (1, 1, 1, 2)])
    def test_independent_tasks_have_as_many_interleavings_as_the_formula_says(self, steps: tuple[int, ...]) -> None:
        """(sum k)! / prod(k!), without a promise about memory."""
        assert rw.count(independent(*steps)).interleavings == factorial(sum(steps)) // prod(map(factorial, steps))

    def test_it_counts_what_nobody_could_run(self) -> None:
        """Five writers of three steps each, of cells of their own: 15! / 3!^5 interleavings, in 4^5 states, the first, and the end."""

        async def subject(world: rw.World) -> None:
            world.memory_declared()

            async def write(cell: rw.Cell[int]) -> None:
                for _ in range(3):
                    await cell.write(1)

            await world.together(*(partial(write, world.cell(0)) for _ in range(5)))

        found = rw.count(subject)
        assert found.interleavings == factorial(15) // factorial(3) ** 5
        assert found.states == 4**5 + 2

    @pytest.mark.parametrize("tasks", [2, 3])
    @pytest.mark.parametrize("of", [lost_updates, increments])
    def test_the_lost_update(self, of: object, tasks: int) -> None:
        """Random walk 1 - 1/n!; uniform over interleavings 1 - n! 2^n / (2n)!."""
        subject = increments(tasks) if of is increments else lost_updates(tasks)
        found = rw.count(subject)
        assert found.probability("random-walk") == pytest.approx(1 - 1 / factorial(tasks), abs=1e-15)
        uniform = 1 - factorial(tasks) * 2**tasks / factorial(2 * tasks)
        assert found.probability("urw") == pytest.approx(uniform, abs=1e-15)
        assert found.failing / found.interleavings == pytest.approx(uniform, abs=1e-15)

    @pytest.mark.parametrize("gap", range(5))
    def test_the_intruder(self, gap: int) -> None:
        """Random walk 2^-(i+1), the last gap 2^-m; uniform 1/(m+1)."""
        found = rw.count(intruder(4, gap))
        assert found.probability("random-walk") == 0.5 ** min(gap + 1, 4)
        assert found.probability("urw") == 0.2

    @pytest.mark.parametrize("seed", [1, 5, 9, 16, 17, 18])
    def test_random_programs_have_as_many_interleavings_as_are_run(self, seed: int) -> None:
        """Plain depth-first search runs each of them."""
        subject = subject_of(random_program(random.Random(seed)))
        whole = rw.explore(subject, strategy=rw.Bounded(None), schedules=None)
        counted = rw.count(subject)
        assert (counted.interleavings, counted.failing) == (whole.schedules, whole.failures)

    def test_too_many_states_are_refused(self) -> None:
        with pytest.raises(rw.Unsupported, match=r"more than states_max=50 states.*memory_declared"):
            rw.count(independent(4, 4), states_max=50)

    def test_a_schedule_that_was_cut_off_is_refused(self) -> None:
        with pytest.raises(rw.Unsupported, match="max_steps=3"):
            rw.count(independent(4, 4), limits=rw.Limits(max_steps=3))

    def test_an_unknown_sampler_is_told(self) -> None:
        with pytest.raises(rw.UsageError, match="random-walk and urw"):
            rw.count(independent(1, 1)).probability("pct")  # type: ignore[arg-type]

    def test_it_says_how_rare_the_narrow_race_is(self) -> None:
        """Exactly, where a sample of a thousand schedules can only tell an interval."""
        counted = rw.count(store("narrow"))
        sampled = rw.explore(store("narrow"), schedules=1000, seed=1)
        assert binomtest(sampled.failures, sampled.schedules, counted.probability("random-walk")).pvalue > 0.001


class TestCurve:
    def test_it_names_the_step_that_decides_the_lost_update(self) -> None:
        """The second read, before the first write."""
        token = _failing(lost_updates(2))
        curve = rw.probability_curve(lost_updates(2), token)
        assert curve.exact
        assert curve.violation == "lost-update"
        assert [point.probability for point in curve.points] == [0.5, 0.5, 0.5, 1, 1, 1, 1]
        assert (curve.jump.task, curve.jump.label) == ("increment.2", "v.read")

    def test_over_interleavings(self) -> None:
        """Of the four orders that follow a first victim step, one has the intruder next."""
        subject = intruder(4, 1)
        curve = rw.probability_curve(subject, _failing(subject), sampler="urw")
        assert [point.probability for point in curve.points] == [0.2, 0.2, 0.25, 1]
        assert curve.jump.task == "intrude"

    def test_where_it_cannot_count_it_samples_and_says_how_well(self) -> None:
        exact = rw.probability_curve(lost_updates(2), _failing(lost_updates(2)))
        sampled = rw.probability_curve(lost_updates(2), _failing(lost_updates(2)), states_max=1, schedules=400)
        assert not sampled.exact
        for one, other in zip(exact.points, sampled.points, strict=True):
            assert (one.step, one.task) == (other.step, other.task)
            assert other.low - 0.05 <= one.probability <= other.high + 0.05
        assert sampled.jump.step == exact.jump.step

    def test_a_schedule_that_passes_has_no_curve(self) -> None:
        runs: list[rw.Run] = []
        rw.explore(lost_updates(2), strategy=rw.Bounded(0), schedules=1, on_run=runs.append)
        token = token_of(runs[0], subject="subject", checksum="00000000")
        with pytest.raises(rw.UsageError, match="does not fail"):
            rw.probability_curve(lost_updates(2), token, name="subject", checksum="00000000")


def _failing(subject: Subject) -> str:
    first = rw.prove(subject).first
    assert first is not None
    return first.token
