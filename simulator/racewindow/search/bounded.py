"""Exhaustive depth-first search, with or without a bound on preemptions.

A preemption holds back a task that could have gone on. Choosing among the others when a task blocks or ends is free. Most races need
one or two preemptions, so a small bound covers much of what matters, and what it covers it covers completely.
"""

from __future__ import annotations

from dataclasses import dataclass

from racewindow.errors import ReplayDiverged, UsageError
from racewindow.kernel.run import Run
from racewindow.kernel.task import Task
from racewindow.search._shape import Shape, diverged, ended_early, shape_of


@dataclass(frozen=True, slots=True)
class Bounded:
    """Every schedule with at most ``preemptions`` preemptions, each exactly once; None: every schedule.

    Raises:
        UsageError: for a negative bound.
    """

    preemptions: int | None = 2

    def __post_init__(self) -> None:
        if self.preemptions is not None and self.preemptions < 0:
            raise UsageError(
                f"preemptions={self.preemptions}: the bound cannot be negative; 0 means run-to-block schedules only"
            )

    name = "bounded"
    exhaustive = True

    @property
    def bound(self) -> str:
        """The bound as it is printed with a proof."""
        return "" if self.preemptions is None else f"preemptions<={self.preemptions}"

    def search(self, seed: int) -> BoundedSearch:
        """A fresh search; the seed changes nothing."""
        return BoundedSearch(self.preemptions)


class _Fork:
    """A place in the schedule with more than one allowed choice."""

    __slots__ = ("next", "options", "shape", "spent")

    def __init__(self, options: list[int], spent: int, shape: Shape) -> None:
        self.options = options  # indexes into the enabled tasks, the default first
        self.next = 0  # which option this schedule takes
        self.spent = spent  # preemptions spent before this place
        self.shape = shape  # what was runnable, to notice a subject that does not repeat itself


class BoundedSearch:
    """Depth-first search at work: the stack of forks is the only memory."""

    every_step = False

    def __init__(self, bound: int | None) -> None:
        self._bound = bound
        self._stack: list[_Fork] = []
        self._depth = 0
        self._spent = 0
        self._fresh = True

    def begin(self, index: int) -> bool:
        if self._fresh:
            self._fresh = False
        else:
            while self._stack and self._stack[-1].next + 1 == len(self._stack[-1].options):
                self._stack.pop()
            if not self._stack:
                return False
            self._stack[-1].next += 1
        self._depth = self._spent = 0
        return True

    def choose(self, enabled: list[Task], current: int) -> int:
        if current >= 0 and self._bound is not None and self._spent >= self._bound and enabled[-1].index >= 0:
            return current  # the budget is spent (and no timer offers itself): nothing to decide
        if self._depth < len(self._stack):
            fork = self._stack[self._depth]
            if fork.shape != shape_of(enabled):
                raise ReplayDiverged(diverged(self._depth, fork.shape, enabled))
        else:
            fork = _Fork(self._options(enabled, current), self._spent, shape_of(enabled))
            self._stack.append(fork)
        self._depth += 1
        chosen = fork.options[fork.next]
        self._spent = fork.spent + (current >= 0 and chosen != current and enabled[chosen].index >= 0)
        return chosen

    def _options(self, enabled: list[Task], current: int) -> list[int]:
        if current < 0:
            return list(range(len(enabled)))
        rest = [index for index in range(len(enabled)) if index != current]
        if self._bound is not None and self._spent >= self._bound:
            rest = [
                index for index in rest if enabled[index].index < 0
            ]  # a timer costs no preemption; it has a bound of its own
        return [current, *rest]

    def end(self, run: Run) -> None:
        if self._depth < len(self._stack):
            raise ReplayDiverged(ended_early(len(self._stack), self._depth))
