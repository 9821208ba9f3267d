"""One ribbon of the atlas: its cells, its phases, the names of its windows, and its width in numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.text import Text
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
    text_width,
)
from racewindow.frames import BLOCKED, FAILING, kinds

# A ribbon's top and bottom edge, in rows from the middle of its row; sizes of text in points.
TOP, BOTTOM = -0.27, 0.17
NUMBER, SMALL = 8.5, 7.0
# Renderers round the widths of letters to pixels, each a little differently.
SLACK = 1.03


def broken(violation: str) -> tuple[str, ...]:
    return kinds(violation) or ("violation",)


def ribbon(ax: Axes, number: int, cells: Sequence[dict[str, Any]], styles: Mapping[str, Look], *, room: float) -> None:
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
    ax.add_patch(
        _rectangle(
            0, 1, number + TOP, number + BOTTOM, fill=False, edgecolor=INK, linewidth=0.7, zorder=4, clip_on=False
        )
    )
    for gap, cell in by_gap.items():
        if cell["outcome"] in BLOCKED:
            ends = ((gap + 0.06) / gaps, (gap + 0.94) / gaps)
            line = Line2D(ends, (number + BOTTOM,) * 2, color=INK, linewidth=2.6, solid_capstyle="butt", zorder=5)
            line.set_transform(ax.transData + shift(ax, 0, 1.6))
            ax.add_line(line)


def _look(cell: Mapping[str, Any] | None) -> tuple[str, ...]:
    """What makes two cells look the same: nothing run, infeasible, fine, or the kinds that broke."""
    if cell is None:
        return ("not run",)
    if cell["outcome"] in FAILING:
        return ("failing", *broken(cell["violation"]))
    return ("infeasible",) if cell["outcome"] == "infeasible" else ("ok",)


def _stretch(ax: Axes, number: int, x0: float, x1: float, look: tuple[str, ...], styles: Mapping[str, Look]) -> None:
    top, bottom = number + TOP, number + BOTTOM
    if look[0] != "failing":
        ax.add_patch(_rectangle(x0, x1, top, bottom, zorder=2, **PLAIN[look[0]]))
        return
    # A gap in which several invariants break is divided into lanes, one for each, so that no kind hides another.
    lanes = look[1:]
    for lane, kind in enumerate(lanes):
        upper = top + (bottom - top) * lane / len(lanes)
        lower = top + (bottom - top) * (lane + 1) / len(lanes)
        ax.add_patch(_rectangle(x0, x1, upper, lower, zorder=2, **filled(styles[kind])))


def filled(look: Look) -> dict[str, Any]:
    return {"facecolor": look.face, "edgecolor": look.line, "hatch": look.hatch, "linewidth": 0}


PLAIN: dict[str, dict[str, Any]] = {
    "ok": {"facecolor": OK, "linewidth": 0},
    "infeasible": {"facecolor": INFEASIBLE, "edgecolor": INFEASIBLE_HATCH, "hatch": "//", "linewidth": 0},
    "not run": {"facecolor": PAPER, "linewidth": 0},
}


def _rectangle(x0: float, x1: float, top: float, bottom: float, **properties: Any) -> Rectangle:
    return Rectangle((x0, top), x1 - x0, bottom - top, **properties)


def phases(ax: Axes, number: int, cells: Sequence[dict[str, Any]]) -> None:
    """Triangles where the commit was accepted, and where it was reported completed."""
    gaps = cells[-1]["gap"] + 1
    accepted = next((cell["gap"] for cell in cells if cell["phase"] != "before-accepted"), None)
    completed = next((cell["gap"] for cell in cells if cell["phase"] == "completed"), None)
    apart = 4.5 if accepted == completed else 0.0
    for gap, filled, aside in ((accepted, False, -apart), (completed, True, apart)):
        if gap is None:
            continue
        triangle = Line2D([gap / gaps], [number + TOP], **mark(filled), clip_on=False, zorder=6)
        triangle.set_transform(ax.transData + shift(ax, aside, 5))
        ax.add_line(triangle)


def mark(filled: bool) -> dict[str, Any]:
    return {
        "marker": "v",
        "markersize": 6.5,
        "markeredgecolor": INK,
        "markerfacecolor": INK if filled else PAPER,
        "markeredgewidth": 1.0,
        "linestyle": "none",
    }


class Names(Artist):
    """Under each window its name, where there is room: the steps that open and close it.

    An artist of its own, because what fits is known only when it is drawn: a layout engine, or the user's mouse, can
    give the ribbon another width after the chart was made.
    """

    def __init__(self, ax: Axes, number: int, found: Sequence[Mapping[str, Any]], gaps: int) -> None:
        super().__init__()
        self.set_in_layout(False)  # names never stick out
        self._number = number
        self._found = found
        self._gaps = gaps
        self._room = 0.0
        self._texts: list[Text] = []
        ax.add_artist(self)
        self._fit()

    def get_children(self) -> list[Artist]:
        return list(self._texts)

    def draw(self, renderer: RendererBase) -> None:
        self._fit()
        for text in self._texts:
            text.draw(renderer)

    def _fit(self) -> None:
        ax, figure = self.axes, self.get_figure(root=True)
        if not isinstance(ax, Axes) or figure is None:
            return
        room = ax.get_window_extent().width * 72 / figure.dpi
        if room == self._room:
            return
        self._room = room
        self._texts = []
        edges = [(span["first"] / self._gaps * room, (span["last"] + 1) / self._gaps * room) for span in self._found]
        for place, span in enumerate(self._found):
            # A name keeps to its own side of the middle between two windows, so that it cannot be taken for another's.
            begin, end = edges[place]
            low = (edges[place - 1][1] + begin) / 2 + 3 if place else 0.0
            high = (end + edges[place + 1][0]) / 2 - 3 if place + 1 < len(edges) else room
            name = _fitting(span["opens"], span["closes"], high - low)
            if not name:
                continue
            wide = text_width(name, SMALL) * SLACK
            left = min(max(low, (begin + end - wide) / 2), high - wide)
            text = Text(left / room, self._number + BOTTOM, name, fontsize=SMALL, color=INK, va="top")
            text.set_transform(ax.transData + shift(ax, 0, -7.5))
            text.set_figure(figure)
            self._texts.append(text)


def brackets(ax: Axes, number: int, found: Sequence[Mapping[str, Any]], gaps: int) -> None:
    for span in found:
        ends = ((span["first"] + 0.04) / gaps, (span["last"] + 0.96) / gaps)
        bracket = Line2D(ends, [number + BOTTOM] * 2, **_BRACKET)
        bracket.set_transform(ax.transData + shift(ax, 0, -5))
        ax.add_line(bracket)


_BRACKET: dict[str, Any] = {
    "color": INK,
    "linewidth": 0.9,
    "marker": 2,  # a tick upwards
    "markersize": 2.6,
    "markeredgewidth": 0.9,
    "solid_capstyle": "butt",
    "zorder": 5,
    "clip_on": False,
}


def _fitting(opens: str, closes: str, room: float) -> str:
    """The longest name of a window that fits: in full, without the operations, or with the middles left out."""
    tails = opens.rpartition("/")[2], closes.rpartition("/")[2]
    half = (room / SLACK - text_width(" .. ", SMALL)) / 2
    short = [elide(tail, half, SMALL) for tail in tails]
    choices = [f"{opens} .. {closes}", " .. ".join(tails)]
    if min(map(len, short)) >= 6:
        choices.append(" .. ".join(short))
    return next((choice for choice in choices if text_width(choice, SMALL) * SLACK <= room), "")


def numbers(ax: Axes, number: int, row: Mapping[str, Any]) -> None:
    main, more = _number_text(int(row["failing"]), int(row["gaps"]), int(row["windows"]))
    bold = "bold" if row["failing"] else "normal"
    y = number + (TOP + BOTTOM) / 2
    note(ax, main, (1, y), (8, 1), data=True, size=NUMBER, weight=bold, color=INK if row["failing"] else MUTED)
    note(ax, more, (1, y), (8, -1), data=True, size=SMALL, color=MUTED, va="top")


def _number_text(failing: int, gaps: int, found: int) -> tuple[str, str]:
    share = f"{failing / gaps:.0%}".replace("%", " %")
    more = "no window" if not found else "1 window" if found == 1 else f"{found} windows"
    return f"{failing} of {gaps} gaps", f"{share}, {more}" if found else more


def number_room(cells: Sequence[dict[str, Any]]) -> float:
    gaps = cells[-1]["gap"] + 1
    main, more = _number_text(gaps, gaps, 10)
    return max(text_width(main, NUMBER, bold=True), text_width(more, SMALL))


def note(
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


def shift(ax: Axes, x: float, y: float) -> Transform:
    return ScaledTranslation(x / 72, y / 72, figure_of(ax).dpi_scale_trans)
