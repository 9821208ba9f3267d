"""The reduction within a bound runs every trace that some schedule within the bound has, and no schedule beyond it.

Which traces these are is counted without the search's help, as in ``test_dpor_cross_check.py``: by running every schedule of ``Bounded``.
"""

from __future__ import annotations

import asyncio
import random
import threading
from functools import partial
from itertools import count
from math import factorial
from typing import Any

import pytest
from tests.search.test_dpor import of_tasks, writers
from tests.search.test_dpor_cross_check import (
    ADVERSARIAL,
    IDLE,
    Program,
    enumerate_all,
    random_program,
    subject_of,
)

import racewindow as rw
from racewindow.kernel.hosts import Host
from racewindow.search import Strategy

BLOCKS = ("read", "write", "increment", "lock")
FAMILIES = (*BLOCKS, "nursery", "nursery", "victim", "crash", "fail", "set", "wait", "start")


def program_of(seed: int) -> Program:
    """Of any kind; of tasks with long blocks, where the bound matters most; or of tasks that wait for each other's ends and die."""
    rng = random.Random(seed)
    if seed % 3 == 0:
        return random_program(rng)
    kinds = BLOCKS if seed % 3 == 1 else FAMILIES
    tasks = rng.choice((2, 3, 3))
    most = 4 if tasks == 2 else 3
    return [[(rng.choice(kinds), rng.randrange(2)) for _ in range(rng.randint(1, most))] for _ in range(tasks)]


def check(program: Program, limits: rw.Limits, bound: int, most: int | None) -> bool:
    """Compare the two searches within one bound; False when there are more than ``most`` schedules."""
    subject = subject_of(program)
    whole = enumerate_all(subject, limits, most, rw.Bounded(bound))
    if not whole.complete:
        return False
    some = enumerate_all(subject, limits, None, rw.DPOR(bound))
    assert some.complete
    assert some.preemptions <= bound
    assert some.traces == whole.traces, program
    assert some.classes == len(whole.traces), program
    assert some.outcomes == whole.outcomes, program
    assert some.schedules + some.blocked <= whole.schedules, program
    return True


def check_bounds(seed: int, limits: rw.Limits, most: int) -> int:
    """How many of the bounds 0, 1 and 2 were compared."""
    program = program_of(seed)
    return sum(check(program, limits, bound, most) for bound in range(3))


class TestRandomPrograms:
    def test_no_trace_within_the_bound_is_left_out(self) -> None:
        """Forty comparisons."""
        checked, seeds = 0, count()
        while checked < 40:
            seed = next(seeds)
            checked += check_bounds(seed, (IDLE, ADVERSARIAL)[seed % 2], 30)

    @pytest.mark.exhaustive
    @pytest.mark.parametrize("limits", [IDLE, ADVERSARIAL], ids=["idle", "adversarial"])
    @pytest.mark.parametrize("first", range(1000, 1300, 25))
    def test_no_trace_of_hundreds_of_programs_is_left_out(self, first: int, limits: rw.Limits) -> None:
        """Twenty-five seeds each."""
        assert sum(check_bounds(seed, limits, 500) for seed in range(first, first + 25)) >= 40

    @pytest.mark.parametrize("seed", range(4))
    def test_a_bound_that_is_never_reached_changes_nothing(self, seed: int) -> None:
        subject = subject_of(random_program(random.Random(seed)))
        without = enumerate_all(subject, IDLE, None, rw.DPOR())
        within = enumerate_all(subject, IDLE, None, rw.DPOR(1000))
        assert within.traces == without.traces
        assert within.classes == without.classes


class TestRulesOfItsOwn:
    """Each program is one that a search without the rule gets wrong."""

    def test_a_choice_before_the_block(self) -> None:
        """To have the second task's write between the first one's takes a preemption; to have it before both takes none."""
        assert check([[("write", 0), ("write", 1)], [("write", 1)]], IDLE, 0, None)

    def test_an_end_that_is_waited_for(self) -> None:
        """Only a thread that joins the first one before it ended blocks there, and hands on its turn for nothing."""

        def subject(world: rw.World) -> list[int]:
            world.memory_declared()
            one, other = world.cell(0, name="one"), world.cell(0, name="other")
            seen: list[int] = []
            first = threading.Thread(target=other.get)

            def join() -> None:
                seen.append(one.get())
                first.join()
                seen.append(one.get())

            first.start()
            for body in (join, partial(one.set, 1)):
                world.start(body)
            world.quiet()
            return seen

        _, ends = runs_of(subject, rw.DPOR(0), "threads")
        assert ends == runs_of(subject, rw.Bounded(0), "threads")[1]
        assert any("[0, 1]" in end for end in ends)

    @pytest.mark.parametrize(
        "program",
        [
            [[("write", 1), ("read", 0), ("read", 0)], [("read", 0), ("write", 0)], [("write", 1), ("read", 0)]],
            [[("read", 1), ("read", 0), ("write", 1)], [("write", 0)], [("read", 0), ("write", 1), ("write", 0)]],
        ],
    )
    def test_a_task_that_sleeps_with_its_block_wakes_for_a_race(self, program: Program) -> None:
        assert check(program, IDLE, 1, None)

    def test_a_task_that_kills_others_at_the_end_of_its_block(self) -> None:
        """Who dies has to come before the block, for in the middle of it that takes a preemption."""

        async def subject(world: rw.World) -> None:
            world.memory_declared()
            cells = [world.cell(0, name=name) for name in "ab"]

            async def stop() -> None:
                await cells[0].write(1)
                world.check(False, "stopped")

            async def last() -> None:
                world.start(partial(cells[1].write, 2), name="late")

            world.start(stop, name="stop")
            await world.together(partial(cells[0].write, 3), last)

        self.compare(subject)

    @pytest.mark.parametrize("bound", range(3))
    def test_a_step_that_disarms_the_timer(self, bound: int) -> None:
        """What others do before the timer fires has to come before that step, though it has nothing to do with it."""
        assert check([[("write", 1), ("set", 0)], [("send", 1), ("write", 1)]], ADVERSARIAL, bound, None)
        program = [[("statistics", 0)], [("limiter", 1), ("set", 0)], [("write", 1), ("send", 1)]]
        assert check(program, ADVERSARIAL, bound, None)

    @staticmethod
    def compare(subject: Any) -> None:
        for bound in range(2):
            whole = enumerate_all(subject, IDLE, None, rw.Bounded(bound))
            some = enumerate_all(subject, IDLE, None, rw.DPOR(bound))
            assert (some.traces, some.outcomes) == (whole.traces, whole.outcomes)


class TestCounts:
    @pytest.mark.parametrize("bound", [0, 1, 9])
    def test_of_independent_writers_one_order_is_run(self, bound: int) -> None:
        found = rw.explore(writers(5, cells=5), strategy=rw.DPOR(bound), schedules=None)
        assert (found.verdict, found.schedules, found.classes, found.blocked) == ("proved", 1, 1, 0)
        assert found.bound == f"preemptions<={bound}"
        assert found.notes == ()

    @pytest.mark.parametrize("bound", [0, 9])
    def test_writers_of_one_cell_need_no_preemption_for_any_order(self, bound: int) -> None:
        found = rw.explore(writers(4, cells=1), strategy=rw.DPOR(bound), schedules=None)
        assert found.classes == factorial(4)

    @pytest.mark.parametrize(("bound", "traces"), [(0, 2), (1, 6), (2, 14), (3, 18), (4, 20), (9, 20)])
    def test_two_tasks_of_three_dependent_steps(self, bound: int, traces: int) -> None:
        """Each of the 20 orders is a trace; 2, 4, 8, 4 and 2 of them leave an unfinished task so many times."""

        def make(world: rw.World) -> list[Any]:
            cell = world.cell(0, name="c")

            async def task() -> None:
                for number in range(3):
                    await cell.write(number)

            return [task, task]

        found = rw.explore(of_tasks(make), strategy=rw.DPOR(bound), schedules=None)
        assert found.schedules == found.classes == traces


class TestHostsThatSeeLess:
    def test_on_asyncio_every_schedule_within_the_bound_is_run(self) -> None:
        async def subject(world: rw.World) -> None:
            world.memory_declared()
            cells = [world.cell(0), world.cell(0)]

            async def task(cell: rw.Cell[int]) -> None:
                await cell.write(await cell.read() + 1)

            await asyncio.gather(*map(task, cells))

        self.check(subject, "asyncio", same=True)

    def test_on_threads(self) -> None:
        def subject(world: rw.World) -> tuple[int, ...]:
            world.memory_declared()
            cells = [world.cell(0, name="a"), world.cell(0, name="b")]

            def task(first: int) -> None:
                cells[first].set(cells[1 - first].get() + 1)

            threads = [threading.Thread(target=task, args=(number,)) for number in range(2)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            return tuple(cell.value for cell in cells)

        self.check(subject, "threads", same=False)

    @staticmethod
    def check(subject: Any, host: Host, *, same: bool) -> None:
        for bound in range(3):
            whole, every = runs_of(subject, rw.Bounded(bound), host)
            some, ends = runs_of(subject, rw.DPOR(bound), host)
            assert some.complete
            assert ends == every
            assert max(one.preemptions for one in some.found) <= bound
            assert some.schedules == whole.schedules if same else some.schedules <= whole.schedules


def runs_of(subject: Any, strategy: Strategy, host: Host) -> tuple[rw.Exploration, set[str]]:
    ends: set[str] = set()
    found = rw.explore(
        subject,
        strategy=strategy,
        schedules=None,
        host=host,
        on_run=lambda run: ends.add(repr((run.result, run.verdict))),
    )
    return found, ends
