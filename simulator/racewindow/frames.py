"""The frames that experiments make and charts draw: their columns, their exact dtypes, and window arithmetic.

Everything here is plain data: no experiment, no chart and no session store is known. A frame made by a builder has the
same columns and dtypes whether it has a million rows or none, so that a chart of an empty campaign is an empty chart
and not a ``KeyError``.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from racewindow.errors import UsageError

OUTCOMES = ("ok", "failed", "blocked-then-ok", "blocked-then-failed", "infeasible")
FAILING = ("failed", "blocked-then-failed")
BLOCKED = ("blocked-then-ok", "blocked-then-failed")
VERDICTS = ("proved", "passed", "failed", "unknown", "not-applicable")
PHASES = ("before-accepted", "accepted", "completed")

OUTCOME = pd.CategoricalDtype(pd.Index(OUTCOMES, dtype="str"))
VERDICT = pd.CategoricalDtype(pd.Index(VERDICTS, dtype="str"))
# One schedule can pass or fail; only a whole search can be a proof. Grouping runs with observed=False must not show
# a "proved" row that can never be anything but zero.
RUN_VERDICT = pd.CategoricalDtype(pd.Index(("passed", "failed", "unknown"), dtype="str"))
PHASE = pd.CategoricalDtype(pd.Index(PHASES, dtype="str"), ordered=True)

# What tells one ribbon of the atlas from another.
RIBBON = ("implementation", "scenario", "topology", "disk")


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One documented column.

    Attributes:
        name: the column's name.
        dtype: ``int64``, ``float64``, ``bool``, ``str``, or ``category`` (categories in order of first appearance),
            or the name of a shared dtype: ``outcome``, ``verdict``, ``run-verdict``, ``phase``.
        unit: what one unit is, or "".
        meaning: one line for a reader.
        default: the value where a row does not give one; None means that each row must.
    """

    name: str
    dtype: str
    unit: str
    meaning: str
    default: object = None


_SHARED: dict[str, Any] = {"outcome": OUTCOME, "verdict": VERDICT, "run-verdict": RUN_VERDICT, "phase": PHASE}

_IMPLEMENTATION = Column(name="implementation", dtype="category", unit="", meaning="the session store under test")
_SCENARIO = Column(name="scenario", dtype="category", unit="", meaning="name of the scenario, or its text")
_TOPOLOGY = Column(name="topology", dtype="category", unit="", meaning="which clients share a handle or a store")
_DISK = Column(name="disk", dtype="category", unit="", meaning="granularity: suspending or atomic storage calls")
_VIOLATION = Column(
    name="violation", dtype="str", unit="", meaning="kinds of violation joined by '+', or empty", default=""
)
_TOKEN = Column(name="token", dtype="str", unit="", meaning="replays this schedule exactly, or empty", default="")

RUNS: tuple[Column, ...] = (
    Column(name="schedule", dtype="int64", unit="", meaning="number of the schedule (or class), from 0"),
    Column(name="verdict", dtype="run-verdict", unit="", meaning="what this one schedule showed"),
    _VIOLATION,
    Column(name="messages", dtype="str", unit="", meaning="message ids concerned, joined by spaces", default=""),
    Column(name="steps", dtype="int64", unit="steps", meaning="length of the schedule"),
    Column(name="preemptions", dtype="int64", unit="switches", meaning="switches away from a task that could go on"),
    _TOKEN,
)

CAMPAIGN: tuple[Column, ...] = (
    _IMPLEMENTATION,
    _SCENARIO,
    _TOPOLOGY,
    _DISK,
    Column(name="strategy", dtype="category", unit="", meaning="how the schedules of the job were chosen"),
    *RUNS,
)

WINDOWS: tuple[Column, ...] = (
    _IMPLEMENTATION,
    _SCENARIO,
    _TOPOLOGY,
    _DISK,
    Column(name="gap", dtype="int64", unit="gaps", meaning="which gap of the victim, 0 (before its first step) to m"),
    Column(name="after_step", dtype="str", unit="", meaning="label of the step before the gap, or empty", default=""),
    Column(name="before_step", dtype="str", unit="", meaning="label of the step after the gap, or empty", default=""),
    Column(name="task", dtype="str", unit="", meaning="role of the task that takes the step after the gap", default=""),
    Column(name="phase", dtype="phase", unit="", meaning="how far the victim commit is at this gap"),
    Column(name="outcome", dtype="outcome", unit="", meaning="what the intruder, run in this gap, leads to"),
    _VIOLATION,
    _TOKEN,
)

MATRIX: tuple[Column, ...] = (
    _SCENARIO,
    _TOPOLOGY,
    _DISK,
    _IMPLEMENTATION,
    Column(name="verdict", dtype="verdict", unit="", meaning="what the whole search showed"),
    _VIOLATION,
    Column(name="schedules", dtype="int64", unit="schedules", meaning="schedules executed", default=0),
    Column(name="failures", dtype="int64", unit="schedules", meaning="schedules with a violation", default=0),
    Column(
        name="complete", dtype="bool", unit="", meaning="every schedule within the bound was covered", default=False
    ),
    Column(name="bound", dtype="str", unit="", meaning="the bound, as preemptions<=2, or empty", default=""),
    Column(name="strategy", dtype="str", unit="", meaning="how schedules were chosen", default=""),
    _TOKEN,
    Column(name="reason", dtype="str", unit="", meaning="why unknown or not applicable, or empty", default=""),
)

WIDTHS: tuple[Column, ...] = (
    _IMPLEMENTATION,
    _SCENARIO,
    _TOPOLOGY,
    _DISK,
    Column(name="gaps", dtype="int64", unit="gaps", meaning="m + 1 for a victim of m steps"),
    Column(name="feasible", dtype="int64", unit="gaps", meaning="gaps in which the intruder could be run"),
    Column(name="failing", dtype="int64", unit="gaps", meaning="width w: gaps in which it leads to a violation"),
    Column(name="blocked", dtype="int64", unit="gaps", meaning="gaps in which the intruder had to wait"),
    Column(name="fraction", dtype="float64", unit="of gaps", meaning="failing / gaps"),
    Column(name="windows", dtype="int64", unit="windows", meaning="disconnected runs of failing gaps"),
    Column(name="opens", dtype="str", unit="", meaning="step that opens the first window, 'start', or empty"),
    Column(name="closes", dtype="str", unit="", meaning="step that closes the last window, 'end', or empty"),
    _VIOLATION,
    _TOKEN,
)

SPANS: tuple[Column, ...] = (
    _IMPLEMENTATION,
    _SCENARIO,
    _TOPOLOGY,
    _DISK,
    Column(name="window", dtype="int64", unit="", meaning="number of the window along the victim, from 0"),
    Column(name="first", dtype="int64", unit="gaps", meaning="first failing gap"),
    Column(name="last", dtype="int64", unit="gaps", meaning="last failing gap"),
    Column(name="opens", dtype="str", unit="", meaning="step that opens the window, or 'start'"),
    Column(name="closes", dtype="str", unit="", meaning="step that closes the window, or 'end'"),
    _VIOLATION,
    _TOKEN,
)

TALLY: tuple[Column, ...] = (
    _IMPLEMENTATION,
    *(
        Column(name=verdict, dtype="int64", unit="rows", meaning=f"rows of the matrix that are {verdict}")
        for verdict in VERDICTS
    ),
    Column(name="schedules", dtype="int64", unit="schedules", meaning="schedules executed, all rows"),
    _VIOLATION,
)

_SUBJECT = Column(name="subject", dtype="category", unit="", meaning="what was searched: a case, or an async function")
_STRATEGY = Column(name="strategy", dtype="category", unit="", meaning="how schedules were chosen, with its parameters")

FIRST_BUG: tuple[Column, ...] = (
    _SUBJECT,
    _STRATEGY,
    Column(name="seed", dtype="int64", unit="", meaning="of this search"),
    Column(
        name="schedules", dtype="int64", unit="schedules", meaning="run up to the first violation, that one included"
    ),
    Column(name="found", dtype="bool", unit="", meaning="whether there was one; if not, the search is censored"),
    _VIOLATION,
    _TOKEN,
)

RATES: tuple[Column, ...] = (
    _SUBJECT,
    _STRATEGY,
    Column(name="searches", dtype="int64", unit="searches", meaning="with different seeds"),
    Column(name="finds", dtype="int64", unit="searches", meaning="that came to a violation"),
    Column(
        name="schedules", dtype="int64", unit="schedules", meaning="run in all searches, the censored ones included"
    ),
    Column(name="mean", dtype="float64", unit="schedules", meaning="schedules / finds; infinite without a find"),
    Column(name="mean_low", dtype="float64", unit="schedules", meaning="lower end of its 95 % interval"),
    Column(name="mean_high", dtype="float64", unit="schedules", meaning="upper end of its 95 % interval"),
    Column(
        name="median",
        dtype="float64",
        unit="schedules",
        meaning="Kaplan-Meier median; infinite where it was not reached",
    ),
)

SURVIVAL: tuple[Column, ...] = (
    _SUBJECT,
    _STRATEGY,
    Column(name="schedules", dtype="int64", unit="schedules", meaning="so many schedules without a violation"),
    Column(
        name="survival", dtype="float64", unit="probability", meaning="Kaplan-Meier: that no violation came until then"
    ),
    Column(name="low", dtype="float64", unit="probability", meaning="lower end of the 95 % interval, pointwise"),
    Column(name="high", dtype="float64", unit="probability", meaning="upper end of the 95 % interval, pointwise"),
    Column(name="censored", dtype="int64", unit="searches", meaning="searches that ended here without a violation"),
    Column(name="searches", dtype="int64", unit="searches", meaning="all searches of this subject and strategy"),
)

LOGRANK: tuple[Column, ...] = (
    _SUBJECT,
    Column(name="one", dtype="str", unit="", meaning="a strategy"),
    Column(name="other", dtype="str", unit="", meaning="another one"),
    Column(
        name="statistic", dtype="float64", unit="", meaning="log-rank: above zero where the first one finds earlier"
    ),
    Column(
        name="pvalue", dtype="float64", unit="probability", meaning="two-sided, of two equal strategies; not corrected"
    ),
)

PlainRow = Mapping[str, object] | Sequence[object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One step of a timeline.

    Attributes:
        step: index in the trace.
        task: the column it stands in.
        label: the point the task left.
        preempted: this row is a preemption: the task of the row before could have gone on.
        notes: facts that became visible here, for example ``accepted``.
        state: the lane of the files after this step, for example ``live m1 | A1 m1``.
        violating: the violation became certain here.
    """

    step: int
    task: str
    label: str
    preempted: bool = False
    notes: tuple[str, ...] = ()
    state: str = ""
    violating: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """One schedule, told step by step; ``replay`` is the line that runs it again."""

    title: str
    subtitle: str = ""
    tasks: tuple[str, ...] = ()
    rows: tuple[Row, ...] = ()
    violation: str = ""
    violating_step: int | None = None
    replay: str = ""


def describe(columns: Sequence[Column]) -> pd.DataFrame:
    """Document columns as a frame: name, dtype, unit, meaning.

    >>> describe(RUNS)["name"].tolist()[:3]
    ['schedule', 'verdict', 'violation']
    """
    return pd.DataFrame(
        {
            "name": [column.name for column in columns],
            "dtype": [column.dtype for column in columns],
            "unit": [column.unit for column in columns],
            "meaning": [column.meaning for column in columns],
        },
        dtype="str",
    )


def runs_frame(rows: Iterable[PlainRow] = ()) -> pd.DataFrame:
    """Build a frame of schedules with the columns `RUNS` from mappings, or from sequences in column order."""
    return _build(RUNS, rows, "runs")


def campaign_frame(rows: Iterable[PlainRow] = ()) -> pd.DataFrame:
    """Build a frame of schedules of several jobs with the columns `CAMPAIGN` from mappings, or from sequences in column order."""
    return _build(CAMPAIGN, rows, "campaign")


def windows_frame(rows: Iterable[PlainRow] = ()) -> pd.DataFrame:
    """Build a frame of gaps with the columns `WINDOWS` from mappings, or from sequences in column order."""
    return _build(WINDOWS, rows, "windows")


def matrix_frame(rows: Iterable[PlainRow] = ()) -> pd.DataFrame:
    """Build a comparison with the columns `MATRIX` from mappings, or from sequences in column order."""
    return _build(MATRIX, rows, "matrix")


def first_bug_frame(rows: Iterable[PlainRow] = ()) -> pd.DataFrame:
    """Build a frame of searches with the columns `FIRST_BUG` from mappings, or from sequences in column order."""
    return _build(FIRST_BUG, rows, "first_bug")


def rates_frame(rows: Iterable[PlainRow] = ()) -> pd.DataFrame:
    """Build a frame of strategies with the columns `RATES` from mappings, or from sequences in column order."""
    return _build(RATES, rows, "rates")


def survival_frame(rows: Iterable[PlainRow] = ()) -> pd.DataFrame:
    """Build a frame of survival curves with the columns `SURVIVAL` from mappings, or from sequences in column order."""
    return _build(SURVIVAL, rows, "survival")


def logrank_frame(rows: Iterable[PlainRow] = ()) -> pd.DataFrame:
    """Build a frame of comparisons with the columns `LOGRANK` from mappings, or from sequences in column order."""
    return _build(LOGRANK, rows, "logrank")


def conform(frame: pd.DataFrame, columns: Sequence[Column], what: str) -> pd.DataFrame:
    """Give a frame the exact columns and dtypes, for example after CSV lost them.

    Args:
        frame: any frame with the needed columns; others are dropped.
        columns: `RUNS`, `WINDOWS`, `MATRIX`, ...
        what: the name used in an error.

    Raises:
        UsageError: a column without a default is missing, or a value is not one that the column can hold.
    """
    require(frame, [column.name for column in columns if column.default is None], what)
    given = {
        column.name: frame[column.name] if column.name in frame.columns else [column.default] * len(frame)
        for column in columns
    }
    return pd.DataFrame(
        {column.name: _series(column, given[column.name], frame.index, what) for column in columns}
    ).reset_index(drop=True)


def concat(parts: Iterable[pd.DataFrame], columns: Sequence[Column], what: str = "frame") -> pd.DataFrame:
    """Join frames of the same columns. (``pandas.concat`` alone forgets categories that differ between the parts.)"""
    loose = [part.astype({column.name: "object" for column in columns if column.name in part}) for part in parts]
    if not loose:
        return _build(columns, (), what)
    return conform(pd.concat(loose, ignore_index=True), columns, what)


def require(frame: pd.DataFrame, columns: Iterable[str | Column], what: str) -> None:
    """Check that a frame has the columns that ``what`` needs.

    Raises:
        UsageError: it is no frame, or a column is missing; the message names the nearest column there is.
    """
    if not isinstance(frame, pd.DataFrame):
        raise UsageError(
            f"{what} needs a pandas DataFrame, but was given {type(frame).__name__}. "
            f"Pass the frame of a result, for example result.windows."
        )
    names = [column.name if isinstance(column, Column) else column for column in columns]
    missing = [name for name in names if name not in frame.columns]
    if not missing:
        return
    present = [str(name) for name in frame.columns]
    near = difflib.get_close_matches(missing[0], present, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise UsageError(
        f"{what} needs the column{'s' if len(missing) > 1 else ''} {', '.join(map(repr, missing))}, which this frame "
        f"does not have (it has: {', '.join(present) or 'no columns'}).{hint} "
        f"racewindow.frames documents the columns that each result has."
    )


def spans(frame: pd.DataFrame) -> pd.DataFrame:
    """Find the windows: one row for each run of neighbouring failing gaps, with the columns `SPANS`.

    A window is named by its opening step (the one just before its first gap) and its closing step (the one just after
    its last gap). An infeasible gap, or one that was never run, ends a window: nothing is known to fail there.
    """
    rows: list[dict[str, object]] = []
    for key, cells in ribbons(frame):
        number = 0
        run: list[dict[str, Any]] = []
        for cell in [*cells, None]:
            # A hole in the gap numbers (a search that was interrupted) separates windows as well.
            if cell is not None and cell["outcome"] in FAILING and (not run or cell["gap"] == run[-1]["gap"] + 1):
                run.append(cell)
                continue
            if run:
                rows.append(key | _span(number, run))
                number += 1
            run = [cell] if cell is not None and cell["outcome"] in FAILING else []
    return _build(SPANS, rows, "spans")


def widths(frame: pd.DataFrame) -> pd.DataFrame:
    """Measure windows: one row for each implementation x scenario x topology x disk, with the columns `WIDTHS`.

    Args:
        frame: gaps, with the columns `WINDOWS`.

    Returns:
        A frame in the order of first appearance. ``gaps`` is the last gap's number + 1, so that an interrupted map is
        not mistaken for a short one.
    """
    found = spans(frame)
    by_ribbon: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for span in found.to_dict("records"):
        by_ribbon.setdefault(tuple(str(span[name]) for name in RIBBON), []).append(span)
    rows: list[dict[str, object]] = []
    for key, cells in ribbons(frame):
        mine = by_ribbon.get(tuple(key.values()), [])
        failing = [cell for cell in cells if cell["outcome"] in FAILING]
        gaps = cells[-1]["gap"] + 1
        rows.append(
            {
                **key,
                "gaps": gaps,
                "feasible": sum(cell["outcome"] != "infeasible" for cell in cells),
                "failing": len(failing),
                "blocked": sum(cell["outcome"] in BLOCKED for cell in cells),
                "fraction": len(failing) / gaps,
                "windows": len(mine),
                "opens": mine[0]["opens"] if mine else "",
                "closes": mine[-1]["closes"] if mine else "",
                "violation": _join(cell["violation"] for cell in failing),
                "token": next((cell["token"] for cell in failing if cell["token"]), ""),
            }
        )
    return _build(WIDTHS, rows, "widths")


def tally(frame: pd.DataFrame) -> pd.DataFrame:
    """Count verdicts: one row for each implementation of a matrix, with the columns `TALLY`."""
    require(frame, ("implementation", "verdict", "violation", "schedules"), "tally")
    rows: list[dict[str, object]] = []
    for name, group in frame.groupby("implementation", observed=True, sort=False):
        counts = group["verdict"].astype("str").value_counts().to_dict()
        rows.append(
            {
                "implementation": name,
                **{verdict: counts.get(verdict, 0) for verdict in VERDICTS},
                "schedules": int(group["schedules"].sum()),
                "violation": _join(group.loc[group["verdict"].astype("str") == "failed", "violation"]),
            }
        )
    return _build(TALLY, rows, "tally")


def ribbons(frame: pd.DataFrame) -> list[tuple[dict[str, str], list[dict[str, Any]]]]:
    """Split a frame of gaps into ribbons: (implementation, scenario, topology, disk) and its gaps in order.

    Raises:
        UsageError: a column is missing, or one gap of one ribbon has two rows.
    """
    needed = [column.name for column in WINDOWS if column.name not in ("token", "task")]
    require(frame, needed, "windows")
    if frame.empty:
        return []
    doubled = frame[frame.duplicated([*RIBBON, "gap"])]
    if not doubled.empty:
        row = doubled.iloc[0]
        raise UsageError(
            f"gap {row['gap']} of {row['implementation']} in {row['scenario']} ({row['topology']}, disk={row['disk']}) "
            f"has two rows. One map has one row for each gap: filter the frame to one victim and one intruder."
        )
    found: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for cell in conform(frame, WINDOWS, "windows").to_dict("records"):
        found.setdefault(tuple(cell[name] for name in RIBBON), []).append(cell)
    return [
        (dict(zip(RIBBON, key, strict=True)), sorted(cells, key=lambda cell: cell["gap"]))
        for key, cells in found.items()
    ]


def kinds(violation: str) -> tuple[str, ...]:
    """Split the kinds of a ``violation`` column.

    >>> kinds("committed-once+extracted-once")
    ('committed-once', 'extracted-once')
    """
    return tuple(kind for kind in str(violation).split("+") if kind)


def _span(number: int, run: Sequence[Mapping[str, Any]]) -> dict[str, object]:
    return {
        "window": number,
        "first": run[0]["gap"],
        "last": run[-1]["gap"],
        "opens": run[0]["after_step"] or "start",
        "closes": run[-1]["before_step"] or "end",
        "violation": _join(cell["violation"] for cell in run),
        "token": next((cell["token"] for cell in run if cell["token"]), ""),
    }


def _join(violations: Iterable[str]) -> str:
    """Kinds in the order in which they are first met."""
    return "+".join(dict.fromkeys(kind for violation in violations for kind in kinds(violation)))


def _build(columns: Sequence[Column], rows: Iterable[PlainRow], what: str) -> pd.DataFrame:
    names = [column.name for column in columns]
    table: dict[str, list[object]] = {name: [] for name in names}
    for number, row in enumerate(rows):
        values = _mapping(row, names, number, what)
        for column in columns:
            if column.name in values:
                table[column.name].append(values[column.name])
            elif column.default is not None:
                table[column.name].append(column.default)
            else:
                raise UsageError(f"row {number} of {what} does not give {column.name!r} ({column.meaning}).")
    length = len(table[names[0]])
    index = pd.RangeIndex(length)
    return pd.DataFrame({column.name: _series(column, table[column.name], index, what) for column in columns})


def _mapping(row: PlainRow, names: Sequence[str], number: int, what: str) -> Mapping[str, object]:
    if not isinstance(row, Mapping):
        if len(row) != len(names):
            raise UsageError(f"row {number} of {what} has {len(row)} values, but there are {len(names)} columns.")
        return dict(zip(names, row, strict=True))
    unknown = [name for name in row if name not in names]
    if unknown:
        near = difflib.get_close_matches(str(unknown[0]), names, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else f" Its columns are: {', '.join(names)}."
        raise UsageError(f"row {number} of {what} gives {unknown[0]!r}, which is no column of it.{hint}")
    return row


def _series(column: Column, values: Any, index: pd.Index, what: str) -> pd.Series:
    if column.dtype in ("int64", "float64", "bool"):
        try:
            return pd.Series(values, index=index).astype(column.dtype)
        except (ValueError, TypeError) as error:
            raise UsageError(f"the column {column.name!r} of {what} must hold {column.dtype}: {error}") from error
    # CSV reads the empty string back as missing.
    text = pd.Series(values, index=index, dtype="object").fillna("").map(str).astype("str")
    if column.dtype == "str":
        return text
    if column.dtype == "category":
        return text.astype(pd.CategoricalDtype(pd.Index(list(dict.fromkeys(text)), dtype="str")))
    shared = _SHARED[column.dtype]
    wrong = text[~text.isin(shared.categories)]
    if not wrong.empty:
        raise UsageError(
            f"the column {column.name!r} of {what} cannot hold {wrong.iloc[0]!r}; "
            f"it holds one of: {', '.join(shared.categories)}."
        )
    return text.astype(shared)
