"""Arrivals: one row for each implementation, load and delay."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from racewindow.frames._columns import (
    DISK,
    IMPLEMENTATION,
    SCENARIO,
    TOKEN,
    TOPOLOGY,
    VIOLATION,
    Column,
    PlainRow,
    build,
)

ARRIVALS: tuple[Column, ...] = (
    IMPLEMENTATION,
    SCENARIO,
    TOPOLOGY,
    DISK,
    Column(name="load", dtype="int64", unit="clients", meaning="other clients, each of which adds and commits"),
    Column(
        name="delay_s",
        dtype="float64",
        unit="virtual seconds",
        meaning="from 'accepted' to the second client's arrival",
    ),
    Column(name="schedules", dtype="int64", unit="schedules", meaning="in which the commit was accepted"),
    Column(
        name="failures",
        dtype="int64",
        unit="schedules",
        meaning="of those, with a violation that is not of the load's messages only",
    ),
    Column(name="probability", dtype="float64", unit="probability", meaning="failures / schedules; NaN without any"),
    Column(
        name="low", dtype="float64", unit="probability", meaning="lower end of the exact (Clopper-Pearson) interval"
    ),
    Column(name="high", dtype="float64", unit="probability", meaning="upper end of it"),
    Column(name="confidence", dtype="float64", unit="probability", meaning="of the interval, pointwise"),
    Column(name="exact", dtype="bool", unit="", meaning="nothing is random: the probability is exact, 0 or 1"),
    Column(
        name="not_accepted",
        dtype="int64",
        unit="schedules",
        meaning="left out: the commit was refused, or had to wait for the second client",
        default=0,
    ),
    Column(name="latency", dtype="category", unit="", meaning="the latency model, in words"),
    Column(name="seed", dtype="int64", unit="", meaning="of the sampling"),
    VIOLATION,
    TOKEN,
)


def arrivals_frame(rows: Iterable[PlainRow] = ()) -> pd.DataFrame:
    """Build a frame of probabilities with the columns `ARRIVALS` from mappings, or from sequences in column order."""
    return build(ARRIVALS, rows, "arrivals")
