"""The race-window atlas: where along a commit can another client do harm?

One ribbon is one commit of the victim, stretched to the full width whatever its number of steps: implementations take
differently many steps, and the *share* of a commit that is dangerous is what can be compared. The cells keep the count
visible, and the numbers stand at the right end.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.transforms import ScaledTranslation, Transform

from racewindow.charts._style import (
    INFEASIBLE,
    INFEASIBLE_HATCH,
    INK,
    MUTED,
    OK,
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
from racewindow.frames import BLOCKED, FAILING, kinds, ribbons, spans, widths

# All lengths are in points (1/72 inch). A row: phase marks, the ribbon, the names of its windows, and air.
PITCH = 47.0
TOP, BOTTOM = -0.27, 0.17
NAME, NUMBER, SMALL = 8.5, 8.5, 7.0
TITLE, STORY = 10.0, 8.0
HEAD, FOOT, MARGIN = 46.0, 20.0, 12.0

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
    panels = _panels(frame, order)
    if len(panels) > 1:
        names = "; ".join(", ".join(key) for key in list(panels)[:3]) + ("; ..." if len(panels) > 3 else "")
        raise UsageError(
            f"windows draws one scenario, topology and granularity, but this frame holds {len(panels)} ({names}). "
            f"Filter the frame, or use atlas(frame) for one panel each."
        )
    with style():
        if ax is None:
            import matplotlib.pyplot as plt

            return _compose(plt.figure(), frame, panels, width=width, title="", stories=stories or {}, legend=legend)[0]
        if figure_of(ax).get_layout_engine() is not None:
            # Which names fit depends on the final width.
            figure_of(ax).draw_without_rendering()
        room = ax.get_window_extent().width * 72 / figure_of(ax).dpi
        key, rows = next(iter(panels.items()), (("", "", ""), []))
        styles = _styles(frame)
        _panel(ax, key, rows, styles, frame, room=room, left=0.0, story=(stories or {}).get(key[0], ""))
        if legend:
            _footer(ax, frame, styles, left=0.0, room=room)
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
        panels = _panels(frame, order)
        _compose(figure, frame, panels, width=width, title=title, stories=stories or {}, legend=legend)
        return figure


def _panels(frame: pd.DataFrame, order: Sequence[str] | str) -> dict[tuple[str, str, str], list[Ribbon]]:
    panels: dict[tuple[str, str, str], list[Ribbon]] = {}
    for key, cells in ribbons(frame):
        panels.setdefault((key["scenario"], key["topology"], key["disk"]), []).append((key, cells))
    if isinstance(order, str):
        if order not in ("given", "width"):
            raise UsageError(f"order={order!r} is not known: use 'given', 'width', or a list of implementations.")
        if order == "width":
            for rows in panels.values():
                rows.sort(key=lambda row: -sum(cell["outcome"] in FAILING for cell in row[1]) / (row[1][-1]["gap"] + 1))
        return panels
    place = {name: number for number, name in enumerate(order)}
    for rows in panels.values():
        rows.sort(key=lambda row: place.get(row[0]["implementation"], len(place)))
    return panels


def _styles(frame: pd.DataFrame) -> dict[str, Look]:
    failing = frame.loc[frame["outcome"].isin(FAILING), "violation"]
    return looks(kind for violation in failing.unique() for kind in _kinds(violation))


def _kinds(violation: str) -> tuple[str, ...]:
    return kinds(violation) or ("violation",)


def _compose(
    figure: Figure,
    frame: pd.DataFrame,
    panels: Mapping[tuple[str, str, str], list[Ribbon]],
    *,
    width: float,
    title: str,
    stories: Mapping[str, str],
    legend: bool,
) -> list[Axes]:
    """Lay panels out below each other; the height of the figure follows from what they hold."""
    panels = panels or {("", "", ""): []}
    styles = _styles(frame)
    across = width * 72 - 2 * MARGIN
    names = [key["implementation"] for rows in panels.values() for key, _ in rows]
    left = max((text_width(name, NAME) for name in names), default=0.0) + 8
    left = min(left, across * 0.36)
    right = max((_number_room(cells) for rows in panels.values() for _, cells in rows), default=0.0) + 10
    room = across - left - right
    lines = wrap(title, across, TITLE + 2, bold=True) if title else []
    top = MARGIN + 17.0 * len(lines) + (4 if lines else 0)
    height = top + sum(HEAD + PITCH * max(1, len(rows)) + FOOT for rows in panels.values())
    height += _footer_height(frame, styles, across) if legend else 0
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
        _panel(ax, key, rows, styles, frame, room=room, left=left, story=stories.get(key[0], ""), across=across)
        axes.append(ax)
    if legend:
        _footer(axes[-1], frame, styles, left=left, room=across)
    return axes


def _panel(
    ax: Axes,
    key: tuple[str, str, str],
    rows: Sequence[Ribbon],
    styles: Mapping[str, Look],
    frame: pd.DataFrame,
    *,
    room: float,
    left: float,
    story: str,
    across: float | None = None,
) -> None:
    scenario, topology, disk = key
    across = across or room
    count = max(1, len(rows))
    ax.set(xlim=(0, 1), ylim=(count - 0.5, -0.5), xticks=[])
    ax.spines[:].set_visible(False)
    ax.tick_params(axis="y", length=0, pad=6)
    ax.patch.set_visible(False)
    centre = (TOP + BOTTOM) / 2
    names = [elide(ribbon["implementation"], left - 8 if left else 1e9, NAME) for ribbon, _ in rows]
    ax.set_yticks([number + centre for number in range(len(rows))], names, size=NAME)
    where = " · ".join(part for part in (topology, f"disk={disk}" if disk else "") if part)
    # Three lines above the ribbons: the scenario, its text, and the experiment.
    head = elide(scenario, across, TITLE, bold=True)
    story = "" if story == scenario else story
    told = f"{story}   ({where})" if story else where
    _note(ax, head, (0, 1), (-left, 25), size=TITLE, weight="bold", va="baseline")
    _note(ax, elide(told, across, STORY), (0, 1), (-left, 12), size=STORY, color=MUTED, va="baseline")
    if not rows:
        _note(ax, "no gaps were measured", (0.5, 0.5), (0, 0), size=NAME, color=MUTED, ha="center", va="center")
        return
    _note(ax, "commit starts", (0, 0), (0, 3), size=SMALL, color=MUTED, va="top")
    _note(ax, "commit ends", (1, 0), (0, 3), size=SMALL, color=MUTED, va="top", ha="right")
    mine = frame[
        (frame["scenario"].astype("str") == scenario)
        & (frame["topology"].astype("str") == topology)
        & (frame["disk"].astype("str") == disk)
    ]
    found = {name: group for name, group in spans(mine).groupby("implementation", observed=True)}
    measured = widths(mine).set_index("implementation")
    for number, (ribbon, cells) in enumerate(rows):
        name = ribbon["implementation"]
        _ribbon(ax, number, cells, styles, room=room)
        _phases(ax, number, cells)
        if name in found:
            _names(ax, number, found[name].to_dict("records"), cells[-1]["gap"] + 1, room=room)
        _numbers(ax, number, measured.loc[name])


def _ribbon(ax: Axes, number: int, cells: Sequence[dict[str, Any]], styles: Mapping[str, Look], *, room: float) -> None:
    gaps = cells[-1]["gap"] + 1
    by_gap = {cell["gap"]: cell for cell in cells}
    looks_along = [_look(by_gap.get(gap)) for gap in range(gaps)]
    start = 0
    for gap in range(1, gaps + 1):
        if gap < gaps and looks_along[gap] == looks_along[start]:
            continue
        _stretch(ax, number, start / gaps, gap / gaps, looks_along[start], styles)
        start = gap
    if room / gaps > 2.5:
        edges = [[(gap / gaps, number + TOP), (gap / gaps, number + BOTTOM)] for gap in range(1, gaps)]
        ax.add_collection(LineCollection(edges, colors=PAPER, linewidths=0.9, zorder=3), autolim=False)
    ax.add_patch(_rectangle(0, 1, number + TOP, number + BOTTOM, fill=False, edgecolor=INK, linewidth=0.7, zorder=4))
    for gap, cell in by_gap.items():
        if cell["outcome"] in BLOCKED:
            ends = ((gap + 0.06) / gaps, (gap + 0.94) / gaps)
            line = Line2D(ends, (number + BOTTOM,) * 2, color=INK, linewidth=2.6, solid_capstyle="butt", zorder=5)
            line.set_transform(ax.transData + _shift(ax, 0, 1.6))
            ax.add_line(line)


def _look(cell: Mapping[str, Any] | None) -> tuple[str, ...]:
    """What makes two cells look the same: nothing run, infeasible, fine, or the kinds that broke."""
    if cell is None:
        return ("not run",)
    if cell["outcome"] in FAILING:
        return ("failing", *_kinds(cell["violation"]))
    return ("infeasible",) if cell["outcome"] == "infeasible" else ("ok",)


def _stretch(ax: Axes, number: int, x0: float, x1: float, look: tuple[str, ...], styles: Mapping[str, Look]) -> None:
    top, bottom = number + TOP, number + BOTTOM
    if look[0] != "failing":
        ax.add_patch(_rectangle(x0, x1, top, bottom, zorder=2, **_PLAIN[look[0]]))
        return
    # A gap in which several invariants break is divided into lanes, one for each, so that no kind hides another.
    lanes = look[1:]
    for lane, kind in enumerate(lanes):
        upper = top + (bottom - top) * lane / len(lanes)
        lower = top + (bottom - top) * (lane + 1) / len(lanes)
        ax.add_patch(_rectangle(x0, x1, upper, lower, zorder=2, **_filled(styles[kind])))


def _filled(look: Look) -> dict[str, Any]:
    return {"facecolor": look.face, "edgecolor": look.line, "hatch": look.hatch, "linewidth": 0}


_PLAIN: dict[str, dict[str, Any]] = {
    "ok": {"facecolor": OK, "linewidth": 0},
    "infeasible": {"facecolor": INFEASIBLE, "edgecolor": INFEASIBLE_HATCH, "hatch": "//", "linewidth": 0},
    "not run": {"facecolor": PAPER, "linewidth": 0},
}


def _rectangle(x0: float, x1: float, top: float, bottom: float, **properties: Any) -> Rectangle:
    return Rectangle((x0, top), x1 - x0, bottom - top, **properties)


def _phases(ax: Axes, number: int, cells: Sequence[dict[str, Any]]) -> None:
    """Triangles where the commit was accepted, and where it was reported completed."""
    gaps = cells[-1]["gap"] + 1
    accepted = next((cell["gap"] for cell in cells if cell["phase"] != "before-accepted"), None)
    completed = next((cell["gap"] for cell in cells if cell["phase"] == "completed"), None)
    apart = 4.5 if accepted == completed else 0.0
    for gap, filled, aside in ((accepted, False, -apart), (completed, True, apart)):
        if gap is None:
            continue
        mark = Line2D([gap / gaps], [number + TOP], **_mark(filled), clip_on=False, zorder=6)
        mark.set_transform(ax.transData + _shift(ax, aside, 5))
        ax.add_line(mark)


def _mark(filled: bool) -> dict[str, Any]:
    return {
        "marker": "v",
        "markersize": 6.5,
        "markeredgecolor": INK,
        "markerfacecolor": INK if filled else PAPER,
        "markeredgewidth": 1.0,
        "linestyle": "none",
    }


def _names(ax: Axes, number: int, found: Sequence[Mapping[str, Any]], gaps: int, *, room: float) -> None:
    """Under each window a bracket, and its name where there is room: the steps that open and close it."""
    taken = 0.0
    for place, span in enumerate(found):
        x0, x1 = span["first"] / gaps, (span["last"] + 1) / gaps
        bracket = Line2D([x0, x0, x1, x1], [number + BOTTOM] * 4, color=INK, linewidth=0.9, zorder=5, clip_on=False)
        inset = min(1.0, (x1 - x0) * room / 4)
        bracket.set_data([x0 + inset / room] * 2 + [x1 - inset / room] * 2, [0, 1, 1, 0])
        bracket.set_transform(_below(ax, number, 2.5, 2.5))
        ax.add_line(bracket)
        # Room for this name ends where the next window's middle half begins.
        until = room if place + 1 == len(found) else (x1 + found[place + 1]["first"] / gaps) / 2 * room
        name = f"{span['opens']} .. {span['closes']}"
        wide = text_width(name, SMALL)
        if wide > until - taken:
            name = f"{elide(span['opens'], (until - taken) / 2 - 6, SMALL)} .. " + elide(
                span["closes"], (until - taken) / 2 - 6, SMALL
            )
            wide = text_width(name, SMALL)
            if wide > until - taken or len(name) < 16:
                continue
        begin = min(max(taken, (x0 + x1) / 2 * room - wide / 2), until - wide)
        _note(ax, name, (begin / room, number + BOTTOM), (0, -6), data=True, size=SMALL, va="top")
        taken = begin + wide + 8


def _below(ax: Axes, number: int, gap: float, depth: float) -> Transform:
    """x in data; y in units of ``depth`` points, from ``gap`` points under the ribbon downwards."""
    from matplotlib.transforms import Affine2D, blended_transform_factory

    figure = figure_of(ax)
    base = ax.transData + ScaledTranslation(0, -gap / 72, figure.dpi_scale_trans)
    points = Affine2D().scale(1, -depth / 72) + figure.dpi_scale_trans
    anchor = ScaledTranslation(0, number + BOTTOM, base)
    return blended_transform_factory(ax.transData, points + anchor)


def _numbers(ax: Axes, number: int, row: Any) -> None:
    main, more = _number_text(int(row["failing"]), int(row["gaps"]), int(row["windows"]))
    bold = "bold" if row["failing"] else "normal"
    y = number + (TOP + BOTTOM) / 2
    _note(ax, main, (1, y), (8, 1), data=True, size=NUMBER, weight=bold, color=INK if row["failing"] else MUTED)
    _note(ax, more, (1, y), (8, -1), data=True, size=SMALL, color=MUTED, va="top")


def _number_text(failing: int, gaps: int, found: int) -> tuple[str, str]:
    share = f"{failing / gaps:.0%}".replace("%", " %")
    more = "no window" if not found else "1 window" if found == 1 else f"{found} windows"
    return f"{failing} of {gaps} gaps", f"{share}, {more}" if found else more


def _number_room(cells: Sequence[dict[str, Any]]) -> float:
    gaps = cells[-1]["gap"] + 1
    main, more = _number_text(gaps, gaps, 10)
    return max(text_width(main, NUMBER, bold=True), text_width(more, SMALL))


def _note(
    ax: Axes, text: str, at: tuple[float, float], offset: tuple[float, float], *, data: bool = False, **look: Any
) -> None:
    look.setdefault("va", "bottom")
    ax.annotate(
        text,
        at,
        xycoords="data" if data else "axes fraction",
        xytext=offset,
        textcoords="offset points",
        annotation_clip=False,
        **look,
    )


def _shift(ax: Axes, x: float, y: float) -> Transform:
    return ScaledTranslation(x / 72, y / 72, figure_of(ax).dpi_scale_trans)


def _caption(frame: pd.DataFrame) -> str:
    def listed(name: str, before: str = "") -> str:
        return before + " and ".join(dict.fromkeys(frame[name].astype("str")))

    where = "" if frame.empty else f"; {listed('disk', 'disk=')}, {listed('topology').replace('-', ' ')}"
    return (
        "A ribbon is one commit of the victim, from start to end; a cell is a gap between two of its steps (m steps have "
        f"m + 1 gaps). Exact, not sampled: intruder run to completion in every gap{where}. "
        "Under a window: the steps that open and close it."
    )


def _handles(frame: pd.DataFrame, styles: Mapping[str, Look]) -> list[tuple[Artist, str]]:
    outcomes = set(frame["outcome"].astype("str"))
    handles: list[tuple[Artist, str]] = []
    for kind, look in styles.items():
        told = meaning(kind)
        handles.append((Patch(**_filled(look)), told if told == kind else f"{told} ({kind})"))
    if outcomes & {"ok", "blocked-then-ok"}:
        handles.append((Patch(edgecolor=INK, **_PLAIN["ok"]), "no harm"))
    if outcomes & set(BLOCKED):
        handles.append((Line2D([], [], color=INK, linewidth=2.6), "barred: the intruder had to wait"))
    if "infeasible" in outcomes:
        handles.append((Patch(**_PLAIN["infeasible"]), "infeasible: the intruder cannot run here"))
    if any(cells[-1]["gap"] + 1 != len(cells) for _, cells in ribbons(frame)):
        handles.append((Patch(facecolor=PAPER, edgecolor=MUTED, linewidth=0.7), "blank: was not run"))
    phases = set(frame["phase"].astype("str"))
    if phases - {"before-accepted"}:
        handles.append((Line2D([], [], **_mark(False)), "commit accepted"))
    if "completed" in phases:
        handles.append((Line2D([], [], **_mark(True)), "commit reported completed"))
    return handles


def _columns(labels: Iterable[str], room: float) -> tuple[int, int]:
    texts = list(labels)
    widest = max((text_width(text, 8) for text in texts), default=1.0) + 42
    columns = max(1, min(len(texts) or 1, int(room // widest)))
    return columns, -(-len(texts) // columns)


def _footer_height(frame: pd.DataFrame, styles: Mapping[str, Look], room: float) -> float:
    _, rows = _columns((label for _, label in _handles(frame, styles)), room)
    return 15.0 * rows + 8 + 11.0 * len(wrap(_caption(frame), room, SMALL + 0.5))


def _footer(ax: Axes, frame: pd.DataFrame, styles: Mapping[str, Look], *, left: float, room: float) -> None:
    """The legend, and in a line or two what was done, under the last panel."""
    handles = _handles(frame, styles)
    columns, rows = _columns((label for _, label in handles), room)
    if handles:
        ax.legend(
            [handle for handle, _ in handles],
            [label for _, label in handles],
            loc="upper left",
            ncols=columns,
            bbox_to_anchor=(0, 0),
            bbox_transform=ax.transAxes + _shift(ax, -left, -FOOT),
            borderaxespad=0,
            borderpad=0,
            handlelength=2.2,
            handleheight=1.1,
            labelspacing=0.55,
            columnspacing=1.6,
        )
    for number, line in enumerate(wrap(_caption(frame), room, SMALL + 0.5)):
        down = FOOT + 15.0 * rows + 6 + 11.0 * number
        _note(ax, line, (0, 0), (-left, -down), size=SMALL + 0.5, color=MUTED, va="top")
