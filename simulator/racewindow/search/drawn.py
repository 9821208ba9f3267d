"""Drawn: the default order, left at a few given places. Small and readable, so that Hypothesis can draw and shrink it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from racewindow.errors import UsageError
from racewindow.kernel.run import Run
from racewindow.kernel.task import Task
from racewindow.search.strategy import Account


@dataclass(frozen=True, slots=True)
class Drawn:
    """One schedule: run-to-block in the order of creation, but for a few switches.

    Args:
        switches: for each switch how many choices are left at their default before it, and which of the other tasks is taken then
            (counted in order of creation, round and round, so that every number means something).

    Raises:
        UsageError: for numbers below zero.
    """

    switches: tuple[tuple[int, int], ...] = ()

    name = "drawn"
    exhaustive = False
    bound = ""

    def __post_init__(self) -> None:
        if any(number < 0 for switch in self.switches for number in switch):
            raise UsageError(
                f"switches={self.switches!r}: how many choices to skip, and which task to take, cannot be negative"
            )

    def search(self, seed: int) -> DrawnSearch:
        """The one schedule; the seed changes nothing."""
        return DrawnSearch(self.switches)


class DrawnSearch:
    """A drawn schedule at work."""

    every_step = False

    def __init__(self, switches: tuple[tuple[int, int], ...]) -> None:
        self._switches = switches

    def begin(self, index: int) -> bool:
        self._ahead: Iterator[tuple[int, int]] = iter(self._switches)
        self._skip, self._which = next(self._ahead, (-1, 0))
        return index == 0

    def choose(self, enabled: list[Task], current: int) -> int:
        default = max(current, 0)
        if self._skip < 0:
            return default
        if self._skip or len(enabled) == 1:
            self._skip -= self._skip > 0
            return default
        chosen = self._which % (len(enabled) - 1)
        self._skip, self._which = next(self._ahead, (-1, 0))
        return chosen + (chosen >= default)

    def end(self, run: Run) -> None:
        """One schedule, nothing to learn."""

    def account(self) -> Account:
        return Account(sampled_from=None)
