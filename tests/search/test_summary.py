"""What an exploration says of itself: intervals, the unseen, and what its strategy took for granted."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from tests.races import lost_update

import racewindow as rw
from racewindow.statistics import interval, unseen, upper_bound


async def quiet(world: rw.World) -> None:
    async def task() -> None:
        for number in range(5):
            await world.point(f"p{number}", reads=("x",))

    await world.together(task, task)


class TestSummary:
    def test_failures_come_with_their_interval(self) -> None:
        """Clopper and Pearson's."""
        found = rw.explore(lost_update, strategy=rw.POS(), schedules=300, seed=1)
        low, high = interval(300, found.failures)
        assert found.summary().splitlines()[:2] == [
            "lost_update: failed (pos, seed 1)",
            f"{found.failures} of 300 sampled schedules failed: {found.failures / 300:.2%}, "
            f"95 % Clopper-Pearson interval {low:.2%} to {high:.2%}",
        ]

    def test_none_comes_with_what_is_still_likely(self) -> None:
        """1 - 0.05^(1/N)."""
        text = rw.explore(quiet, strategy=rw.Burst(), schedules=100).summary()
        assert (
            f"no violation in 100 sampled schedules: at most {1 - 0.05 ** (1 / 100):.2%} of what burst draws fails"
            in text
        )

    def test_a_complete_search_needs_no_interval(self) -> None:
        """It has seen every schedule."""
        assert rw.explore(lost_update, strategy=rw.Bounded(None), schedules=None).summary() == (
            "lost_update: failed (bounded, seed 0)\n4 of 6 schedules run systematically failed (every schedule there is)"
        )

    def test_a_bounded_one_says_so(self) -> None:
        """The bound stands beside it."""
        text = rw.explore(quiet, strategy=rw.Bounded(delays=1), schedules=None).summary()
        assert text.startswith("quiet: proved (bounded, delays<=1, seed 0)\n0 of 6 schedules")

    def test_a_search_that_was_cut_short_says_so(self) -> None:
        """And gives no rate: its schedules are no sample."""
        text = rw.explore(quiet, strategy=rw.Bounded(None), schedules=7).summary()
        assert "the budget ended after 7 schedules" in text
        assert "0 of 7 schedules run systematically failed (not all there are)" in text
        assert "%" not in text

    def test_the_unseen_is_estimated_from_independent_schedules(self) -> None:
        """Of the lost update there are four happens-before classes."""
        text = rw.explore(lost_update, strategy=rw.RandomWalk(), schedules=400).summary()
        assert "4 happens-before classes in 400 schedules, 0 of them seen once" in text
        assert "probability about 0.00% (Good-Turing); about 4 classes at least (Chao1)" in text

    def test_a_sampler_that_learns_counts_from_where_it_had_learned(self) -> None:
        """Its first schedule was drawn in another way."""
        assert (
            "4 happens-before classes in 199 schedules"
            in rw.explore(lost_update, strategy=rw.URW(), schedules=200).summary()
        )

    def test_nothing_is_estimated_from_what_is_no_sample(self) -> None:
        """A systematic search, or several samplers in turn."""
        for strategy in (rw.Bounded(None), rw.Auto()):
            assert "Good-Turing" not in rw.explore(quiet, strategy=strategy, schedules=50).summary()

    def test_the_guarantee_of_pct_stands_there(self) -> None:
        """With the n and k that it holds for."""
        assert (
            "pct of depth 3: n=2 tasks and k=10 steps" in rw.explore(quiet, strategy=rw.PCT(), schedules=50).summary()
        )

    def test_a_strategy_of_the_user_that_says_nothing_of_itself(self) -> None:
        """It is taken for a sampler, but not for one whose schedules are independent."""

        class Mine:
            name, exhaustive, bound = "mine", False, ""

            def search(self, seed: int) -> Any:
                search = rw.RandomWalk().search(seed)
                return SimpleNamespace(every_step=False, begin=search.begin, choose=search.choose, end=search.end)

        text = rw.explore(quiet, strategy=Mine(), schedules=20).summary()
        assert "no violation in 20 sampled schedules" in text
        assert "Good-Turing" not in text

    def test_of_nothing(self) -> None:
        """The time was up before the first schedule."""
        text = rw.explore(quiet, schedules=5, time_limit_s=1e-9).summary()
        assert "no schedule was run" in text


class TestUnseen:
    def test_good_turing_and_chao(self) -> None:
        """f1 / N, and S + (N-1)/N f1 (f1-1) / (2 (f2+1))."""
        seen = unseen([1, 1, 1, 1, 2, 2, 5])
        assert (seen.sample, seen.classes, seen.once, seen.twice) == (13, 7, 4, 2)
        assert seen.mass == pytest.approx(4 / 13)
        assert seen.classes_expected == pytest.approx(7 + 12 / 13 * 4 * 3 / 6)

    def test_nothing_drawn_leaves_everything_unseen(self) -> None:
        """No division by zero."""
        seen = unseen([])
        assert (seen.mass, seen.classes_expected) == (1.0, 0.0)

    def test_the_estimate_is_near_the_truth(self) -> None:
        """Twenty random walks on ten steps, then many more: the part of new classes is what was estimated from the first."""
        found = rw.explore(quiet_but_racing, schedules=1000)
        names = [one.happens_before for one in found.found]
        first = [names.count(name) for name in sorted(set(names[:200]))]
        estimated = unseen([names[:200].count(name) for name in sorted(set(names[:200]))]).mass
        truly = 1 - sum(first) / len(names)
        assert estimated == pytest.approx(truly, abs=0.1)

    def test_classes_are_noted_for_a_bounded_number_of_schedules(self) -> None:
        """A long campaign pays nothing for them."""
        found = rw.explore(lost_update, schedules=1010)
        assert [bool(one.happens_before) for one in found.found] == [True] * 1000 + [False] * 10
        assert "classes in 1000 schedules" in found.summary()


async def quiet_but_racing(world: rw.World) -> None:
    async def task() -> None:
        for number in range(5):
            await world.point(f"p{number}", writes=("x",))

    await world.together(task, task)


class TestInterval:
    @pytest.mark.parametrize("method", ["exact", "wilson"])
    def test_holds_what_was_seen(self, method: str) -> None:
        """And lies within zero and one."""
        for failures in (0, 1, 50, 99, 100):
            low, high = interval(100, failures, method=method)  # type: ignore[arg-type]
            assert 0.0 <= low <= failures / 100 <= high <= 1.0

    def test_one_side_is_tighter_than_two(self) -> None:
        """The upper bound spends all of its doubt above."""
        assert upper_bound(100) < interval(100, 0)[1]
