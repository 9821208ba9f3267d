"""The comparison on one page: scenarios down, implementations across."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from racewindow.charts._style import (
    GREEN,
    INFEASIBLE_HATCH,
    INK,
    MUTED,
    PAPER,
    YELLOW,
    Look,
    brief,
    elide,
    figure_of,
    looks,
    style,
    text_width,
    wrap,
)
from racewindow.frames import MATRIX, conform, kinds, require

# Lengths in points.
ROW, MARGIN, STRIP = 45.0, 12.0, 8.0
WORD, SMALL, LABEL = 8.0, 6.8, 8.0

_TINT = {
    "proved": "#d5ece3",
    "passed": "#ecf5f1",
    "sampled": "#ecf5f1",
    "failed": "#fbe3d6",
    "unknown": "#faf6d2",
    "not-applicable": PAPER,
}
_WORD = {
    "proved": "✓ proved",
    "passed": "○ passed",
    "sampled": "◔ sampled",
    "failed": "✗ FAILED",
    "unknown": "? unknown",
    "not-applicable": "n/a",
}
_STRIP = {
    "proved": Look(face=GREEN, hatch=""),
    "passed": Look(face=PAPER, hatch="////", line=GREEN),
    "sampled": Look(face=PAPER, hatch="....", line=GREEN),
    "unknown": Look(face=YELLOW, hatch="xxxx"),
    "not-applicable": Look(face=PAPER, hatch="//", line=INFEASIBLE_HATCH),
}


def matrix(frame: pd.DataFrame, *, ax: Axes | None = None, legend: bool = True, width: float = 9.0) -> Axes:
    """Draw the verdict of each implementation in each scenario.

    Args:
        frame: a comparison, with the columns `racewindow.frames.MATRIX`.
        ax: where to draw; by default a new pyplot figure of a fitting height.
        legend: tell below how many schedules, within which bounds, and what the words mean.
        width: of the new figure, in inches.

    Raises:
        UsageError: a column is missing.
    """
    require(frame, [column for column in MATRIX if column.name not in ("token", "reason")], "matrix")
    plain = conform(frame, MATRIX, "matrix")
    plain = plain.assign(
        **{name: plain[name].astype("str") for name in ("scenario", "topology", "disk", "implementation", "verdict")}
    )
    rows = list(dict.fromkeys(zip(plain["scenario"], plain["topology"], plain["disk"], strict=True)))
    names = list(dict.fromkeys(plain["implementation"]))
    cells: dict[tuple[tuple[str, str, str], str], dict[str, Any]] = {
        ((cell["scenario"], cell["topology"], cell["disk"]), cell["implementation"]): cell
        for cell in plain.to_dict("records")
    }
    with style():
        if ax is None:
            import matplotlib.pyplot as plt

            figure = plt.figure()
            across = width * 72 - 2 * MARGIN
            left = min(max((_label_room(row) for row in rows), default=60.0) + 10, across * 0.3)
            column = (across - left) / max(1, len(names))
            head = _head_height(names, column)
            foot = _footer_height(plain, across) if legend else 0.0
            height = MARGIN * 2 + head + ROW * max(1, len(rows)) + foot
            figure.set_size_inches(width, height / 72)
            ax = figure.add_axes(
                (
                    (MARGIN + left) / (width * 72),
                    (MARGIN + foot) / height,
                    (across - left) / (width * 72),
                    ROW * max(1, len(rows)) / height,
                )
            )
        else:
            if figure_of(ax).get_layout_engine() is not None:
                figure_of(ax).draw_without_rendering()
            across = ax.get_window_extent().width * 72 / figure_of(ax).dpi
            left = 0.0
            column = across / max(1, len(names))
        _grid(ax, rows, names, cells, column=column, left=left)
        if legend:
            _footer(ax, plain, left=left, room=across)
        return ax


def _head(name: str, column: float) -> list[str]:
    return wrap(name, column - 6, LABEL, bold=True, lines=3)


def _upright(names: Sequence[str], column: float) -> bool:
    """Whether some name does not fit across its column, so that all are written upwards."""
    return any("…" in line for name in names for line in _head(name, column))


def _head_height(names: Sequence[str], column: float) -> float:
    if _upright(names, column):
        return max(text_width(name, LABEL, bold=True) for name in names) + 12
    return 11.0 * max((len(_head(name, column)) for name in names), default=1) + 8


def _where(row: tuple[str, str, str]) -> str:
    return " · ".join(part for part in row[1:] if part)


def _label_room(row: tuple[str, str, str]) -> float:
    return max(text_width(row[0], LABEL, bold=True), text_width(_where(row), SMALL))


def _grid(
    ax: Axes,
    rows: Sequence[tuple[str, str, str]],
    names: Sequence[str],
    cells: Mapping[tuple[tuple[str, str, str], str], Mapping[str, Any]],
    *,
    column: float,
    left: float,
) -> None:
    ax.set(xlim=(0, max(1, len(names))), ylim=(max(1, len(rows)), 0), xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    ax.patch.set_visible(False)
    styles = looks(kind for cell in cells.values() for kind in _broken(cell))
    upright = _upright(names, column)
    for number, name in enumerate(names):
        if upright:
            look = {"rotation": 90, "ha": "center", "va": "bottom"}
            _text(ax, name, (number + 0.5, 0), (0, 6), size=LABEL, weight="bold", **look)
            continue
        for line, text in enumerate(reversed(_head(name, column))):
            _text(ax, text, (number + 0.5, 0), (0, 6 + 11 * line), size=LABEL, weight="bold", ha="center", va="bottom")
    for number, row in enumerate(rows):
        again = number > 0 and rows[number - 1][0] == row[0]
        _row_label(ax, number, row, left or 110.0, again=again)
        if number and not again:
            ends = ((-left / column), max(1, len(names)))
            ax.plot(ends, (number, number), color=INFEASIBLE_HATCH, linewidth=0.8, clip_on=False, scalex=False)
        for place, name in enumerate(names):
            cell = cells.get((row, name))
            if cell is not None:
                _cell(ax, place, number, cell, styles, column=column)
    if not cells:
        _text(ax, "nothing was compared", (0.5, 0.5), (0, 0), size=WORD, color=MUTED, ha="center", va="center")


def _row_label(ax: Axes, number: int, row: tuple[str, str, str], left: float, *, again: bool) -> None:
    """Scenario, topology and granularity; a scenario of several rows is named in its first."""
    lines = [] if again else wrap(row[0], left - 10, LABEL, bold=True, lines=2)
    where = wrap(_where(row), left - 10, SMALL, lines=2)
    tall = 10.5 * len(lines) + 9.5 * len(where)
    y = tall / 2
    for line in lines:
        _text(ax, line, (0, number + 0.5), (-left, y), size=LABEL, weight="bold", va="top")
        y -= 10.5
    for line in where:
        _text(ax, line, (0, number + 0.5), (-left, y), size=SMALL, color=MUTED, va="top")
        y -= 9.5


def _broken(cell: Mapping[str, Any]) -> tuple[str, ...]:
    return (kinds(cell["violation"]) or ("violation",)) if cell["verdict"] == "failed" else ()


def _cell(ax: Axes, x: int, y: int, cell: Mapping[str, Any], styles: Mapping[str, Look], *, column: float) -> None:
    verdict = cell["verdict"]
    pad = 1.5 / column
    # As artists: a patch is asked for its limits when it is added, which takes half as long as drawing it, and the limits are known.
    ax.add_artist(Rectangle((x + pad, y + 0.03), 1 - 2 * pad, 0.94, facecolor=_TINT[verdict], linewidth=0))
    # The strip speaks the language of the atlas: colours and hatches of the kinds that broke, one above the other.
    broken = _broken(cell)
    strips = [styles[kind] for kind in broken] or [_STRIP[verdict]]
    for number, look in enumerate(strips):
        top = y + 0.03 + 0.94 * number / len(strips)
        ax.add_artist(
            Rectangle(
                (x + pad, top),
                STRIP / column,
                0.94 / len(strips),
                facecolor=look.face,
                edgecolor=look.line,
                hatch=look.hatch or None,
                linewidth=0,
            )
        )
    frame = Rectangle((x + pad, y + 0.03), 1 - 2 * pad, 0.94, fill=False, edgecolor=INFEASIBLE_HATCH, linewidth=0.6)
    ax.add_artist(frame)
    room = column - STRIP - 9
    words = (_WORD[verdict], _WORD[verdict].split()[-1], _WORD[verdict].split()[0])
    word = next((word for word in words if text_width(word, WORD, bold=True) <= room), words[-1])
    lines = [(word, True), *((line, False) for line in _lines(cell, broken, room))]
    down = sum(10.0 if bold else 9.0 for _, bold in lines) / 2 - 1.5
    for text, bold in lines:
        size = WORD if bold else SMALL
        at = (x + pad + STRIP / column, y + 0.5)
        weight = "bold" if bold and verdict != "not-applicable" else "normal"
        colour = MUTED if verdict == "not-applicable" else INK
        _text(ax, text, at, (4, down), size=size, weight=weight, va="top", color=colour)
        down -= 10.0 if bold else 9.0


def _lines(cell: Mapping[str, Any], broken: Sequence[str], room: float) -> list[str]:
    """What stands under the word: the kinds (two at most), then the counts. In a tiny cell the strip must do."""
    told = _kinds_in(list(broken), room)
    told = [] if room < 30 else told
    return told + [line for line in counts(cell) if text_width(line, SMALL) <= room][:1]


def _kinds_in(broken: Sequence[str], room: float) -> list[str]:
    """The kinds in two lines at the most, as many to a line as fit."""
    lines: list[str] = []
    for kind in broken:
        longer = f"{lines[-1]}, {brief(kind)}" if lines else ""
        if longer and text_width(longer, SMALL) <= room:
            lines[-1] = longer
        else:
            lines.append(elide(brief(kind), room, SMALL))
    if len(lines) <= 2:
        return lines
    return [lines[0], f"+{len(broken) - lines[0].count(',') - 1} more"]


def counts(cell: Mapping[str, Any]) -> tuple[str, ...]:
    """How many schedules stand behind a cell, in three lengths, the longest first; nothing where none were run."""
    schedules, failures = f"{int(cell['schedules']):,}", f"{int(cell['failures']):,}"
    match cell["verdict"]:
        case "not-applicable":
            return ()
        case "proved":
            return f"all {schedules} schedules", f"all {schedules}", schedules
        case "failed":
            return f"{failures} of {schedules} schedules", f"{failures} of {schedules}", failures
        case "sampled":
            return f"0 of {schedules} tries", f"0 of {schedules}", schedules
        case "unknown":
            return f"after {schedules} schedules", f"after {schedules}", schedules
        case _:
            return f"0 of {schedules} schedules", f"0 of {schedules}", schedules


def _caption(frame: pd.DataFrame) -> list[str]:
    def used(verdicts: Sequence[str], name: str, between: str = ", ") -> str:
        values = frame.loc[frame["verdict"].isin(verdicts), name]
        return between.join(dict.fromkeys(value for value in values if value))

    def why(verdict: str) -> str:
        reasons = used((verdict,), "reason", "; ")
        return f" ({reasons})" if reasons and len(reasons) < 160 else ""

    bounds = used(("proved",), "bound")
    sampled = used(("passed", "sampled", "failed", "unknown"), "strategy")
    told = [
        ("proved", f"✓ proved: every schedule{f' within {bounds}' if bounds else ''} was covered, and none fails."),
        ("passed", "○ passed: no violation in the schedules that were run; this is no proof."),
        (
            "sampled",
            "◔ sampled: no violation in the tries against a real server, in wall-clock time; this is no proof.",
        ),
        ("failed", "✗ FAILED: so many of the schedules that were run break an invariant; the strip shows which."),
        ("unknown", f"? unknown: a bound was hit, or what the scenario is about never happened{why('unknown')}."),
        ("not-applicable", f"n/a: the scenario asks for what the implementation has not{why('not-applicable')}."),
    ]
    present = set(frame["verdict"])
    lines = [text for verdict, text in told if verdict in present]
    if sampled:
        lines.append(f"Where not proved, schedules were chosen by: {sampled}.")
    broken = dict.fromkeys(kind for cell in frame.to_dict("records") for kind in _broken(cell))
    key = [f"{brief(kind)}: {kind} is broken" for kind in broken if brief(kind) != kind]
    if key:
        lines.append("; ".join(key) + ".")
    return lines


def _footer_height(frame: pd.DataFrame, room: float) -> float:
    return 10 + 11.0 * sum(len(wrap(line, room, SMALL + 0.5)) for line in _caption(frame))


def _footer(ax: Axes, frame: pd.DataFrame, *, left: float, room: float) -> None:
    down = 10.0
    for text in _caption(frame):
        for line in wrap(text, room, SMALL + 0.5):
            ax.annotate(
                line,
                (0, 0),
                xycoords="axes fraction",
                xytext=(-left, -down),
                textcoords="offset points",
                size=SMALL + 0.5,
                color=MUTED,
                va="top",
                annotation_clip=False,
            )
            down += 11.0


def _text(ax: Axes, text: str, at: tuple[float, float], offset: tuple[float, float], **look: Any) -> None:
    ax.annotate(text, at, xycoords="data", xytext=offset, textcoords="offset points", annotation_clip=False, **look)
