"""Which steps to make atomic: one row for each window."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from racewindow.frames._columns import Column, PlainRow, build
from racewindow.frames._windows import RIBBON_COLUMNS

CLOSINGS: tuple[Column, ...] = (
    *RIBBON_COLUMNS,
    Column(name="window", dtype="int64", unit="", meaning="number of the window along the victim, from 0"),
    Column(name="opens", dtype="str", unit="", meaning="step that opens the window, or 'start'"),
    Column(name="closes", dtype="str", unit="", meaning="step that closes the window, or 'end'"),
    Column(name="width", dtype="int64", unit="gaps", meaning="failing gaps of the window"),
    Column(
        name="closed", dtype="bool", unit="", meaning="with the steps below made atomic, no gap of the window fails"
    ),
    Column(name="atomic_from", dtype="str", unit="", meaning="first step of the atomic section, or empty", default=""),
    Column(name="atomic_to", dtype="str", unit="", meaning="last step of the atomic section, or empty", default=""),
    Column(name="atomic_gaps", dtype="int64", unit="gaps", meaning="gaps that it takes away; the fewest", default=0),
    Column(name="tried", dtype="int64", unit="sections", meaning="sections that were run to find it", default=0),
    Column(
        name="broken",
        dtype="int64",
        unit="gaps",
        meaning="gaps of the map in which a section could not be atomic, for who was in it waited for somebody outside",
        default=0,
    ),
    Column(
        name="left", dtype="int64", unit="gaps", meaning="gaps of the whole map that fail with all sections at once"
    ),
    Column(name="double", dtype="int64", unit="cells", meaning="failing cells of the double matrix; -1: not asked"),
    Column(
        name="double_left",
        dtype="int64",
        unit="cells",
        meaning="cells of it that fail with all sections at once, the intruder's included; -1: not asked",
    ),
    Column(name="reason", dtype="str", unit="", meaning="why there is no such section, or empty", default=""),
    Column(
        name="token",
        dtype="str",
        unit="",
        meaning="a schedule that still fails: in the window, or else of the double matrix; or empty",
        default="",
    ),
)


def closings_frame(rows: Iterable[PlainRow] = ()) -> pd.DataFrame:
    """Build a frame of windows with the columns `CLOSINGS` from mappings, or from sequences in column order."""
    return build(CLOSINGS, rows, "closings")
