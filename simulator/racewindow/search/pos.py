"""POS: partial order sampling."""

from __future__ import annotations

import random
from dataclasses import dataclass

from racewindow.kernel.footprint import declared, dependent
from racewindow.kernel.run import Run
from racewindow.kernel.task import Point, Task
from racewindow.search.strategy import Account


@dataclass(frozen=True, slots=True)
class POS:
    """Every pending step has a random priority, and the highest runs; then the pending steps that race with it draw anew.

    Two steps race when they touch one resource and at least one writes it; a step that declared nothing races with everything.

    Source: Yuan, Yang and Gu, "Partial order aware concurrency sampling" (CAV 2018).
    """

    name = "pos"
    exhaustive = False
    bound = ""

    def search(self, seed: int) -> POSSearch:
        """A fresh search; schedule ``i`` depends on the seed and ``i`` only."""
        return POSSearch(seed)


class POSSearch:
    """Partial order sampling at work.

    It need not be asked where only one task can run: nobody else's step is pending there, so nobody would have to draw anew.
    """

    every_step = False

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._rng = random.Random()
        self._random = self._rng.random

    def begin(self, index: int) -> bool:
        self._rng.seed(f"{self._seed}:{index}")
        self._priorities: dict[Task, tuple[Point, float]] = {}
        self._ran: Point | None = None
        return True

    def choose(self, enabled: list[Task], current: int) -> int:
        ran = None if self._ran is None else declared(self._ran)  # all that it touched is known only now
        best, highest = 0, -1.0
        for index, task in enumerate(enabled):
            drawn = self._priorities.get(task)
            if drawn is None or drawn[0] is not task.point or (self._ran and dependent(ran, declared(task.point))):
                drawn = self._priorities[task] = task.point, self._random()
            if drawn[1] > highest:
                best, highest = index, drawn[1]
        chosen = enabled[best]
        self._ran = chosen.point
        del self._priorities[chosen]
        return best

    def end(self, run: Run) -> None:
        """Every schedule is drawn afresh."""

    def account(self) -> Account:
        return Account(independent_from=0)
