"""How things look: one colour and one hatch for each kind of violation, in every chart; and saving reproducibly."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextToPath

from racewindow.errors import UsageError

STYLE_FILE = Path(__file__).with_name("racewindow.mplstyle")

INK = "#1b1f24"
MUTED = "#5d6670"
PAPER = "#ffffff"
OK = "#dfe9e6"
INFEASIBLE = "#f7f7f5"
INFEASIBLE_HATCH = "#b4b9bd"
# Lines of hatches on strong colours: a page that turns dark changes ink and paper, but must not change these.
DARK, LIGHT = "#101316", "#fdfdfd"

# Okabe and Ito, "Color Universal Design" (2008): eight colours that stay apart under all common colour blindness.
ORANGE, SKY, GREEN, YELLOW = "#E69F00", "#56B4E9", "#009E73", "#F0E442"
BLUE, VERMILLION, PURPLE, BLACK = "#0072B2", "#D55E00", "#CC79A7", "#000000"

# What a broken invariant looks like to its user.
MEANINGS: dict[str, str] = {
    "committed-once": "archived twice",
    "extracted-once": "extracted twice",
    "nothing-lost": "lost",
    "nothing-stranded": "stranded",
    "completed-means-switched": "completed too early",
    "order-kept": "out of order",
    "nothing-invented": "invented",
    "tasks-end": "never ends",
    "accepted-is-quick": "accepted late",
}
# The same where it does not fit a cell of the matrix; its key tells both.
_SHORT: dict[str, str] = {
    "committed-once": "archived 2×",
    "extracted-once": "extracted 2×",
    "completed-means-switched": "too early",
    "accepted-is-quick": "late",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """A face colour, a hatch, and the colour of the hatch's lines."""

    face: str
    hatch: str
    line: str = DARK


_LOOKS: dict[str, Look] = {
    "committed-once": Look(face=VERMILLION, hatch="////"),
    "extracted-once": Look(face=ORANGE, hatch="\\\\\\\\"),
    "nothing-lost": Look(face=PURPLE, hatch="xxxx"),
    "nothing-stranded": Look(face=BLUE, hatch="....", line=LIGHT),
    "completed-means-switched": Look(face=SKY, hatch="||||"),
    "order-kept": Look(face=YELLOW, hatch="----"),
    "nothing-invented": Look(face=BLACK, hatch="////", line=LIGHT),
    "tasks-end": Look(face=MUTED, hatch="++++", line=LIGHT),
    "accepted-is-quick": Look(face=GREEN, hatch="oooo"),
}
_SPARE = (
    Look(face=BLUE, hatch="xxxx", line=LIGHT),
    Look(face=YELLOW, hatch="////"),
    Look(face=BLACK, hatch="....", line=LIGHT),
    Look(face=SKY, hatch="\\\\\\\\"),
    Look(face=PURPLE, hatch="----"),
    Look(face=GREEN, hatch="++++"),
    Look(face=ORANGE, hatch="||||"),
    Look(face=VERMILLION, hatch="xxxx"),
)


def looks(kinds: Iterable[str]) -> dict[str, Look]:
    """Give each kind of violation its look: known kinds always theirs, others a spare one each, in sorted order."""
    present = sorted(set(kinds))
    known = {kind: _LOOKS[kind] for kind in _LOOKS if kind in present}
    others = [kind for kind in present if kind not in _LOOKS]
    return known | {kind: _SPARE[number % len(_SPARE)] for number, kind in enumerate(others)}


def meaning(kind: str) -> str:
    """What a broken invariant means in a word or two; a kind we do not know speaks for itself."""
    return MEANINGS.get(kind, kind)


def brief(kind: str) -> str:
    """The same in a dozen letters, for a cell of the matrix."""
    return _SHORT.get(kind, meaning(kind))


@contextmanager
def style() -> Iterator[None]:
    """Use our style file while drawing or saving, whatever the caller's settings are."""
    with mpl.rc_context(fname=STYLE_FILE):
        yield


@lru_cache(maxsize=20_000)
def text_width(text: str, size: float, *, bold: bool = False) -> float:
    """Width of one line in points, from the font alone: no renderer, so that a layout is the same for every format."""
    font = FontProperties(family="DejaVu Sans", size=size, weight="bold" if bold else "normal")
    width, _, _ = TextToPath().get_text_width_height_descent(text, font, ismath=False)
    return float(width)


def elide(text: str, room: float, size: float, *, bold: bool = False) -> str:
    """Shorten a line in its middle, so that it fits into ``room`` points; both ends tell names apart best."""
    if text_width(text, size, bold=bold) <= room:
        return text
    for kept in range(len(text) - 1, 1, -1):
        short = text[: (kept + 1) // 2].rstrip() + "…" + text[len(text) - kept // 2 :].lstrip()
        if text_width(short, size, bold=bold) <= room:
            return short
    return "…"


def wrap(text: str, room: float, size: float, *, bold: bool = False, lines: int | None = None) -> list[str]:
    """Break text at blanks, and after hyphens and slashes where a word is too long, into lines of ``room`` points."""
    done: list[str] = []
    line = ""
    for piece, glue in _pieces(text):
        longer = line + glue + piece if line else piece
        if line and text_width(longer, size, bold=bold) > room:
            done.append(line)
            line = piece
        else:
            line = longer
    done.append(line)
    if lines is not None and len(done) > lines:
        done = [*done[: lines - 1], " ".join(done[lines - 1 :])]
    return [elide(each, room, size, bold=bold) for each in done]


def _pieces(text: str) -> Iterator[tuple[str, str]]:
    """Pieces of a text, and what stands before each where it is not first in its line."""
    for word in text.split():
        glue = " "
        piece = ""
        for letter in word:
            piece += letter
            if letter in "-/" and len(piece) > 2:
                yield piece, glue
                piece, glue = "", ""
        if piece:
            yield piece, glue


def figure_of(drawing: Figure | SubFigure | Axes) -> Figure:
    """The figure that holds an Axes."""
    figure = drawing.get_figure(root=True) if isinstance(drawing, Axes | SubFigure) else drawing
    if not isinstance(figure, Figure):
        raise UsageError(f"needs a matplotlib Figure or Axes, but was given {type(drawing).__name__}.")
    return figure


def save(drawing: Figure | Axes, path: str | Path, *, dpi: int = 150) -> Path:
    """Write a chart as PNG, SVG or PDF, the same bytes for the same chart.

    Args:
        drawing: a figure, or an Axes of it.
        path: the suffix tells the format.
        dpi: dots per inch, for PNG.

    Raises:
        UsageError: the suffix is none of .png, .svg, .pdf.
    """
    target = Path(path)
    kind = target.suffix.lower().removeprefix(".")
    if kind not in ("png", "svg", "pdf"):
        raise UsageError(f"cannot save a chart as {target.name!r}: end the name with .png, .svg or .pdf.")
    # First into memory: a drawing that fails leaves no half a file behind.
    target.write_bytes(_rendered(drawing, kind, dpi=dpi))
    return target


def svg(drawing: Figure | Axes, *, fonttype: str = "path") -> str:
    """The chart as SVG text, the same for the same chart: no date, and identifiers from a fixed salt.

    Args:
        fonttype: ``path`` draws letters, the same everywhere; ``none`` leaves them to the reader's fonts, in a third of the room.
    """
    return _rendered(drawing, "svg", dpi=72, fonttype=fonttype).decode("utf-8")


def _rendered(drawing: Figure | Axes, kind: str, *, dpi: int, fonttype: str = "path") -> bytes:
    metadata: dict[str, dict[str, Any]] = {
        "png": {"Software": None},
        "svg": {"Date": None, "Creator": None, "Format": None, "Type": None},
        "pdf": {"CreationDate": None, "Producer": None, "Creator": None},
    }
    buffer = io.BytesIO()
    with style(), mpl.rc_context({"svg.fonttype": fonttype}):
        figure_of(drawing).savefig(buffer, format=kind, dpi=dpi, metadata=metadata[kind])
    return buffer.getvalue()
