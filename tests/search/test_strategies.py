"""What every strategy has to keep, whatever it chooses; and how they are named."""

from __future__ import annotations

import queue
import random
import re
import threading
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest
import trio
from tests.races import lost_update

import racewindow as rw
from racewindow.kernel import Limits, Run
from racewindow.search import STRATEGIES, Strategy, strategy_named
from racewindow.search.registry import label_of

Subject = Callable[[rw.World], Awaitable[None]]

SAMPLERS: tuple[Strategy, ...] = (
    rw.RandomWalk(),
    rw.Burst(),
    rw.PCT(),
    rw.POS(),
    rw.URW(),
    rw.SURW("v"),
    rw.Timed(),
    rw.Auto(),
)
ALL: tuple[Strategy, ...] = (
    *SAMPLERS,
    rw.States(),
    rw.Bounded(),
    rw.Bounded(None),
    rw.Bounded(delays=2),
    rw.Bounded(1, 2),
    rw.DPOR(),
    rw.DPOR(1),
)
WITHOUT_MEMORY: tuple[Strategy, ...] = (rw.RandomWalk(), rw.Burst(), rw.POS(), rw.Timed())

each = pytest.mark.parametrize("strategy", ALL, ids=label_of)
each_sampler = pytest.mark.parametrize("strategy", SAMPLERS, ids=label_of)


async def locks_and_children(world: rw.World) -> None:
    """Blocking, waking, children that start midway, a timer, and a loop whose length depends on the schedule."""
    lock, value = trio.Lock(), world.cell(0, name="v")

    async def child() -> None:
        async with lock:
            await value.write(await value.read() + 1)

    async def parent() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(child)
            await world.point("between")
            nursery.start_soon(child)
            with trio.move_on_after(1):
                await trio.sleep(2)

    async def other() -> None:
        while await value.read() == 0:
            await world.sleep(0.5)
        await child()

    await world.together(parent, other)
    world.check(value.value == 3, "lost-update")


async def on_asyncio(world: rw.World) -> None:
    import asyncio

    value = world.cell(0, name="v")

    async def increment() -> None:
        await value.write(await value.read() + 1)

    await asyncio.gather(increment(), increment(), asyncio.to_thread(int))


def in_threads(world: rw.World) -> None:
    """A lock, a queue and a sleep."""
    value, lock, items = world.cell(0, name="v"), threading.Lock(), queue.Queue[int]()

    def increment() -> None:
        with lock:
            value.set(value.get() + 1)
        items.put(1)

    def wait() -> None:
        time.sleep(1.0)
        items.get()
        items.get()

    threads = [threading.Thread(target=function) for function in (increment, increment, wait)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    world.check(value.value == 2, "lost-update")


async def grows(world: rw.World) -> None:
    """Takes another number of steps in every schedule that it is told of."""
    value = world.cell(0, name="v")

    async def first() -> None:
        await value.write(1)

    async def second() -> None:
        while await value.read() == 0:
            await world.sleep(1)
        for _ in range(5):
            await world.point("late")

    await world.together(first, second, second)


async def stuck(world: rw.World) -> None:
    async def wait() -> None:
        await world.point("before")
        await trio.sleep_forever()

    await world.together(wait, wait)


async def endless(world: rw.World) -> None:
    async def spin() -> None:
        while True:
            await world.point("again")

    await world.together(spin, spin)


async def alone(world: rw.World) -> None:
    await world.point("only")


async def silent(world: rw.World) -> None:
    """Never gives up control."""


def runs_of(subject: Subject, strategy: Strategy, **options: Any) -> list[Run]:
    runs: list[Run] = []
    rw.explore(subject, **{"strategy": strategy, "schedules": 30, "on_run": runs.append, **options})
    return runs


def fingerprints(subject: Subject, strategy: Strategy, **options: Any) -> list[str]:
    return [run.fingerprint for run in runs_of(subject, strategy, **options)]


class TestContract:
    @each
    @pytest.mark.parametrize("subject", [lost_update, locks_and_children, grows])
    def test_the_same_seed_makes_the_same_schedules(self, subject: Subject, strategy: Strategy) -> None:
        """And a shorter exploration is the beginning of a longer one, unless the budget is what decides."""
        schedules = fingerprints(subject, strategy, seed=3)
        assert fingerprints(subject, strategy, seed=3) == schedules
        if not isinstance(strategy, rw.Auto):
            assert fingerprints(subject, strategy, seed=3, schedules=10) == schedules[:10]

    @each_sampler
    def test_another_seed_makes_others(self, strategy: Strategy) -> None:
        """Seeds are no decoration. (Auto exhausts what is small, so it gets something larger.)"""
        assert fingerprints(locks_and_children, strategy, seed=0, schedules=100) != fingerprints(
            locks_and_children, strategy, seed=1, schedules=100
        )

    @pytest.mark.parametrize("strategy", WITHOUT_MEMORY, ids=label_of)
    def test_a_schedule_does_not_depend_on_those_before_it(self, strategy: Strategy) -> None:
        """So seed ranges can be split over workers."""

        def schedule_7(before: range) -> str:
            run: list[Run] = []
            rw.explore(locks_and_children, strategy=_From(strategy, (*before, 7)), schedules=None, on_run=run.append)
            return run[-1].fingerprint

        assert schedule_7(range(7)) == schedule_7(range(0))

    @each
    def test_neither_uses_nor_disturbs_the_global_generator(self, strategy: Strategy) -> None:
        """The subject's own random numbers are its own business."""
        random.seed(11)
        expected = random.random()
        random.seed(11)
        before = fingerprints(lost_update, strategy, schedules=5)
        assert random.random() == expected
        assert fingerprints(lost_update, strategy, schedules=5) == before

    @each
    @pytest.mark.parametrize("time", ["idle", "adversarial"])
    def test_what_fails_replays(self, strategy: Strategy, time: Any) -> None:
        """The token of a failing schedule leads to the same violation by the same steps."""
        limits = Limits(time=time)
        for subject in (lost_update, locks_and_children):
            runs: list[Run] = []
            found = rw.explore(
                subject, strategy=strategy, schedules=40, limits=limits, on_run=runs.append, stop_at_first=True
            )
            if found.first is not None:
                again = rw.replay(subject, found.first.token, limits=limits)
                assert again.fingerprint == runs[-1].fingerprint
                assert [violation.kind for violation in again.violations] == ["lost-update"]

    @each
    def test_finds_the_lost_update(self, strategy: Strategy) -> None:
        """Whatever the order, two hundred schedules are plenty."""
        assert rw.explore(lost_update, strategy=strategy, schedules=200, stop_at_first=True).verdict == "failed"

    @each
    def test_raises_no_false_alarm(self, strategy: Strategy) -> None:
        """Locks, wake-ups, children, timers and loops: nothing is lost, and every schedule ends."""
        found = rw.explore(locks_and_children, strategy=strategy, schedules=60)
        assert (found.failures, found.unknowns) == (0, 0)

    @each
    def test_on_the_asyncio_host(self, strategy: Strategy) -> None:
        """Completions are chosen, callbacks are not."""
        found = rw.explore(on_asyncio, strategy=strategy, schedules=40, host="asyncio")
        assert (found.failures, found.unknowns) == (0, 0)

    @each
    def test_on_the_thread_host(self, strategy: Strategy) -> None:
        """Real threads: nothing is lost under a lock, and every schedule ends."""
        found = rw.explore(in_threads, strategy=strategy, schedules=40, host="threads")
        assert (found.failures, found.unknowns) == (0, 0)

    @each
    def test_a_deadlock_is_found(self, strategy: Strategy) -> None:
        """No strategy hangs where nothing can run."""
        found = rw.explore(stuck, strategy=strategy, schedules=5)
        assert {violation.kind for one in found.found for violation in one.violations} == {"deadlock"}

    @each
    def test_a_schedule_without_end_is_cut(self, strategy: Strategy) -> None:
        """The bound on steps holds, and is no pass."""
        found = rw.explore(endless, strategy=strategy, schedules=5, limits=Limits(max_steps=30))
        assert found.verdict == "unknown"
        assert {one.steps for one in found.found} == {30}

    @each
    @pytest.mark.parametrize("subject", [alone, silent])
    def test_where_there_is_nothing_to_choose(self, subject: Subject, strategy: Strategy) -> None:
        """One task, or not even a point."""
        assert rw.explore(subject, strategy=strategy, schedules=5).verdict in ("passed", "proved")

    @each
    def test_timers_may_fire_early(self, strategy: Strategy) -> None:
        """Time itself is one of the things to choose from; it belongs to no task."""
        runs = runs_of(locks_and_children, strategy, limits=Limits(time="adversarial", timers_max=1))
        assert {run.verdict for run in runs} == {"passed"}
        if not strategy.exhaustive:
            early = [any(step.task == "time" and step.choice != "forced" for step in run.trace) for run in runs]
            assert any(early)

    @each
    def test_tells_whether_it_proves(self, strategy: Strategy) -> None:
        """Only what ran every schedule says proved."""
        found = rw.explore(alone, strategy=strategy, schedules=5)
        assert found.complete == (found.verdict == "proved")
        assert found.complete == (strategy.exhaustive or isinstance(strategy, rw.Auto))

    @each
    def test_is_a_plain_value(self, strategy: Strategy) -> None:
        """Strategies travel to worker processes, and stand in results."""
        import cloudpickle

        assert cloudpickle.loads(cloudpickle.dumps(strategy)) == strategy
        assert " at 0x" not in repr(strategy)


class _From:
    """A strategy, but only these of its schedules."""

    name, exhaustive, bound = "some", True, ""

    def __init__(self, strategy: Strategy, indexes: tuple[int, ...]) -> None:
        self._strategy = strategy
        self._indexes = indexes

    def search(self, seed: int) -> Any:
        search: Any = self._strategy.search(seed)
        begin = search.begin
        search.begin = lambda index: index < len(self._indexes) and begin(self._indexes[index])
        return search


class TestWrongParameters:
    @pytest.mark.parametrize(
        ("make", "words"),
        [
            (partial(rw.PCT, 0), "depth=0: give a whole number of at least 1"),
            (partial(rw.PCT, -2), "depth=-2"),
            (partial(rw.PCT, 1.5), "depth=1.5"),  # type: ignore[arg-type]
            (partial(rw.PCT, True), "depth=True"),
            (partial(rw.Burst, 0.5), "mean=0.5: give a finite number of at least 1"),
            (partial(rw.Burst, float("inf")), "mean=inf"),
            (partial(rw.Burst, float("nan")), "mean=nan"),
            (partial(rw.Burst, "long"), "mean='long'"),  # type: ignore[arg-type]
            (partial(rw.SURW, ""), "select=''"),
            (partial(rw.SURW, 3), "select=3"),  # type: ignore[arg-type]
            (partial(rw.Timed, 0.0), "latency=0.0"),
            (partial(rw.Timed, -1.0), "latency=-1.0"),
            (partial(rw.Timed, {"extract": -1.0}), "extract=-1.0"),
            (partial(rw.Timed, "slow"), "latency='slow'"),  # type: ignore[arg-type]
            (partial(rw.Bounded, -1), "preemptions=-1.*cannot be negative"),
            (partial(rw.Bounded, delays=-1), "delays=-1.*cannot be negative"),
            (partial(rw.Bounded, delays="two"), "delays='two'"),  # type: ignore[arg-type]
            (partial(rw.DPOR, -1), "preemptions=-1.*cannot be negative"),
            (partial(rw.DPOR, 1.0), "preemptions=1.0"),  # type: ignore[arg-type]
            (partial(rw.Auto, 0), "schedules=0"),
        ],
    )
    def test_say_what_is_wrong(self, make: Callable[[], Strategy], words: str) -> None:
        """Before anything runs."""
        with pytest.raises(rw.UsageError, match=words):
            make()

    @pytest.mark.parametrize("duration", [-1.0, float("nan"), float("inf"), None])
    def test_a_latency_that_is_none(self, duration: Any) -> None:
        """A model of the user's may be wrong, and is not taken for a verdict."""
        with pytest.raises(rw.UsageError, match="has to give virtual seconds"):
            rw.explore(lost_update, strategy=rw.Timed(lambda point, rng: duration))

    def test_a_latency_without_the_label(self) -> None:
        """No silent default."""
        with pytest.raises(rw.UsageError, match=r"no pattern that fits the point 'v.read'"):
            rw.explore(lost_update, strategy=rw.Timed({"extract": 2.0}))


class TestNames:
    @pytest.mark.parametrize("name", [name for name in STRATEGIES if name != "replay"])
    def test_every_name_makes_a_strategy(self, name: str) -> None:
        """With its defaults, and it finds something."""
        assert rw.explore(lost_update, strategy=strategy_named(name), schedules=100).failures

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("pct:depth=5", rw.PCT(5)),
            ("pct:5", rw.PCT(5)),
            ("burst:mean=2.5", rw.Burst(2.5)),
            ("surw:select=live*", rw.SURW("live*")),
            ("surw:live.json", rw.SURW("live.json")),
            ("timed:0.01", rw.Timed(0.01)),
            ("bounded", rw.Bounded(2)),
            ("bounded:preemptions=none", rw.Bounded(None)),
            ("bounded:preemptions=1,delays=3", rw.Bounded(1, 3)),
            ("dpor", rw.DPOR()),
            ("dpor:2", rw.DPOR(2)),
            ("dpor:preemptions=none", rw.DPOR(None)),
            ("delays", rw.Bounded(delays=2)),
            ("delays:0", rw.Bounded(delays=0)),
            ("auto", rw.Auto()),
        ],
    )
    def test_with_parameters(self, text: str, expected: Strategy) -> None:
        """As on the command line."""
        assert strategy_named(text) == expected

    def test_a_token_is_a_strategy_too(self) -> None:
        """Its commas and all."""
        found = rw.explore(lost_update, schedules=50, stop_at_first=True)
        assert found.first is not None
        again = rw.explore(lost_update, strategy=strategy_named(f"replay:{found.first.token}"))
        assert (again.schedules, again.failures) == (1, 1)

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("pcd", "unknown strategy 'pcd'.*did you mean 'pct'"),
            ("", "unknown strategy ''"),
            ("pct:dept=3", "no parameter 'dept=3'.*did you mean 'depth'"),
            ("pct:depth=0", "depth=0"),
            ("pct:depth=deep", "depth='deep'"),
            ("pct:", "depth=''"),
            ("burst:mean=-1", "mean=-1"),
            ("delays:-1", "delays=-1"),
            ("dpor:-1", "preemptions=-1"),
            ("pos:3", "pos has no parameter '3'.*it has none"),
            ("bounded:preemptions=1,delays", "no parameter 'delays'"),
            ("replay", "replay needs token"),
            ("replay:nonsense", "not a racewindow token"),
        ],
    )
    def test_what_makes_no_sense(self, text: str, words: str) -> None:
        """One clear line each."""
        with pytest.raises(rw.UsageError, match=words):
            strategy_named(text)

    def test_two_bounds_are_printed(self) -> None:
        """A proof names them all; a bound that is not there is not named."""
        assert rw.Bounded(1, 2).bound == "preemptions<=1, delays<=2"
        assert rw.Bounded(delays=2).bound == "delays<=2"
        assert rw.Bounded(None).bound == ""
        assert rw.DPOR(2).bound == "preemptions<=2"
        assert rw.DPOR().bound == ""


class TestAuto:
    def test_exhausts_what_fits_into_the_budget(self) -> None:
        """Six schedules there are; a budget of six is enough for a complete search."""
        for budget in (6, 7, 1000):
            found = rw.explore(lost_update, strategy=rw.Auto(), schedules=budget)
            assert (found.verdict, found.schedules, found.complete) == ("failed", 6, True)
            assert "exhausts" in found.summary()

    def test_proves_what_is_small(self) -> None:
        """Proved, without a bound."""
        found = rw.explore(alone, strategy=rw.Auto(), schedules=50)
        assert (found.verdict, found.bound) == ("proved", "")

    def test_splits_the_budget_where_the_search_is_too_large(self) -> None:
        """A tenth or a little more tells that it is; the rest goes to four samplers in equal parts, and the result says so."""
        found = rw.explore(large, strategy=rw.Auto(), schedules=200)
        assert (found.verdict, found.complete, found.schedules) == ("passed", False, 200)
        tried = found.sampled_from
        assert tried is not None
        assert 20 <= tried <= 40
        assert f"after {tried} run to exhaust them the others were split between urw " in found.summary()
        each = (200 - tried) // 4
        assert all(
            re.search(rf"{name} ({each}|{each + 1}) \(0 failed\)", found.summary())
            for name in ("urw", "burst", "pos", "pct")
        )
        assert (found.independent_from, found.classes) == (None, None)

    def test_proves_by_reduction_what_is_too_large_to_enumerate(self) -> None:
        """3 432 orders of 7 steps and 7, one class: two tasks that share nothing."""

        async def apart(world: rw.World) -> None:
            world.memory_declared()

            async def task(mine: str) -> None:
                for number in range(7):
                    await world.point(f"p{number}", reads=(mine,), writes=(mine,))

            await world.together(partial(task, "x"), partial(task, "y"))

        found = rw.explore(apart, strategy=rw.Auto(), schedules=100)
        assert (found.verdict, found.bound, found.sampled_from) == ("proved", "", None)
        assert found.schedules < 10
        assert found.classes == 1

    def test_after_giving_up_it_is_the_samplers(self) -> None:
        """What watching steps for the reduction left behind changes no schedule of theirs."""
        seen: list[list[str]] = []

        def note(run: rw.Run) -> None:
            seen.append([point.label for point in run.points])

        found = rw.explore(large, strategy=rw.Auto(), schedules=100, seed=5, on_run=note)
        assert found.sampled_from is not None
        drawn, seen = seen[found.sampled_from :: 4], []
        rw.explore(large, strategy=rw.URW(), schedules=len(drawn), seed=5, on_run=note)
        assert drawn == seen

    def test_with_a_time_limit_only(self) -> None:
        """Then there is a budget of its own for exhausting."""
        found = rw.explore(lost_update, strategy=rw.Auto(), schedules=None, time_limit_s=60.0)
        assert (found.schedules, found.complete) == (6, True)


async def large(world: rw.World) -> None:
    async def task() -> None:
        for number in range(8):
            await world.point(f"p{number}", reads=("x",))

    await world.together(task, task, task)
