"""Tries against a real server: one row for each."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from racewindow.frames._columns import VIOLATION, Column, PlainRow, build

TRIES: tuple[Column, ...] = (
    Column(name="try", dtype="int64", unit="", meaning="number of the try against a server, from 0"),
    Column(name="verdict", dtype="run-verdict", unit="", meaning="what this one try showed"),
    VIOLATION,
    Column(
        name="delay_s",
        dtype="float64",
        unit="s",
        meaning="from the first commit's acceptance to the delayed client's beginning; NaN without one",
    ),
    Column(name="seconds", dtype="float64", unit="s", meaning="from its first request to rest"),
)


def tries_frame(rows: Iterable[PlainRow] = ()) -> pd.DataFrame:
    """Build a frame of tries against a server with the columns `TRIES` from mappings, or from sequences in column order."""
    return build(TRIES, rows, "tries")
