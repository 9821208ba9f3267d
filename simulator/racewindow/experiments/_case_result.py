"""Explore one case, and judge what was seen of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from racewindow.experiments._seen import Seen
from racewindow.frames import Timeline, matrix_frame, runs_frame
from racewindow.search import EXECUTIONS, Found, explore
from racewindow.search.strategy import Strategy
from racewindow.sessions.case import Case

if TYPE_CHECKING:
    import pandas as pd

    from racewindow.experiments._shrink import ShrunkCase


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseResult:
    """What exploring one case showed.

    Attributes:
        case: what was explored.
        verdict: ``proved``, ``passed``, ``failed``, ``unknown`` or ``not-applicable``.
        reason: why it is ``unknown`` or ``not-applicable``.
        strategy, bound, seed: how schedules were chosen.
        complete: every schedule within the bound was run.
        schedules, failures: counts.
        classes, interleavings: happens-before classes that a reduction ran, and the schedules that these stand for; None where that was
            not counted.
        footprints: how much a reduction knew about what steps touch.
        first: the first failing schedule; its token replays it.
        shrunk: the simplest failure that is the same bug as the first one, where somebody asked for it (:meth:`shrink`).
        goals: what had to happen in some schedule, and whether it did.
        noted: what is no violation, but worth knowing: in how many schedules messages were handed over again after a crash
            (``re_extracted``), in how many the extractor failed an attempt (``attempts_failed``), and in how many an operation
            raised something else than a refusal (``errors``).
        interrupted: the user stopped it; what is here is what was found until then.
        notes: what the strategy says of itself: what it took for granted, and what follows from that.
        sampled_from: the first schedule from which on all were drawn at random; None: none.
        found: the schedules in brief.
        seconds: wall-clock time taken.
    """

    case: Case
    verdict: str
    reason: str = ""
    strategy: str = ""
    bound: str = ""
    seed: int = 0
    complete: bool = False
    schedules: int = 0
    failures: int = 0
    classes: int | None = None
    interleavings: int | None = None
    footprints: str = ""
    first: Found | None = None
    shrunk: ShrunkCase | None = None
    goals: dict[str, bool] = field(default_factory=dict)
    noted: dict[str, int] = field(default_factory=dict)
    interrupted: bool = False
    notes: tuple[str, ...] = field(default=(), repr=False)
    sampled_from: int | None = field(default=None, repr=False)
    found: tuple[Found, ...] = field(default=(), repr=False)
    seconds: float = field(default=0.0, repr=False)

    @property
    def token(self) -> str:
        """Replays the first failing schedule, as it was found; empty without one."""
        return self.first.token if self.first else ""

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of violation of all failing schedules, in order of appearance."""
        return tuple(dict.fromkeys(violation.kind for one in self.found for violation in one.violations))

    @property
    def runs(self) -> pd.DataFrame:
        """One row per schedule, with the columns :data:`racewindow.frames.RUNS`."""
        return runs_frame(found.row for found in self.found)

    @property
    def row(self) -> dict[str, object]:
        """This result as a row of the comparison matrix."""
        return {
            "scenario": self.case.scenario.name,
            "topology": self.case.topology,
            "disk": self.case.disk,
            "implementation": self.case.implementation.name,
            "verdict": self.verdict,
            "violation": "+".join(self.kinds),
            "schedules": self.schedules,
            "failures": self.failures,
            "complete": self.complete,
            "bound": self.bound,
            "strategy": self.strategy,
            "token": self.token,
            "reason": self.reason,
        }

    @property
    def frame(self) -> pd.DataFrame:
        """One row, with the columns :data:`racewindow.frames.MATRIX`."""
        return matrix_frame([self.row])

    def shrink(self, *, max_executions: int = EXECUTIONS) -> CaseResult:
        """The same result, with the simplest failure that is the same bug as the first one; without a failure, as it is.

        Args:
            max_executions: schedules to run for it at most.
        """
        from racewindow.experiments._shrink import shrink

        if self.first is None:
            return self
        return replace(self, shrunk=shrink(self.case, self.first, max_executions=max_executions))

    def timeline(self, token: str = "") -> Timeline:
        """The story of a schedule of this case; without a token, of the shrunk failure, or else of the first one."""
        from racewindow.experiments._timeline import timeline

        if self.shrunk is not None and token in ("", self.shrunk.token):
            return self.shrunk.timeline()
        return timeline(self.case, token or self.token)

    def __repr__(self) -> str:
        kinds = f" {'+'.join(self.kinds)}" if self.kinds else ""
        return f"<CaseResult {self.case.name} {self.verdict}{kinds} schedules={self.schedules}>"


def explore_case(
    case: Case,
    strategy: Strategy,
    *,
    schedules: int | None,
    seed: int,
    time_limit_s: float | None,
    stop_at_first: bool,
) -> CaseResult:
    """Explore ``case`` once; a goal that no schedule reached makes a clean verdict ``unknown``."""
    if case.not_applicable:
        return CaseResult(case=case, verdict="not-applicable", reason=case.not_applicable)
    seen = Seen(case)
    exploration = explore(
        case.subject(),
        strategy=strategy,
        schedules=schedules,
        seed=seed,
        host=case.implementation.host,
        limits=case.limits,
        time_limit_s=time_limit_s,
        stop_at_first=stop_at_first,
        name=case.name,
        checksum=case.checksum,
        on_run=seen.add,
    )
    verdict, reason = seen.judge(exploration.verdict, exploration.reason)
    return CaseResult(
        case=case,
        verdict=verdict,
        reason=reason,
        strategy=exploration.strategy,
        bound=exploration.bound,
        seed=seed,
        complete=exploration.complete,
        schedules=exploration.schedules,
        failures=exploration.failures,
        classes=exploration.classes,
        interleavings=exploration.interleavings,
        footprints=exploration.footprints,
        first=exploration.first,
        goals=seen.goals,
        noted=dict(seen.noted),
        interrupted=exploration.interrupted,
        notes=exploration.notes,
        sampled_from=exploration.sampled_from,
        found=exploration.found,
        seconds=exploration.seconds,
    )
