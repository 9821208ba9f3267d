"""Faults under the reduction: it shows what every single schedule shows, and nothing that is drawn at random is new."""

from __future__ import annotations

import pytest

import racewindow as rw
from racewindow.kernel import Run
from racewindow.search import Strategy
from racewindow.sessions.history import History
from racewindow.sessions.invariants import report
from racewindow.sessions.scenario import Topology


def seen(run: Run) -> str:
    """All that anybody saw of a schedule and all that was found out about it, without the numbers of the steps."""
    history = run.result
    assert isinstance(history, History)
    calls = sorted((call.client, call.index, call.outcome, call.messages, call.error) for call in history.calls)
    looks = [(when, observation) for _, when, observation in history.observations]
    handed = [(one.messages, one.outcome, one.caller) for one in history.handovers]
    statuses = sorted((one.task, one.status, one.client) for one in history.seen)
    faults = [(fault.kind, fault.target) for fault in history.faults]
    broken = sorted((violation.kind, violation.messages) for violation in run.violations)
    counts = sorted(report(history).items())
    return repr((calls, looks, handed, statuses, faults, broken, counts, history.unfinished))


def shown(case: rw.Case, strategy: Strategy, schedules: int | None = None) -> tuple[set[str], rw.Exploration]:
    """What the schedules of a case show."""
    results: set[str] = set()
    found = rw.explore(
        case.subject(),
        strategy=strategy,
        schedules=schedules,
        limits=case.limits,
        host=case.implementation.host,
        on_run=lambda run: results.add(seen(run)),
    )
    return results, found


def case(implementation: str, text: str, disk: rw.Granularity, topology: Topology) -> rw.Case:
    return rw.case(implementation, text, topology=topology, disk=disk)
