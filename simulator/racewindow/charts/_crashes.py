"""Crash ribbons: what a fault leads to, at each point of a story.

One panel is one implementation in one story: its points stand from left to right, named by the step that the fault forestalls. One row
is one fault, or one persistence policy. A cell shows the worst of what was tried there: its mark says what happened, its colour and
hatch which invariant broke.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.transforms import Transform

from racewindow.charts._footer import grid
from racewindow.charts._ribbon import PLAIN, broken, filled
from racewindow.charts._style import INK, MUTED, PAPER, Look, elide, figure_of, looks, meaning, style, text_width
from racewindow.errors import UsageError
from racewindow.frames import crash_points, kinds

# Lengths in points (1/72 inch).
ROW, GAP, MARGIN = 19.0, 4.0, 10.0
NAME, NUMBER, LABEL, TITLE = 8.5, 8.0, 6.6, 10.0
LABEL_MOST = 150.0  # longer names of points are cut in the middle
HEAD, FOOT = 42.0, 30.0

MARKS: dict[str, tuple[str, str]] = {
    "ok": (".", "every invariant holds"),
    "failed": ("x", "an invariant breaks"),
    "infeasible": ("_", "nothing to strike there"),
    "unknown": ("$?$", "a bound was hit"),
}

Rows = list[tuple[str, list[dict[str, Any]]]]


def crashes(frame: pd.DataFrame, *, ax: Axes | None = None, legend: bool = True, width: float = 9.0) -> Axes:
    """Draw the crash map of one implementation in one scenario, topology and granularity; one row for each fault and policy.

    Args:
        frame: cells, with the columns `racewindow.frames.CRASHES`.
        ax: where to draw; by default a new pyplot figure of a fitting height.
        legend: explain marks, colours and hatches below.
        width: of the new figure, in inches.

    Raises:
        UsageError: a column is missing, or the frame holds several maps.
    """
    panels = _panels(frame)
    if len(panels) > 1:
        names = "; ".join(", ".join(key) for key in list(panels)[:3]) + ("; ..." if len(panels) > 3 else "")
        raise UsageError(
            f"crashes draws one implementation in one scenario, topology and granularity, but this frame holds {len(panels)} ({names}). "
            "Filter the frame, or use crash_atlas(frame) for one panel each."
        )
    if ax is None:
        return _composed(panels, legend=legend, width=width)[1][0]
    with style():
        extent, dpi = ax.get_window_extent(), figure_of(ax).dpi
        room = extent.width * 72 / dpi
        key, rows = next(iter(panels.items()), (("", "", "", ""), []))
        _panel(ax, key, rows, _looks_of(panels), room)
        if legend:
            below = (0.0, -(_label_room(panels) + 8) / (extent.height * 72 / dpi))
            _legend(ax, panels, corner="upper left", at=below, of=ax.transAxes, room=room)
        return ax


def crash_atlas(frame: pd.DataFrame, *, legend: bool = True, width: float = 9.0) -> Figure:
    """Draw one panel of crash ribbons for each implementation x scenario x topology x granularity, below each other.

    Args:
        frame: cells, with the columns `racewindow.frames.CRASHES`.
        legend: explain marks, colours and hatches below.
        width: in inches; the height follows.

    Raises:
        UsageError: a column is missing, or one map is there twice.
    """
    return _composed(_panels(frame), legend=legend, width=width)[0]


def _panels(frame: pd.DataFrame) -> dict[tuple[str, ...], Rows]:
    """Panels by implementation, scenario, topology and granularity: their rows with names, and the points of each in order."""
    found: dict[tuple[str, ...], dict[str, list[dict[str, Any]]]] = {}
    for cell in crash_points(frame).to_dict("records"):
        key = tuple(str(cell[name]) for name in ("implementation", "scenario", "topology", "disk"))
        name = f"{cell['fault']} {cell['policy']}".rstrip() + (", twice" if cell["twice"] else "")
        found.setdefault(key, {}).setdefault(name, []).append({str(name): value for name, value in cell.items()})
    return {key: list(rows.items()) for key, rows in found.items()}


def _composed(panels: Mapping[tuple[str, ...], Rows], *, legend: bool, width: float) -> tuple[Figure, list[Axes]]:
    import matplotlib.pyplot as plt

    with style():
        drawn = dict(panels) or {("", "", "", ""): []}
        left = max((text_width(name, NAME) for rows in drawn.values() for name, _ in rows), default=0.0) + 14
        right = (
            max(
                (text_width(_number(points), NUMBER, bold=True) for rows in drawn.values() for _, points in rows),
                default=0.0,
            )
            + 14
        )
        foot = FOOT + 14 * (_columns(drawn, width * 72 - 2 * MARGIN)[1] - 1) if legend else 0.0
        heights = [(HEAD, max(1, len(rows)) * ROW, _label_room({key: rows})) for key, rows in drawn.items()]
        height = sum(map(sum, heights)) + foot + 2 * MARGIN
        figure = plt.figure(figsize=(width, height / 72), layout="none")
        room = width * 72 - left - right
        looked = _looks_of(drawn)
        top = height - MARGIN
        axes = []
        for (key, rows), (head, tall, low) in zip(drawn.items(), heights, strict=True):
            box = (left / (width * 72), (top - head - tall) / height, room / (width * 72), tall / height)
            ax = figure.add_axes(box)
            _panel(ax, key, rows, looked, room)
            axes.append(ax)
            top -= head + tall + low
        if legend:
            at = (MARGIN / (width * 72), MARGIN / height)
            _legend(axes[-1], drawn, corner="lower left", at=at, of=figure.transFigure, room=width * 72 - 2 * MARGIN)
        return figure, axes


_HEADING: dict[str, Any] = {"size": TITLE, "color": INK, "weight": "bold"}


def _panel(ax: Axes, key: tuple[str, ...], rows: Rows, looked: Mapping[str, Look], room: float) -> None:
    points = max((cells[-1]["point"] + 1 for _, cells in rows), default=1)
    ax.set(xlim=(0, points), ylim=(max(1, len(rows)), 0), yticks=[], xticks=[])
    ax.patch.set_alpha(0)
    for side in ax.spines.values():
        side.set_visible(False)
    wide = room / points
    for number, (name, cells) in enumerate(rows):
        for cell in cells:
            _cell(ax, number, cell, looked, min(wide, ROW - GAP))
        _beside(ax, name, (0, number), (-7, 0), ha="right", size=NAME)
        failing = any(cell["failing"] for cell in cells)
        look: dict[str, Any] = {
            "size": NUMBER,
            "color": INK if failing else MUTED,
            "weight": "bold" if failing else "normal",
        }
        _beside(ax, _number(cells), (points, number), (7, 0), ha="left", **look)
    implementation, scenario, topology, disk = key
    if not rows:
        ax.text(0.5, 0.5, "no cells", transform=ax.transAxes, ha="center", va="center", color=MUTED, size=NAME)
        return
    # The heading stands above the ribbon and above the numbers beside it.
    broad = room + max(text_width(_number(cells), NUMBER, bold=True) for _, cells in rows)
    told = elide(f"{scenario} · {topology}, disk={disk}", broad, NUMBER)
    name = elide(implementation, broad, _HEADING["size"], bold=True)
    for text, above, look in ((name, 26, _HEADING), (told, 14, {"size": NUMBER, "color": MUTED})):
        ax.annotate(text, (0, 1), (0, above), xycoords="axes fraction", textcoords="offset points", **look)
    longest = max((cells for _, cells in rows), key=len)
    _phases(ax, longest)
    _labels(ax, longest, wide)


def _cell(ax: Axes, number: int, cell: Mapping[str, Any], looked: Mapping[str, Look], size: float) -> None:
    left, right = cell["point"] + 0.05, cell["point"] + 0.95
    top, bottom = number + GAP / 2 / ROW, number + 1 - GAP / 2 / ROW
    outcome = str(cell["outcome"])
    lanes = [filled(looked[kind]) for kind in broken(cell["violation"])] if outcome == "failed" else []
    if not lanes:
        lanes = [PLAIN["ok" if outcome == "ok" else "infeasible" if outcome == "infeasible" else "not run"]]
    for lane, fill in enumerate(lanes):
        upper = top + (bottom - top) * lane / len(lanes)
        ax.add_patch(Rectangle((left, upper), right - left, (bottom - top) / len(lanes), zorder=2, **fill))
    edge: dict[str, Any] = {"fill": False, "edgecolor": INK, "linewidth": 0.6 if outcome != "ok" else 0.0}
    ax.add_patch(Rectangle((left, top), right - left, bottom - top, zorder=3, **edge))
    ax.add_line(_mark(outcome, (left + right) / 2, (top + bottom) / 2, size))


def _mark(outcome: str, x: float, y: float, size: float) -> Line2D:
    mark = MARKS[outcome][0]
    failed = outcome == "failed"
    line = Line2D(
        [x], [y], marker=mark, linestyle="none", color=INK if failed or outcome == "unknown" else MUTED, zorder=4
    )
    line.set_markersize(max(2.0, size * {"ok": 0.3, "failed": 0.42, "infeasible": 0.45, "unknown": 0.5}[outcome]))
    line.set_markeredgewidth({"ok": 0.0, "unknown": 0.3}.get(outcome, 1.6))
    if failed:
        line.set_path_effects([withStroke(linewidth=4.2, foreground=PAPER)])
    return line


def _phases(ax: Axes, cells: list[dict[str, Any]]) -> None:
    """From where on the commit was accepted, and completed: their names stand on the sides that face away from each other."""
    for phase, side, aside in (("accepted", "right", -2), ("completed", "left", 2)):
        points = [cell["point"] for cell in cells if str(cell["phase"]) == phase]
        if points:
            ax.axvline(points[0], color=INK, linewidth=1.1, linestyle=(0, (2, 1.4)), zorder=5, clip_on=False)
            at = (points[0], 1)
            look: dict[str, Any] = {"size": LABEL, "ha": side}
            ax.annotate(phase, at, (aside, 3), xycoords=("data", "axes fraction"), textcoords="offset points", **look)


def _labels(ax: Axes, cells: list[dict[str, Any]], wide: float) -> None:
    """Below each point the step that the fault forestalls; where there is no room for all, every second or third one."""
    every = max(1, round((LABEL + 1.5) / wide + 0.49))
    shown = [cell for number, cell in enumerate(cells) if number % every == 0]
    ax.set_xticks([cell["point"] + 0.5 for cell in shown])
    ax.set_xticklabels([_label(cell) for cell in shown], rotation=90, size=LABEL, color=INK)
    ax.tick_params(axis="x", length=2, width=0.6, color=MUTED, pad=1.5)


def _label(cell: Mapping[str, Any]) -> str:
    return elide(str(cell["before_step"]) or "(at rest)", LABEL_MOST, LABEL)


def _label_room(panels: Mapping[tuple[str, ...], Rows]) -> float:
    labels = [_label(cell) for rows in panels.values() for _, cells in rows for cell in cells]
    return max((text_width(label, LABEL) for label in labels), default=0.0) * 1.04 + 8


def _number(cells: Iterable[Mapping[str, Any]]) -> str:
    every = list(cells)
    failing = sum(cell["failing"] for cell in every)
    return f"{failing} of {sum(cell['cells'] for cell in every)} cells"


def _beside(ax: Axes, text: str, at: tuple[float, float], offset: tuple[float, float], **look: Any) -> None:
    at = (at[0], at[1] + 0.5)
    ax.annotate(text, at, offset, textcoords="offset points", va="center", annotation_clip=False, **look)


def _looks_of(panels: Mapping[tuple[str, ...], Rows]) -> dict[str, Look]:
    return looks(kind for rows in panels.values() for _, cells in rows for cell in cells for kind in _kinds(cell))


def _kinds(cell: Mapping[str, Any]) -> tuple[str, ...]:
    return broken(cell["violation"]) if str(cell["outcome"]) == "failed" else kinds(cell["violation"])


def _outcomes(panels: Mapping[tuple[str, ...], Rows]) -> list[str]:
    seen = {str(cell["outcome"]) for rows in panels.values() for _, cells in rows for cell in cells}
    return [outcome for outcome in MARKS if outcome in seen]


def _columns(panels: Mapping[tuple[str, ...], Rows], room: float) -> tuple[int, int]:
    """How many columns the legend has in so much room, and how many lines."""
    said = [MARKS[outcome][1] for outcome in _outcomes(panels)] + [meaning(kind) for kind in _looks_of(panels)]
    return grid(said, room, size=NUMBER, beside=46, most=3)


def _legend(
    ax: Axes,
    panels: Mapping[tuple[str, ...], Rows],
    *,
    corner: str,
    at: tuple[float, float],
    of: Transform,
    room: float,
) -> None:
    handles: list[Any] = []
    for outcome in _outcomes(panels):
        mark = _mark(outcome, 0, 0, 13)
        mark.set_label(MARKS[outcome][1])
        handles.append(mark)
    handles += [Patch(label=meaning(kind), **filled(look)) for kind, look in _looks_of(panels).items()]
    if handles:
        columns, _ = _columns(panels, room)
        look: dict[str, Any] = {
            "ncols": columns,
            "frameon": False,
            "fontsize": NUMBER,
            "borderaxespad": 0,
            "loc": corner,
        }
        ax.legend(handles=handles, bbox_to_anchor=at, bbox_transform=of, **look)
