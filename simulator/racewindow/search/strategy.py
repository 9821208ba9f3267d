"""The one protocol behind which every way of choosing schedules stands."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from racewindow.kernel.engine import Chooser, Engine
from racewindow.kernel.run import Run


class Redundant(Exception):
    """Raised by a search that chooses: what is left of this schedule is equivalent to others that were run."""


class Search(Chooser, Protocol):
    """A strategy at work: it chooses within a schedule, and learns between schedules."""

    def begin(self, index: int) -> bool:
        """Get ready for schedule number ``index``; False: every schedule within the bounds has been run."""

    def end(self, run: Run) -> None:
        """Learn from the schedule that just ended."""


@runtime_checkable
class Reducing(Protocol):
    """A search that leaves out schedules which are equivalent to others.

    Attributes:
        classes: one number per happens-before class that was run.
        blocked: schedules that were given up as redundant.
        interleavings: schedules that the classes stand for; None where they were not counted.
        assumed, observed: steps that counted as touching anything, and those whose footprint was declared or observed.
    """

    classes: set[int]
    blocked: int
    interleavings: int | None
    assumed: int
    observed: int

    def observe(self, engine: Engine) -> None:
        """Get ready to work with ``engine``, whose steps it wants to know everything about."""


class Strategy(Protocol):
    """How to choose: a small frozen value that describes itself and makes searches.

    Attributes:
        name: as on the command line and in tables, for example ``random-walk``.
        exhaustive: whether running out of schedules proves something.
        bound: the bound within which it is exhaustive, for example ``preemptions<=2``; empty: none.
    """

    @property
    def name(self) -> str: ...
    @property
    def exhaustive(self) -> bool: ...
    @property
    def bound(self) -> str: ...

    def search(self, seed: int) -> Search:
        """A fresh search. The same seed makes the same choices."""
