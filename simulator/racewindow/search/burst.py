"""Burst: a random walk that stays with a task for a while."""

from __future__ import annotations

import random
from dataclasses import dataclass

from racewindow.kernel.run import Run
from racewindow.kernel.task import Task
from racewindow.search._checks import check_number
from racewindow.search.strategy import Account


@dataclass(frozen=True, slots=True)
class Burst:
    """Choose uniformly among the runnable tasks, stay for a geometric number of steps, then choose again.

    A fair coin rarely lets one task get far ahead of another; most races want just that, once or twice.

    Args:
        mean: steps that a burst lasts on average, if its task does not block or end before; 1 is a random walk. About a third of an
            operation does well.

    Raises:
        UsageError: for a mean below 1.
    """

    mean: float = 4.0

    def __post_init__(self) -> None:
        check_number("mean", self.mean, least=1.0, why="a burst has at least one step, and 1 is a random walk")

    name = "burst"
    exhaustive = False
    bound = ""

    def search(self, seed: int) -> BurstSearch:
        """A fresh search; schedule ``i`` depends on the seed and ``i`` only."""
        return BurstSearch(seed, self.mean)


class BurstSearch:
    """A burst walk at work. A geometric length has no memory, so each step asks anew whether this one was the last."""

    every_step = False

    def __init__(self, seed: int, mean: float) -> None:
        self._seed = seed
        self._rng = random.Random()
        self._random = self._rng.random
        self._over = 1.0 / mean

    def begin(self, index: int) -> bool:
        self._rng.seed(f"{self._seed}:{index}")
        return True

    def choose(self, enabled: list[Task], current: int) -> int:
        if current >= 0 and self._random() >= self._over:
            return current
        return int(self._random() * len(enabled))

    def end(self, run: Run) -> None:
        """A walk learns nothing."""

    def account(self) -> Account:
        return Account(independent_from=0)
