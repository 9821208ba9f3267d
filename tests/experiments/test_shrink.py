"""Shrinking a failure of a case: operations, clients, preemptions, order; always the same bug."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import racewindow as rw
from racewindow.experiments import CaseResult, Fingerprint, ShrunkCase, fuzz
from racewindow.experiments._smaller import operations_of, smaller
from racewindow.implementations import DESIGNS
from racewindow.implementations.designs import CopyOnWriteEarlyClear, LockedIntent, TwoPhase
from racewindow.kernel import Violation
from racewindow.sessions import STORIES, Case, Scenario

THE_FIVE = "a: add m1; commit nowait; wait; reload; commit"  # what issue 580 of OpenViking needs, and no less


def failure(case: Case, *, schedules: int = 60) -> CaseResult:
    result = fuzz(case, schedules=schedules)
    assert result.first is not None
    return result


def shrunk(case: Case, **options: int) -> ShrunkCase:
    result = failure(case).shrink(**options).shrunk
    assert result is not None
    return result


class TestTheBugThatStartedIt:
    @pytest.mark.parametrize("topology", ["same-handle", "same-store", "separate-stores"])
    @pytest.mark.parametrize("disk", ["suspending", "atomic"])
    def test_five_operations_and_no_preemption(self, topology: str, disk: str) -> None:
        """In every topology and granularity, and those are kept."""
        case = rw.case("copy-on-write", "after-completion", topology=topology, disk=disk)  # type: ignore[arg-type]
        result = shrunk(case)
        assert result.case.scenario.text == THE_FIVE
        assert (result.case.topology, result.case.disk) == (topology, disk)
        assert (result.simplicity.operations, result.simplicity.clients) == (5, 1)
        assert (result.preemptions, result.certified) == (0, True)
        assert isinstance(result.fingerprint, Fingerprint)
        assert result.fingerprint.completed
        assert len(result.token) < 120

    def test_its_token_replays_in_a_fresh_process(self) -> None:
        """On the command line, whatever the hash seed."""
        token = shrunk(rw.case("copy-on-write", "after-completion")).token
        said = {
            subprocess.run(
                [sys.executable, "-m", "racewindow", "replay", token],
                env=os.environ | {"PYTHONHASHSEED": seed},
                capture_output=True,
                text=True,
                check=False,
            ).stdout
            for seed in ("1", "4242")
        }
        (out,) = said
        assert "violation: extracted-once" in out

    def test_any_seed_leads_to_the_same_scenario(self) -> None:
        """And to a schedule without preemption: the way there does not matter."""
        case = rw.case("copy-on-write", "after-completion", disk="atomic")
        results = [fuzz(case, schedules=30, seed=seed).shrink().shrunk for seed in range(4)]
        kinds = {one.fingerprint.kind: one.case.scenario.text for one in results if one is not None}  # type: ignore[attr-defined]
        assert set(kinds.values()) <= {THE_FIVE, "a: add m1; commit nowait; wait; reload"}
        assert all(one is not None and one.preemptions == 0 for one in results)


class TestTheSameBug:
    def test_completed_has_to_have_been_seen(self) -> None:
        """Two commits that overlap extract twice, too, with fewer operations: that is another bug."""
        five = shrunk(rw.case("copy-on-write", "after-completion", disk="atomic"))
        overlap = rw.case("copy-on-write", "a: add m1; commit nowait; commit", disk="atomic")
        assert fuzz(overlap, schedules=30).failures
        assert five.simplicity.operations > operations_of(overlap.scenario)

    def test_what_was_observed_is_kept(self) -> None:
        """The shrunk token's own fingerprint is the one that was to be kept."""
        for name, story in (("path-lock", "free-running"), ("commit-in-place", "stale-handle")):
            case = rw.case(name, story, disk="atomic")
            result = shrunk(case)
            again = rw.shrink(result.case, result.token)
            # Shrunk from the smaller scenario, whose clients may have other names: all else is the same.
            assert isinstance(result.fingerprint, Fingerprint)
            assert isinstance(again.fingerprint, Fingerprint)
            assert again.fingerprint[:3] == result.fingerprint[:3]
            assert [role[1:] for role in again.fingerprint.roles] == [role[1:] for role in result.fingerprint.roles]
            assert again.case == result.case

    def test_a_crash_stays_where_the_crash_did_it(self) -> None:
        result = shrunk(rw.case("path-lock", "crash-during-commit", disk="atomic"))
        assert isinstance(result.fingerprint, Fingerprint)
        assert "crash" in result.fingerprint.faults
        assert "crash" in result.case.scenario.text


class TestResults:
    def test_a_result_carries_both_tokens(self) -> None:
        case = rw.case("copy-on-write", "after-completion", disk="atomic")
        raw = failure(case)
        result = raw.shrink()
        assert (raw.shrunk, result.token) == (None, raw.token)
        assert result.shrunk is not None
        assert result.shrunk.raw == raw.token != result.shrunk.token
        assert result.timeline().title == f"copy-on-write: {THE_FIVE}"
        assert result.timeline(result.token).title == f"copy-on-write: {case.scenario.text}"
        assert result.shrunk.row["token"] == result.shrunk.token

    def test_without_a_failure_there_is_nothing_to_shrink(self) -> None:
        result = fuzz(rw.case("reference", "a: add m1; commit"), schedules=5)
        assert result.shrink() is result

    def test_a_budget_is_kept(self) -> None:
        result = shrunk(rw.case("copy-on-write", "free-running"), max_executions=50)
        assert result.executions <= 50
        assert isinstance(result.violations[0], Violation)


class TestSmaller:
    def test_steps(self) -> None:
        """Without a client, without an operation, with two clients made one; never an empty or senseless scenario."""
        scenario = Scenario.parse("a: add m1; commit nowait; wait | b: after a; reload; commit")
        assert [each.text for each, _ in smaller(scenario)] == [
            "b: reload; commit",
            "a: add m1; commit nowait; wait",
            "a: commit nowait; wait | b: after a; reload; commit",
            "a: add m1 | b: after a; reload; commit",
            "a: add m1; commit nowait | b: after a; reload; commit",
            "a: add m1; commit nowait; wait | b: after a; commit",
            "a: add m1; commit nowait; wait | b: after a; reload",
            "a: add m1; commit nowait; wait; reload; commit",
        ]

    def test_faults_go_with_whom_they_hit(self) -> None:
        scenario = Scenario.parse("s: add m1 | a: after s; commit | x: after s; crash a")
        texts = [each.text for each, _ in smaller(scenario)]
        assert "s: add m1" in texts
        assert "s: add m1; commit | x: after s; crash s" in texts

    @pytest.mark.parametrize("name", STORIES)
    def test_every_step_is_smaller(self, name: str) -> None:
        """In operations, or else in clients: there is no way round in a circle."""
        scenario = STORIES[name]
        size = operations_of(scenario), len(scenario.clients)
        for each, _ in smaller(scenario):
            assert (operations_of(each), len(each.clients)) < size


LONGEST = "write-forgotten"
"""The story of the most operations and faults, whose tokens are the longest."""

OPERATIONS = {"extractor-hangs": 8, "queue-loses": 7, "storage-fails": 7, "write-forgotten": 7}
"""Stories of which a failure can need more than six operations: the fault is one of them, and what it does shows only later."""


class TestEveryDesign:
    """In every story that fails: under 120 characters, at most six operations (or else above) and two preemptions, and it replays."""

    @staticmethod
    def check(design: type[rw.SessionStore], scenario: Scenario) -> None:
        case = Case(implementation=design, scenario=scenario)
        result = fuzz(case, schedules=60).shrink(max_executions=1000).shrunk
        if result is None:
            return
        assert len(result.token) < 120, result.token
        assert result.simplicity.operations <= OPERATIONS.get(scenario.name, 6)
        assert result.preemptions <= 2
        run = rw.replay(
            result.case.subject(),
            result.token,
            name=result.case.name,
            checksum=result.case.checksum,
            limits=result.case.limits,
        )
        assert run.violations == result.violations

    @pytest.mark.slow
    @pytest.mark.parametrize("design", [CopyOnWriteEarlyClear, TwoPhase, LockedIntent])
    def test_tokens_are_short_and_scenarios_small(self, design: type[rw.SessionStore]) -> None:
        self.check(design, STORIES[LONGEST])

    @pytest.mark.exhaustive
    @pytest.mark.parametrize("design", DESIGNS)
    @pytest.mark.parametrize("name", STORIES)
    def test_in_every_story(self, design: type[rw.SessionStore], name: str) -> None:
        self.check(design, STORIES[name])
