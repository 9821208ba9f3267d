"""Auto: exhaust when the budget allows it, else sample in four ways."""

from __future__ import annotations

from dataclasses import dataclass, replace

from racewindow.kernel.engine import Engine
from racewindow.kernel.run import Run
from racewindow.kernel.task import Task
from racewindow.search._checks import check_whole
from racewindow.search.burst import Burst
from racewindow.search.dpor import DPORSearch
from racewindow.search.pct import PCT
from racewindow.search.pos import POS
from racewindow.search.strategy import Account, Accountable, Search, Strategy
from racewindow.search.urw import URW

PARTS: tuple[Strategy, ...] = (URW(), Burst(), POS(), PCT())
"""Each is the best of the four on some kind of race."""

_UNBOUNDED = 10_000  # the budget that exhausting has to fit into where only the time is limited
_TRIAL = 10  # before a tenth of the budget is spent, nobody knows how large the search is


@dataclass(frozen=True, slots=True)
class Auto:
    """Exhaust the subject by reduction (:class:`DPOR`) if that fits the budget; if not, split what is left of it evenly between URW, Burst,
    POS and PCT.

    Whether it fits is estimated on the way: the schedules run so far, divided by the share of the search that they stand for (Kilby,
    Slaney, Thiebaux and Walsh, "Estimating search tree size", AAAI 2006), as far as the reduction knows it by then. Nothing is run twice
    for that.

    Args:
        schedules: the budget; the explorer fills it in.

    Raises:
        UsageError: the budget is not positive.
    """

    schedules: int | None = None

    def __post_init__(self) -> None:
        if self.schedules is not None:
            check_whole("schedules", self.schedules, least=1, why="at least one schedule has to run")

    name = "auto"
    exhaustive = False
    bound = ""

    def within(self, schedules: int | None) -> Auto:
        """The same for a budget."""
        return replace(self, schedules=schedules if self.schedules is None else self.schedules)

    def search(self, seed: int) -> AutoSearch:
        """A fresh search."""
        return AutoSearch(seed, self.schedules or _UNBOUNDED)


class AutoSearch:
    """Auto at work: it hands each schedule to the search whose turn it is."""

    def __init__(self, seed: int, budget: int) -> None:
        self._budget = budget
        self._exhausting: DPORSearch | None = DPORSearch()
        self._samplers: list[Search] = [part.search(seed) for part in PARTS]
        self._at_work: Search = self._exhausting
        self._tried = 0  # schedules run to exhaust the subject
        self._estimated = 0.0
        self._drawn = [0] * len(PARTS)
        self._failed = [0] * len(PARTS)
        self._part = 0
        self.every_step = self._exhausting.every_step

    def attach(self, engine: Engine) -> None:
        """The reduction has the engine watch what steps use; the samplers need no more than its books."""
        self._engine = engine
        if self._exhausting is not None:
            self._exhausting.attach(engine)

    def begin(self, index: int) -> bool:
        if self._exhausting is not None:
            return self._exhausting.begin(index)
        self._part = (index - self._tried) % len(PARTS)
        self._at_work = self._samplers[self._part]
        self.every_step = self._at_work.every_step
        return self._at_work.begin(self._drawn[self._part])

    def choose(self, enabled: list[Task], current: int) -> int:
        return self._at_work.choose(enabled, current)

    def end(self, run: Run) -> None:
        self._at_work.end(run)
        if self._exhausting is None:
            self._drawn[self._part] += 1
            self._failed[self._part] += run.verdict == "failed"
            return
        self._tried += 1
        self._estimated = self._tried / self._exhausting.share
        if self._tried * _TRIAL >= self._budget and self._estimated > self._budget:
            self._exhausting = None
            self._engine.look_away()

    def account(self) -> Account:
        if self._exhausting is not None:
            account = self._exhausting.account()
            return replace(account, notes=("auto: exhausts", *account.notes), exhaustive=True, bound="")
        shares = ", ".join(
            f"{part.name} {drawn} ({failed} failed)"
            for part, drawn, failed in zip(PARTS, self._drawn, self._failed, strict=True)
        )
        notes = [
            f"auto: too many to exhaust (about {self._estimated:.2g} schedules); after {self._tried} run to exhaust them the others were "
            f"split between {shares}"
        ]
        for sampler, drawn in zip(self._samplers, self._drawn, strict=True):
            if drawn and isinstance(sampler, Accountable):
                notes += sampler.account().notes
        return Account(notes=tuple(notes), sampled_from=self._tried, exhaustive=False, bound="")
