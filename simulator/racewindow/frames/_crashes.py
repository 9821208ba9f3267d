"""Crashes: one row for each cell, that is a point, what survived, and perhaps a second fault; and what all of that says of a point."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd

from racewindow.errors import UsageError
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
    joined,
    require,
)

_FAULT = Column(name="fault", dtype="category", unit="", meaning="process-crash, power-loss or cancel")
_POLICY = Column(
    name="policy", dtype="category", unit="", meaning="what survives a loss of power, or empty", default=""
)
_POINT = Column(name="point", dtype="int64", unit="steps", meaning="steps of the workload before the fault")
_TASK = Column(name="task", dtype="str", unit="", meaning="role of the task that would have stepped next", default="")
_AFTER = Column(
    name="after_step", dtype="str", unit="", meaning="label of the step before the fault, or empty", default=""
)
_BEFORE = Column(
    name="before_step",
    dtype="str",
    unit="",
    meaning="label of the step that the fault forestalled, or empty",
    default="",
)
_PHASE = Column(name="phase", dtype="phase", unit="", meaning="how far the victim's commit was")
_OUTCOME = Column(name="outcome", dtype="crash-outcome", unit="", meaning="what the fault leads to")

CRASHES: tuple[Column, ...] = (
    Column(name="cell", dtype="int64", unit="", meaning="number of the cell in its map, from 0"),
    IMPLEMENTATION,
    SCENARIO,
    TOPOLOGY,
    DISK,
    _FAULT,
    _POLICY,
    Column(name="victim", dtype="str", unit="", meaning="whose store dies, or whose operation is cancelled"),
    _POINT,
    _TASK,
    _AFTER,
    _BEFORE,
    _PHASE,
    Column(name="persisted", dtype="str", unit="", meaning="what became of each unsynced thing, or empty", default=""),
    Column(
        name="second", dtype="int64", unit="steps", meaning="steps before a second fault; -1: there is none", default=-1
    ),
    Column(name="second_task", dtype="str", unit="", meaning="as task, of the second fault", default=""),
    Column(name="second_after_step", dtype="str", unit="", meaning="as after_step, of the second fault", default=""),
    Column(name="second_before_step", dtype="str", unit="", meaning="as before_step, of the second fault", default=""),
    Column(name="second_persisted", dtype="str", unit="", meaning="as persisted, of the second fault", default=""),
    _OUTCOME,
    VIOLATION,
    Column(name="re_extracted", dtype="int64", unit="messages", meaning="extracted again after a crash", default=0),
    Column(
        name="merged_with", dtype="int64", unit="", meaning="earlier cell that led to the same state, or -1", default=-1
    ),
    Column(name="schedules", dtype="int64", unit="schedules", meaning="run for this cell", default=0),
    Column(name="failures", dtype="int64", unit="schedules", meaning="of these with a violation", default=0),
    TOKEN,
)

CRASH_POINTS: tuple[Column, ...] = (
    IMPLEMENTATION,
    SCENARIO,
    TOPOLOGY,
    DISK,
    _FAULT,
    _POLICY,
    Column(name="twice", dtype="bool", unit="", meaning="a second fault strikes during the recovery"),
    _POINT,
    _TASK,
    _AFTER,
    _BEFORE,
    _PHASE,
    Column(name="cells", dtype="int64", unit="cells", meaning="at this point"),
    Column(name="failing", dtype="int64", unit="cells", meaning="of these with a violation"),
    _OUTCOME,
    VIOLATION,
    TOKEN,
)

# What tells one ribbon of the crash chart from another.
CRASH_RIBBON = ("implementation", "scenario", "topology", "disk", "fault", "policy", "twice")

_WORST = ("failed", "unknown", "ok", "infeasible")


def crashes_frame(rows: Iterable[PlainRow] = ()) -> pd.DataFrame:
    """Build a frame of cells with the columns `CRASHES` from mappings, or from sequences in column order."""
    return build(CRASHES, rows, "crashes")


def crash_points(frame: pd.DataFrame) -> pd.DataFrame:
    """Sum up the cells of each point: one row for each ribbon and point, in order, with the columns `CRASH_POINTS`.

    The outcome is the worst one of the cells. A second fault makes a ribbon of its own.

    Args:
        frame: cells, with the columns `CRASHES`.

    Raises:
        UsageError: a column is missing, or two cells are the same one: the frame mixes two maps.
    """
    needed = [column.name for column in CRASHES if column.default is None]
    require(frame, needed, "crashes")
    plain = conform(frame, CRASHES, "crashes")
    place = [column.name for column in CRASHES if column.name not in ("cell", "merged_with", *_RESULTS)]
    doubled = plain[plain.duplicated(place)]
    if not doubled.empty:
        row = doubled.iloc[0]
        raise UsageError(
            f"point {row['point']} of {row['implementation']} in {row['scenario']} ({row['topology']}, disk={row['disk']}, "
            f"{row['fault']} {row['policy']}".rstrip()
            + ") is there twice. Give each map once."
        )
    plain["twice"] = plain["second"] >= 0
    found: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for cell in plain.to_dict("records"):
        found.setdefault((*(cell[name] for name in CRASH_RIBBON), cell["point"]), []).append(cell)
    order = {key: number for number, key in enumerate(dict.fromkeys(key[:-1] for key in found))}
    rows = []
    for key in sorted(found, key=lambda key: (order[key[:-1]], key[-1])):
        cells = found[key]
        failing = [cell for cell in cells if cell["outcome"] == "failed"]
        worst = min((str(cell["outcome"]) for cell in cells), key=_WORST.index)
        shown = next(cell for cell in cells if str(cell["outcome"]) == worst)
        told = {column.name: shown[column.name] for column in CRASH_POINTS if column.name in shown}
        counts = {
            "cells": len(cells),
            "failing": len(failing),
            "violation": joined(each["violation"] for each in failing),
        }
        rows.append(told | counts)
    return build(CRASH_POINTS, rows, "crash points")


_RESULTS = ("outcome", "violation", "re_extracted", "schedules", "failures", "token")
