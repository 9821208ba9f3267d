"""Two comparisons, one after the other: one row for each verdict and each window that is not what it was."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from racewindow.frames._columns import DISK, IMPLEMENTATION, SCENARIO, TOKEN, TOPOLOGY, Column, PlainRow, build

CHANGES: tuple[Column, ...] = (
    Column(name="what", dtype="category", unit="", meaning="verdict or window"),
    Column(
        name="change",
        dtype="category",
        unit="",
        meaning="changed, added or removed (verdicts); opened, closed or moved (windows)",
    ),
    IMPLEMENTATION,
    SCENARIO,
    TOPOLOGY,
    DISK,
    Column(name="ribbon", dtype="str", unit="", meaning="of a window: who comes into whose operation", default=""),
    Column(name="old", dtype="str", unit="", meaning="verdict, or window with its width, or empty", default=""),
    Column(name="new", dtype="str", unit="", meaning="the same of the new comparison", default=""),
    Column(name="broken", dtype="str", unit="", meaning="kinds of violation that are new, joined by '+'", default=""),
    Column(
        name="worse", dtype="bool", unit="", meaning="a new failure, or a window that opened or grew", default=False
    ),
    TOKEN,
)


def changes_frame(rows: Iterable[PlainRow] = ()) -> pd.DataFrame:
    """Build a frame of changes with the columns `CHANGES` from mappings, or from sequences in column order."""
    return build(CHANGES, rows, "changes")
