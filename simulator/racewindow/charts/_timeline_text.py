"""One schedule as text: a lane for each task, a line for each step, and what the files look like.

Plain ASCII, because it ends up in CI logs; only labels and notes are printed as they come.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from racewindow.errors import UsageError
from racewindow.frames import Row, Timeline

GUTTER = 8  # mark, number of the step, two blanks
NARROWEST = 14


def timeline_text(timeline: Timeline, *, width: int = 120) -> str:
    """Tell one schedule as text.

    Args:
        timeline: what happened.
        width: columns to fit into, at least 60. The replay line is never broken: it is there to be copied.

    Returns:
        Lines without trailing blanks, and without a final line break.

    Raises:
        UsageError: the width is too small for anything legible.
    """
    if width < 60:
        raise UsageError(f"a timeline needs at least 60 columns, not {width}.")
    lines = [*textwrap.wrap(timeline.title, width), *textwrap.wrap(timeline.subtitle, width), ""]
    lanes = _lanes(timeline)
    room = width - GUTTER
    natural = [max([len(name), *_needs(timeline, name)]) for name in lanes]
    files = max((len(row.state) for row in timeline.rows), default=0)
    files = max(files, len("files")) if files else 0
    narrow = len(lanes) * (NARROWEST + 2) + (22 if files else 0) > room
    if narrow:
        # Too many tasks for lanes: one column, and the task's name before each label.
        natural = [max((len(row.task) + 2 + _need(row) for row in timeline.rows), default=4)]
        lanes = ("task: step",)
    widths = _share([*natural, files] if files else natural, room)
    lines += _head([*lanes, "files"] if files else list(lanes), widths)
    lines += _steps(timeline, lanes, widths, narrow=narrow, files=bool(files))
    if not timeline.rows:
        lines.append("(no steps)")
    lines += ["", *_tail(timeline, width)]
    return "\n".join(line.rstrip() for line in lines)


def _lanes(timeline: Timeline) -> tuple[str, ...]:
    """The tasks as given, and any that only the rows know."""
    return tuple(dict.fromkeys([*timeline.tasks, *(row.task for row in timeline.rows)]))


def _noted(row: Row) -> str:
    return " ".join([row.label, *(f"<{note}>" for note in row.notes)])


def _need(row: Row) -> int:
    """What a row would like to have: all on one line, within reason."""
    return max(len(row.label), min(len(_noted(row)), 34))


def _needs(timeline: Timeline, task: str) -> list[int]:
    return [_need(row) for row in timeline.rows if row.task == task]


def _share(natural: Sequence[int], room: int) -> list[int]:
    """Cut the widest column by one until all fit, with two blanks between them."""
    widths = [max(wanted, 4) for wanted in natural]
    while sum(widths) + 2 * len(widths) > room and max(widths) > 4:
        widths[widths.index(max(widths))] -= 1
    return widths


def _head(names: Sequence[str], widths: Sequence[int]) -> list[str]:
    titles = "  ".join(_cut(name, wide).ljust(wide) for name, wide in zip(names, widths, strict=True))
    return [f"  step  {titles}", "  ----  " + "  ".join("-" * wide for wide in widths)]


def _steps(timeline: Timeline, lanes: Sequence[str], widths: Sequence[int], *, narrow: bool, files: bool) -> list[str]:
    first = {name: next((n for n, row in enumerate(timeline.rows) if row.task == name), 0) for name in lanes}
    last = {name: max((n for n, row in enumerate(timeline.rows) if row.task == name), default=-1) for name in lanes}
    lines = []
    state = None
    for number, row in enumerate(timeline.rows):
        violating = row.violating or (timeline.violating_step is not None and timeline.violating_step == row.step)
        rails = ["|" if not narrow and first[name] <= number <= last[name] else "" for name in lanes]
        lane = 0 if narrow else lanes.index(row.task)
        told = _told(row, widths[lane], narrow=narrow)
        changed = row.state != state
        state = row.state
        # The files are told where they change; a step that leaves them alone leaves the lane empty.
        shown = wrap_state(row.state, widths[-1]) if files and changed else []
        mark = "X" if violating else ">" if row.preempted else " "
        tail = list(rails)
        if not narrow and last[row.task] == number:
            tail[lane] = ""
        for line in range(max(len(told), len(shown), 1)):
            cells = list(rails if line == 0 else tail)
            cells[lane] = told[line] if line < len(told) else cells[lane]
            if files:
                cells.append(shown[line] if line < len(shown) else "")
            gutter = f"{mark} {row.step:>4}  " if line == 0 else " " * GUTTER
            lines.append(gutter + "  ".join(cell.ljust(wide) for cell, wide in zip(cells, widths, strict=True)))
        if violating:
            lines.append(_arrow(timeline, tail, lane, widths))
    return lines


def _told(row: Row, wide: int, *, narrow: bool) -> list[str]:
    """The label, and its notes on the same line where they fit, else on lines of their own."""
    label = f"{row.task}: {row.label}" if narrow else row.label
    noted = " ".join([label, *(f"<{note}>" for note in row.notes)])
    if len(noted) <= wide:
        return [noted]
    told = [_cut(label, wide)]
    for note in row.notes:
        told += textwrap.wrap(f"<{note}>", wide, initial_indent="  ", subsequent_indent="   ")
    return told


def wrap_state(state: str, wide: int) -> list[str]:
    """Break the state of the files between two places rather than inside one."""
    lines: list[str] = []
    for part in state.split(" | "):
        if lines and len(lines[-1]) + 3 + len(part) <= wide - 2:
            lines[-1] += f" | {part}"
            continue
        if lines:
            lines[-1] += " |"
        lines += textwrap.wrap(part, wide - 2, break_on_hyphens=False)
    # Wide enough for all of it, the two letters kept for a bar are not needed.
    return [state] if len(state) <= wide else lines


def _arrow(timeline: Timeline, rails: Sequence[str], lane: int, widths: Sequence[int]) -> str:
    before = "  ".join(rail.ljust(wide) for rail, wide in zip(rails[:lane], widths[:lane], strict=True))
    kind = timeline.violation.partition(":")[0] or "the violation"
    return " " * GUTTER + before + ("  " if lane else "") + f"^--- {kind}: certain here"


def _tail(timeline: Timeline, width: int) -> list[str]:
    lines = []
    if any(row.preempted for row in timeline.rows):
        lines.append("> switch: the task of the step before could have gone on")
    if timeline.violation:
        lines += textwrap.wrap(
            f"violation  {timeline.violation}", width, subsequent_indent=" " * 11, break_on_hyphens=False
        )
    else:
        lines.append("no violation")
    if timeline.replay:
        lines.append(f"replay     {timeline.replay}")
    return lines


def _cut(text: str, wide: int) -> str:
    """Shorten in the middle: labels share their beginnings, and differ at their ends."""
    if len(text) <= wide:
        return text
    if wide <= 5:
        return text[:wide]
    kept = wide - 2
    return text[: kept // 2] + ".." + text[len(text) - (kept - kept // 2) :]
