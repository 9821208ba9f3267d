"""Compare: implementations x scenarios x topologies x granularities; one matrix, the maps and curves, one report."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from racewindow.disk import Granularity
from racewindow.errors import RacewindowError, Unsupported, UsageError
from racewindow.experiments._arrivals import arrivals
from racewindow.experiments._case_result import CaseResult
from racewindow.experiments._crashes import crashes
from racewindow.experiments._first_bug import FirstBug, first_bug
from racewindow.experiments._fuzz import fuzz
from racewindow.experiments._intrusion import has_pair
from racewindow.experiments._prove import prove
from racewindow.experiments._timeline import timeline
from racewindow.experiments._windows import windows
from racewindow.frames import (
    ARRIVALS,
    CRASHES,
    FIRST_BUG,
    RIBBON,
    WINDOWS,
    Timeline,
    arrivals_frame,
    concat,
    conform,
    crashes_frame,
    first_bug_frame,
    matrix_frame,
    widths,
)
from racewindow.kernel.token import Token
from racewindow.sessions.case import Case
from racewindow.sessions.implementation import SessionStore
from racewindow.sessions.scenario import Scenario, Topology

RIBBONS_MOST = 90  # in one picture


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What one cell of a comparison may use up.

    Attributes:
        preemptions: the largest bound to prove.
        max_executions: schedules of one bound; beyond, the cell is proved for the smaller bound, and sampled.
        schedules: how many to sample where not even the smallest bound could be proved.
        seed: of the sampling.
        shrink_executions: schedules to run at most for the simplest failure like the one found, which is the one that is told; 0: it is
            told as it was found.
        delays_s: virtual seconds from 'accepted' to the arrival of the second client.
        arrivals: schedules to sample for each of these delays.
        searches: for the first violation, with each strategy.
        search_schedules: after so many such a search is cut off.
    """

    preemptions: int = 2
    max_executions: int = 350
    schedules: int = 200
    seed: int = 0
    shrink_executions: int = 400
    delays_s: tuple[float, ...] = (0.0, 0.01, 0.1, 1.0, 3.0, 10.0)
    arrivals: int = 100
    searches: int = 10
    search_schedules: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Implementations side by side.

    Attributes:
        matrix: one row per scenario, topology, granularity and implementation; columns :data:`racewindow.frames.MATRIX`.
        windows: one row per gap; columns :data:`racewindow.frames.WINDOWS`.
        crashes: one row per point of a crash map; columns :data:`racewindow.frames.CRASHES`.
        arrivals: one row per delay; columns :data:`racewindow.frames.ARRIVALS`.
        first_bugs: one row per search for the first violation; columns :data:`racewindow.frames.FIRST_BUG`.
        timelines: the stories that the report tells, by token.
        implementations, scenarios: what was compared, with a line or the text for each.
        settings: budget, seed, and how long it took.
        stores: what was compared, by the name that tokens carry.
        notes: maps and curves that are not there, and why.
        interrupted: the user or the time limit stopped it; what is here is what was found until then.
    """

    matrix: pd.DataFrame = field(repr=False)
    windows: pd.DataFrame = field(repr=False)
    timelines: dict[str, Timeline] = field(repr=False)
    implementations: dict[str, str]
    scenarios: dict[str, str]
    settings: dict[str, Any]
    crashes: pd.DataFrame = field(default_factory=crashes_frame, repr=False)
    arrivals: pd.DataFrame = field(default_factory=arrivals_frame, repr=False)
    first_bugs: pd.DataFrame = field(default_factory=first_bug_frame, repr=False)
    stores: dict[str, type[SessionStore]] = field(default_factory=dict, repr=False)
    notes: tuple[str, ...] = ()
    interrupted: bool = False

    @property
    def widths(self) -> pd.DataFrame:
        """One row per ribbon; columns :data:`racewindow.frames.WIDTHS`."""
        return widths(self.windows)

    @property
    def drawn(self) -> pd.DataFrame:
        """The gaps that one picture can show: those of the last topology and the first granularity.

        Where these are more than `RIBBONS_MOST` ribbons, the first so many of those with a window.
        """
        frame = self.windows
        if frame.empty:
            return frame
        chosen = (frame["topology"] == self.settings["topologies"][-1]) & (frame["disk"] == self.settings["disks"][0])
        frame = conform(frame[chosen], WINDOWS, "windows")
        measured = widths(frame)
        if len(measured) <= RIBBONS_MOST:
            return frame
        wide = measured[measured["failing"] > 0].head(RIBBONS_MOST)
        shown = pd.MultiIndex.from_frame(frame[list(RIBBON)].astype("object")).isin(
            pd.MultiIndex.from_frame(wide[list(RIBBON)].astype("object"))
        )
        return conform(frame[shown], WINDOWS, "windows")

    def timeline(self, token: str) -> Timeline:
        """The story of any cell of the matrix, the maps or the curves.

        Raises:
            UsageError: the token is not of this comparison.
        """
        if token in self.timelines:
            return self.timelines[token]

        def resolve(name: str) -> type[SessionStore]:
            if name not in self.stores:
                raise UsageError(
                    f"the token belongs to {name!r}, which was not compared; take one from the token column of a frame"
                )
            return self.stores[name]

        return timeline(Case.named(Token.parse(token).subject, resolve), token)

    @property
    def summary(self) -> dict[str, object]:
        """The whole comparison as plain values, for ``summary.json``."""
        return {
            "settings": self.settings,
            "interrupted": self.interrupted,
            "implementations": self.implementations,
            "scenarios": self.scenarios,
            "notes": list(self.notes),
            "matrix": self.matrix.to_dict("records"),
            "widths": self.widths.to_dict("records"),
        }

    def write(self, folder: str | os.PathLike[str]) -> list[Path]:
        """Write ``summary.json``, the frames, the charts and ``report.html``; each file appears whole or not at all.

        Raises:
            UsageError: the folder cannot be written.
        """
        from racewindow import charts

        target = prepare(folder)
        figure = charts.atlas(self.drawn, stories=self.scenarios)
        makers: dict[str, Callable[[Path], Any]] = {
            # The frames first: whatever happens to a picture, the numbers are there.
            "summary.json": lambda path: path.write_text(json.dumps(self.summary, indent=1, default=str) + "\n"),
            "matrix.parquet": lambda path: self.matrix.to_parquet(path),
            "windows.parquet": lambda path: self.windows.to_parquet(path),
            "crashes.parquet": lambda path: self.crashes.to_parquet(path),
            "arrivals.parquet": lambda path: self.arrivals.to_parquet(path),
            "first_bugs.parquet": lambda path: self.first_bugs.to_parquet(path),
            "windows.svg": lambda path: charts.save(figure, path),
            "windows.png": lambda path: charts.save(figure, path),
            "matrix.png": lambda path: charts.save(charts.matrix(self.matrix), path),
            "report.html": lambda path: path.write_text(self.report()),
        }
        written = []
        for name, make in makers.items():
            with _whole(target / name) as path:
                make(path)
            written.append(target / name)
        return written

    def report(self) -> str:
        """One self-contained HTML page."""
        from racewindow import charts

        searches = FirstBug(frame=self.first_bugs, schedules=self.settings["search_schedules"])
        return charts.report(
            title="Race windows of session stores",
            summary={**self.settings, "interrupted": self.interrupted}
            | ({"left out": self.notes} if self.notes else {}),
            matrix=self.matrix,
            windows=self.windows,
            crashes=self.crashes,
            arrivals=self.arrivals,
            survival=searches.survival,
            rates=searches.rates,
            timelines=self.timelines,
            implementations=self.implementations,
            scenarios=self.scenarios,
            drawn=self.drawn,
        )

    def __repr__(self) -> str:
        verdicts = self.matrix["verdict"].astype("str").value_counts().to_dict()
        counts = " ".join(f"{verdict}={count}" for verdict, count in sorted(verdicts.items()))
        return f"<Comparison {len(self.implementations)} implementations, {len(self.scenarios)} scenarios, {counts}>"


def compare(
    implementations: Sequence[type[SessionStore]],
    scenarios: Sequence[Scenario],
    *,
    topologies: Sequence[Topology] = ("same-store", "separate-stores"),
    disks: Sequence[Granularity] = ("suspending", "atomic"),
    crashed: Scenario | None = None,
    arrived: Scenario | None = None,
    searched: Scenario | None = None,
    budget: Budget | None = None,
    jobs: int = 1,
    time_limit_s: float | None = None,
    progress: Callable[[Iterable[Any], int], Iterable[Any]] | None = None,
) -> Comparison:
    """Prove or sample every cell, and map the windows of every scenario that has a commit for others to come in between.

    Args:
        implementations: the columns.
        scenarios: the rows, each in every topology and granularity.
        topologies, disks: which.
        crashed: the story to map crashes of a process in (:func:`crashes`), in the first topology and granularity; None: no such map.
        arrived: the story to ask for arrivals (:func:`arrivals`), in the last topology and the first granularity; None: no such curves.
        searched: the story to search for the first violation with several strategies (:func:`first_bug`), where there is one, in the last
            topology and the first granularity; None: no such searches.
        budget: for each cell.
        jobs: worker processes; the result does not depend on it.
        time_limit_s: wall-clock seconds after which no further cell is waited for; what there is until then is returned.
        progress: wraps the iterable of results, with its length, to show progress.

    Raises:
        UsageError: nothing to compare, or nobody in ``arrived`` comes after a commit.
    """
    import joblib

    if not implementations or not scenarios or not topologies or not disks:
        raise UsageError("nothing to compare: give at least one implementation, scenario, topology and granularity")
    if time_limit_s is not None and time_limit_s <= 0:
        raise UsageError(f"time_limit_s={time_limit_s}: the limit must be positive")
    # Whatever is given twice, perhaps once by name and once by its text, is one row or column.
    implementations = list({each.name: each for each in implementations}.values())
    scenarios = list({each.text: each for each in scenarios}.values())
    budget = budget or Budget()
    started = time.monotonic()
    cases = [
        Case(implementation=implementation, scenario=scenario, topology=topology, disk=disk)
        for scenario in scenarios
        for topology in topologies
        for disk in disks
        for implementation in implementations
    ]
    whole = [implementation for implementation in implementations if not implementation.mutant]
    asked = [(examine, case) for case in cases]
    if crashed is not None:
        asked += [
            (_map_crashes, Case(implementation=each, scenario=crashed, topology=topologies[0], disk=disks[0]))
            for each in whole
        ]
    if arrived is not None:
        asked += [
            (_draw_arrivals, Case(implementation=each, scenario=arrived, topology=topologies[-1], disk=disks[0]))
            for each in whole
        ]
    if searched is not None:
        asked += [
            (_search, Case(implementation=each, scenario=searched, topology=topologies[-1], disk=disks[0]))
            for each in whole
        ]
    work = (joblib.delayed(ask)(case, budget) for ask, case in asked)
    results: Iterable[Any] = joblib.Parallel(n_jobs=jobs, return_as="generator", batch_size=1)(work)
    cells: list[Cell] = []
    interrupted = False
    try:
        for cell in progress(results, len(asked)) if progress else results:
            cells.append(cell)
            late = time_limit_s is not None and time.monotonic() - started > time_limit_s and len(cells) < len(asked)
            if cell.interrupted or late:
                interrupted = True
                break
    except KeyboardInterrupt:
        interrupted = True
    return Comparison(
        matrix=matrix_frame(cell.row for cell in cells if cell.row is not None),
        windows=concat((cell.windows for cell in cells if cell.windows is not None), WINDOWS),
        crashes=concat((cell.crashes for cell in cells if cell.crashes is not None), CRASHES),
        arrivals=concat((cell.arrivals for cell in cells if cell.arrivals is not None), ARRIVALS),
        first_bugs=concat((cell.first_bugs for cell in cells if cell.first_bugs is not None), FIRST_BUG),
        timelines={token: story for cell in cells for token, story in cell.timelines.items()},
        implementations={each.name: each.summary() for each in implementations},
        scenarios={scenario.name: scenario.text for scenario in scenarios},
        settings={
            "topologies": list(topologies),
            "disks": list(disks),
            "preemptions": budget.preemptions,
            "max_executions": budget.max_executions,
            "schedules": budget.schedules,
            "seed": budget.seed,
            "shrink_executions": budget.shrink_executions,
            "crashes": "none" if crashed is None else crashed.name,
            "arrivals": "none" if arrived is None else f"{arrived.name}, {budget.arrivals} schedules for each delay",
            "first_bugs": "none"
            if searched is None
            else f"{searched.name}, {budget.searches} searches with each strategy",
            "search_schedules": budget.search_schedules,
            "time": "idle",
            "seconds": round(time.monotonic() - started, 1),
        },
        stores={each.name: each for each in implementations},
        notes=tuple(cell.note for cell in cells if cell.note),
        interrupted=interrupted,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """What one worker sends back: plain values, nothing of the implementation; what was not asked of it is None."""

    row: dict[str, object] | None = None
    windows: pd.DataFrame | None = None
    crashes: pd.DataFrame | None = None
    arrivals: pd.DataFrame | None = None
    first_bugs: pd.DataFrame | None = None
    timelines: dict[str, Timeline] = field(default_factory=dict)
    note: str = ""
    interrupted: bool = False


def examine(case: Case, budget: Budget) -> Cell:
    """One cell: prove it as far as the budget goes, sample it where that is not far, and map its windows (not those of mutants).

    An implementation that breaks its side of the bargain makes its own cell ``unknown``, with the reason, and nobody else's.
    """
    try:
        result = prove(case, preemptions=budget.preemptions, max_executions=budget.max_executions)
        if result.verdict == "unknown" and not result.interrupted:
            sampled = fuzz(case, schedules=budget.schedules, seed=budget.seed)
            result = sampled if sampled.verdict in ("failed", "passed") else result
        elif result.verdict == "proved" and result.reason:  # less than was asked for is proved: look a little further
            sampled = fuzz(case, schedules=max(1, budget.schedules // 4), seed=budget.seed)
            result = sampled if sampled.verdict == "failed" else result
        if budget.shrink_executions and not result.interrupted:
            result = result.shrink(max_executions=budget.shrink_executions)
        told = {**result.row, "token": result.shrunk.token if result.shrunk else result.token}
        timelines = {str(told["token"]): result.timeline()} if result.token else {}
    except RacewindowError as error:
        row = CaseResult(case=case, verdict="unknown", reason=f"{type(error).__name__}: {error}").row
        return Cell(row=row)
    mapped = has_pair(case) and not case.implementation.mutant and result.verdict != "not-applicable"
    drawn = None
    if mapped and not result.interrupted:
        try:
            drawn = windows(case).frame
            for token in _one_of_each_kind(drawn):
                timelines.setdefault(token, timeline(case, token))
        except RacewindowError as error:  # the verdict stands without a map
            told["reason"] = "; ".join(part for part in (result.reason, f"no map: {error}") if part)
    return Cell(row=told, windows=drawn, timelines=timelines, interrupted=result.interrupted)


def _map_crashes(case: Case, budget: Budget) -> Cell:
    """What a crash of the process does at every point of a story."""
    try:
        result = crashes(case)
        told = {token: result.timeline(token) for token in _one_of_each_kind(result.frame)}
    except RacewindowError as error:
        return Cell(note=f"no crash map of {case.implementation.name}: {error}")
    why = result.not_applicable or result.reason
    note = (
        f"no{'' if result.not_applicable else ' whole'} crash map of {case.implementation.name}: {why}" if why else ""
    )
    return Cell(crashes=result.frame, timelines=told, note=note, interrupted=result.interrupted)


def _draw_arrivals(case: Case, budget: Budget) -> Cell:
    """How likely harm is, by the delay of a second client."""
    if case.not_applicable:
        return Cell(note=f"no arrivals at {case.implementation.name}: {case.not_applicable}")
    try:
        result = arrivals(case, delays_s=budget.delays_s, schedules=budget.arrivals, seed=budget.seed)
        told = {token: result.timeline(token) for token in _one_of_each_kind(result.frame)}
    except Unsupported as error:
        return Cell(note=f"no arrivals at {case.implementation.name}: {error}")
    return Cell(arrivals=result.frame, timelines=told, interrupted=result.interrupted)


def _search(case: Case, budget: Budget) -> Cell:
    """How many schedules each strategy takes to the first violation, where there is one."""
    try:
        tried = fuzz(case, schedules=budget.search_schedules, seed=budget.seed, stop_at_first=True)
        if tried.verdict != "failed":
            return Cell(interrupted=tried.interrupted)
        seeds = range(budget.seed, budget.seed + budget.searches)
        result = first_bug({case.implementation.name: case}, seeds=seeds, schedules=budget.search_schedules)
    except RacewindowError as error:
        return Cell(note=f"no searches for the first violation of {case.implementation.name}: {error}")
    return Cell(first_bugs=result.frame, interrupted=result.interrupted)


def _one_of_each_kind(frame: pd.DataFrame) -> Iterator[str]:
    """The first token for each kind of failure in a frame."""
    failing = frame[(frame["violation"] != "") & (frame["token"] != "")]
    for _, group in failing.groupby("violation", sort=False, observed=True):
        yield str(group["token"].iloc[0])


def prepare(folder: str | os.PathLike[str]) -> Path:
    """Make sure that ``folder`` exists and can be written, before any work is done.

    Raises:
        UsageError: it cannot.
    """
    target = Path(folder)
    try:
        target.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=target):
            pass
    except OSError as error:
        raise UsageError(
            f"cannot write to {target}: {error.strerror or error}; choose another folder with --output"
        ) from error
    return target


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """A temporary path with the same suffix beside ``path``, moved there when the block ends well."""
    temporary = path.with_name(f".{path.stem}.part{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
