"""Gaps and windows: one row for each gap of a victim, and the arithmetic of windows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from racewindow.errors import UsageError
from racewindow.frames._columns import (
    BLOCKED,
    DISK,
    FAILING,
    IMPLEMENTATION,
    INTRUDER,
    INTRUSION,
    OPERATION,
    SCENARIO,
    TOKEN,
    TOPOLOGY,
    VICTIM,
    VIOLATION,
    Column,
    PlainRow,
    build,
    conform,
    joined,
    require,
)

RIBBON_COLUMNS: tuple[Column, ...] = (IMPLEMENTATION, SCENARIO, TOPOLOGY, DISK, VICTIM, OPERATION, INTRUDER, INTRUSION)
# What tells one ribbon of the atlas from another.
RIBBON = tuple(column.name for column in RIBBON_COLUMNS)

WINDOWS: tuple[Column, ...] = (
    *RIBBON_COLUMNS,
    Column(name="gap", dtype="int64", unit="gaps", meaning="which gap of the victim, 0 (before its first step) to m"),
    Column(name="after_step", dtype="str", unit="", meaning="label of the step before the gap, or empty", default=""),
    Column(name="before_step", dtype="str", unit="", meaning="label of the step after the gap, or empty", default=""),
    Column(name="task", dtype="str", unit="", meaning="role of the task that takes the step after the gap", default=""),
    Column(name="phase", dtype="phase", unit="", meaning="how far the victim commit is at this gap"),
    Column(name="outcome", dtype="outcome", unit="", meaning="what the intruder, run in this gap, leads to"),
    VIOLATION,
    TOKEN,
)

WIDTHS: tuple[Column, ...] = (
    *RIBBON_COLUMNS,
    Column(name="gaps", dtype="int64", unit="gaps", meaning="m + 1 for a victim of m steps"),
    Column(name="feasible", dtype="int64", unit="gaps", meaning="gaps in which the intruder could be run"),
    Column(name="failing", dtype="int64", unit="gaps", meaning="width w: gaps in which it leads to a violation"),
    Column(name="blocked", dtype="int64", unit="gaps", meaning="gaps in which the intruder had to wait"),
    Column(name="fraction", dtype="float64", unit="of gaps", meaning="failing / gaps"),
    Column(name="windows", dtype="int64", unit="windows", meaning="disconnected runs of failing gaps"),
    Column(name="opens", dtype="str", unit="", meaning="step that opens the first window, 'start', or empty"),
    Column(name="closes", dtype="str", unit="", meaning="step that closes the last window, 'end', or empty"),
    VIOLATION,
    TOKEN,
)

SPANS: tuple[Column, ...] = (
    *RIBBON_COLUMNS,
    Column(name="window", dtype="int64", unit="", meaning="number of the window along the victim, from 0"),
    Column(name="first", dtype="int64", unit="gaps", meaning="first failing gap"),
    Column(name="last", dtype="int64", unit="gaps", meaning="last failing gap"),
    Column(name="width", dtype="int64", unit="gaps", meaning="failing gaps, one after the other"),
    Column(name="opens", dtype="str", unit="", meaning="step that opens the window, or 'start'"),
    Column(name="closes", dtype="str", unit="", meaning="step that closes the window, or 'end'"),
    VIOLATION,
    TOKEN,
)


def windows_frame(rows: Iterable[PlainRow] = ()) -> pd.DataFrame:
    """Build a frame of gaps with the columns `WINDOWS` from mappings, or from sequences in column order."""
    return build(WINDOWS, rows, "windows")


def spans(frame: pd.DataFrame) -> pd.DataFrame:
    """Find the windows: one row for each run of neighbouring failing gaps, with the columns `SPANS`.

    A window is named by its opening step (the one just before its first gap) and its closing step (the one just after
    its last gap). An infeasible gap, or one that was never run, ends a window: nothing is known to fail there.
    """
    rows: list[dict[str, object]] = []
    for key, cells in ribbons(frame):
        number = 0
        run: list[dict[str, Any]] = []
        for cell in [*cells, None]:
            # A hole in the gap numbers (a search that was interrupted) separates windows as well.
            if cell is not None and cell["outcome"] in FAILING and (not run or cell["gap"] == run[-1]["gap"] + 1):
                run.append(cell)
                continue
            if run:
                rows.append(key | _span(number, run))
                number += 1
            run = [cell] if cell is not None and cell["outcome"] in FAILING else []
    return build(SPANS, rows, "spans")


def widths(frame: pd.DataFrame) -> pd.DataFrame:
    """Measure windows: one row for each ribbon, with the columns `WIDTHS`.

    Args:
        frame: gaps, with the columns `WINDOWS`.

    Returns:
        A frame in the order of first appearance. ``gaps`` is the last gap's number + 1, so that an interrupted map is
        not mistaken for a short one.
    """
    found = spans(frame)
    of_ribbon: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for span in found.to_dict("records"):
        of_ribbon.setdefault(tuple(str(span[name]) for name in RIBBON), []).append(span)
    rows: list[dict[str, object]] = []
    for key, cells in ribbons(frame):
        mine = of_ribbon.get(tuple(key.values()), [])
        failing = [cell for cell in cells if cell["outcome"] in FAILING]
        gaps = cells[-1]["gap"] + 1
        rows.append(
            {
                **key,
                "gaps": gaps,
                "feasible": sum(cell["outcome"] != "infeasible" for cell in cells),
                "failing": len(failing),
                "blocked": sum(cell["outcome"] in BLOCKED for cell in cells),
                "fraction": len(failing) / gaps,
                "windows": len(mine),
                "opens": mine[0]["opens"] if mine else "",
                "closes": mine[-1]["closes"] if mine else "",
                "violation": joined(cell["violation"] for cell in failing),
                "token": next((cell["token"] for cell in failing if cell["token"]), ""),
            }
        )
    return build(WIDTHS, rows, "widths")


def ribbons(frame: pd.DataFrame) -> list[tuple[dict[str, str], list[dict[str, Any]]]]:
    """Split a frame of gaps into ribbons: what tells it from others (`RIBBON`), and its gaps in order.

    Raises:
        UsageError: a column is missing, or one gap of one ribbon has two rows.
    """
    optional = ("token", "task", "victim", "operation", "intruder", "intrusion")
    require(frame, [column.name for column in WINDOWS if column.name not in optional], "windows")
    if frame.empty:
        return []
    frame = conform(frame, WINDOWS, "windows")
    doubled = frame[frame.duplicated([*RIBBON, "gap"])]
    if not doubled.empty:
        row = doubled.iloc[0]
        raise UsageError(
            f"gap {row['gap']} of {row['implementation']} in {row['scenario']} ({row['topology']}, disk={row['disk']}) "
            f"has two rows. One map has one row for each gap: filter the frame to one victim and one intruder."
        )
    return by_ribbon(frame, "gap")


def by_ribbon(frame: pd.DataFrame, *order: str) -> list[tuple[dict[str, str], list[dict[str, Any]]]]:
    """The rows of a frame, apart for each combination of `RIBBON`, and sorted by the columns ``order``."""
    found: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for cell in frame.to_dict("records"):
        found.setdefault(tuple(cell[name] for name in RIBBON), []).append(cell)
    return [
        (dict(zip(RIBBON, key, strict=True)), sorted(cells, key=lambda cell: tuple(cell[name] for name in order)))
        for key, cells in found.items()
    ]


def _span(number: int, run: Sequence[Mapping[str, Any]]) -> dict[str, object]:
    return {
        "window": number,
        "first": run[0]["gap"],
        "last": run[-1]["gap"],
        "width": len(run),
        "opens": run[0]["after_step"] or "start",
        "closes": run[-1]["before_step"] or "end",
        "violation": joined(cell["violation"] for cell in run),
        "token": next((cell["token"] for cell in run if cell["token"]), ""),
    }
