"""Windows: the race-window atlas. The intruder runs to completion in every gap of the victim's operation."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING

from racewindow.experiments._intrusion import (
    Intrusion,
    Pair,
    Section,
    broken_by,
    checked,
    operation_name,
    outcome_of,
    pair_of,
    pairs_of,
    play,
)
from racewindow.frames import FAILING, WINDOWS, Timeline, concat, spans, widths, windows_frame
from racewindow.kernel.engine import Engine
from racewindow.kernel.hosts import run_on
from racewindow.kernel.run import Run
from racewindow.kernel.task import Point
from racewindow.kernel.token import token_of
from racewindow.sessions.case import Case
from racewindow.sessions.history import ENDED, History

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowsResult:
    """The maps of one case.

    Attributes:
        case: what was mapped.
        pairs: victims and intruders, one for each map.
        frame: one row per gap of each map, with the columns :data:`racewindow.frames.WINDOWS`.
    """

    case: Case
    pairs: tuple[Pair, ...]
    frame: pd.DataFrame = field(repr=False)

    @property
    def victim(self) -> str:
        """The client in whose operation the intruder comes; of several maps, in the first."""
        return self.pairs[0].victim

    @property
    def operation(self) -> str:
        """That operation."""
        return operation_name(self.case.scenario.client(self.victim), self.pairs[0].index)

    @property
    def intruder(self) -> str:
        """The client that is run in the gaps; of several maps, in those of the first."""
        return self.pairs[0].intruder

    @property
    def widths(self) -> pd.DataFrame:
        """One row per map: how wide the windows are, with the columns :data:`racewindow.frames.WIDTHS`."""
        return widths(self.frame)

    @property
    def spans(self) -> pd.DataFrame:
        """One row per connected window, with the columns :data:`racewindow.frames.SPANS`."""
        return spans(self.frame)

    def timeline(self, token: str) -> Timeline:
        """The story of one cell."""
        from racewindow.experiments._timeline import timeline

        return timeline(self.case, token)

    def __repr__(self) -> str:
        failing = int(self.frame["outcome"].isin(FAILING).sum())
        maps = f" {len(self.pairs)} maps" if len(self.pairs) > 1 else ""
        return f"<WindowsResult {self.case.name}{maps} {failing} of {len(self.frame)} gaps>"


def windows(case: Case, *, pairs: Sequence[Pair] = (), every: bool = False) -> WindowsResult:
    """Map the race windows of ``case``, exactly: one schedule for each gap of a victim's operation.

    The steps of an operation are those of its client, of the waits that follow it, and, for a commit, of all background work until the
    client's next commit; in run-to-block order: client, then background work in order of creation. When the intruder blocks, the victim
    goes on until it can go on itself, and the cell says so.

    Args:
        case: implementation, scenario and granularity.
        pairs: whose operations, and who comes in between; default: the commit that says most, and one intruder (:func:`pair_of`).
        every: all pairs there are (:func:`pairs_of`).

    Raises:
        UsageError: the scenario has no victim or no intruder, or not the pair that was asked for.
        Unsupported: the implementation cannot do what the scenario asks, or a schedule hit ``max_steps``.
    """
    chosen = pairs_of(case) if every else tuple(checked(case, pair) for pair in pairs) or (pair_of(case),)
    frame = windows_frame([])
    if not case.not_applicable:
        frame = concat(
            run_on(case.implementation.host, lambda engine: [one_map(engine, case, pair) for pair in chosen]),
            WINDOWS,
        )
    return WindowsResult(case=case, pairs=chosen, frame=frame)


def alone(engine: Engine, case: Case, pair: Pair) -> tuple[Run, list[Point]]:
    """The schedule without an intrusion, and the steps of the victim's operation in it."""
    chooser = Intrusion(case, pair, gap=None)
    return play(engine, case, chooser, "no gap"), chooser.victim_steps


def one_map(engine: Engine, case: Case, pair: Pair, sections: Collection[Section] = ()) -> pd.DataFrame:
    """One row per gap, with the columns :data:`racewindow.frames.WINDOWS`; where sections are atomic, with nobody coming in there."""
    run, steps = alone(engine, case, pair)
    labels = [point.label for point in steps]
    roles = [point.task.name for point in steps if point.task is not None]
    accepted, completed = _milestones(run, steps, pair)
    rows: list[dict[str, object]] = []
    for gap in range(len(labels) + 1):
        chooser = Intrusion(case, pair, gap=gap, sections=sections)
        run = play(engine, case, chooser, f"gap {gap}")
        rows.append(
            {
                **case_columns(case),
                **pair.names(case.scenario),
                "gap": gap,
                "after_step": labels[gap - 1] if gap else "",
                "before_step": labels[gap] if gap < len(labels) else "",
                "task": roles[gap] if gap < len(roles) else roles[-1] if roles else pair.victim,
                "phase": "completed" if gap >= completed else "accepted" if gap >= accepted else "before-accepted",
                "outcome": outcome_of(run, chooser),
                "violation": broken_by(run, chooser),
                "token": str(token_of(run, subject=case.name, checksum=case.checksum)),
            }
        )
    return windows_frame(rows)


def case_columns(case: Case) -> dict[str, object]:
    """How frames name a case."""
    return {
        "implementation": case.implementation.name,
        "scenario": case.scenario.name,
        "topology": case.topology,
        "disk": case.disk,
    }


def _milestones(run: Run, steps: list[Point], pair: Pair) -> tuple[float, float]:
    """After how many steps a commit was accepted, and after how many it was seen to have ended."""
    history = run.result
    never = float("inf")
    if not isinstance(history, History):
        return never, never
    mine = set(steps)
    position = list(accumulate(point in mine for point in run.points))
    call = next((call for call in history.calls if call.client == pair.victim and call.index == pair.index), None)
    if call is None or call.returned is None or call.kind != "commit":
        return never, never
    returned = position[call.returned]
    if call.operation.wait:
        return returned, returned
    ends = [seen.step for seen in history.seen if seen.task == call.task and seen.status in ENDED and seen.client]
    return returned, position[min(ends)] if ends else never
