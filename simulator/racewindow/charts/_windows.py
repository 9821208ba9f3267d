"""The race-window atlas: where along a commit can another client do harm?

One ribbon is one commit of the victim, stretched to the full width whatever its number of steps: implementations take
differently many steps, and the *share* of a commit that is dangerous is what can be compared. The cells keep the count
visible, and the numbers stand at the right end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from racewindow.charts._footer import grid, legend_below
from racewindow.charts._ribbon import (
    BOTTOM,
    PLAIN,
    SMALL,
    TOP,
    Names,
    brackets,
    broken,
    filled,
    mark,
    note,
    number_room,
    numbers,
    phases,
    ribbon,
)
from racewindow.charts._style import (
    INK,
    MUTED,
    PAPER,
    Look,
    elide,
    figure_of,
    looks,
    meaning,
    style,
    text_width,
    wrap,
)
from racewindow.errors import UsageError
from racewindow.frames import BLOCKED, FAILING, RIBBON, ribbons, spans, widths

# All lengths are in points (1/72 inch). A row holds phase marks, a ribbon, the names of its windows, and air.
PITCH = 49.0
TITLE, STORY = 10.0, 8.0
NAME = 8.5
HEAD, FOOT, MARGIN = 44.0, 24.0, 12.0

Ribbon = tuple[dict[str, str], list[dict[str, Any]]]


def windows(
    frame: pd.DataFrame,
    *,
    ax: Axes | None = None,
    order: Sequence[str] | str = "given",
    stories: Mapping[str, str] | None = None,
    legend: bool = True,
    width: float = 9.0,
) -> Axes:
    """Draw the race windows of several implementations in one scenario, topology and granularity.

    Args:
        frame: gaps, with the columns `racewindow.frames.WINDOWS`.
        ax: where to draw; by default a new pyplot figure of a fitting height.
        order: "given" (of first appearance), "width" (widest window first), or the names in the wanted order.
        stories: text of each scenario by name, shown under the title.
        legend: explain colours, hatches and marks below.
        width: of the new figure, in inches.

    Raises:
        UsageError: a column is missing, or the frame holds several scenarios, topologies or granularities.
    """
    drawing = _drawing(frame)
    panels = _panels(drawing, order)
    if len(panels) > 1:
        names = "; ".join(", ".join(key) for key in list(panels)[:3]) + ("; ..." if len(panels) > 3 else "")
        raise UsageError(
            f"windows draws one scenario, topology and granularity, but this frame holds {len(panels)} ({names}). "
            f"Filter the frame, or use atlas(frame) for one panel each."
        )
    with style():
        if ax is None:
            import matplotlib.pyplot as plt

            return _compose(plt.figure(), drawing, panels, width=width, title="", stories=stories or {}, legend=legend)[
                0
            ]
        key, rows = next(iter(panels.items()), (("", "", ""), []))
        _sides(ax, rows, drawing, left=0.0)
        if figure_of(ax).get_layout_engine() is not None:
            # What fits depends on the final width, and that on the names and numbers at the sides.
            figure_of(ax).draw_without_rendering()
        room = ax.get_window_extent().width * 72 / figure_of(ax).dpi
        _panel(ax, key, rows, drawing, room=room, left=0.0, across=room, story=(stories or {}).get(key[0], ""))
        if legend:
            _footer(ax, drawing, left=0.0, room=room)
        return ax


def atlas(
    frame: pd.DataFrame,
    *,
    order: Sequence[str] | str = "given",
    stories: Mapping[str, str] | None = None,
    title: str = "",
    legend: bool = True,
    width: float = 9.0,
) -> Figure:
    """Draw one panel of race windows for each scenario x topology x granularity of the frame, below each other.

    Args:
        frame: gaps, with the columns `racewindow.frames.WINDOWS`.
        order: "given" (of first appearance), "width" (widest window first), or the names in the wanted order.
        stories: text of each scenario by name, shown under its title.
        title: of the whole figure.
        legend: explain colours, hatches and marks below.
        width: in inches; the height follows.

    Raises:
        UsageError: a column is missing.
    """
    import matplotlib.pyplot as plt

    with style():
        # Made by pyplot, so that notebooks know how to show it, and closed, so that they do not show it twice.
        figure = plt.figure()
        plt.close(figure)
        drawing = _drawing(frame)
        panels = _panels(drawing, order)
        _compose(figure, drawing, panels, width=width, title=title, stories=stories or {}, legend=legend)
        return figure


@dataclass(frozen=True, slots=True, kw_only=True)
class _Drawing:
    """A frame taken apart once: its ribbons, and by ribbon the windows and their widths."""

    ribbons: list[Ribbon]
    spans: dict[tuple[str, ...], list[dict[str, Any]]]
    widths: dict[tuple[str, ...], dict[str, Any]]
    looks: dict[str, Look]


def _drawing(frame: pd.DataFrame) -> _Drawing:
    found: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for span in spans(frame).to_dict("records"):
        found.setdefault(tuple(span[name] for name in RIBBON), []).append(span)
    split = ribbons(frame)
    failing = [cell["violation"] for _, cells in split for cell in cells if cell["outcome"] in FAILING]
    return _Drawing(
        ribbons=split,
        spans=found,
        widths={tuple(row[name] for name in RIBBON): row for row in widths(frame).to_dict("records")},
        looks=looks(kind for violation in failing for kind in broken(violation)),
    )


def _panels(drawing: _Drawing, order: Sequence[str] | str) -> dict[tuple[str, str, str], list[Ribbon]]:
    panels: dict[tuple[str, str, str], list[Ribbon]] = {}
    for key, cells in drawing.ribbons:
        panels.setdefault((key["scenario"], key["topology"], key["disk"]), []).append((key, cells))
    if isinstance(order, str):
        if order not in ("given", "width"):
            raise UsageError(f"order={order!r} is not known: use 'given', 'width', or a list of implementations.")
        if order == "width":
            for rows in panels.values():
                rows.sort(key=lambda row: -drawing.widths[tuple(row[0].values())]["fraction"])
        return panels
    place = {name: number for number, name in enumerate(order)}
    for rows in panels.values():
        rows.sort(key=lambda row: place.get(row[0]["implementation"], len(place)))
    return panels


def _compose(
    figure: Figure,
    drawing: _Drawing,
    panels: Mapping[tuple[str, str, str], list[Ribbon]],
    *,
    width: float,
    title: str,
    stories: Mapping[str, str],
    legend: bool,
) -> list[Axes]:
    """Lay panels out below each other; the height of the figure follows from what they hold."""
    panels = panels or {("", "", ""): []}
    across = width * 72 - 2 * MARGIN
    names = [name for rows in panels.values() for name in _names(rows)]
    left = max((text_width(name, NAME) for name in names), default=0.0) + 9
    left = min(left, across * 0.36)
    right = max((number_room(cells) for rows in panels.values() for _, cells in rows), default=0.0) + 10
    room = across - left - right
    lines = wrap(title, across, TITLE + 2, bold=True) if title else []
    top = MARGIN + 17.0 * len(lines) + (4 if lines else 0)
    height = top + sum(HEAD + PITCH * max(1, len(rows)) + FOOT for rows in panels.values())
    height += _footer_height(drawing, across) if legend else 0
    height += MARGIN
    figure.set_size_inches(width, height / 72)
    for number, line in enumerate(lines):
        figure.text(
            MARGIN / (width * 72),
            1 - (MARGIN + 17 * number) / height,
            line,
            size=TITLE + 2,
            weight="bold",
            va="top",
        )
    axes = []
    y = top
    for key, rows in panels.items():
        tall = PITCH * max(1, len(rows))
        y += HEAD + tall
        ax = figure.add_axes(((MARGIN + left) / (width * 72), 1 - y / height, room / (width * 72), tall / height))
        y += FOOT
        _sides(ax, rows, drawing, left=left)
        _panel(ax, key, rows, drawing, room=room, left=left, across=across, story=stories.get(key[0], ""))
        axes.append(ax)
    if legend:
        _footer(axes[-1], drawing, left=left, room=across)
    return axes


def _names(rows: Sequence[Ribbon]) -> list[str]:
    """Names of ribbons: the implementation, and where one has several, who comes in between of what."""
    stores = [key["implementation"] for key, _ in rows]
    if len(set(stores)) == len(stores):
        return stores
    pairs = [f"{key['victim']}: {key['operation']} × {key['intruder']}" for key, _ in rows]
    pairs = [
        f"{pair}: {key['intrusion']}" if key["intrusion"] else pair for pair, (key, _) in zip(pairs, rows, strict=True)
    ]
    return pairs if len(set(stores)) == 1 else [f"{store}  {pair}" for store, pair in zip(stores, pairs, strict=True)]


def _sides(ax: Axes, rows: Sequence[Ribbon], drawing: _Drawing, *, left: float) -> None:
    """The names at the left end of the ribbons, and the numbers at the right."""
    count = max(1, len(rows))
    ax.set(xlim=(0, 1), ylim=(count - 0.5, -0.5), xticks=[])
    ax.spines[:].set_visible(False)
    ax.tick_params(axis="y", length=0, pad=6)
    ax.patch.set_visible(False)
    centre = (TOP + BOTTOM) / 2
    names = [elide(name, left - 8 if left else 1e9, NAME) for name in _names(rows)]
    ax.set_yticks([number + centre for number in range(len(rows))], names, size=NAME)
    for number, (key, _) in enumerate(rows):
        numbers(ax, number, drawing.widths[tuple(key.values())])


def _panel(
    ax: Axes,
    key: tuple[str, str, str],
    rows: Sequence[Ribbon],
    drawing: _Drawing,
    *,
    room: float,
    left: float,
    across: float,
    story: str,
) -> None:
    scenario, topology, disk = key
    where = " · ".join(part for part in (topology, f"disk={disk}" if disk else "") if part)
    if len({ribbon_key["implementation"] for ribbon_key, _ in rows}) == 1 < len(rows):
        scenario = f"{rows[0][0]['implementation']} · {scenario}"
    # Three lines above the ribbons: the scenario, its text, and the experiment.
    head = elide(scenario, across, TITLE, bold=True)
    story = "" if story == scenario else story
    where = f"   ({where})" if story and where else where
    told = elide(story, across - text_width(where, STORY), STORY) + where if story else elide(where, across, STORY)
    note(ax, head, (0, 1), (-left, 25), size=TITLE, weight="bold", va="baseline")
    note(ax, told, (0, 1), (-left, 12), size=STORY, color=MUTED, va="baseline")
    if not rows:
        note(ax, "no gaps were measured", (0.5, 0.5), (0, 0), size=NAME, color=MUTED, ha="center", va="center")
        return
    what = "commit" if all("commit" in key["operation"] or not key["operation"] for key, _ in rows) else "operation"
    ends = f"{what} starts", f"{what} ends"
    if sum(text_width(end, SMALL) for end in ends) > room - 8:
        ends = "start", "end"
    note(ax, ends[0], (0, 0), (0, -4), size=SMALL, color=MUTED, va="top")
    note(ax, ends[1], (1, 0), (0, -4), size=SMALL, color=MUTED, va="top", ha="right")
    for number, (ribbon_key, cells) in enumerate(rows):
        mine = tuple(ribbon_key.values())
        ribbon(ax, number, cells, drawing.looks, room=room)
        phases(ax, number, cells)
        brackets(ax, number, drawing.spans.get(mine, ()), cells[-1]["gap"] + 1)
        Names(ax, number, drawing.spans.get(mine, ()), cells[-1]["gap"] + 1)


def _caption(drawing: _Drawing) -> str:
    disks = " and ".join(dict.fromkeys(key["disk"] for key, _ in drawing.ribbons))
    places = " and ".join(dict.fromkeys(key["topology"].replace("-", " ") for key, _ in drawing.ribbons))
    where = f"; disk={disks}, {places}" if drawing.ribbons else ""
    plain = all("commit" in key["operation"] or not key["operation"] for key, _ in drawing.ribbons)
    what = "commit" if plain else "operation"
    every = "every gap that is not blank" if _holes(drawing) else "every gap"
    return (
        f"A ribbon is one {what} of the victim, from start to end; a cell is a gap between two of its steps (m steps "
        f"have m + 1 gaps). Exact, not sampled: intruder run to completion in {every}{where}. "
        "Under a window: the steps that open and close it."
    )


def _holes(drawing: _Drawing) -> bool:
    """Whether some gaps were never run, because the search was interrupted."""
    return any(cells[-1]["gap"] + 1 != len(cells) for _, cells in drawing.ribbons)


def _handles(drawing: _Drawing) -> list[tuple[Artist, str]]:
    every = [cell for _, cells in drawing.ribbons for cell in cells]
    outcomes = {cell["outcome"] for cell in every}
    handles: list[tuple[Artist, str]] = []
    for kind, look in drawing.looks.items():
        told = meaning(kind)
        handles.append((Patch(**filled(look)), told if told == kind else f"{told} ({kind})"))
    if outcomes & {"ok", "blocked-then-ok"}:
        handles.append((Patch(**PLAIN["ok"]), "no harm"))
    if outcomes & set(BLOCKED):
        handles.append((Line2D([], [], color=INK, linewidth=2.6), "bar: the intruder had to wait first"))
    if "infeasible" in outcomes:
        handles.append((Patch(**PLAIN["infeasible"]), "infeasible: the intruder cannot run here"))
    if _holes(drawing):
        handles.append((Patch(facecolor=PAPER, edgecolor=MUTED, linewidth=0.7), "blank: was not run"))
    if any(cell["phase"] != "before-accepted" for cell in every):
        handles.append((Line2D([], [], **mark(False)), "commit accepted"))
    if any(cell["phase"] == "completed" for cell in every):
        handles.append((Line2D([], [], **mark(True)), "commit reported completed"))
    return handles


def _footer_height(drawing: _Drawing, room: float) -> float:
    _, rows = grid((label for _, label in _handles(drawing)), room, size=8, beside=42)
    return 15.0 * rows + 6 + 11.0 * len(wrap(_caption(drawing), room, SMALL + 0.5))


def _footer(ax: Axes, drawing: _Drawing, *, left: float, room: float) -> None:
    """The legend, and in a line or two what was done, under the last panel."""
    handles = _handles(drawing)
    columns, rows = grid((label for _, label in handles), room, size=8, beside=42)
    if handles:
        look = {"handlelength": 2.2, "handleheight": 1.1, "labelspacing": 0.55, "columnspacing": 1.6}
        legend_below(ax, handles, columns, left=left, down=FOOT, look=look)
    for number, line in enumerate(wrap(_caption(drawing), room, SMALL + 0.5)):
        down = FOOT + 13.4 * rows + 6 + 11.0 * number
        note(ax, line, (0, 0), (-left, -down), size=SMALL + 0.5, color=MUTED, va="top")
