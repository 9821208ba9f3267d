"""One schedule as a self-contained SVG: drawn by hand, so that it is crisp, small and readable by a screen reader.

All ink is ``currentColor``: in a page or a notebook it takes the colour of the text around it, light or dark.
"""

from __future__ import annotations

import hashlib
import textwrap
from collections.abc import Sequence
from html import escape
from itertools import pairwise

from racewindow.charts._style import VERMILLION
from racewindow.charts._timeline_text import timeline_text, wrap_state
from racewindow.frames import Row, Timeline

LETTER = 6.7  # width of one monospaced letter at SIZE; 0.6 em, and a little to spare for wide fonts
SIZE = 11
LINE = 14
PAD = 7
GAP = 22  # between two lanes
TOP = 40


def timeline_svg(timeline: Timeline) -> str:
    """Draw one schedule as SVG text, with ``<title>`` and ``<desc>`` for those who do not see it.

    Args:
        timeline: what happened.
    """
    # Several timelines can stand in one page, so identifiers are made from what is drawn.
    key = "rw" + hashlib.sha256(repr(timeline).encode()).hexdigest()[:10]
    lanes = list(dict.fromkeys([*timeline.tasks, *(row.task for row in timeline.rows)]))
    boxes = {lane: [_box(timeline, row) for row in timeline.rows if row.task == lane] for lane in lanes}
    wide = {lane: max([len(lane), 8, *(len(line) for box in boxes[lane] for line in box)]) for lane in lanes}
    left: dict[str, float] = {}
    x = 52.0
    for lane in lanes:
        left[lane] = x
        x += wide[lane] * LETTER + 2 * PAD + GAP
    files = x
    states = max((len(line) for row in timeline.rows for line in _state(row)), default=0)
    total = max(files + (states * LETTER + 12 if states else 0), 420)
    # Titles are set in the text font, about as wide as a monospaced letter at the most.
    heading = [*_lines(timeline.title, total / 7.6)]
    under = [*_lines(timeline.subtitle, total / 6.4)]
    top = TOP + 17 * len(heading) + 15 * len(under)
    body: list[str] = []
    y = float(top)
    places: list[tuple[float, float]] = []
    shown: str | None = None
    for row in timeline.rows:
        told, state = _box(timeline, row), _state(row) if row.state != shown else []
        tall = max(len(told), len(state)) * LINE + 2 * 3
        places.append((y, len(told) * LINE + 6))
        body += _step(timeline, row, told, left[row.task], y, wide[row.task], key)
        body += [
            f'<text x="{files:.0f}" y="{y + 14 + LINE * number:.0f}" class="m">{escape(line)}</text>'
            for number, line in enumerate(state)
        ]
        shown = row.state
        y += tall + 7
    rails = _rails(timeline, lanes, left, places)
    switches = _switches(timeline, left, wide, places)
    foot, bottom = _foot(timeline, y + 20, total)
    head = _head(timeline, lanes, left, files, bool(states), heading, under, top)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" class="rw-timeline" viewBox="0 0 {total:.0f} {bottom:.0f}" '
            f'width="{total:.0f}" height="{bottom:.0f}" role="img" aria-labelledby="{key}t {key}d" '
            f'fill="currentColor" font-family="ui-monospace, Menlo, Consolas, DejaVu Sans Mono, monospace" '
            f'font-size="{SIZE}">',
            f'<title id="{key}t">{escape(timeline.title)}</title>',
            f'<desc id="{key}d">{escape(timeline_text(timeline))}</desc>',
            f'<defs><pattern id="{key}h" width="6" height="6" patternUnits="userSpaceOnUse" '
            f'patternTransform="rotate(45)"><path d="M0 0V6" stroke="{VERMILLION}" stroke-width="1.6" '
            f'stroke-opacity=".35"/></pattern>'
            f'<marker id="{key}a" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
            f'<path d="M0 0L8 4L0 8z" fill="currentColor"/></marker></defs>',
            f"<style>#{key}r .b{{font-weight:700}}#{key}r .m{{fill-opacity:.72}}"
            f"#{key}r .s{{font-family:system-ui,DejaVu Sans,sans-serif}}</style>",
            f'<g id="{key}r">',
            *head,
            *rails,
            *[line.replace("url(#a)", f"url(#{key}a)") for line in switches],
            *body,
            *foot,
            "</g>",
            "</svg>",
        ]
    )


def _violating(timeline: Timeline, row: Row) -> bool:
    return row.violating or (timeline.violating_step is not None and timeline.violating_step == row.step)


def _lines(text: str, letters: float) -> list[str]:
    return textwrap.wrap(text, max(20, int(letters)))


def _box(timeline: Timeline, row: Row) -> list[str]:
    """The lines in a step's box: its label, its notes, and what became certain."""
    notes = [line for note in row.notes for line in textwrap.wrap(f"· {note}", 30)]
    kind = timeline.violation.partition(":")[0] or "violation"
    return [_short(row.label, 30), *notes, *([f"✗ {_short(kind, 28)}"] if _violating(timeline, row) else [])]


def _state(row: Row) -> list[str]:
    return wrap_state(row.state, 34)


def _short(text: str, letters: int) -> str:
    if len(text) <= letters:
        return text
    return text[: letters // 2 - 1] + "…" + text[len(text) - letters // 2 :]


def _head(
    timeline: Timeline,
    lanes: Sequence[str],
    left: dict[str, float],
    files: float,
    states: bool,
    heading: Sequence[str],
    under: Sequence[str],
    top: float,
) -> list[str]:
    lines = [
        f'<text x="8" y="{18 + 17 * number}" class="s b" font-size="14">{escape(line)}</text>'
        for number, line in enumerate(heading)
    ]
    lines += [
        f'<text x="8" y="{18 + 17 * len(heading) + 15 * number}" class="s m" font-size="12">{escape(line)}</text>'
        for number, line in enumerate(under)
    ]
    y = top - 14
    lines.append(f'<text x="8" y="{y:.0f}" class="m">step</text>')
    lines += [f'<text x="{left[lane] + PAD:.0f}" y="{y:.0f}" class="b">{escape(lane)}</text>' for lane in lanes]
    if states:
        lines.append(f'<text x="{files:.0f}" y="{y:.0f}" class="m">files</text>')
    return lines


def _rails(
    timeline: Timeline, lanes: Sequence[str], left: dict[str, float], places: Sequence[tuple[float, float]]
) -> list[str]:
    """A task's life line: from the foot of each of its steps to the head of the next."""
    lines = []
    for lane in lanes:
        mine = [place for row, place in zip(timeline.rows, places, strict=True) if row.task == lane]
        x = left[lane] + 10
        lines += [
            f'<path d="M{x:.0f} {y + tall:.0f}V{after:.0f}" stroke="currentColor" stroke-opacity=".35" '
            f'stroke-width="1.5" fill="none"/>'
            for (y, tall), (after, _) in pairwise(mine)
        ]
    return lines


def _step(timeline: Timeline, row: Row, told: Sequence[str], x: float, y: float, letters: int, key: str) -> list[str]:
    violating = _violating(timeline, row)
    wide, tall = letters * LETTER + 2 * PAD, len(told) * LINE + 6
    edge = (
        f'stroke="{VERMILLION}" stroke-width="2.2" fill="url(#{key}h)"'
        if violating
        else 'stroke="currentColor" stroke-opacity=".45" fill="currentColor" fill-opacity=".07"'
    )
    number = f'<text x="34" y="{y + 14:.0f}" class="m" text-anchor="end">{row.step}</text>'
    box = f'<rect x="{x:.0f}" y="{y:.0f}" width="{wide:.0f}" height="{tall}" rx="4" {edge}/>'
    texts = [
        f'<text x="{x + PAD:.0f}" y="{y + 14 + LINE * place:.0f}"'
        + (f' class="b" fill="{VERMILLION}"' if violating and place == len(told) - 1 else "")
        + f">{escape(line)}</text>"
        for place, line in enumerate(told)
    ]
    return [number, box, *texts]


def _switches(
    timeline: Timeline, left: dict[str, float], wide: dict[str, int], places: Sequence[tuple[float, float]]
) -> list[str]:
    """An arrow from each step to a preempting one: here the task before could have gone on, and was not let."""
    lines = []
    for number in range(1, len(timeline.rows)):
        row, before = timeline.rows[number], timeline.rows[number - 1]
        if not row.preempted or row.task == before.task:
            continue
        right = left[row.task] > left[before.task]
        room_before = wide[before.task] * LETTER + 2 * PAD
        x0 = left[before.task] + (room_before if right else 0)
        x1 = left[row.task] + (0 if right else wide[row.task] * LETTER + 2 * PAD)
        y0, y1 = places[number - 1][0] + 11, places[number][0] + 11
        middle = x1 - 11 if right else x1 + 11
        lines.append(
            f'<path d="M{x0:.0f} {y0:.0f}H{middle:.0f}V{y1:.0f}H{x1:.0f}" fill="none" stroke="currentColor" '
            f'stroke-width="1.4" stroke-dasharray="4 3" marker-end="url(#a)"/>'
        )
    return lines


def _foot(timeline: Timeline, y: float, total: float) -> tuple[list[str], float]:
    lines = []
    if any(row.preempted for row in timeline.rows):
        lines.append(
            f'<text x="8" y="{y:.0f}" class="s m">dashed arrow: a switch; the task before could have gone on</text>'
        )
        y += 18
    told = timeline.violation or "no violation"
    for number, line in enumerate(_lines(told, (total - 24) / LETTER)):
        colour = f' fill="{VERMILLION}"' if timeline.violation else ""
        mark = "✗ " if timeline.violation and not number else ""
        lines.append(f'<text x="8" y="{y:.0f}" class="b"{colour}>{mark}{escape(line)}</text>')
        y += 16
    # A token has no blanks: cut it anywhere. The whole of it stands in the description and in the report.
    for line in textwrap.wrap(timeline.replay, max(20, int((total - 16) / LETTER)), break_on_hyphens=False):
        lines.append(f'<text x="8" y="{y:.0f}" class="m">{escape(line)}</text>')
        y += 15
    return lines, y
