"""The random walk's promise: schedule i depends on the seed and on i, and on nothing else."""

from __future__ import annotations

import random

import racewindow as rw
from racewindow.kernel import Process, Run, Task
from racewindow.search import RandomWalk


async def three_walkers(world: rw.World) -> None:
    async def walk() -> None:
        for number in range(4):
            await world.point(f"p{number}")

    await world.together(walk, walk, walk)


def fingerprints(*, schedules: int, seed: int) -> list[str]:
    runs: list[Run] = []
    rw.explore(three_walkers, on_run=runs.append, schedules=schedules, seed=seed)
    return [run.fingerprint for run in runs]


class TestSeeds:
    def test_a_shorter_exploration_is_the_beginning_of_a_longer_one(self) -> None:
        """Schedule i does not know how many follow."""
        assert fingerprints(schedules=10, seed=5) == fingerprints(schedules=30, seed=5)[:10]

    def test_schedules_are_the_same_whatever_ran_before_them(self) -> None:
        """A walk that begins at schedule 7 chooses as one that came there."""
        fresh, used = RandomWalk().search(3), RandomWalk().search(3)
        for index in range(7):
            used.begin(index)
            used.choose([], -1)
        fresh.begin(7)
        used.begin(7)
        tasks = [Task(str(index), index, None, Process("main")) for index in range(5)]
        assert [fresh.choose(tasks, -1) for _ in range(50)] == [used.choose(tasks, -1) for _ in range(50)]

    def test_other_seeds_choose_otherwise(self) -> None:
        """Seeds are no decoration."""
        assert fingerprints(schedules=10, seed=0) != fingerprints(schedules=10, seed=1)

    def test_neither_uses_nor_disturbs_the_global_generator(self) -> None:
        """The subject's own random numbers are its own business."""
        random.seed(11)
        expected = random.random()
        random.seed(11)
        before = fingerprints(schedules=5, seed=0)
        assert random.random() == expected
        assert fingerprints(schedules=5, seed=0) == before
