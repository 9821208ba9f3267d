"""Comparisons: one row for each implementation, scenario, topology and granularity."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from racewindow.frames._columns import (
    DISK,
    IMPLEMENTATION,
    SCENARIO,
    TOKEN,
    TOPOLOGY,
    VERDICTS,
    VIOLATION,
    Column,
    PlainRow,
    build,
    joined,
    require,
)

MATRIX: tuple[Column, ...] = (
    SCENARIO,
    TOPOLOGY,
    DISK,
    IMPLEMENTATION,
    Column(name="verdict", dtype="verdict", unit="", meaning="what the whole search showed"),
    VIOLATION,
    Column(name="schedules", dtype="int64", unit="schedules", meaning="schedules executed", default=0),
    Column(name="failures", dtype="int64", unit="schedules", meaning="schedules with a violation", default=0),
    Column(
        name="complete", dtype="bool", unit="", meaning="every schedule within the bound was covered", default=False
    ),
    Column(name="bound", dtype="str", unit="", meaning="the bound, as preemptions<=2, or empty", default=""),
    Column(name="strategy", dtype="str", unit="", meaning="how schedules were chosen", default=""),
    TOKEN,
    Column(name="reason", dtype="str", unit="", meaning="why unknown or not applicable, or empty", default=""),
)

TALLY: tuple[Column, ...] = (
    IMPLEMENTATION,
    *(
        Column(name=verdict, dtype="int64", unit="rows", meaning=f"rows of the matrix that are {verdict}")
        for verdict in VERDICTS
    ),
    Column(name="schedules", dtype="int64", unit="schedules", meaning="schedules executed, all rows"),
    VIOLATION,
)


def matrix_frame(rows: Iterable[PlainRow] = ()) -> pd.DataFrame:
    """Build a comparison with the columns `MATRIX` from mappings, or from sequences in column order."""
    return build(MATRIX, rows, "matrix")


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
                "violation": joined(group.loc[group["verdict"].astype("str") == "failed", "violation"]),
            }
        )
    return build(TALLY, rows, "tally")
