"""How wide windows are, in three units: one row for each ribbon."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from racewindow.frames._columns import Column, PlainRow, build
from racewindow.frames._windows import RIBBON_COLUMNS

MEASURES: tuple[Column, ...] = (
    *RIBBON_COLUMNS,
    Column(name="gaps", dtype="int64", unit="gaps", meaning="m + 1 for a victim of m steps"),
    Column(
        name="failing", dtype="int64", unit="gaps", meaning="width w: gaps in which the intruder leads to a violation"
    ),
    Column(name="fraction", dtype="float64", unit="of gaps", meaning="failing / gaps"),
    Column(
        name="share",
        dtype="float64",
        unit="of interleavings",
        meaning="failing ones of all interleavings of the scenario",
    ),
    Column(
        name="share_low", dtype="float64", unit="of interleavings", meaning="lower end of its interval; exact: itself"
    ),
    Column(
        name="share_high", dtype="float64", unit="of interleavings", meaning="upper end of its interval; exact: itself"
    ),
    Column(name="share_exact", dtype="bool", unit="", meaning="all interleavings were counted; otherwise a sample"),
    Column(
        name="interleavings",
        dtype="str",
        unit="interleavings",
        meaning="how many there are; of a sample, how many were run",
    ),
    Column(name="share_how", dtype="str", unit="", meaning="how the share was found, and how far a sample was uniform"),
    Column(
        name="seconds",
        dtype="float64",
        unit="virtual seconds",
        meaning="mean time that the victim spends in failing gaps; infinite where the last gap, after its end, is one",
    ),
    Column(
        name="seconds_all", dtype="float64", unit="virtual seconds", meaning="mean time from its first gap to its end"
    ),
    Column(name="latency", dtype="category", unit="", meaning="the latency model, in words"),
)


def measures_frame(rows: Iterable[PlainRow] = ()) -> pd.DataFrame:
    """Build a frame of widths with the columns `MEASURES` from mappings, or from sequences in column order."""
    return build(MEASURES, rows, "measures")
