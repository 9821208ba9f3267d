"""Double preemption: one row for each gap of the victim and each place where the intruder is itself interrupted."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd

from racewindow.errors import UsageError
from racewindow.frames._columns import (
    BLOCKED,
    FAILING,
    TOKEN,
    VIOLATION,
    Column,
    PlainRow,
    build,
    conform,
    joined,
    require,
)
from racewindow.frames._windows import RIBBON, RIBBON_COLUMNS, by_ribbon

DOUBLE: tuple[Column, ...] = (
    *RIBBON_COLUMNS,
    Column(name="gap", dtype="int64", unit="gaps", meaning="where the intruder starts: a gap of the victim, 0 to m"),
    Column(name="after_step", dtype="str", unit="", meaning="label of the step before the gap, or empty", default=""),
    Column(name="before_step", dtype="str", unit="", meaning="label of the step after the gap, or empty", default=""),
    Column(
        name="intruder_steps",
        dtype="int64",
        unit="steps",
        meaning="after how many of its steps the intruder is interrupted; 0 where it could not start",
    ),
    Column(
        name="whole", dtype="bool", unit="", meaning="those are all its steps: nothing interrupts it", default=False
    ),
    Column(
        name="interrupted_after",
        dtype="str",
        unit="",
        meaning="label of the last step before that, or empty",
        default="",
    ),
    Column(name="outcome", dtype="outcome", unit="", meaning="what this leads to"),
    Column(
        name="waited",
        dtype="str",
        unit="",
        meaning="who had to wait: intruder, victim, both ('+'), or empty",
        default="",
    ),
    VIOLATION,
    TOKEN,
)

DOUBLE_WIDTHS: tuple[Column, ...] = (
    *RIBBON_COLUMNS,
    Column(name="cells", dtype="int64", unit="cells", meaning="schedules in which the intruder started"),
    Column(name="failing", dtype="int64", unit="cells", meaning="of those, that lead to a violation"),
    Column(name="only_double", dtype="int64", unit="cells", meaning="of those, in gaps where no whole intrusion fails"),
    Column(name="blocked", dtype="int64", unit="cells", meaning="cells in which somebody had to wait"),
    Column(name="infeasible", dtype="int64", unit="gaps", meaning="gaps in which the intruder could not start"),
    VIOLATION,
    TOKEN,
)


def double_frame(rows: Iterable[PlainRow] = ()) -> pd.DataFrame:
    """Build a frame of cells with the columns `DOUBLE` from mappings, or from sequences in column order."""
    return build(DOUBLE, rows, "double")


def double_widths(frame: pd.DataFrame) -> pd.DataFrame:
    """Count the cells of each matrix, with the columns `DOUBLE_WIDTHS`.

    Raises:
        UsageError: a column is missing.
    """
    rows: list[dict[str, object]] = []
    for key, cells in matrices(frame):
        started = [cell for cell in cells if cell["outcome"] != "infeasible"]
        failing = [cell for cell in started if cell["outcome"] in FAILING]
        single = {cell["gap"] for cell in failing if cell["whole"]}
        alone = [cell for cell in failing if cell["gap"] not in single]
        shown = [*alone, *failing]
        rows.append(
            {
                **key,
                "cells": len(started),
                "failing": len(failing),
                "only_double": len(alone),
                "blocked": sum(cell["outcome"] in BLOCKED for cell in started),
                "infeasible": len(cells) - len(started),
                "violation": joined(cell["violation"] for cell in failing),
                "token": next((cell["token"] for cell in shown if cell["token"]), ""),
            }
        )
    return build(DOUBLE_WIDTHS, rows, "double widths")


def matrices(frame: pd.DataFrame) -> list[tuple[dict[str, str], list[dict[str, Any]]]]:
    """Split a frame of cells into matrices: what tells one from others (`RIBBON`), and its cells by gap and steps.

    Raises:
        UsageError: a column is missing, or one cell of one matrix has two rows.
    """
    require(frame, [column.name for column in DOUBLE if column.default is None], "double")
    cells = conform(frame, DOUBLE, "double")
    doubled = cells[cells.duplicated([*RIBBON, "gap", "intruder_steps"])]
    if not doubled.empty:
        row = doubled.iloc[0]
        raise UsageError(
            f"gap {row['gap']} with {row['intruder_steps']} steps of the intruder has two rows for {row['implementation']} in "
            f"{row['scenario']}. One matrix has one row for each: filter the frame, or drop what was joined twice."
        )
    return by_ribbon(cells, "gap", "intruder_steps")
