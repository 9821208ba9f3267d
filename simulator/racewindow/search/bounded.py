"""Exhaustive depth-first search, with or without a bound on preemptions or on delays.

A preemption holds back a task that could have gone on. Choosing among the others when a task blocks or ends is free. Most races need
one or two preemptions, so a small bound covers much of what matters, and what it covers it covers completely.

A delay skips the task whose turn it is. The order of turns is run-to-block: the running task goes on while it can, then the next one
in order of creation, round and round; taking the one after next costs two delays, also when the running task blocked or ended. So
there are far fewer schedules with d delays than with d preemptions, and fewer the more tasks there are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from racewindow.errors import ReplayDiverged
from racewindow.kernel.run import Run
from racewindow.kernel.task import Task
from racewindow.search._checks import check_whole
from racewindow.search._shape import diverged, ended_early, shape_of

_UNSET: Any = object()
_PREEMPTIONS = 2  # where neither bound is given


@dataclass(frozen=True, slots=True)
class Bounded:
    """Every schedule with at most ``preemptions`` preemptions and at most ``delays`` delays, each exactly once; None: no such bound.

    ``Bounded()`` means two preemptions, ``Bounded(delays=1)`` one delay and no bound on preemptions, ``Bounded(None)`` every schedule.

    Source: Musuvathi and Qadeer, "Iterative context bounding" (PLDI 2007); Emmi, Qadeer and Rakamaric, "Delay-bounded scheduling"
    (POPL 2011).

    Raises:
        UsageError: for a bound that is negative or no whole number.
    """

    preemptions: int | None = _UNSET
    delays: int | None = None

    def __post_init__(self) -> None:
        if self.preemptions is _UNSET:
            object.__setattr__(self, "preemptions", _PREEMPTIONS if self.delays is None else None)
        for name in ("preemptions", "delays"):
            value = getattr(self, name)
            if value is not None:
                why = "the bound cannot be negative; 0 means run-to-block schedules only"
                check_whole(name, value, least=0, why=why)

    name = "bounded"
    exhaustive = True

    @property
    def bound(self) -> str:
        """The bound as it is printed with a proof."""
        bounds = (("preemptions", self.preemptions), ("delays", self.delays))
        return ", ".join(f"{name}<={value}" for name, value in bounds if value is not None)

    def search(self, seed: int) -> BoundedSearch:
        """A fresh search; the seed changes nothing."""
        return BoundedSearch(self.preemptions, self.delays)


class _Fork:
    """A place in the schedule with more than one allowed choice."""

    __slots__ = ("next", "options", "shape", "spent")

    def __init__(self, options: list[tuple[int, int, int]], spent: tuple[int, int], shape: tuple[Any, ...]) -> None:
        self.options = (
            options  # indexes into the enabled tasks with their price in preemptions and delays, the default first
        )
        self.next = 0  # which option this schedule takes
        self.spent = spent  # preemptions and delays spent before this place
        self.shape = shape  # what was runnable, to notice a subject that does not repeat itself


class BoundedSearch:
    """Depth-first search at work: the stack of forks is the only memory."""

    def __init__(self, preemptions: int | None, delays: int | None = None) -> None:
        self._preemptions = preemptions
        self._delays = delays
        self.every_step = delays is not None  # whose turn is next depends on who ran last, and be it without a choice
        self._stack: list[_Fork] = []
        self._depth = 0
        self._spent = (0, 0)
        self._last = -1
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
        self._depth = 0
        self._spent = (0, 0)
        self._last = -1
        return True

    def choose(self, enabled: list[Task], current: int) -> int:
        chosen = self._choose(enabled, current)
        if enabled[chosen].index >= 0:
            self._last = enabled[chosen].index
        return chosen

    def _choose(self, enabled: list[Task], current: int) -> int:
        preemptions, delays = self._spent
        if enabled[-1].index >= 0:  # a timer that offers itself is something to decide whatever was spent
            if current >= 0 and preemptions == self._preemptions:
                return current
            if delays == self._delays or len(enabled) == 1:
                return current if current >= 0 else self._turn(enabled)
        if self._depth < len(self._stack):
            fork = self._stack[self._depth]
            if fork.shape != shape_of(enabled):
                raise ReplayDiverged(diverged(self._depth, fork.shape, enabled))
        else:
            fork = _Fork(self._options(enabled, current), self._spent, shape_of(enabled))
            self._stack.append(fork)
        self._depth += 1
        chosen, preempts, skips = fork.options[fork.next]
        self._spent = fork.spent[0] + preempts, fork.spent[1] + skips
        return chosen

    def _turn(self, enabled: list[Task]) -> int:
        """Whose turn it is when the last task cannot go on."""
        if self._delays is None:
            return 0
        return next((index for index, task in enumerate(enabled) if task.index > self._last), 0)

    def _options(self, enabled: list[Task], current: int) -> list[tuple[int, int, int]]:
        """What may be chosen, the default first. A timer costs nothing; it has a bound of its own."""
        timers = enabled[-1].index < 0
        tasks = list(range(len(enabled) - timers))
        first = current if current >= 0 else self._turn(enabled)
        rest = (
            tasks[first + 1 :] + tasks[:first]
            if self._delays is not None
            else [each for each in tasks if each != first]
        )
        options = [(first, 0, 0)]
        for skips, index in enumerate(rest, 1):
            if self._affordable(current >= 0, skips):
                options.append((index, int(current >= 0), skips))
        return options + [(len(tasks), 0, 0)] * timers

    def _affordable(self, preempts: bool, skips: int) -> bool:
        preemptions, delays = self._spent
        return (self._preemptions is None or preemptions + preempts <= self._preemptions) and (
            self._delays is None or delays + skips <= self._delays
        )

    def end(self, run: Run) -> None:
        if self._depth < len(self._stack):
            raise ReplayDiverged(ended_early(len(self._stack), self._depth))
