"""Run a campaign: hand ranges out, add parts up, and survive whoever dies on the way."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from racewindow.campaign._folder import Folder
from racewindow.campaign._part import Part, Sum, do_range
from racewindow.campaign._plan import Plan, Range
from racewindow.campaign._pools import Pool, ThisProcess
from racewindow.errors import UsageError
from racewindow.experiments import CaseResult
from racewindow.frames import matrix_frame

if TYPE_CHECKING:
    import pandas as pd

ATTEMPTS = 3
"""A range that was with a worker each time so many died is given up: it kills them."""

_POLL_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Campaign:
    """What a campaign showed.

    Attributes:
        plan: what it was to do.
        results: one for each job that came to a verdict, in the order of the plan; time may have cut others short.
        ranges: how many were done, those of an earlier run included.
        resumed: how many of them an earlier run had done.
        deaths: how many workers died.
        lost: why it ended before its end, when the workers went away; empty when they did not.
        interrupted: the user stopped it.
        timed_out: the time limit stopped it.
        seconds: wall-clock time taken.
    """

    plan: Plan = field(repr=False)
    results: tuple[CaseResult, ...] = field(repr=False)
    ranges: int
    resumed: int = 0
    deaths: int = 0
    lost: str = ""
    interrupted: bool = False
    timed_out: bool = False
    seconds: float = field(default=0.0, repr=False)

    def __repr__(self) -> str:
        verdicts = Counter(result.verdict for result in self.results)
        counts = " ".join(f"{verdict}={count}" for verdict, count in sorted(verdicts.items()))
        return f"<Campaign of {len(self.plan.jobs)} jobs, {self.ranges} ranges, schedules={self.schedules} {counts}>"

    @property
    def frame(self) -> pd.DataFrame:
        """One row per result, with the columns :data:`racewindow.frames.MATRIX`."""
        return matrix_frame(result.row for result in self.results)

    @property
    def schedules(self) -> int:
        """How many were run."""
        return sum(result.schedules for result in self.results)

    @property
    def failures(self) -> int:
        """How many of them failed."""
        return sum(result.failures for result in self.results)


def campaign(
    plan: Plan,
    *,
    pool: Pool | None = None,
    folder: Folder | None = None,
    time_limit_s: float | None = None,
    on_part: Callable[[Part, bool], None] | None = None,
    say: Callable[[str], None] | None = None,
) -> Campaign:
    """Do a plan. What it shows depends on the plan, and not on who does it, unless time cuts it short.

    Args:
        plan: what to do.
        pool: who does it; default: this process. It is let go at the end.
        folder: where schedules are kept; ranges that are done there are not done again.
        time_limit_s: wall-clock seconds after which no range begins, and those at work stop after the schedule they are at.
        on_part: called with every part, for progress, and whether an earlier run had done it.
        say: called with what a person should know: a worker died.

    Raises:
        UsageError: the plan never ends, and there is no time limit.
    """
    if plan.schedules is None and time_limit_s is None:
        raise UsageError("without a number of schedules a campaign never ends: give a time limit")
    if time_limit_s is not None and time_limit_s <= 0:
        raise UsageError(f"time_limit_s={time_limit_s}: the limit must be positive")
    driver = _Driver(plan, pool or ThisProcess(), folder, time_limit_s, on_part, say or (lambda _: None))
    try:
        driver.run()
    finally:
        driver.pool.close(at_once=driver.interrupted or driver.timed_out)
    return driver.campaign()


class _Driver:
    """A campaign at work."""

    def __init__(
        self,
        plan: Plan,
        pool: Pool,
        folder: Folder | None,
        time_limit_s: float | None,
        on_part: Callable[[Part, bool], None] | None,
        say: Callable[[str], None],
    ) -> None:
        self.plan, self.pool, self.folder = plan, pool, folder
        self._time_limit_s, self._on_part, self._say = time_limit_s, on_part, say
        self._started = time.monotonic()
        self._sums = [Sum(plan, index) for index in range(len(plan.jobs))]
        self._at_work: dict[Future[Part], Range] = {}
        self._suspects: deque[Range] = deque()  # were with a worker when one died: each is done again alone
        self._attempts: Counter[int] = Counter()
        self._given_up: set[int] = set()
        self.ranges = self.resumed = self.deaths = 0
        self.lost = ""
        self.interrupted = self.timed_out = False

    def run(self) -> None:
        """Until the plan, the time or the workers are at their end."""
        try:
            todo = self._todo()
            self._hand_out(todo)
            while self._at_work and not self.interrupted:
                done, _ = wait(self._at_work, timeout=_POLL_S, return_when=FIRST_COMPLETED)
                for news in self.pool.news():
                    self.deaths += 1
                    self._say(news)
                self._collect(done)
                self.lost = self.pool.lost()
                if self.lost:
                    return
                self._hand_out(todo)
        except KeyboardInterrupt:
            self.interrupted = True
            self._collect({future for future in self._at_work if future.done()})

    def _todo(self) -> Iterator[Range]:
        done: set[int] = set()
        for part in self.folder.done() if self.folder else ():
            done.add(part.number)
            self._sums[part.job].add(part)
            self.ranges += 1
            self.resumed += 1
            if self._on_part is not None:
                self._on_part(part, True)
        return (each for each in self.plan.ranges() if each.number not in done)

    def _hand_out(self, todo: Iterator[Range]) -> None:
        if self.interrupted:
            return
        while self._suspects and not self._at_work:
            self._submit(self._suspects.popleft())
        while not self._suspects and len(self._at_work) < self.pool.capacity:
            left = self._left()
            if left is not None and left <= 0:
                self.timed_out = self.timed_out or next(todo, None) is not None
                return
            part_of = next(todo, None)
            if part_of is None:
                return
            if part_of.job not in self._given_up:
                self._submit(part_of)

    def _left(self) -> float | None:
        return None if self._time_limit_s is None else self._time_limit_s - (time.monotonic() - self._started)

    def _submit(self, part_of: Range) -> None:
        left = self._left()
        limit = None if left is None else max(left, 1e-9)
        job = self.plan.jobs[part_of.job]
        deadline = None if limit is None or self.pool.far else time.time() + limit
        future = self.pool.submit(do_range, job, part_of, self.plan.seed, limit, self.folder is not None, deadline)
        self._at_work[future] = part_of

    def _collect(self, done: set[Future[Part]]) -> None:
        dead: list[Range] = []
        for future in sorted(done, key=lambda future: self._at_work[future].number):
            part_of = self._at_work.pop(future)
            try:
                self._take(future.result())
            except CancelledError:
                self._suspects.append(part_of)  # with the cluster that went away; lost() tells
            except Exception as error:
                if not self.pool.died(error):
                    raise
                dead.append(part_of)
        if dead:
            self._bury(dead)

    def _bury(self, dead: list[Range]) -> None:
        """A worker died: all that may have gone with it is in doubt, and is done again, one range at a time, so that a culprit is known."""
        self.deaths += 1
        doubtful = dead
        if self.pool.shared_fate:
            doubtful = sorted([*dead, *self._at_work.values()], key=lambda each: each.number)
            self._at_work.clear()
        for part_of in doubtful:
            self._attempts[part_of.number] += len(doubtful) == 1 or self._attempts[part_of.number] == 0
            if self._attempts[part_of.number] < ATTEMPTS:
                self._suspects.append(part_of)
                continue
            reason = f"{part_of} was given up: {ATTEMPTS} workers died of it"
            self._sums[part_of.job].give_up(reason)
            self._given_up.add(part_of.job)
            self._say(reason)
        again = [str(each.number) for each in doubtful if self._attempts[each.number] < ATTEMPTS]
        if again:
            self._say(f"a worker process died (killed, or out of memory); doing again: range {', '.join(again)}")

    def _take(self, part: Part) -> None:
        if part.interrupted:
            self.interrupted = True
        if part.schedules or part.whole:
            self._sums[part.job].add(part)
            self.ranges += part.whole
        if not part.whole and not part.interrupted:
            self.timed_out = True
        if self.folder is not None and part.schedules:
            self.folder.write(part)
        if self._on_part is not None:
            self._on_part(part, False)

    def campaign(self) -> Campaign:
        """What there is."""
        results = (each.result for each in self._sums)
        return Campaign(
            plan=self.plan,
            results=tuple(result for result in results if result is not None),
            ranges=self.ranges,
            resumed=self.resumed,
            deaths=self.deaths,
            lost=self.lost,
            interrupted=self.interrupted,
            timed_out=self.timed_out,
            seconds=time.monotonic() - self._started,
        )
