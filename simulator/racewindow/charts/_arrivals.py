"""How likely harm is, by how long after 'accepted' the second client arrives: a curve for each implementation, a panel for each load."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from racewindow.charts._footer import Footer
from racewindow.charts._ribbon import SMALL
from racewindow.charts._style import (
    BLACK,
    BLUE,
    GREEN,
    MUTED,
    ORANGE,
    PAPER,
    PURPLE,
    SKY,
    VERMILLION,
    elide,
    figure_of,
    style,
    text_width,
)
from racewindow.errors import UsageError
from racewindow.frames import ARRIVALS, conform, require

_COLOURS = (BLUE, VERMILLION, GREEN, ORANGE, PURPLE, SKY, BLACK, MUTED)
_DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1.2, 1.2)), (0, (5, 1.5, 1.2, 1.5)), (0, (8, 2)), (0, (3, 3)))
_MARKERS = "osD^vPX*"
TITLE, TEXT, MARGIN, FOOT = 9.0, 8.0, 10.0, 34.0
_HIGH = 150.0  # of a panel, in points


def arrivals(
    frame: pd.DataFrame, *, ax: Axes | None = None, load: int | None = None, legend: bool = True, width: float = 7.0
) -> Axes:
    """Draw P(violation) over the delay between 'accepted' and the arrival of the second client.

    A filled mark is sampled, with the ends of its interval; a hollow one is exact. The axis is logarithmic where the delays span more than
    two powers of ten; no delay at all then stands at its left end.

    Args:
        frame: probabilities, with the columns `racewindow.frames.ARRIVALS`.
        ax: where to draw one load; by default a new pyplot figure with a panel for each, below each other.
        load: which one to draw; by default all there are, or the only one.
        legend: name the curves and the latency model below.
        width: of the new figure, in inches.

    Returns:
        The Axes; of several panels the first.

    Raises:
        UsageError: a column is missing, there is no such load, several scenarios, or several loads and only one Axes.
    """
    require(frame, [column for column in ARRIVALS if column.default is None], "arrivals")
    plain = conform(frame, ARRIVALS, "arrivals")
    stories = plain[["scenario", "topology", "disk"]].drop_duplicates()
    if len(stories) > 1:
        raise UsageError(
            f"arrivals draws one scenario, topology and granularity, but this frame holds {len(stories)}: filter the frame."
        )
    loads = sorted(set(plain["load"].tolist()))
    if load is not None and load not in loads:
        raise UsageError(f"the frame has no load {load}; it has: {', '.join(map(str, loads)) or 'none'}")
    shown = [load] if load is not None else loads or [0]
    if ax is not None and len(shown) > 1:
        raise UsageError(f"one Axes holds one load, but the frame has {len(shown)}: give load=, or no ax")
    place = {str(name): number for number, name in enumerate(plain["implementation"].cat.categories)}
    with style():
        panels = [ax] if ax is not None else _panels(plain, len(shown), place, legend=legend, width=width)
        for panel, one in zip(panels, shown, strict=True):
            _panel(panel, plain[plain["load"] == one], one, place)
        for panel in panels[:-1]:
            panel.set_xlabel("")
        if legend and place:
            _footer(plain, place).draw(panels[-1], down=FOOT, margin=MARGIN)
        return panels[0]


def _panels(plain: pd.DataFrame, count: int, place: dict[str, int], *, legend: bool, width: float) -> list[Axes]:
    import matplotlib.pyplot as plt

    across = width * 72 - 2 * MARGIN
    left, gap, top = 36.0, 30.0, 24.0
    below = FOOT
    if legend and place:
        below += _footer(plain, place).height(across)
    height = top + count * _HIGH + (count - 1) * gap + below + MARGIN
    figure = plt.figure(figsize=(width, height / 72))
    panels: list[Axes] = []
    for number in range(count):
        bottom = height - top - (number + 1) * _HIGH - number * gap
        panels.append(
            figure.add_axes(
                ((MARGIN + left) / (width * 72), bottom / height, (across - left) / (width * 72), _HIGH / height)
            )
        )
    return panels


def _panel(ax: Axes, frame: pd.DataFrame, load: int, place: dict[str, int]) -> None:
    delays = sorted(set(frame["delay_s"].tolist()))
    positive = [delay for delay in delays if delay > 0]
    logarithmic = bool(positive) and positive[-1] / positive[0] > 100
    zero = positive[0] / 4 if logarithmic else 0.0
    for name, number in place.items():
        curve = frame[frame["implementation"] == name].sort_values("delay_s")
        if curve.empty:
            continue
        colour = _COLOURS[number % len(_COLOURS)]
        x = curve["delay_s"].clip(lower=zero).to_numpy()
        ax.plot(
            x, curve["probability"], color=colour, linestyle=_DASHES[number % len(_DASHES)], linewidth=1.4, label=name
        )
        ax.vlines(x, curve["low"], curve["high"], color=colour, linewidth=0.9, alpha=0.8)
        for exact, face in ((True, PAPER), (False, colour)):
            some = (curve["exact"] == exact).to_numpy()
            ax.plot(
                x[some],
                curve["probability"].to_numpy()[some],
                linestyle="none",
                marker=_MARKERS[number % len(_MARKERS)],
                markersize=4.6,
                color=colour,
                markerfacecolor=face,
                zorder=3,
            )
    if logarithmic:
        ax.set_xscale("log")
        ticks = ([zero] if delays[0] == 0 else []) + [10.0**power for power in range(-9, 9)]
        inside = [
            tick for tick in ticks if zero <= tick <= positive[-1] * 1.01 and (tick == zero or tick >= positive[0])
        ]
        ax.set_xticks(inside, ["0" if tick == zero else f"{tick:g}" for tick in inside])
        ax.minorticks_off()
        ax.set_xlim(zero / 1.4, positive[-1] * 1.4)
    ax.set_ylim(-0.03, 1.03)
    ax.set_yticks([0, 0.25, 0.5, 0.75, 1])
    ax.tick_params(labelsize=SMALL)
    ax.set_ylabel("P(violation)", size=TEXT)
    room = ax.get_window_extent().width * 72 / figure_of(ax).dpi
    real = frame["disk"].astype(str).str.contains("real").any()
    when = f"{'seconds' if real else 'virtual seconds'} after 'accepted'"
    ax.set_xlabel(f"second client, {when}" if room > 200 else when, size=TEXT)
    story = str(frame["scenario"].iloc[0]) if len(frame) else "nothing was run"
    who = f" + load of {load}" if load else ""
    ax.set_title(elide(story, room - text_width(who, TITLE, bold=True), TITLE, bold=True) + who, size=TITLE, loc="left")


def _caption(plain: pd.DataFrame) -> str:
    schedules = sorted(set(plain.loc[~plain["exact"], "schedules"].tolist()))
    sampled = f"{schedules[0]} to {schedules[-1]}" if len(schedules) > 1 else "".join(map(str, schedules))
    confidence = f"{plain['confidence'].iloc[0]:.0%}".replace("%", " %")
    told = [f"Filled: sampled, {sampled} schedules each, lines: {confidence} intervals."] if schedules else []
    if plain["exact"].any():
        told.append("Hollow: exact, nothing is random.")
    # The longest text says of the load, too.
    models = sorted((str(text) for text in plain["latency"].cat.categories), key=len)
    model = models[-1] if models else ""
    if "wall-clock" in models[:-1]:
        model += "; of the server, as they were"
    seeds = ", ".join(str(seed) for seed in sorted(set(plain["seed"].tolist())))
    where = ", ".join(
        f"{row['topology'].replace('-', ' ')}, disk={row['disk']}" for row in plain.head(1).to_dict("records")
    )
    load = "Load: other clients that each add and commit. " if plain["load"].any() else ""
    return " ".join([*told, f"{load}Latencies, {model}. {where[:1].upper()}{where[1:]}, seed {seeds}."])


def _footer(plain: pd.DataFrame, place: dict[str, int]) -> Footer:
    lines = [
        Line2D(
            [],
            [],
            color=_COLOURS[number % len(_COLOURS)],
            linestyle=_DASHES[number % len(_DASHES)],
            marker=_MARKERS[number % len(_MARKERS)],
            markersize=4.6,
        )
        for number in place.values()
    ]
    return Footer(handles=list(zip(lines, place, strict=True)), caption=_caption(plain), handle=3.2, beside=44)
