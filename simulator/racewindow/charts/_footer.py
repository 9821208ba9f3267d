"""What stands under a chart: its legend in as many columns as there is room for, and in a line or two what was done."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from matplotlib.artist import Artist
from matplotlib.axes import Axes

from racewindow.charts._ribbon import SLACK, SMALL, note, shift
from racewindow.charts._style import MUTED, figure_of, text_width, wrap

Handles = Sequence[tuple[Artist, str]]
"""What a legend shows, and what it says of it."""

_TEXT = 8.0
_ROW, _LINE = 13.0, 10.0


def grid(labels: Iterable[str], room: float, *, size: float, beside: float, most: int | None = None) -> tuple[int, int]:
    """How many columns a legend has, and how many rows.

    Args:
        labels: its texts.
        room: width in points.
        size: of the text, in points.
        beside: what each column needs besides its text, in points: the handle and the gaps.
        most: as many columns at the most.
    """
    texts = list(labels)
    widest = max((text_width(text, size) for text in texts), default=0.0) + beside
    columns = max(1, min(len(texts) if most is None else most, int(room // widest)))
    return columns, -(-len(texts) // columns)


def legend_below(
    ax: Axes, handles: Handles, columns: int, *, left: float, down: float, look: Mapping[str, float]
) -> None:
    """A legend whose upper left corner is ``left`` points to the left of ``ax``, and ``down`` points below it.

    Args:
        look: lengths and spaces, as matplotlib's ``legend`` takes them.
    """
    ax.legend(
        [handle for handle, _ in handles],
        [label for _, label in handles],
        loc="upper left",
        ncols=columns,
        bbox_to_anchor=(0, 0),
        bbox_transform=ax.transAxes + shift(ax, -left, -down),
        borderaxespad=0,
        borderpad=0,
        **look,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Footer:
    """A legend and a caption.

    Attributes:
        handles: what the legend shows, and what it says of it.
        caption: what was done.
        handle: length of a handle, in ems.
        beside: see `grid`.
    """

    handles: Handles
    caption: str
    handle: float
    beside: float

    def height(self, room: float) -> float:
        """Of all of it, in points, if it may be ``room`` points wide."""
        return _ROW * self._grid(room)[1] + 8 + _LINE * len(self._lines(room))

    def draw(self, ax: Axes, *, down: float, margin: float) -> None:
        """Under ``ax``, ``down`` points below it, and as wide as the figure but for ``margin`` points on both sides."""
        figure = figure_of(ax)
        room = figure.get_figwidth() * 72 - 2 * margin
        left = ax.get_window_extent().x0 * 72 / figure.dpi - margin
        columns, rows = self._grid(room)
        look = {
            "handlelength": self.handle,
            "handleheight": 0.9,
            "labelspacing": 0.45,
            "columnspacing": 1.4,
            "fontsize": _TEXT,
        }
        legend_below(ax, self.handles, columns, left=left, down=down, look=look)
        for number, line in enumerate(self._lines(room)):
            below = down + _ROW * rows + 6 + _LINE * number
            note(ax, line, (0, 0), (-left, -below), size=SMALL, color=MUTED, va="top")

    def _grid(self, room: float) -> tuple[int, int]:
        return grid((label for _, label in self.handles), room, size=_TEXT, beside=self.beside)

    def _lines(self, room: float) -> list[str]:
        return wrap(self.caption, room / SLACK, SMALL)
