"""The one protocol behind which every way of choosing schedules stands."""

from __future__ import annotations

from dataclasses import dataclass
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
class Attached(Protocol):
    """A search that looks at more of the engine than at what can run."""

    def attach(self, engine: Engine) -> None:
        """Get ready to work with ``engine``."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Reduction:
    """What a search ran that leaves out schedules which are equivalent to others.

    Attributes:
        classes: happens-before classes of the schedules that ended.
        blocked: schedules that were given up as redundant.
        interleavings: schedules that the classes stand for; None where they were not counted.
        footprints: how much was known about what steps touch.
    """

    classes: int
    blocked: int
    interleavings: int | None
    footprints: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What a search has to say of itself when it is over.

    Attributes:
        notes: one sentence each: what it took for granted, and what follows from that.
        sampled_from: the first schedule from which on all were drawn at random; None: they were not.
        independent_from: the first one from which on they were drawn alike and independently of each other too, which is what
            estimates of the unseen need; None: they were not.
        exhaustive, bound: as those of the strategy, where only the search itself could tell; None: the strategy's hold.
        reduction: what was left out, by a search that leaves out something.
    """

    notes: tuple[str, ...] = ()
    sampled_from: int | None = 0
    independent_from: int | None = None
    exhaustive: bool | None = None
    bound: str | None = None
    reduction: Reduction | None = None


@runtime_checkable
class Accountable(Protocol):
    """A search that has something to say of itself."""

    def account(self) -> Account: ...


@runtime_checkable
class Budgeted(Protocol):
    """A strategy that has to know how many schedules it may run."""

    def within(self, schedules: int | None) -> Strategy:
        """The same strategy for a budget; None: no bound."""
