"""Double preemption: the intruder starts in a gap of the victim's operation, and is itself interrupted on its way."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from racewindow.experiments._intrusion import Intrusion, Pair, Section, broken_by, checked, outcome_of, pair_of, play
from racewindow.experiments._windows import alone, case_columns
from racewindow.frames import FAILING, Timeline, double_frame, double_widths
from racewindow.kernel.engine import Engine
from racewindow.kernel.hosts import run_on
from racewindow.kernel.token import token_of
from racewindow.sessions.case import Case

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True, kw_only=True)
class DoubleResult:
    """The matrix of one case.

    Attributes:
        case: what was mapped.
        pair: the victim's operation and the intruder.
        frame: one row per cell, with the columns :data:`racewindow.frames.DOUBLE`.
    """

    case: Case
    pair: Pair
    frame: pd.DataFrame = field(repr=False)

    @property
    def widths(self) -> pd.DataFrame:
        """One row: how many cells fail, with the columns :data:`racewindow.frames.DOUBLE_WIDTHS`."""
        return double_widths(self.frame)

    def timeline(self, token: str) -> Timeline:
        """The story of one cell."""
        from racewindow.experiments._timeline import timeline

        return timeline(self.case, token)

    def __repr__(self) -> str:
        failing = int(self.frame["outcome"].isin(FAILING).sum())
        return f"<DoubleResult {self.case.name} {failing} of {len(self.frame)} cells>"


def double(case: Case, *, pair: Pair | None = None) -> DoubleResult:
    """Map what two preemptions lead to, exactly: one schedule for each gap of the victim and each number of steps of the intruder.

    The intruder starts in gap i and is interrupted after j steps; then the victim runs on to its end, in run-to-block order, and then the
    intruder finishes. With j as large as the intruder has steps nothing interrupts it: that is its cell of :func:`windows`. Whoever has to
    wait for the other lets the other go on until it can go on itself, and the cell says so.

    Args:
        case: implementation, scenario and granularity.
        pair: whose operation, and who comes in between; default: the commit that says most, and one intruder.

    Raises:
        UsageError: the scenario has no victim or no intruder, or not the pair that was asked for.
        Unsupported: the implementation cannot do what the scenario asks, or a schedule hit ``max_steps``.
    """
    chosen = checked(case, pair) if pair else pair_of(case)
    frame = double_frame()
    if not case.not_applicable:
        frame = run_on(case.implementation.host, lambda engine: one_matrix(engine, case, chosen))
    return DoubleResult(case=case, pair=chosen, frame=frame)


def one_matrix(engine: Engine, case: Case, pair: Pair, sections: Collection[Section] = ()) -> pd.DataFrame:
    """One row per cell, with the columns :data:`racewindow.frames.DOUBLE`; where sections are atomic, with nobody coming in there."""
    labels = [point.label for point in alone(engine, case, pair)[1]]
    rows: list[dict[str, object]] = []
    for gap in range(len(labels) + 1):
        # First the intruder as a whole: that tells how many steps it has in this gap.
        whole, row = _cell(engine, case, pair, gap, None, sections)
        place = {
            **case_columns(case),
            **pair.names(case.scenario),
            "gap": gap,
            "after_step": labels[gap - 1] if gap else "",
            "before_step": labels[gap] if gap < len(labels) else "",
        }
        steps = len(whole.intruder_steps)
        for stop in range(1, steps):
            rows.append(place | _cell(engine, case, pair, gap, stop, sections)[1])
        rows.append(place | row | {"whole": not whole.infeasible})
    return double_frame(rows)


def _cell(
    engine: Engine, case: Case, pair: Pair, gap: int, stop: int | None, sections: Collection[Section]
) -> tuple[Intrusion, dict[str, object]]:
    chooser = Intrusion(case, pair, gap=gap, stop=stop, sections=sections)
    run = play(engine, case, chooser, f"gap {gap}")
    steps = len(chooser.intruder_steps) if stop is None else stop
    who = {"intruder": chooser.intruder_waited, "victim": chooser.victim_waited}
    return chooser, {
        "intruder_steps": steps,
        "interrupted_after": chooser.intruder_steps[steps - 1].label if steps else "",
        "outcome": outcome_of(run, chooser),
        "waited": "+".join(name for name, waited in who.items() if waited),
        "violation": broken_by(run, chooser),
        "token": str(token_of(run, subject=case.name, checksum=case.checksum)),
    }
