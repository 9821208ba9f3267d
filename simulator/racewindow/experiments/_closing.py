"""Closing: which steps would have to be atomic for a window to be gone. Tried, not concluded.

An atomic section stands for a repair, such as a lock around these steps: while the victim is between its first and last step nobody else
takes a step, and the same holds for the intruder where it passes the same steps. Whoever waits inside for somebody outside cannot be
atomic there; the others go on then, and the result says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from racewindow.experiments._double import one_matrix
from racewindow.experiments._intrusion import Intrusion, Pair, Place, Section, checked, pair_of, places, play
from racewindow.experiments._windows import alone, one_map
from racewindow.frames import FAILING, Timeline, closings_frame, spans
from racewindow.kernel.engine import Engine
from racewindow.kernel.hosts import run_on
from racewindow.sessions.case import Case

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosingResult:
    """What would close the windows of one map.

    Attributes:
        case: what was mapped.
        pair: the victim's operation and the intruder.
        sections: what was found, at most one for each window.
        frame: one row per window, with the columns :data:`racewindow.frames.CLOSINGS`.
    """

    case: Case
    pair: Pair
    sections: tuple[Section, ...]
    frame: pd.DataFrame = field(repr=False)

    @property
    def closed(self) -> bool:
        """Whether no gap of the map fails any more with the sections made atomic."""
        return not self.frame["left"].any()

    def timeline(self, token: str) -> Timeline:
        """The story of a gap that still fails."""
        from racewindow.experiments._timeline import timeline

        return timeline(self.case, token)

    def __repr__(self) -> str:
        closed = int(self.frame["closed"].sum())
        return f"<ClosingResult {self.case.name} {closed} of {len(self.frame)} windows>"


def closing(case: Case, *, pair: Pair | None = None, double: bool = True) -> ClosingResult:
    """Find for each window the smallest atomic section that closes it, and try all of them together.

    Args:
        case: implementation, scenario and granularity.
        pair: whose operation, and who comes in between; default: the commit that says most, and one intruder.
        double: also count the failing cells of the matrix of two preemptions, before and after.

    Raises:
        UsageError: the scenario has no victim or no intruder, or not the pair that was asked for.
        Unsupported: the implementation cannot do what the scenario asks, or a schedule hit ``max_steps``.
    """
    chosen = checked(case, pair) if pair else pair_of(case)
    if case.not_applicable:
        return ClosingResult(case=case, pair=chosen, sections=(), frame=closings_frame())
    sections, rows = run_on(case.implementation.host, lambda engine: _Closing(engine, case, chosen).close(double))
    return ClosingResult(case=case, pair=chosen, sections=sections, frame=closings_frame(rows))


class _Closing:
    """The search for one map."""

    def __init__(self, engine: Engine, case: Case, pair: Pair) -> None:
        self._engine = engine
        self._case = case
        self._pair = pair
        self._places = places(alone(engine, case, pair)[1])

    def close(self, double: bool) -> tuple[tuple[Section, ...], list[dict[str, object]]]:
        before = one_map(self._engine, self._case, self._pair)
        outcomes = before["outcome"].astype("str").tolist()
        windows = spans(before).to_dict("records")
        found = [self._smallest(window, outcomes) for window in windows]
        sections = tuple(section for section, _, _ in found if section is not None)
        after = one_map(self._engine, self._case, self._pair, sections) if sections else before
        left = after[after["outcome"].isin(FAILING)]
        doubles, in_double = self._doubles(sections) if double else ((-1, -1), "")
        broken = self._broken(sections) if sections else 0
        rows: list[dict[str, object]] = []
        for window, (section, tried, reason) in zip(windows, found, strict=True):
            mine = left[left["gap"].between(window["first"], window["last"])]
            row: dict[str, object] = {name: window[name] for name in window if name not in _OF_THE_WINDOW}
            row |= {
                "closed": section is not None and mine.empty,
                "tried": tried,
                "left": len(left),
                "double": doubles[0],
                "double_left": doubles[1],
                "reason": reason,
                "token": next(iter(mine["token"]), in_double),
            }
            if section is not None:
                row |= {
                    "atomic_from": section.opens[0],
                    "atomic_to": section.closes[0],
                    "atomic_gaps": self._gaps(section),
                    "broken": broken,
                }
            rows.append(row)
        return sections, rows

    def _smallest(self, window: dict[str, Any], outcomes: Sequence[str]) -> tuple[Section | None, int, str]:
        """The section with the fewest gaps that leaves none of the window failing, how many were run for it, and why there is none."""
        first, last = window["first"], window["last"]
        if first == 0:
            return None, 0, "it fails before the first step too: no section begins there"
        if last == len(self._places):
            return None, 0, "it fails after the last step too: no section ends there"
        # Where nobody waits, what happens in a gap is the same whatever is atomic elsewhere: those gaps have to be in it.
        needed = [gap for gap in range(first, last + 1) if outcomes[gap] == "failed"] or [first]
        tried, broken = 0, False
        for size in range(needed[-1] - needed[0] + 1, last - first + 2):
            for begin in range(max(first, needed[-1] - size + 1), min(needed[0], last - size + 1) + 1):
                section = Section(self._places[begin - 1], self._places[begin + size - 1])
                tried += 1
                closed, broken = self._closes(section, range(first, last + 1))
                if closed:
                    return section, tried, ""
        why = ", for the victim waits there for somebody outside" if broken else ""
        return None, tried, f"it fails with all its steps made atomic too{why}"

    def _closes(self, section: Section, gaps: range) -> tuple[bool, bool]:
        """Whether no gap fails any more; if one does, whether the section could not be atomic there."""
        for gap in gaps:
            chooser = Intrusion(self._case, self._pair, gap=gap, sections=[section])
            run = play(self._engine, self._case, chooser, f"gap {gap}")
            if run.verdict == "failed" and not chooser.infeasible:
                return False, chooser.broken
        return True, False

    def _broken(self, sections: Sequence[Section]) -> int:
        broken = 0
        for gap in range(len(self._places) + 1):
            chooser = Intrusion(self._case, self._pair, gap=gap, sections=sections)
            play(self._engine, self._case, chooser, f"gap {gap}")
            broken += chooser.broken and not chooser.infeasible
        return broken

    def _gaps(self, section: Section) -> int:
        return self._number(section.closes) - self._number(section.opens)

    def _number(self, place: Place) -> int:
        return self._places.index(place)

    def _doubles(self, sections: Sequence[Section]) -> tuple[tuple[int, int], str]:
        """Failing cells of the double matrix, before and after, and one that is left."""
        before = one_matrix(self._engine, self._case, self._pair)
        after = one_matrix(self._engine, self._case, self._pair, sections) if sections else before
        left = after[after["outcome"].isin(FAILING)]
        return (int(before["outcome"].isin(FAILING).sum()), len(left)), next(iter(left["token"]), "")


_OF_THE_WINDOW = ("first", "last", "violation", "token")  # columns of a span that a closing does not have
