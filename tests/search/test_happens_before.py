"""Classes of schedules, against Mazurkiewicz traces counted by brute force."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import permutations
from math import factorial

import pytest

import racewindow as rw
from racewindow.kernel import Point, Run
from racewindow.kernel.footprint import declared, dependent
from racewindow.search.happens_before import happens_before_class

Subject = Callable[[rw.World], Awaitable[None]]
Program = tuple[tuple[str, ...], ...]  # for each task its steps, as r:x (read x), w:x (write x) or ? (undeclared)


def running(program: Program) -> Subject:
    async def subject(world: rw.World) -> None:
        async def task(steps: tuple[str, ...]) -> None:
            for step in steps:
                kind, _, cell = step.partition(":")
                if kind == "?":
                    await world.point("?")
                else:
                    await world.point(step, reads=(cell,) * (kind == "r"), writes=(cell,) * (kind == "w"))

        await world.together(*(partial(task, steps) for steps in program))

    return subject


def classes(subject: Subject) -> set[str]:
    runs: list[Run] = []
    assert rw.explore(subject, strategy=rw.Bounded(None), schedules=None, on_run=runs.append).complete
    return {happens_before_class(run.points) for run in runs}


def traces(program: Program) -> int:
    """How many Mazurkiewicz traces there are: interleavings told apart by the order of their dependent pairs."""

    def conflict(one: str, other: str) -> bool:
        if "?" in (one, other):
            return True
        return one[2:] == other[2:] and "w" in (one[0], other[0])

    found = set()
    for order in set(permutations([task for task, steps in enumerate(program) for _ in steps])):
        taken = [0] * len(program)
        events = []
        for task in order:
            events.append((task, taken[task], program[task][taken[task]]))
            taken[task] += 1
        found.add(
            frozenset(
                (one[:2], other[:2])
                for place, one in enumerate(events)
                for other in events[place + 1 :]
                if one[0] != other[0] and conflict(one[2], other[2])
            )
        )
    return len(found)


class TestCounts:
    @pytest.mark.parametrize("tasks", [2, 3, 4])
    def test_writers_of_different_cells_form_one_class(self, tasks: int) -> None:
        """Nothing they do meets."""
        assert len(classes(running(tuple((f"w:{number}",) for number in range(tasks))))) == 1

    @pytest.mark.parametrize("tasks", [2, 3, 4])
    def test_writers_of_one_cell_form_n_factorial(self, tasks: int) -> None:
        """Every order is another one."""
        assert len(classes(running((("w:x",),) * tasks))) == factorial(tasks)

    @pytest.mark.parametrize("readers", [1, 2, 3])
    def test_readers_of_different_cells_that_one_writer_writes_form_two_to_the_n(self, readers: int) -> None:
        """Each reader is before or after the write of its cell."""
        writer = tuple(f"w:{number}" for number in range(readers))
        assert len(classes(running((writer, *((f"r:{number}",) for number in range(readers)))))) == 2**readers

    @pytest.mark.parametrize("seed", range(25))
    def test_random_programs(self, seed: int) -> None:
        """As many classes as traces by brute force, undeclared steps included."""
        rng = random.Random(f"programs:{seed}")
        steps = ("r:x", "w:x", "r:y", "w:y", "?")
        program = tuple(
            tuple(rng.choices(steps, weights=(3, 3, 3, 3, 1), k=rng.randint(1, 3))) for _ in range(rng.randint(2, 3))
        )
        assert len(classes(running(program))) == traces(program), program


class TestDependence:
    @pytest.mark.parametrize(
        ("one", "other", "expected"),
        [
            (Point("a", ("x",), ()), Point("b", ("x",), ()), False),
            (Point("a", ("x",), ()), Point("b", (), ("x",)), True),
            (Point("a", (), ("x",)), Point("b", ("x",), ()), True),
            (Point("a", (), ("x",)), Point("b", (), ("x",)), True),
            (Point("a", (), ("x",)), Point("b", ("y",), ("z",)), False),
            (Point("a", (), ()), Point("b"), True),
            (Point("a"), Point("b"), True),
        ],
    )
    def test_of_two_steps(self, one: Point, other: Point, expected: bool) -> None:
        """Same resource and at least one write; undeclared with everything."""
        assert dependent(declared(one), declared(other)) is expected
        assert dependent(declared(other), declared(one)) is expected

    def test_what_a_step_was_seen_to_touch_counts_too(self) -> None:
        """Beyond its declaration."""
        one, other = Point("a", ("x",), ()), Point("b", ("y",), ())
        one.look().touched.append(("y", True))
        assert dependent(declared(one), declared(other))


def test_names_are_the_same_in_another_process() -> None:
    """Whatever PYTHONHASHSEED is."""
    code = (
        "from racewindow.kernel import Point, Process, Task; from racewindow.search.happens_before import happens_before_class as name;"
        "points = [Point('a', ('x',), ()), Point('b', ('x', 'y'), ('z',)), Point('c')]; task = Task('a', 0, None, Process('main'));"
        "[setattr(point, 'task', task) for point in points]; print(name(points), name(points[2:]))"
    )
    answers = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(answers) == 1
