"""Double preemption as a heat map: where the intruder starts, across; after how many of its steps it is interrupted, upwards.

A cell says three things, each in two ways: what broke (colour, and a letter of the legend), whether somebody had to wait (a bar), and
that the intruder could not start at all (hatching over the whole column).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from racewindow.charts._footer import Footer
from racewindow.charts._ribbon import PLAIN, SMALL, broken, note
from racewindow.charts._style import (
    DARK,
    INK,
    LIGHT,
    MUTED,
    PAPER,
    Look,
    elide,
    figure_of,
    looks,
    meaning,
    style,
    text_width,
)
from racewindow.errors import UsageError
from racewindow.frames import BLOCKED, FAILING, matrices

TITLE, TEXT = 10.0, 8.0
MARGIN, CELL_MAX, CELL_HIGH, LETTER = 10.0, 26.0, 11.0, 6.2

Cells = Sequence[Mapping[str, Any]]


def double(frame: pd.DataFrame, *, ax: Axes | None = None, legend: bool = True, width: float = 7.0) -> Axes:
    """Draw what two preemptions lead to, for one implementation in one scenario.

    Args:
        frame: cells, with the columns `racewindow.frames.DOUBLE`.
        ax: where to draw; by default a new pyplot figure of a fitting height.
        legend: explain colours, letters and marks below.
        width: of the new figure, in inches.

    Raises:
        UsageError: a column is missing, or the frame holds several matrices.
    """
    found = matrices(frame)
    if len(found) > 1:
        raise UsageError(
            f"double draws one matrix, but this frame holds {len(found)}: filter it to one implementation, scenario, topology, "
            "granularity, victim and intruder."
        )
    key, cells = found[0] if found else ({}, [])
    gaps, steps = _size(cells)
    with style():
        if ax is None:
            import matplotlib.pyplot as plt

            ax = _room(plt.figure(), cells, key, gaps, steps, legend=legend, width=width)
        marks = looks(kind for cell in cells if cell["outcome"] in FAILING for kind in broken(cell["violation"]))
        letters = _letters(marks)
        ax.set(xlim=(-0.5, gaps - 0.5), ylim=(0.5, steps + 0.5))
        ax.spines[:].set_color(INK)
        if not cells:
            ax.set(xticks=[], yticks=[])
            note(ax, "no cells were run", (0.5, 0.5), (0, 0), size=TEXT, color=MUTED, ha="center", va="center")
            return ax
        for cell in cells:
            _cell(ax, cell, steps, marks, letters)
        _axes(ax, key, cells, gaps, steps)
        if legend:
            _footer(key, cells, marks, letters).draw(ax, down=FOOT, margin=MARGIN)
        return ax


def _size(cells: Cells) -> tuple[int, int]:
    gaps = max((cell["gap"] for cell in cells), default=0) + 1
    return gaps, max(1, *(cell["intruder_steps"] for cell in cells)) if cells else 1


def _letters(marks: Mapping[str, Look]) -> dict[str, str]:
    """A letter for each kind of violation, for whoever sees no colours."""
    return {kind: chr(ord("A") + number) for number, kind in enumerate(marks)}


def _cell(ax: Axes, cell: Mapping[str, Any], steps: int, marks: Mapping[str, Look], letters: Mapping[str, str]) -> None:
    gap, step, outcome = cell["gap"], cell["intruder_steps"], cell["outcome"]
    if outcome == "infeasible":
        ax.add_patch(Rectangle((gap - 0.5, 0.5), 1, steps, zorder=1, **PLAIN["infeasible"]))
        return
    kinds = broken(cell["violation"]) if outcome in FAILING else ()
    faces = [marks[kind].face for kind in kinds] or [PLAIN["ok"]["facecolor"]]
    for number, face in enumerate(faces):
        left = gap - 0.5 + number / len(faces)
        ax.add_patch(Rectangle((left, step - 0.5), 1 / len(faces), 1, facecolor=face, linewidth=0, zorder=1))
    ax.add_patch(Rectangle((gap - 0.5, step - 0.5), 1, 1, fill=False, edgecolor=PAPER, linewidth=0.6, zorder=2))
    if kinds:
        ink = LIGHT if marks[kinds[0]].line == LIGHT else DARK
        text = letters[kinds[0]] if len(kinds) == 1 else letters[kinds[0]] + "+"
        if text_width(text, LETTER) > _across(ax):
            text = letters[kinds[0]]  # the parts of the cell still say that there are several
        ax.add_artist(_letter(ax, gap, step, text, ink))
    if outcome in BLOCKED:
        ax.add_line(Line2D([gap - 0.36, gap + 0.36], [step - 0.36] * 2, color=INK, linewidth=1.6, zorder=4))
    if cell["whole"]:
        ax.add_line(Line2D([gap - 0.5, gap + 0.5], [step + 0.5] * 2, color=INK, linewidth=1.1, zorder=5))


def _across(ax: Axes) -> float:
    """Width of a cell in points."""
    left, right = ax.get_xlim()
    return float(ax.get_window_extent().width * 72 / figure_of(ax).dpi / (right - left))


def _letter(ax: Axes, gap: int, step: int, text: str, ink: str) -> Artist:
    return ax.text(gap, step, text, ha="center", va="center", size=LETTER, color=ink, zorder=3, clip_on=True)


def _axes(ax: Axes, key: Mapping[str, str], cells: Cells, gaps: int, steps: int) -> None:
    ax.tick_params(labelsize=SMALL, length=2.5)
    ax.set_xticks(_ticks(0, gaps - 1))
    ax.set_yticks(_ticks(1, steps))
    ax.set_xlabel(f"{key['intruder']} starts in this gap of '{key['operation']}' of {key['victim']}", size=TEXT)
    intrusion = f"'{key['intrusion']}' of {key['intruder']}" if key["intrusion"] else key["intruder"]
    ax.set_ylabel(f"{intrusion} is interrupted\nafter so many steps", size=TEXT)
    failing = sum(cell["outcome"] in FAILING for cell in cells)
    started = sum(cell["outcome"] != "infeasible" for cell in cells)
    room = figure_of(ax).get_figwidth() * 72 - 2 * MARGIN
    across = ax.get_window_extent().x0 * 72 / figure_of(ax).dpi - MARGIN
    head = f"{key['implementation']} · {key['scenario']}"
    told = f"{failing} of {started} schedules fail"
    note(ax, elide(head, room, TITLE, bold=True), (0, 1), (-across, 17), size=TITLE, weight="bold", va="baseline")
    note(ax, elide(told, room, TEXT), (0, 1), (-across, 6), size=TEXT, color=MUTED, va="baseline")


def _ticks(first: int, last: int) -> list[int]:
    step = next(size for size in (1, 2, 5, 10, 20, 50, 100, 1000) if (last - first) / size <= 13)
    return [first, *(tick for tick in range(0, last + 1, step) if tick > first)]


def _handles(cells: Cells, marks: Mapping[str, Look], letters: Mapping[str, str]) -> list[tuple[Artist, str]]:
    outcomes = {cell["outcome"] for cell in cells}
    handles: list[tuple[Artist, str]] = [
        (Patch(facecolor=look.face), f"{letters[kind]}  {meaning(kind)}") for kind, look in marks.items()
    ]
    if outcomes & {"ok", "blocked-then-ok"}:
        handles.append((Patch(**PLAIN["ok"]), "no harm"))
    if outcomes & set(BLOCKED):
        handles.append((Line2D([], [], color=INK, linewidth=1.6), "bar: one had to wait for the other"))
    if "infeasible" in outcomes:
        handles.append((Patch(**PLAIN["infeasible"]), "infeasible: it cannot start here"))
    handles.append((Line2D([], [], color=INK, linewidth=1.1), "top edge: not interrupted, it ends"))
    return handles


def _caption(key: Mapping[str, str], gaps: int) -> str:
    where = f"{key['topology'].replace('-', ' ').capitalize()}, disk={key['disk']}."
    return (
        f"{where} One schedule for each cell, exact: the intruder starts in one of {gaps} gaps, is interrupted, the victim runs to its "
        "end, and then the intruder finishes. A cell in parts, or a letter and +: several invariants break."
    )


FOOT = 40.0  # room for the numbers and the name of the horizontal axis


def _room(
    figure: Any, cells: Cells, key: Mapping[str, str], gaps: int, steps: int, *, legend: bool, width: float
) -> Axes:
    """An Axes in a new figure whose height follows from what it holds."""
    across = width * 72 - 2 * MARGIN
    left = 44.0
    room = across - left
    high = steps * min(CELL_MAX, max(CELL_HIGH, min(room / gaps, 14.0)))
    below = FOOT
    if legend and cells:
        marks = looks(kind for cell in cells if cell["outcome"] in FAILING for kind in broken(cell["violation"]))
        below += _footer(key, cells, marks, _letters(marks)).height(across)
    top = 36.0
    height = top + high + below + MARGIN
    figure.set_size_inches(width, height / 72)
    axes: Axes = figure.add_axes(
        ((MARGIN + left) / (width * 72), (below + MARGIN) / height, room / (width * 72), high / height)
    )
    return axes


def _footer(key: Mapping[str, str], cells: Cells, marks: Mapping[str, Look], letters: Mapping[str, str]) -> Footer:
    caption = _caption(key, _size(cells)[0])
    return Footer(handles=_handles(cells, marks, letters), caption=caption, handle=1.6, beside=34)
