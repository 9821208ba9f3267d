"""What a frame is made of: documented columns with exact dtypes, and how frames are built, checked and joined."""

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
VERDICTS = ("proved", "passed", "sampled", "failed", "unknown", "not-applicable")
CRASH_OUTCOMES = ("ok", "failed", "infeasible", "unknown")
PHASES = ("before-accepted", "accepted", "completed")

OUTCOME = pd.CategoricalDtype(pd.Index(OUTCOMES, dtype="str"))
VERDICT = pd.CategoricalDtype(pd.Index(VERDICTS, dtype="str"))
CRASH_OUTCOME = pd.CategoricalDtype(pd.Index(CRASH_OUTCOMES, dtype="str"))
# One schedule can pass or fail; only a whole search can be a proof. Grouping runs with observed=False must not show
# a "proved" row that can never be anything but zero.
RUN_VERDICT = pd.CategoricalDtype(pd.Index(("passed", "failed", "unknown"), dtype="str"))
PHASE = pd.CategoricalDtype(pd.Index(PHASES, dtype="str"), ordered=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One documented column.

    Attributes:
        name: the column's name.
        dtype: ``int64``, ``float64``, ``bool``, ``str``, or ``category`` (categories in order of first appearance),
            or the name of a shared dtype: ``outcome``, ``crash-outcome``, ``verdict``, ``run-verdict``, ``phase``.
        unit: what one unit is, or "".
        meaning: one line for a reader.
        default: the value where a row does not give one; None means that each row must.
    """

    name: str
    dtype: str
    unit: str
    meaning: str
    default: object = None


_SHARED: dict[str, Any] = {
    "outcome": OUTCOME,
    "crash-outcome": CRASH_OUTCOME,
    "verdict": VERDICT,
    "run-verdict": RUN_VERDICT,
    "phase": PHASE,
}

IMPLEMENTATION = Column(name="implementation", dtype="category", unit="", meaning="the session store under test")
SCENARIO = Column(name="scenario", dtype="category", unit="", meaning="name of the scenario, or its text")
TOPOLOGY = Column(name="topology", dtype="category", unit="", meaning="which clients share a handle or a store")
DISK = Column(name="disk", dtype="category", unit="", meaning="granularity: suspending or atomic storage calls")
VICTIM = Column(name="victim", dtype="category", unit="", meaning="client whose operation is intruded on", default="")
OPERATION = Column(name="operation", dtype="category", unit="", meaning="the victim's operation", default="")
INTRUDER = Column(name="intruder", dtype="category", unit="", meaning="client that comes in between", default="")
INTRUSION = Column(
    name="intrusion", dtype="category", unit="", meaning="its operation that does; empty: all of them", default=""
)
VIOLATION = Column(
    name="violation", dtype="str", unit="", meaning="kinds of violation joined by '+', or empty", default=""
)
TOKEN = Column(name="token", dtype="str", unit="", meaning="replays this schedule exactly, or empty", default="")

PlainRow = Mapping[str, object] | Sequence[object]


def describe(columns: Sequence[Column]) -> pd.DataFrame:
    """Document columns as a frame: name, dtype, unit, meaning.

    >>> from racewindow.frames import RUNS
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
        return build(columns, (), what)
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


def kinds(violation: str) -> tuple[str, ...]:
    """Split the kinds of a ``violation`` column.

    >>> kinds("committed-once+extracted-once")
    ('committed-once', 'extracted-once')
    """
    return tuple(kind for kind in str(violation).split("+") if kind)


def joined(violations: Iterable[str]) -> str:
    """Kinds in the order in which they are first met."""
    return "+".join(dict.fromkeys(kind for violation in violations for kind in kinds(violation)))


def build(columns: Sequence[Column], rows: Iterable[PlainRow], what: str) -> pd.DataFrame:
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
