"""Searches against numbers that can be worked out on paper (SEARCH.md, "Exact oracles")."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations
from math import factorial, prod

import pytest
from scipy.stats import binomtest
from tests.races import Subject, independent, intruder, lost_updates

import racewindow as rw
from racewindow.kernel import Run


def interleavings(steps: tuple[int, ...]) -> set[tuple[int, ...]]:
    """Every order of the steps, by brute force."""
    return set(permutations([task for task, count in enumerate(steps) for _ in range(count)]))


def preemptions_of(order: tuple[int, ...], steps: tuple[int, ...]) -> int:
    """How often an order leaves a task that has steps to go."""
    left = list(steps)
    count = 0
    for now, then in zip(order, (*order[1:], -1), strict=True):
        left[now] -= 1
        count += then >= 0 and then != now and left[now] > 0
    return count


def order_of(run: Run) -> tuple[int, ...]:
    """Which task took each step, without the main task and the tasks' way to their first point."""
    names = {"task": 0, "task.2": 1, "task.3": 2, "task.4": 3}
    steps = [step for step in run.trace if step.task in names]
    return tuple(names[step.task] for step in steps if step.label != "start")


def all_orders(subject: Subject, strategy: rw.Bounded) -> Iterator[tuple[int, ...]]:
    runs: list[Run] = []
    found = rw.explore(subject, strategy=strategy, schedules=None, on_run=runs.append)
    assert found.complete
    assert found.verdict == "proved"
    return map(order_of, runs)


class TestRandomWalk:
    @pytest.mark.parametrize("seed", [0, 1])
    @pytest.mark.parametrize("tasks", [2, 3])
    def test_loses_updates_as_often_as_it_must(self, tasks: int, seed: int) -> None:
        """All but one in n! walks lose an update."""
        found = rw.explore(lost_updates(tasks), schedules=4000, seed=seed)
        assert binomtest(found.failures, found.schedules, 1 - 1 / factorial(tasks)).pvalue > 0.001

    @pytest.mark.parametrize("gap", range(5))
    def test_intrudes_into_gap_i_with_probability_two_to_the_minus_i_plus_one(self, gap: int) -> None:
        """The last gap of m steps has what is left: two to the minus m."""
        found = rw.explore(intruder(4, gap), schedules=4000, seed=3)
        assert binomtest(found.failures, found.schedules, 0.5 ** min(gap + 1, 4)).pvalue > 0.001


class TestBounded:
    @pytest.mark.parametrize("steps", [(1, 1), (1, 4), (3, 3), (4, 5), (1, 1, 1), (1, 2, 3), (2, 2, 2), (1, 1, 1, 2)])
    def test_runs_every_interleaving_exactly_once(self, steps: tuple[int, ...]) -> None:
        """Without blocking there are (sum k)! / prod(k!) of them."""
        orders = list(all_orders(independent(*steps), rw.Bounded(None)))
        assert len(orders) == factorial(sum(steps)) // prod(map(factorial, steps))
        assert len(set(orders)) == len(orders)
        if sum(steps) <= 9:
            assert set(orders) == interleavings(steps)

    @pytest.mark.parametrize("preemptions", range(5))
    @pytest.mark.parametrize("steps", [(3, 3), (2, 4), (1, 2, 3), (2, 2, 2), (1, 1, 1, 1)])
    def test_runs_every_schedule_within_the_bound_exactly_once(self, steps: tuple[int, ...], preemptions: int) -> None:
        """Against an enumeration that counts preemptions by itself."""
        orders = list(all_orders(independent(*steps), rw.Bounded(preemptions)))
        expected = {order for order in interleavings(steps) if preemptions_of(order, steps) <= preemptions}
        assert len(orders) == len(expected)
        assert set(orders) == expected

    @pytest.mark.parametrize("steps", [(3, 2), (2, 2, 1)])
    def test_counts_preemptions_as_the_kernel_does(self, steps: tuple[int, ...]) -> None:
        """Each record says how many preemptions its schedule took."""
        runs: list[Run] = []
        rw.explore(independent(*steps), strategy=rw.Bounded(None), schedules=None, on_run=runs.append)
        assert [run.preemptions for run in runs] == [preemptions_of(order_of(run), steps) for run in runs]
        assert all(run.preemptions == sum(step.preempted for step in run.trace) for run in runs)

    def test_finds_the_failing_share_of_the_lost_update_exactly(self) -> None:
        """Two increments have six interleavings, of which four lose one (URW's 2/3)."""
        found = rw.explore(lost_updates(2), strategy=rw.Bounded(None), schedules=None)
        assert (found.schedules, found.failures) == (6, 4)

    def test_tasks_of_a_nursery_interleave_from_their_very_start(self) -> None:
        """Without together() the step to the first point is a choice as well: (3 + 3)! / (3! 3!)."""

        async def subject(world: rw.World) -> None:
            import trio

            async def task() -> None:
                await world.point("a")
                await world.point("b")

            async with trio.open_nursery() as nursery:
                nursery.start_soon(task)
                nursery.start_soon(task)

        assert rw.prove(subject).executions == 20
