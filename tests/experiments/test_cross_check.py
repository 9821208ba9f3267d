"""Faults under the reduction: it shows what every single schedule shows, and nothing that is drawn at random is new."""

from __future__ import annotations

import pytest

import racewindow as rw
from racewindow.disk import Granularity
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


def case(implementation: str, text: str, disk: Granularity, topology: Topology) -> rw.Case:
    return rw.case(implementation, text, topology=topology, disk=disk)


# Small enough to run every schedule there is: up to 93 of them, and one to five thousand in those that are slow.
SMALL = (
    ("reference", "a: add m1 | x: crash a", "atomic", "same-store"),
    ("reference", "a: add m1; commit | x: cancel a", "atomic", "same-store"),
    ("reference", "a: add m1 | b: commit", "atomic", "same-store"),
    ("reference", "a: add m1 | b: commit", "atomic", "separate-stores"),
    ("reference", "a: add m1 | b: commit | x: cancel b", "atomic", "same-store"),
    ("reference-without-live-fsync", "a: add m1 | x: power-loss", "atomic", "same-store"),
    ("reference-without-live-fsync", "a: add m1 | b: commit | x: cancel b", "atomic", "same-store"),
    ("path-lock", "a: add m1 | x: crash a", "atomic", "same-store"),
    ("path-lock", "a: add m1 | b: commit", "atomic", "separate-stores"),
    ("reference", "a: add m1 | x: cancel a", "suspending", "same-store"),
    ("reference", "a: add m1 | b: commit", "suspending", "same-store"),
)
LARGER = (
    *(
        (implementation, f"a: add m1; commit | x: {fault}", "atomic", "same-store")
        for implementation in ("reference", "reference-without-live-fsync")
        for fault in ("crash a", "power-loss", "power-loss torn")
    ),
    ("path-lock", "a: add m1; commit | x: crash a", "atomic", "same-store"),
    ("reference", "a: add m1 | b: commit | x: crash b", "atomic", "same-store"),
    ("reference", "a: add m1 | x: crash a", "suspending", "same-store"),
)
CASES = [*SMALL, *(pytest.param(*each, marks=pytest.mark.exhaustive) for each in LARGER)]

# Too large for that: what two thousand random schedules show has to be among what the reduction shows.
SAMPLED = (
    ("reference", "a: add m1; commit; reload | x: crash a", "suspending", "same-store"),
    ("reference", "a: add m1; commit; reload | x: power-loss torn", "suspending", "same-store"),
    ("reference", "a: add m1 | b: add m2; commit | x: power-loss", "atomic", "same-store"),
    ("reference", "a: add m1 | b: add m2; commit | x: crash a", "atomic", "same-store"),
    ("reference", "a: add m1 | b: add m2; commit | x: cancel a", "atomic", "separate-stores"),
)


class TestFaultsUnderTheReduction:
    @pytest.mark.parametrize(("implementation", "text", "disk", "topology"), CASES)
    def test_it_shows_what_all_schedules_show(
        self, implementation: str, text: str, disk: Granularity, topology: Topology
    ) -> None:
        subject = case(implementation, text, disk, topology)
        every, plain = shown(subject, rw.Bounded(None))
        some, reduced = shown(subject, rw.DPOR())
        assert plain.complete
        assert reduced.complete
        assert some == every
        assert reduced.interleavings == plain.schedules

    def test_the_mutant_fails_both_ways(self) -> None:
        """What is compared above includes violations: there are some."""
        subject = case("reference-without-live-fsync", "a: add m1 | x: power-loss", "atomic", "same-store")
        assert [shown(subject, strategy)[1].verdict for strategy in (rw.Bounded(None), rw.DPOR())] == ["failed"] * 2

    @pytest.mark.exhaustive
    @pytest.mark.parametrize(("implementation", "text", "disk", "topology"), SAMPLED)
    def test_two_thousand_random_schedules_show_nothing_new(
        self, implementation: str, text: str, disk: Granularity, topology: Topology
    ) -> None:
        subject = case(implementation, text, disk, topology)
        some, reduced = shown(subject, rw.DPOR())
        assert reduced.complete
        assert shown(subject, rw.RandomWalk(), 2000)[0] <= some
