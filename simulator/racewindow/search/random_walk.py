"""Random walk: uniform over the runnable tasks at every step."""

from __future__ import annotations

import random
from dataclasses import dataclass

from racewindow.kernel.run import Run
from racewindow.kernel.task import Task
from racewindow.search.strategy import Account


@dataclass(frozen=True, slots=True)
class RandomWalk:
    """Choose uniformly among the runnable tasks at every step."""

    name = "random-walk"
    exhaustive = False
    bound = ""

    def search(self, seed: int) -> RandomWalkSearch:
        """A fresh walk; schedule ``i`` depends on the seed and ``i`` only, so seed ranges can be split over workers."""
        return RandomWalkSearch(seed)


class RandomWalkSearch:
    """A random walk at work."""

    every_step = False

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._rng = random.Random()
        self._random = self._rng.random

    def begin(self, index: int) -> bool:
        self._rng.seed(f"{self._seed}:{index}")
        return True

    def choose(self, enabled: list[Task], current: int) -> int:
        return int(self._random() * len(enabled))

    def end(self, run: Run) -> None:
        """A walk learns nothing."""

    def account(self) -> Account:
        return Account(independent_from=0)
