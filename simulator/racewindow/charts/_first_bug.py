"""How soon each strategy finds the bug: Kaplan-Meier curves, one panel for each subject."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter

from racewindow.charts._style import (
    BLACK,
    BLUE,
    GREEN,
    MUTED,
    ORANGE,
    PURPLE,
    SKY,
    VERMILLION,
    figure_of,
    style,
)
from racewindow.errors import UsageError
from racewindow.frames import SURVIVAL, conform, require

_COLOURS = (BLUE, VERMILLION, GREEN, ORANGE, PURPLE, SKY, BLACK, MUTED)
_DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1.2, 1.2)), (0, (5, 1.5, 1.2, 1.5)), (0, (8, 2)), (0, (3, 3)))
_MARKERS = "osD^vPX*"
_MARK = ("half have", "found it")
_PANEL = 2.7  # inches, the narrowest that its title and its axis can be read in
_LEFT = 0.8  # where zero stands on the logarithmic axis


def first_bug(
    frame: pd.DataFrame, *, ax: Axes | None = None, subject: str = "", bands: bool | None = None, width: float = 9.0
) -> Axes:
    """Draw the probability that no violation was found yet, over the number of schedules.

    Args:
        frame: Kaplan-Meier curves, with the columns `racewindow.frames.SURVIVAL`.
        ax: where to draw one subject; by default a new pyplot figure with a panel for each.
        subject: which one to draw; by default all there are, or the only one.
        bands: shade the 95 % intervals; by default where no more than four curves share a panel.
        width: of the new figure, in inches.

    Returns:
        The Axes; of several panels the first.

    Raises:
        UsageError: a column is missing, there is no such subject, or there are several and only one Axes.
    """
    require(frame, SURVIVAL, "first_bug")
    plain = conform(frame, SURVIVAL, "first_bug")
    subjects = [str(name) for name in plain["subject"].cat.categories]
    if subject and subject not in subjects:
        raise UsageError(f"the frame has no subject {subject!r}; it has: {', '.join(subjects) or 'none'}")
    shown = [subject] if subject else subjects or [""]
    if ax is not None and len(shown) > 1:
        raise UsageError(f"one Axes holds one subject, but the frame has {len(shown)}: give subject=, or no ax")
    looks = {str(name): place for place, name in enumerate(plain["strategy"].cat.categories)}
    with style():
        panels = [ax] if ax is not None else _grid(len(shown), width)
        last = int(plain["schedules"].max()) if len(plain) else 1
        columns = _columns(len(panels), width)
        for place, (panel, name) in enumerate(zip(panels, shown, strict=True)):
            _panel(panel, plain[plain["subject"] == name], looks, bands=len(looks) <= 4 if bands is None else bands)
            panel.set_xlim(_LEFT, max(last, 2) * 1.1)  # of all: what is further to the right is harder to find
            panel.set_title(name)
            if place % columns == 0:
                panel.set_ylabel("P(no violation yet)")
            if place + columns < len(panels):
                panel.set_xlabel("")
        if looks:
            _legend(panels, list(looks))
        return panels[0]


def _grid(count: int, width: float) -> list[Axes]:
    """So many panels, in as many rows as it takes."""
    import matplotlib.pyplot as plt

    columns = _columns(count, width)
    rows = -(-count // columns)
    figure, grid = plt.subplots(
        rows,
        columns,
        figsize=(width, 4.2 if rows == 1 else 2.7 * rows),
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    panels: list[Axes] = list(grid.flat)
    for spare in panels[count:]:
        figure.delaxes(spare)
    return panels[:count]


def _columns(count: int, width: float) -> int:
    return min(count, max(1, int(width / _PANEL)))


def _panel(ax: Axes, frame: pd.DataFrame, looks: dict[str, int], *, bands: bool) -> None:
    searches: set[int] = set()
    for name, place in looks.items():
        curve = frame[frame["strategy"] == name].sort_values("schedules")
        if curve.empty:
            continue
        searches.update(curve["searches"])
        colour, dash = _COLOURS[place % len(_COLOURS)], _DASHES[place % len(_DASHES)]
        x, y = curve["schedules"].clip(lower=_LEFT).to_numpy(), curve["survival"].to_numpy()
        ax.step(x, y, where="post", color=colour, linestyle=dash, linewidth=1.6, label=name)
        ends = _half(x, y)
        ax.plot(*ends, marker=_MARKERS[place % len(_MARKERS)], color=colour, markersize=6, zorder=3)
        if bands:
            ax.fill_between(x, curve["low"], curve["high"], step="post", color=colour, alpha=0.10, linewidth=0)
        cut = curve[curve["censored"] > 0]
        ax.plot(cut["schedules"], cut["survival"], linestyle="none", marker="|", color=colour, markersize=11)
    ax.set_xscale("log")  # an easy race takes two schedules, a narrow one hundreds
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.set_ylim(0, 1.02)
    ax.axhline(0.5, color=MUTED, linewidth=0.6, zorder=0)
    often = " to ".join(str(count) for count in sorted({min(searches), max(searches)})) if searches else "no"
    ax.set_xlabel(f"schedules\n({often} searches each; | cut off there)")


def _half(x: Any, y: Any) -> tuple[list[float], list[float]]:
    """Where a curve gets to one half; nowhere if it does not."""
    reached = [float(place) for place, value in zip(x, y, strict=True) if value <= 0.5]
    return ([reached[0]], [0.5]) if reached else ([], [])


def _legend(panels: list[Axes], names: list[str]) -> None:
    """Beside a row of panels; below several rows, where it would make all of them narrower."""
    from matplotlib.lines import Line2D

    lines = [
        Line2D(
            [],
            [],
            color=_COLOURS[place % len(_COLOURS)],
            linestyle=_DASHES[place % len(_DASHES)],
            marker=_MARKERS[place % len(_MARKERS)],
        )
        for place in range(len(names))
    ]
    last = panels[-1].get_subplotspec()
    if last is None or last.is_first_row():
        panels[-1].legend(
            lines,
            names,
            loc="upper left",
            bbox_to_anchor=(1.02, 1.0),
            borderaxespad=0.0,
            handlelength=3.5,
            fontsize=8,
            title=f"mark: {_MARK[0]}\n{_MARK[1]}",
            title_fontsize=8,
            alignment="left",
        )
        return
    figure = figure_of(panels[-1])
    figure.legend(
        lines,
        names,
        loc="outside lower left",
        ncols=max(1, int(figure.get_figwidth() / 1.6)),
        handlelength=3.5,
        fontsize=8,
        title=f"mark: {' '.join(_MARK)}",
        title_fontsize=8,
        alignment="left",
    )
