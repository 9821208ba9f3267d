"""Schedules: one row for each, of one search or of a whole campaign."""

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

RUNS: tuple[Column, ...] = (
    Column(name="schedule", dtype="int64", unit="", meaning="number of the schedule (or class), from 0"),
    Column(name="verdict", dtype="run-verdict", unit="", meaning="what this one schedule showed"),
    VIOLATION,
    Column(name="messages", dtype="str", unit="", meaning="message ids concerned, joined by spaces", default=""),
    Column(name="steps", dtype="int64", unit="steps", meaning="length of the schedule"),
    Column(name="preemptions", dtype="int64", unit="switches", meaning="switches away from a task that could go on"),
    TOKEN,
)

CAMPAIGN: tuple[Column, ...] = (
    IMPLEMENTATION,
    SCENARIO,
    TOPOLOGY,
    DISK,
    Column(name="strategy", dtype="category", unit="", meaning="how the schedules of the job were chosen"),
    *RUNS,
)


def runs_frame(rows: Iterable[PlainRow] = ()) -> pd.DataFrame:
    """Build a frame of schedules with the columns `RUNS` from mappings, or from sequences in column order."""
    return build(RUNS, rows, "runs")


def campaign_frame(rows: Iterable[PlainRow] = ()) -> pd.DataFrame:
    """Build a frame of schedules of several jobs with the columns `CAMPAIGN` from mappings, or from sequences in column order."""
    return build(CAMPAIGN, rows, "campaign")
