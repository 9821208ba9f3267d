"""What must hold in every history. They share no code with any store, so that one mistake cannot hide in both."""

from __future__ import annotations

from racewindow.kernel.violation import Violation
from racewindow.sessions.capabilities import Capabilities
from racewindow.sessions.history import History
from racewindow.sessions.invariants import (
    accepted_is_quick,
    committed_once,
    completed_means_switched,
    extracted_once,
    nothing_hidden,
    nothing_invented,
    nothing_lost,
    nothing_stranded,
    order_kept,
    tasks_end,
)
from racewindow.sessions.invariants._invariant import Invariant as Invariant
from racewindow.sessions.invariants._report import report as report

INVARIANTS: dict[str, Invariant] = {
    module.INVARIANT.name: module.INVARIANT
    for module in (
        committed_once,
        extracted_once,
        nothing_lost,
        nothing_hidden,
        nothing_stranded,
        completed_means_switched,
        order_kept,
        nothing_invented,
        tasks_end,
        accepted_is_quick,
    )
}


def judge(history: History, capabilities: Capabilities) -> tuple[Violation, ...]:
    """The violations of the invariants that the implementation claims, in the order of ``INVARIANTS``."""
    return tuple(
        violation
        for invariant in INVARIANTS.values()
        if invariant.judged(capabilities)
        for violation in invariant.check(history)
    )
