"""What an exploration found, as plain values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from racewindow.kernel.violation import Violation

if TYPE_CHECKING:
    import pandas as pd

SearchVerdict = Literal["proved", "passed", "failed", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One schedule of an exploration, in brief.

    Attributes:
        index: number of the schedule.
        verdict: ``passed``, ``failed`` or ``unknown``.
        violations: the broken invariants.
        steps, preemptions: size of the schedule.
        token: replays it; empty for schedules that passed.
        reason: why it is ``unknown``.
        happens_before: its happens-before class, where it was noted; equal for schedules that differ only in independent steps.
    """

    index: int
    verdict: str
    violations: tuple[Violation, ...]
    steps: int
    preemptions: int
    token: str
    reason: str
    happens_before: str = ""

    @property
    def violation(self) -> Violation | None:
        """The first broken invariant, if any."""
        return self.violations[0] if self.violations else None

    @property
    def row(self) -> dict[str, object]:
        """This schedule as a row of :data:`racewindow.frames.RUNS`."""
        return {
            "schedule": self.index,
            "verdict": self.verdict,
            "violation": "+".join(dict.fromkeys(violation.kind for violation in self.violations)),
            "messages": " ".join(dict.fromkeys(m for violation in self.violations for m in violation.messages)),
            "steps": self.steps,
            "preemptions": self.preemptions,
            "token": self.token,
        }

    def __repr__(self) -> str:
        kind = f" {self.violation.kind}" if self.violation else ""
        return f"<Found {self.index} {self.verdict}{kind} steps={self.steps} preemptions={self.preemptions}>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exploration:
    """What the schedules of one exploration did.

    Attributes:
        subject: its name.
        strategy, bound, seed: how schedules were chosen.
        verdict: ``proved`` (every schedule within the bound), ``passed``, ``failed`` or ``unknown``.
        reason: why it is ``unknown``, else empty.
        schedules, failures, unknowns: counts.
        complete: whether every schedule within the bound was run.
        interrupted: whether the user stopped it.
        classes: distinct happens-before classes among the schedules; None where the strategy does not tell them apart.
        blocked: schedules that a reduction began and gave up, because they were equivalent to others.
        interleavings: schedules that these classes stand for, as far as they were counted.
        footprints: how much a reduction knew about what steps touch; empty without one.
        first: the first failing schedule.
        notes: what the strategy says of itself: what it took for granted, and what follows from that.
        sampled_from: the first schedule from which on all were drawn at random; None: none.
        independent_from: the first one from which on they were drawn alike and independently of each other; None: none.
        found: all schedules in brief, in order.
        seconds: wall-clock time taken.
    """

    subject: str
    strategy: str
    bound: str
    seed: int
    verdict: SearchVerdict
    reason: str
    schedules: int
    failures: int
    unknowns: int
    complete: bool
    interrupted: bool
    classes: int | None = None
    blocked: int = 0
    interleavings: int | None = None
    footprints: str = ""
    first: Found | None
    notes: tuple[str, ...] = field(default=(), repr=False)
    sampled_from: int | None = field(default=None, repr=False)
    independent_from: int | None = field(default=None, repr=False)
    found: tuple[Found, ...] = field(repr=False)
    seconds: float = field(repr=False)

    @property
    def executions(self) -> int:
        """Number of schedules, by the name proofs use."""
        return self.schedules

    @property
    def runs(self) -> pd.DataFrame:
        """One row per schedule; see :data:`racewindow.frames.RUNS` for the columns."""
        from racewindow.frames import runs_frame

        return runs_frame(found.row for found in self.found)

    def summary(self) -> str:
        """What was found and how sure that is, in a few lines: counts, intervals, the unseen, and what the strategy says of itself."""
        from racewindow.search._summary import summary

        return summary(self)

    def __repr__(self) -> str:
        bound = f" {self.bound}" if self.bound else ""
        return (
            f"<Exploration {self.subject} {self.verdict} {self.strategy}{bound} "
            f"schedules={self.schedules} failures={self.failures} seed={self.seed}>"
        )
