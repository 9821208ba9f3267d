"""PCT: probabilistic concurrency testing."""

from __future__ import annotations

import random
from dataclasses import dataclass

from racewindow.kernel.run import Run
from racewindow.kernel.task import Task
from racewindow.search._checks import check_whole
from racewindow.search.strategy import Account


@dataclass(frozen=True, slots=True)
class PCT:
    """Run the runnable task of highest random priority; at ``depth - 1`` random steps, first move it below all others.

    A bug of depth d (one that d ordering constraints force) is hit by a schedule of n tasks and k steps with probability at least
    ``1 / (n k^(d-1))``. The k steps are those taken while at least two tasks live, the only ones with somebody to switch to. k is the
    largest number seen so far, so the first schedule has no change points; the account says which n and k were used.

    Source: Burckhardt, Kothari, Musuvathi and Nagarakatte, "A randomized scheduler with probabilistic guarantees of finding bugs"
    (ASPLOS 2010).

    Raises:
        UsageError: for a depth below 1.
    """

    depth: int = 3

    def __post_init__(self) -> None:
        check_whole("depth", self.depth, least=1, why="a bug of depth 1 needs no change of priorities, of depth 2 one")

    name = "pct"
    exhaustive = False
    bound = ""

    def search(self, seed: int) -> PCTSearch:
        """A fresh search. Schedule ``i`` depends on the seed, on ``i`` and on the number of steps seen before."""
        return PCTSearch(seed, self.depth)


class PCTSearch:
    """PCT at work. It is asked at every step, because it has to count them."""

    every_step = True

    def __init__(self, seed: int, depth: int) -> None:
        self._seed = seed
        self._depth = depth
        self._rng = random.Random()
        self._tasks = 0  # at most so many tasks were there to choose from in one schedule
        self._steps = 0  # at most so many steps could be change points
        self._index = 0
        self._settled = 0  # the first schedule that was drawn for these steps

    def begin(self, index: int) -> bool:
        self._rng.seed(f"{self._seed}:{index}")
        self._index = index
        self._changes = set(self._rng.sample(range(1, self._steps + 1), min(self._depth - 1, self._steps)))
        self._priorities: dict[Task, float] = {}
        self._rivals: set[Task] = set()
        self._lowest = 0.0
        self._step = 0
        return True

    def choose(self, enabled: list[Task], current: int) -> int:
        priorities = self._priorities
        for task in enabled:
            if task not in priorities:  # whoever comes later draws a place among all too
                priorities[task] = self._rng.random()
        best = max(range(len(enabled)), key=lambda index: priorities[enabled[index]])
        if len(enabled) == 1 and not any(task.alive for task in priorities if task is not enabled[0]):
            return best
        self._step += 1
        if self._step in self._changes:
            self._lowest -= 1.0
            priorities[enabled[best]] = self._lowest
            best = max(range(len(enabled)), key=lambda index: priorities[enabled[index]])
        if len(enabled) > 1:
            self._rivals.update(enabled)
        return best

    def end(self, run: Run) -> None:
        """The most tasks and steps seen are what the next schedules are drawn for."""
        self._tasks = max(self._tasks, len(self._rivals))
        if self._step > self._steps:
            self._steps = self._step
            self._settled = self._index + 1

    def account(self) -> Account:
        schedules = self._index + 1 - self._settled
        used = f"pct of depth {self._depth}: n={self._tasks} tasks and k={self._steps} steps at most, as seen"
        if schedules < 1 or self._tasks < 2:
            return Account(notes=(f"{used}; no guarantee yet",), independent_from=self._settled)
        hit = hit_probability(tasks=self._tasks, steps=self._steps, depth=self._depth)
        missed = (1 - hit) ** schedules
        return Account(
            notes=(
                f"{used}; each schedule hits a bug of that depth with probability at least {hit:.3g}, and all {schedules} drawn for "
                f"that k miss it with at most {missed:.3g}, if n and k are true bounds",
            ),
            independent_from=self._settled,
        )


def hit_probability(*, tasks: int, steps: int, depth: int) -> float:
    """PCT's guarantee for one schedule: ``1 / (n k^(d-1))``.

    >>> hit_probability(tasks=2, steps=4, depth=2)
    0.125
    """
    return 1.0 / float(tasks * steps ** (depth - 1))
