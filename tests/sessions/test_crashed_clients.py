"""Whoever died with a store does nothing any more, whatever goes wrong while its task is taken apart."""

from __future__ import annotations

import racewindow as rw
from racewindow.kernel import Run
from racewindow.sessions.history import History


def test_the_dead_neither_answer_nor_go_on() -> None:
    """One client dies holding the turn that another dead one waits for: trio's lock raises, and no call may end in that error."""
    case = rw.case("reference", "a: add m1 | b: add m2 | c: add m3 | x: crash b", topology="same-store", disk="atomic")
    outcomes: set[str] = set()

    def on_run(run: Run) -> None:
        assert isinstance(run.result, History)
        outcomes.update(call.outcome for call in run.result.calls)

    found = rw.explore(case.subject(), schedules=60, limits=case.limits, on_run=on_run)
    assert found.verdict == "passed"
    assert outcomes == {"ok", "lost"}
