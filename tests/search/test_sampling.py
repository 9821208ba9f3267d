"""Samplers against distributions that can be worked out on paper, or by running every schedule (SEARCH.md, "Exact oracles").

Each bound is exact and holds 99.9 of 100 seeds; the seeds are fixed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from functools import partial
from itertools import combinations
from math import comb, factorial, prod
from typing import Any

import pytest
import trio
from scipy.stats import binomtest, chisquare
from tests.races import Subject, independent, intruder, lost_updates

import racewindow as rw
from racewindow.kernel import Run
from racewindow.search import Strategy
from racewindow.search.pct import hit_probability

SCHEDULES = 1200
LIKELY = 0.001


async def child_midway(world: rw.World) -> None:
    """The root goes on beside its child, then waits for it."""

    async def child() -> None:
        await world.point("c1")
        await world.point("c2")

    async with trio.open_nursery() as nursery:
        await world.point("m1")
        nursery.start_soon(child)
        await world.point("m2")
        await world.point("m3")


async def child_left_behind(world: rw.World) -> None:
    """A parent starts a child in a nursery that is not its own, and a stranger runs beside them."""
    async with trio.open_nursery() as nursery:

        async def child() -> None:
            await world.point("c1")

        async def parent() -> None:
            await world.point("p1")
            nursery.start_soon(child)
            await world.point("p2")

        async def stranger() -> None:
            await world.point("s1")

        nursery.start_soon(parent)
        nursery.start_soon(stranger)


async def nested_nursery(world: rw.World) -> None:
    """A parent waits for two children and goes on; the steps after the join are as many again."""

    async def child() -> None:
        await world.point("c")

    async def parent() -> None:
        await world.point("p1")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(child)
            nursery.start_soon(child)
        await world.point("p2")

    async def stranger() -> None:
        await world.point("s1")

    await world.together(parent, stranger)


def runs_of(subject: Subject, strategy: Strategy, schedules: int | None = SCHEDULES, seed: int = 0) -> list[Run]:
    runs: list[Run] = []
    rw.explore(subject, strategy=strategy, schedules=schedules, seed=seed, on_run=runs.append)
    return runs


def assert_uniform(drawn: Sequence[Hashable], over: set[Any]) -> None:
    counts = Counter(drawn)
    assert set(counts) <= over
    assert chisquare([counts[each] for each in sorted(over)]).pvalue > LIKELY, counts


def assert_rate(failures: int, schedules: int, expected: float) -> None:
    assert binomtest(failures, schedules, expected).pvalue > LIKELY, (failures / schedules, expected)


def uniform_rate(tasks: int) -> float:
    """Of all interleavings of n increments, the part that loses one."""
    return 1.0 - float(factorial(tasks) * 2**tasks) / factorial(2 * tasks)


class TestLostUpdate:
    @pytest.mark.parametrize(
        ("strategy", "tasks", "expected"),
        [
            (rw.URW(), 2, 2 / 3),
            (rw.URW(), 3, 14 / 15),
            (rw.SURW("v"), 2, 2 / 3),
            (rw.SURW("v"), 3, 14 / 15),
            (rw.POS(), 2, 1 / 3),
            (rw.PCT(1), 2, 0.0),
            (rw.PCT(1), 3, 0.0),
            (rw.PCT(2), 2, 1 / 4),
            (rw.PCT(2), 3, 2 / 6),
            (rw.Burst(1), 2, 1 / 2),
            (rw.Burst(1), 3, 5 / 6),
            (rw.Timed(1.0), 2, 1 / 2),
            (rw.Timed(0.001), 3, 5 / 6),
        ],
    )
    def test_is_lost_as_often_as_it_must(self, strategy: Strategy, tasks: int, expected: float) -> None:
        """A burst of one step and exponential latencies are random walks; the rest is in SEARCH.md."""
        found = rw.explore(lost_updates(tasks), strategy=strategy, schedules=SCHEDULES)
        assert_rate(found.failures, found.schedules, expected)

    @pytest.mark.parametrize("tasks", [2, 3])
    def test_the_uniform_rate_is_that_of_all_interleavings(self, tasks: int) -> None:
        """The formula against a complete search."""
        found = rw.explore(lost_updates(tasks), strategy=rw.Bounded(None), schedules=None)
        assert found.failures / found.schedules == pytest.approx(uniform_rate(tasks))

    @pytest.mark.parametrize("mean", [2.0, 5.0])
    def test_under_bursts(self, mean: float) -> None:
        """Two tasks: no update is lost when the one that reads first also writes before the other reads.

        It stays with probability 1 - 1/mean, else a fair coin tells.
        """
        stays = 1 - 1 / mean
        found = rw.explore(lost_updates(2), strategy=rw.Burst(mean), schedules=SCHEDULES, seed=5)
        assert_rate(found.failures, found.schedules, 1 - (stays + (1 - stays) / 2))


class TestIntruder:
    @pytest.mark.parametrize("steps", [1, 2, 4, 12])
    def test_urw_comes_into_every_gap_equally_often(self, steps: int) -> None:
        """1 / (m + 1), however late the gap."""
        gaps = [run.result for run in runs_of(intruder(steps), rw.URW(), seed=steps)]
        assert_uniform(gaps, set(range(steps + 1)))

    @pytest.mark.parametrize("steps", [1, 3, 6])
    def test_random_walks_hardly_ever_come_late(self, steps: int) -> None:
        """2^-(i+1), and what is left for the last gap."""
        counts = Counter(run.result for run in runs_of(intruder(steps), rw.RandomWalk(), seed=steps))
        expected = [SCHEDULES * 0.5 ** min(gap + 1, steps) for gap in range(steps + 1)]
        assert chisquare([counts[gap] for gap in range(steps + 1)], expected).pvalue > LIKELY

    @pytest.mark.parametrize("steps", [2, 5])
    def test_pct_of_depth_two(self, steps: int) -> None:
        """The intruder is first with 1/2; else it runs where the change point lets it: each gap of the victim with 1/(m + 1)."""
        counts = Counter(run.result for run in runs_of(intruder(steps), rw.PCT(2), seed=steps))
        k = steps + 1
        # First gap: the intruder goes first and keeps its priority, or the victim is moved at once.
        expected = [0.5 * (1 - 1 / k) + 0.5 / k]
        # Gap i: the victim is moved before its step i + 1. The intruder that is moved at once comes last.
        expected += [0.5 / k for _ in range(steps - 1)]
        expected += [0.5 / k + 0.5 / k]
        assert (
            chisquare([counts[gap] for gap in range(steps + 1)], [SCHEDULES * each for each in expected]).pvalue
            > LIKELY
        )

    def test_bursts(self) -> None:
        """The first choice is a fair coin; after each step it stays with 1 - 1/mean, else tosses again."""
        steps, leaves = 4, 1 / 3 / 2
        counts = Counter(run.result for run in runs_of(intruder(steps), rw.Burst(3.0), seed=2))
        expected = [0.5, *(0.5 * (1 - leaves) ** (gap - 1) * leaves for gap in range(1, steps))]
        expected.append(1 - sum(expected))
        assert (
            chisquare([counts[gap] for gap in range(steps + 1)], [SCHEDULES * each for each in expected]).pvalue
            > LIKELY
        )

    @pytest.mark.parametrize("steps", [2, 4])
    def test_pos_where_everything_races(self, steps: int) -> None:
        """Undeclared steps draw anew after every step, so it is a fair coin each time."""
        counts = Counter(run.result for run in runs_of(intruder(steps), rw.POS(), seed=steps))
        expected = [SCHEDULES * 0.5 ** min(gap + 1, steps) for gap in range(steps + 1)]
        assert chisquare([counts[gap] for gap in range(steps + 1)], expected).pvalue > LIKELY


class TestPOS:
    @pytest.mark.parametrize("steps", [2, 4])
    def test_keeps_the_priority_of_a_step_that_nothing_races_with(self, steps: int) -> None:
        """The intruder's priority stays while the victim's are drawn: it is lower than the first i, higher than the next."""

        async def subject(world: rw.World) -> int:
            done = gap = 0

            async def victim() -> None:
                nonlocal done
                for number in range(steps):
                    await world.point(f"v{number}", writes=("mine",))
                    done += 1

            async def intrude() -> None:
                nonlocal gap
                await world.point("intrude", writes=("other",))
                gap = done

            await world.together(victim, intrude)
            return gap

        counts = Counter(run.result for run in runs_of(subject, rw.POS(), seed=steps))
        # Lowest of i + 1 draws, but not of i + 2.
        expected = [1 / (gap + 1) - 1 / (gap + 2) for gap in range(steps)] + [1 / (steps + 1)]
        assert (
            chisquare([counts[gap] for gap in range(steps + 1)], [SCHEDULES * each for each in expected]).pvalue
            > LIKELY
        )

    def test_what_a_step_was_seen_to_touch_makes_others_draw_anew(self) -> None:
        """As in the lost update, but the write is told while it happens."""

        async def subject(world: rw.World) -> None:
            value = 0

            async def increment() -> None:
                nonlocal value
                await world.point("read", reads=("v",))
                seen = value
                await world.point("write", reads=("v",))
                world.touch("v", write=True)
                value = seen + 1

            await world.together(increment, increment)
            world.check(value == 2, "lost-update")

        found = rw.explore(subject, strategy=rw.POS(), schedules=SCHEDULES)
        assert_rate(found.failures, found.schedules, 1 / 3)


class TestUniform:
    @pytest.mark.parametrize(
        "strategy", [rw.URW(), pytest.param(rw.SURW(), marks=pytest.mark.slow)], ids=["urw", "surw of everything"]
    )
    @pytest.mark.parametrize(
        ("subject", "size"),
        [
            (independent(2, 3), comb(5, 2)),
            (independent(1, 2, 2), factorial(5) // prod(map(factorial, (1, 2, 2)))),
            (child_midway, comb(5, 2)),
            (child_left_behind, factorial(7) // (5 * 4 * 2 * 2)),
            (nested_nursery, 48),
        ],
        ids=["two", "three", "child-midway", "child-left-behind", "nested-nursery"],
    )
    def test_over_all_interleavings(self, subject: Subject, size: int, strategy: Strategy) -> None:
        """Against a complete search, spawned children and joins included."""
        every = [run.fingerprint for run in runs_of(subject, rw.Bounded(None), None)]
        assert len(set(every)) == len(every)
        assert len(every) == size
        assert_uniform([run.fingerprint for run in runs_of(subject, strategy, 30 * len(every))], set(every))

    @pytest.mark.parametrize("steps", [(2, 2), (1, 1, 2)])
    def test_surw_over_the_selected_steps(self, steps: tuple[int, ...]) -> None:
        """However many other steps there are, and wherever they stand."""

        async def subject(world: rw.World) -> None:
            async def task(number: int, count: int) -> None:
                for _ in range(3 * number):
                    await world.point("other", reads=("elsewhere",))
                for _ in range(count):
                    await world.point(f"use{number}", writes=("live",))
                    await world.point("other", reads=("elsewhere",))

            await world.together(*(partial(task, number, count) for number, count in enumerate(steps)))

        def projection(run: Run) -> str:
            return "".join(step.label[-1] for step in run.trace if step.label.startswith("use"))

        size = factorial(sum(steps)) // prod(map(factorial, steps))
        for strategy in (rw.SURW("live"), rw.SURW("use*"), rw.SURW(lambda point: "live" in (point.writes or ()))):
            drawn = [projection(run) for run in runs_of(subject, strategy, 30 * size, seed=1)]
            assert len(set(drawn)) == size
            assert_uniform(drawn, set(drawn))

    def test_surw_leaves_the_other_steps_free(self) -> None:
        """All interleavings remain possible."""
        every = {run.fingerprint for run in runs_of(lost_updates(2), rw.Bounded(None), None)}
        assert {run.fingerprint for run in runs_of(lost_updates(2), rw.SURW("v.write"), 300)} == every

    def test_says_which_step_counts_were_used(self) -> None:
        """They come from the schedules before."""
        found = rw.explore(independent(2, 5), strategy=rw.URW(), schedules=20)
        assert found.notes == ("urw: step counts used: main 2, task 2, task.2 5 (means of 20 schedules)",)
        assert found.independent_from == 1

    def test_says_when_they_were_wrong(self) -> None:
        """A loop whose length depends on the schedule crashes nothing, and is not passed over in silence."""

        async def subject(world: rw.World) -> None:
            value = world.cell(0, name="v")

            async def writer() -> None:
                await value.write(1)

            async def reader() -> None:
                if await value.read():
                    for _ in range(10):
                        await world.point("more")

            await world.together(writer, reader)

        found = rw.explore(subject, strategy=rw.URW(), schedules=100)
        assert found.verdict == "passed"
        assert any("schedules took other counts" in note for note in found.notes)

    def test_learns_nothing_from_a_schedule_that_was_cut_short(self) -> None:
        """Where every schedule breaks early there are no step counts, and it says so."""

        async def subject(world: rw.World) -> None:
            async def broken() -> None:
                await world.point("p")
                world.check(False, "broken")

            await world.together(broken, broken)

        found = rw.explore(subject, strategy=rw.URW(), schedules=10)
        assert found.failures == 10
        assert any("no step counts are known" in note for note in found.notes)
        assert any("10 schedules were drawn before" in note for note in found.notes)


class TestPCT:
    @pytest.mark.parametrize("depth", [1, 2, 3])
    def test_keeps_its_guarantee(self, depth: int) -> None:
        """Every schedule that d ordering constraints force comes with at least 1 / (n k^(d-1)).

        Three tasks in a row need one (the order of priorities), each further switch one more.
        """
        wanted = {1: "001122", 2: "011022", 3: "011202"}[depth]

        def order(run: Run) -> str:
            names = {"task": "0", "task.2": "1", "task.3": "2"}
            return "".join(names[step.task] for step in run.trace if step.label.startswith("p"))

        hits = sum(order(run) == wanted for run in runs_of(independent(2, 2, 2), rw.PCT(depth + 1)))
        least = hit_probability(tasks=3, steps=6, depth=depth + 1)
        assert binomtest(hits, SCHEDULES, least, alternative="less").pvalue > LIKELY

    def test_says_what_follows(self) -> None:
        """n, k and d, and how likely a bug of that depth was missed."""
        found = rw.explore(independent(3, 3), strategy=rw.PCT(2), schedules=101)
        (note,) = found.notes
        assert "pct of depth 2: n=2 tasks and k=6 steps" in note
        assert f"at least {1 / 12:.3g}" in note
        assert f"all 100 drawn for that k miss it with at most {(11 / 12) ** 100:.3g}" in note

    def test_tasks_that_come_later_draw_a_place_among_all(self) -> None:
        """With priorities only, a child runs before its parent's next step as often as after it."""
        runs = runs_of(child_midway, rw.PCT(1), 2000)
        first = sum(
            [step.label for step in run.trace].index("c1") < [step.label for step in run.trace].index("m2")
            for run in runs
        )
        assert_rate(first, len(runs), 1 / 2)

    def test_a_depth_beyond_the_number_of_steps(self) -> None:
        """Then every step is a change point."""
        assert rw.explore(lost_updates(2), strategy=rw.PCT(50), schedules=20).schedules == 20


class TestDelays:
    @pytest.mark.parametrize(
        ("steps", "counts"),
        [
            # Two tasks: a delay is a preemption, as long as both have steps to go.
            ((1, 1), [1, 2, 2]),
            ((2, 2), [1, 3, 5]),
            ((3, 3), [1, 4, 10]),
            # Three tasks of one step: skip one, skip two at the start; then skip one of two.
            ((1, 1, 1), [1, 3, 5, 6]),
        ],
    )
    def test_counts(self, steps: tuple[int, ...], counts: list[int]) -> None:
        """Worked out by hand."""
        assert [
            len(runs_of(independent(*steps), rw.Bounded(delays=delays), None)) for delays in range(len(counts))
        ] == counts

    @pytest.mark.parametrize("delays", range(5))
    @pytest.mark.parametrize("steps", [(3, 2), (2, 2, 2), (1, 2, 3), (1, 1, 1, 1)])
    def test_runs_every_schedule_within_the_bound_exactly_once(self, steps: tuple[int, ...], delays: int) -> None:
        """Against a definition of its own: hand out the delays to the turns of a round robin that runs to the end."""

        def schedules(left: tuple[int, ...], last: int, running: bool, delays: int) -> list[tuple[int, ...]]:
            if not any(left):
                return [()]
            start = last if running and left[last] else last + 1
            turns = [(start + offset) % len(left) for offset in range(len(left))]
            turns = [task for task in turns if left[task]]
            return [
                (task, *rest)
                for skipped, task in enumerate(turns[: delays + 1])
                for rest in schedules(
                    tuple(count - (each == task) for each, count in enumerate(left)), task, True, delays - skipped
                )
            ]

        names = {f"task.{number + 1}" if number else "task": number for number in range(len(steps))}
        found = [
            tuple(names[step.task] for step in run.trace if step.label.startswith("p"))
            for run in runs_of(independent(*steps), rw.Bounded(delays=delays), None)
        ]
        assert sorted(found) == sorted(schedules(steps, -1, False, delays))

    def test_both_bounds_hold(self) -> None:
        """What is within one and within the other."""

        def orders(strategy: rw.Bounded) -> set[str]:
            return {run.fingerprint for run in runs_of(independent(2, 2, 1), strategy, None)}

        for preemptions, delays in combinations(range(4), 2):
            for one, other in ((preemptions, delays), (delays, preemptions)):
                both = orders(rw.Bounded(one, other))
                assert both == orders(rw.Bounded(one)) & orders(rw.Bounded(delays=other))


class TestTimed:
    @pytest.mark.parametrize(("fast", "slow"), [(1.0, 1.0), (1.0, 3.0), (0.001, 0.004)])
    def test_the_shorter_duration_comes_first(self, fast: float, slow: float) -> None:
        """Of two exponential durations the first is the shorter one with rate / (sum of the rates)."""

        async def subject(world: rw.World) -> str:
            order: list[str] = []

            async def task(label: str) -> None:
                await world.point(label)
                order.append(label)

            await world.together(partial(task, "fast"), partial(task, "slow"))
            return order[0]

        runs = runs_of(subject, rw.Timed({"fast": fast, "slow": slow}))
        assert_rate(sum(run.result == "fast" for run in runs), len(runs), slow / (fast + slow))

    def test_durations_add_up(self) -> None:
        """Points of 2 s beside points of 3 s: the order is that of their multiples, and always the same."""

        async def subject(world: rw.World) -> str:
            order: list[str] = []

            async def task(label: str, count: int) -> None:
                for _ in range(count):
                    await world.point(label)
                    order.append(label)

            await world.together(partial(task, "2", 4), partial(task, "3", 3))
            return "".join(order)

        strategy = rw.Timed(lambda point, rng: float(point.label))
        # at      2 3 4 6 6 8 9; of two that are due at once the one created first
        assert {run.result for run in runs_of(subject, strategy, 20)} == {"2322323"}

    def test_a_timer_fires_in_its_turn(self) -> None:
        """With time among the choices, a sleep of 5 s ends after two points of 2 s and before the third."""

        async def subject(world: rw.World) -> str:
            order: list[str] = []

            async def sleeper() -> None:
                await world.sleep(5)
                order.append("woke")

            async def worker() -> None:
                for number in range(4):
                    await world.point(f"w{number}")
                    order.append(f"w{number}")

            await world.together(worker, sleeper)
            return " ".join(order)

        strategy = rw.Timed(lambda point, rng: 2.0 if point.label.startswith("w") else 0.0)
        runs: list[Run] = []
        limits = rw.Limits(time="adversarial", timers_max=1)
        rw.explore(subject, strategy=strategy, schedules=5, limits=limits, on_run=runs.append)
        assert {run.result for run in runs} == {"w0 w1 woke w2 w3"}
