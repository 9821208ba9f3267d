"""URW: a random walk that is uniform over interleavings."""

from __future__ import annotations

from dataclasses import dataclass

from racewindow.kernel.task import Point
from racewindow.search.surw import SURWSearch


@dataclass(frozen=True, slots=True)
class URW:
    """Choose a task with probability (its remaining steps) / (the remaining steps of all), so that all interleavings are equally likely.

    The remaining steps of children that were not started yet count for their parent. Step counts are the means over the complete
    schedules before; the first one has none and is a random walk. The account says which were used and how often they were wrong.

    Source: Zhao, Wolff, Mathur and Roychoudhury, "Selectively uniform concurrency testing" (ASPLOS 2025).
    """

    name = "urw"
    exhaustive = False
    bound = ""

    def search(self, seed: int) -> SURWSearch:
        """A fresh search. Schedule ``i`` depends on the seed, on ``i`` and on the step counts seen before."""
        return SURWSearch(seed, _every, "urw")


def _every(point: Point) -> bool:
    return True
