"""Crashes: a fault at every point of a story under every persistence policy, recovery, one more add and commit, all invariants."""

from __future__ import annotations

import time
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from math import inf
from typing import TYPE_CHECKING

from racewindow.disk import PERSISTENCE
from racewindow.errors import UsageError
from racewindow.experiments._stricken import Stricken, stricken
from racewindow.experiments._strikes import Blow, Strike, Strikes
from racewindow.frames import Timeline, crashes_frame
from racewindow.kernel.engine import Chooser, Engine
from racewindow.kernel.hosts import run_on
from racewindow.kernel.run import Run
from racewindow.kernel.task import Point
from racewindow.kernel.token import Token, token_of
from racewindow.search.bounded import Bounded
from racewindow.sessions.case import Case
from racewindow.sessions.history import History
from racewindow.sessions.invariants import report
from racewindow.sessions.scenario import CRASH_FAULTS, FAULTS, CrashFault

if TYPE_CHECKING:
    import pandas as pd

WAYS_MAX = 64  # what a loss of power may leave at one point, as far as it is tried


@dataclass(frozen=True, slots=True, kw_only=True)
class CrashesResult:
    """The map of one case.

    Attributes:
        case: what was mapped.
        fault: ``process-crash``, ``power-loss`` or ``cancel``.
        policies: of a loss of power.
        victim: whose store dies, or whose operation is cancelled.
        second: whether a second fault struck during the recovery.
        delays: the bound on the schedules after the last fault.
        frame: one row per cell, with the columns :data:`racewindow.frames.CRASHES`.
        baseline: the kinds of violation that the same story shows without a fault.
        schedules: run to their end.
        complete: every cell is there; if not, ``reason`` says why.
        not_applicable: why this fault says nothing about the implementation; empty when it does.
        interrupted: the user stopped it; what is here is what was found until then.
        seconds: wall-clock time taken.
    """

    case: Case
    fault: CrashFault
    policies: tuple[str, ...]
    victim: str
    second: bool = False
    delays: int = 0
    frame: pd.DataFrame = field(repr=False)
    baseline: tuple[str, ...] = ()
    schedules: int = 0
    complete: bool = True
    not_applicable: str = ""
    reason: str = ""
    interrupted: bool = False
    seconds: float = field(default=0.0, repr=False)

    @property
    def merged(self) -> int:
        """Cells that led to the state of an earlier one, so that they did not have to be explored."""
        return int((self.frame["merged_with"] >= 0).sum())

    def timeline(self, token: str) -> Timeline:
        """The story of one cell."""
        from racewindow.experiments._timeline import timeline

        case = Case.named(Token.parse(token).subject, lambda name: self.case.implementation)
        return timeline(case, token)

    def __repr__(self) -> str:
        failing = int((self.frame["outcome"] == "failed").sum())
        return f"<CrashesResult {self.case.name} {self.fault} {failing} of {len(self.frame)} cells>"


def crashes(
    case: Case,
    *,
    fault: CrashFault = "process-crash",
    policies: Sequence[str] = PERSISTENCE,
    victim: str = "",
    second: bool = False,
    delays: int = 0,
    merging: bool = True,
    ways_max: int = WAYS_MAX,
    time_limit_s: float | None = None,
) -> CrashesResult:
    """Map what a fault does at every point, exactly: at least one schedule for each cell.

    The workload runs in run-to-block order. After each of its steps, up to the end or to where it waits for time to pass, there is a cell
    in which the fault strikes; then come recovery, the operations that are left, one more add and commit, and rest. Clients of the
    scenario that make faults happen are replaced; those that wait for one of them wait for this fault.

    Two cells that lead to the same state (durable and volatile contents, locks, history, tasks and where they stand, and what surviving
    processes have seen) have the same future: the second one is not explored, and its token is put together from its own beginning and
    the other's end. States are told where an implementation is ``watched`` and puts nothing into ``env.shared``.

    Args:
        case: implementation, scenario and granularity.
        fault: ``process-crash`` of the victim's store, ``power-loss`` of all, or ``cancel`` of the victim's operation.
        policies: of a loss of power; ``any`` tries everything that it may leave.
        victim: a client; default: the first one that commits.
        second: strike a second time, at every point of the recovery, as well.
        delays: the schedules to try after the last fault: all with at most so many delays (:class:`~racewindow.Bounded`).
        merging: explore a state only once.
        ways_max: with ``any``, how much of what may be left at one point is tried; where there is more, a row says ``unknown``.
        time_limit_s: wall-clock seconds.

    Raises:
        UsageError: an unknown fault or policy, no such victim, a scenario without one, or a second cancellation.
    """
    _check(fault, policies, second, ways_max)
    started = time.monotonic()
    tried = tuple(dict.fromkeys(policies)) if fault == "power-loss" else ("",)
    quiet = stricken(case.scenario, fault, tried[0], victim=victim, strikes=0)
    stories = {
        (strikes, policy): stricken(case.scenario, fault, policy, victim=quiet.victim, strikes=strikes)
        for strikes in ((1, 2) if second else (1,))
        for policy in tried
    }
    done = {operation.kind for client in quiet.scenario.clients for operation in client.operations}
    disturbed = not done.isdisjoint(
        FAULTS
    )  # by an extractor or a storage that fails: what is still to fail is not in the state
    rows: list[dict[str, object]] = []
    maps: list[_Map] = []
    baseline: list[str] = []
    interrupted = False

    def work(engine: Engine) -> None:
        baseline.extend(_alone(engine, replace(case, scenario=quiet.scenario)))
        for (strikes, policy), story in stories.items():
            maps.append(
                _Map(
                    engine=engine,
                    case=replace(case, scenario=story.scenario),
                    story=story,
                    fault=fault,
                    strikes=strikes,
                    delays=delays,
                    ways_max=ways_max,
                    merging=merging and case.implementation.watched and not disturbed,
                    deadline=inf if time_limit_s is None else started + time_limit_s,
                    told={
                        "implementation": case.implementation.name,
                        "scenario": case.scenario.name,
                        "topology": case.topology,
                        "disk": case.disk,
                        "fault": fault,
                        "policy": policy,
                        "victim": story.victim,
                    },
                    rows=rows,
                )
            )
            maps[-1].explore_all()

    not_applicable = next(replace(case, scenario=story.scenario).not_applicable for story in stories.values())
    reason = not_applicable
    if not reason:
        try:
            run_on(case.implementation.host, work)
        except _Late:
            reason = "the time was up"
        except KeyboardInterrupt:
            reason, interrupted = "interrupted", True
    return CrashesResult(
        case=case,
        fault=fault,
        policies=tried if fault == "power-loss" else (),
        victim=quiet.victim,
        second=second,
        delays=delays,
        frame=crashes_frame(rows),
        baseline=tuple(baseline),
        schedules=sum(each.schedules for each in maps),
        complete=not reason,
        not_applicable=not_applicable,
        reason=reason,
        interrupted=interrupted,
        seconds=time.monotonic() - started,
    )


def _check(fault: str, policies: Sequence[str], second: bool, ways_max: int) -> None:
    if fault not in CRASH_FAULTS:
        raise UsageError(f"unknown fault {fault!r}: use one of {', '.join(CRASH_FAULTS)}")
    for policy in policies:
        if policy not in PERSISTENCE:
            raise UsageError(f"unknown persistence policy {policy!r}: use {', '.join(PERSISTENCE)}")
    if fault == "power-loss" and not policies:
        raise UsageError(f"a loss of power needs a persistence policy: use {', '.join(PERSISTENCE)}")
    if second and fault == "cancel":
        raise UsageError("a cancelled store does not recover: 'second' is for process-crash and power-loss")
    if ways_max < 1:
        raise UsageError(f"ways_max={ways_max}: at least one of what a loss of power may leave has to be tried")


def _alone(engine: Engine, case: Case) -> tuple[str, ...]:
    """The kinds of violation that the story shows without a fault."""
    search = Bounded(None, delays=0).search(0)
    search.begin(0)
    run = engine.execute(case.subject(), search, case.limits)
    return tuple(dict.fromkeys(violation.kind for violation in run.violations))


Cell = tuple[Strike, ...]
_WORST = ("failed", "unknown", "ok", "infeasible")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ending:
    """What a cell leads to: its worst row, and the schedule that this one shows.

    Attributes:
        row: as it stands in the frame.
        run: its schedule.
        after: for each strike, the index of the first step after it.
    """

    row: dict[str, object]
    run: Run
    after: tuple[int, ...]

    @property
    def rank(self) -> int:
        return _WORST.index(str(self.row["outcome"]))

    def since(self, level: int) -> _Ending:
        """Only what came after strike number ``level``: all that a merged cell needs."""
        return replace(self, run=replace(self.run, points=self.run.points[self.after[level] :]))


class _Merged(Exception):
    """Raised to give a schedule up: the state after strike number ``level`` was met before, in another cell."""

    def __init__(self, level: int, known: Cell, points: list[Point], blows: list[Blow]) -> None:
        super().__init__()
        self.level = level
        self.known = known
        self.points = points
        self.blows = blows


class _Late(Exception):
    """The time is up."""


@dataclass(slots=True, kw_only=True)
class _Map:
    """Goes through the cells of one story, depth first: gap by gap, fate by fate, strike within strike."""

    engine: Engine
    case: Case
    story: Stricken
    fault: CrashFault
    strikes: int
    delays: int
    ways_max: int
    merging: bool
    deadline: float
    told: dict[str, object]
    rows: list[dict[str, object]]
    schedules: int = 0
    _states: dict[tuple[int, Hashable], Cell] = field(default_factory=dict)
    _entered: set[Cell] = field(default_factory=set)
    _endings: dict[Cell, _Ending] = field(default_factory=dict)

    def explore_all(self) -> None:
        """Every cell; raises _Late when there is no time left."""
        self._within(())

    def _within(self, outer: Cell) -> tuple[list[Blow], _Ending]:
        """All cells in which the next fault strikes after those of ``outer``: what these were, and the worst ending of all."""
        worst = None
        level = len(outer)
        for gap in count():
            fates: tuple[int, ...] | None = ()
            ways = 0
            while fates is not None:
                cell = (*outer, Strike(gap, fates))
                try:
                    blows, ending = self._leaf(cell) if level + 1 == self.strikes else self._within(cell)
                    self._endings[cell] = ending.since(level)
                except _Merged as merged:
                    if merged.level < level:
                        raise  # it is the cell around this one that was met before
                    blows, ending = merged.blows, self._merge(cell, merged)
                worst = ending if worst is None or ending.rank < worst.rank else worst
                ways += 1
                fates = _next(fates, blows[level].ways)
                if fates is not None and ways == self.ways_max:
                    worst = min(worst, self._cut_off(cell, blows, ending), key=lambda each: each.rank)
                    break
            if blows[level].last:
                assert worst is not None
                return blows, worst
        raise AssertionError("counting does not end")

    # -- one cell ------------------------------------------------------------------------------------------------------

    def _leaf(self, cell: Cell) -> tuple[list[Blow], _Ending]:
        """Run the schedules of one cell."""
        search = Bounded(None, delays=self.delays).search(0)
        schedules = failures = extracted = 0
        worst: tuple[int, Run, list[Blow]] | None = None
        while search.begin(schedules):
            run, blows = self._play(cell, search)
            search.end(run)
            schedules += 1
            outcome = _outcome(run, blows)
            failures += outcome == "failed"
            if isinstance(run.result, History):
                extracted = max(extracted, report(run.result)["re_extracted"])
            if worst is None or _WORST.index(outcome) < worst[0]:
                worst = _WORST.index(outcome), run, blows
        assert worst is not None, "every search has a first schedule"
        rank, run, blows = worst
        told = {
            "outcome": _WORST[rank],
            "violation": "+".join(dict.fromkeys(each.kind for each in run.violations)) if rank == 0 else "",
            "re_extracted": extracted,
            "schedules": schedules,
            "failures": failures,
        }
        row = self._write(cell, blows, told, run)
        return blows, _Ending(row=row, run=run, after=tuple(blow.at for blow in blows))

    def _play(self, cell: Cell, search: Chooser) -> tuple[Run, list[Blow]]:
        if time.monotonic() > self.deadline:
            raise _Late

        def met(level: int, state: Hashable | None, blows: list[Blow]) -> None:
            within = cell[: level + 1]
            if not self.merging or state is None or within in self._entered:
                return
            self._entered.add(within)
            known = self._states.setdefault((level, state), within)
            if known != within:
                raise _Merged(level, known, list(self.engine.points), blows)

        chooser = Strikes(self.engine, self.story, self.fault, cell, search, met)
        run = self.engine.execute(self.case.subject(chooser.set_up), chooser, self.case.limits)
        self.schedules += 1
        missed = [Blow(last=True, at=run.steps) for _ in cell[len(chooser.blows) :]]
        return run, [*chooser.blows, *missed]

    def _merge(self, cell: Cell, merged: _Merged) -> _Ending:
        """A cell that goes on like a known one: its own beginning, and the other's end."""
        known = self._endings[merged.known]
        run = replace(known.run, points=[*merged.points, *known.run.points])
        told = {name: known.row[name] for name in (*_RESULTS, *_SECOND) if name in known.row}
        row = self._write(cell, merged.blows, {**told, "merged_with": known.row["cell"]}, run)
        shift = len(merged.points) - known.after[merged.level]
        after = tuple(at + shift for at in known.after)
        return _Ending(row=row, run=run, after=(*(blow.at for blow in merged.blows), *after[len(merged.blows) :]))

    def _cut_off(self, cell: Cell, blows: list[Blow], last: _Ending) -> _Ending:
        """There is more that a loss of power may leave here than was to be tried."""
        row = self._write(cell, blows, {"outcome": "unknown"}, last.run)
        row["persisted" if len(cell) == 1 else "second_persisted"] = f"more than {self.ways_max} ways"
        return replace(last, row=row)

    def _write(self, cell: Cell, blows: list[Blow], told: dict[str, object], run: Run) -> dict[str, object]:
        first = blows[0]
        row: dict[str, object] = {
            **self.told,
            "cell": len(self.rows),
            "point": cell[0].gap,
            "task": first.task,
            "after_step": first.after,
            "before_step": first.before,
            "phase": first.phase,
            "persisted": first.persisted,
            **told,
            "token": str(token_of(run, subject=self.case.name, checksum=self.case.checksum)),
        }
        if len(cell) > 1:
            second = blows[1]
            values = (cell[1].gap, second.task, second.after, second.before, second.persisted)
            row.update(zip(_SECOND, values, strict=True))
        self.rows.append(row)
        return row


_RESULTS = ("outcome", "violation", "re_extracted")
_SECOND = ("second", "second_task", "second_after_step", "second_before_step", "second_persisted")


def _outcome(run: Run, blows: Sequence[Blow]) -> str:
    if not all(blow.fired for blow in blows):
        return "infeasible"
    return {"passed": "ok"}.get(run.verdict, run.verdict)


def _next(fates: tuple[int, ...], ways: Sequence[int]) -> tuple[int, ...] | None:
    """The fates that come after these, when each thing had so many; None after the last ones."""
    full = [*fates, *[0] * (len(ways) - len(fates))]
    for place in reversed(range(len(full))):
        if full[place] + 1 < ways[place]:
            return (*full[:place], full[place] + 1)
    return None
