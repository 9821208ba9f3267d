"""Arrivals: one row for each implementation, load and delay; and how wide their windows are, in seconds."""

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
    conform,
    require,
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
        unit="seconds, virtual or of a server's wall clock",
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
        name="low",
        dtype="float64",
        unit="probability",
        meaning="lower end of its interval (Clopper-Pearson; of servers, Wilson)",
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

_CURVE = ("implementation", "scenario", "topology", "disk", "load", "latency")

ARRIVAL_WIDTHS: tuple[Column, ...] = (
    *(column for column in ARRIVALS if column.name in _CURVE),
    Column(
        name="seconds",
        dtype="float64",
        unit="seconds",
        meaning="for so long, on average, an arrival does harm: the area under the curve of probabilities",
    ),
    Column(
        name="seconds_low", dtype="float64", unit="seconds", meaning="the area under the lower ends of the intervals"
    ),
    Column(name="seconds_high", dtype="float64", unit="seconds", meaning="the area under the upper ends"),
    Column(
        name="first_s",
        dtype="float64",
        unit="seconds",
        meaning="the smallest delay of the curve: before it nobody looked",
    ),
    Column(name="last_s", dtype="float64", unit="seconds", meaning="the largest one"),
    Column(
        name="open",
        dtype="bool",
        unit="",
        meaning="there was still harm at the largest delay: the window is wider than this",
    ),
)


def arrivals_frame(rows: Iterable[PlainRow] = ()) -> pd.DataFrame:
    """Build a frame of probabilities with the columns `ARRIVALS` from mappings, or from sequences in column order."""
    return build(ARRIVALS, rows, "arrivals")


def arrival_widths(frame: pd.DataFrame) -> pd.DataFrame:
    """Measure windows in seconds: one row for each curve, with the columns `ARRIVAL_WIDTHS`.

    The width is the mean time during which a second arrival does harm. Between two delays the curve is taken to be straight, so that it
    is as exact as the delays are dense. Seconds are those of the curve: virtual ones under its latency model, or those of a server's wall
    clock. The intervals hold at each delay, and so more than hold for the whole.

    Args:
        frame: probabilities, with the columns `ARRIVALS`. Delays at which no commit was accepted are left out, and so are curves of a
            single delay.

    Raises:
        UsageError: a column is missing.
    """
    from scipy.integrate import trapezoid

    require(frame, [*_CURVE, "delay_s", "failures", "probability", "low", "high"], "arrivals")
    frame = conform(frame, ARRIVALS, "arrivals")
    known = frame[frame["probability"].notna()]
    rows: list[dict[str, object]] = []
    for key, curve in known.groupby(list(_CURVE), observed=True, sort=False):
        points = curve.sort_values("delay_s")
        delays = points["delay_s"].to_numpy()
        if len(delays) < 2:
            continue
        areas = {
            name: float(trapezoid(points[column].to_numpy(), delays))
            for name, column in (("seconds", "probability"), ("seconds_low", "low"), ("seconds_high", "high"))
        }
        rows.append(
            {
                **dict(zip(_CURVE, key, strict=True)),
                **areas,
                "first_s": float(delays[0]),
                "last_s": float(delays[-1]),
                "open": bool(points["failures"].iloc[-1] > 0),
            }
        )
    return build(ARRIVAL_WIDTHS, rows, "arrival widths")
