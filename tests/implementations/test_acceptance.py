"""What the whole house was built to show: which stores commit a message twice, in which story, and which do not."""

from __future__ import annotations

import ast
import inspect
from itertools import product

import pytest

import racewindow as rw
from racewindow.disk import GRANULARITIES, Granularity
from racewindow.experiments import fuzz, prove, windows
from racewindow.implementations import DESIGNS, implementation
from racewindow.implementations.designs import _model, _queue, _redo, _task
from racewindow.sessions import Case, History, story
from racewindow.sessions.goals import reached
from racewindow.sessions.invariants import INVARIANTS
from racewindow.sessions.scenario import Topology
from racewindow.sessions.stories import STORIES

APART: tuple[Topology, ...] = ("same-store", "separate-stores")
TWICE = {"committed-once", "extracted-once"}
TWO_CLIENTS = "a: add m1; commit; reload | b: add m2; commit; reload"

everywhere = pytest.mark.parametrize(
    ("topology", "disk"), list(product(APART, GRANULARITIES)), ids=lambda value: str(value)
)


def case_of(name: str, scenario: str, topology: Topology, disk: Granularity) -> Case:
    return Case(implementation=implementation(name), scenario=story(scenario), topology=topology, disk=disk)


def history_of(case: Case, token: str) -> History:
    run = rw.replay(case.subject(), token, limits=case.limits, name=case.name, checksum=case.checksum)
    assert run.verdict == "failed"
    assert isinstance(run.result, History)
    return run.result


@everywhere
class TestAfterCompletion:
    """OpenViking issue 580."""

    def test_copy_on_write_archives_or_extracts_the_message_twice(self, topology: Topology, disk: Granularity) -> None:
        case = case_of("copy-on-write", "after-completion", topology, disk)
        result = prove(case)
        assert result.verdict == "failed"
        assert result.first is not None
        twice = [violation for violation in result.first.violations if violation.kind in TWICE]
        assert twice
        assert all(violation.messages == ("m1",) for violation in twice)
        history = history_of(case, result.token)
        assert len([each for each in history.handovers if "m1" in each.messages]) == 2

    def test_copy_on_write_has_a_window_with_a_token(self, topology: Topology, disk: Granularity) -> None:
        case = case_of("copy-on-write", "after-completion", topology, disk)
        (width,) = windows(case).widths.to_dict("records")
        assert width["failing"] > 0
        assert set(width["violation"].split("+")) & TWICE
        # The window opens no earlier than the moment in which everybody believes that all is well.
        assert width["opens"] == "task.end" or "wait" in width["opens"], width["opens"]
        history_of(case, width["token"])

    @pytest.mark.parametrize("name", ["reference", "path-lock", "locked-intent"])
    def test_these_have_none(self, name: str, topology: Topology, disk: Granularity) -> None:
        case = case_of(name, "after-completion", topology, disk)
        result = prove(case)
        assert (result.verdict, result.bound, result.complete) == ("proved", "preemptions<=2", True), result.reason
        assert all(result.goals.values())
        (width,) = windows(case).widths.to_dict("records")
        assert (width["failing"], width["violation"], width["token"]) == (0, "", "")
        assert width["feasible"] > 0, "a map of nothing but infeasible gaps would show nothing"


@everywhere
class TestFreeRunning:
    def test_path_lock_fails_through_a_handle_loaded_before_the_other_commit(
        self, topology: Topology, disk: Granularity
    ) -> None:
        case = case_of("path-lock", "free-running", topology, disk)
        result = prove(case)
        assert result.verdict == "failed"
        assert set(result.kinds) & TWICE
        history = history_of(case, result.token)
        first, second = [each for each in history.handovers if "m1" in each.messages]
        (reload,) = history.of_kind("reload")
        assert reload.messages == ("m1",), "the handle remembers the message"
        assert reload.returned is not None
        assert reload.returned < second.step
        assert first.messages == second.messages == ("m1",)
        assert windows(case).widths["failing"].item() > 0

    def test_a_stale_handle_is_what_some_failing_schedule_shows(self, topology: Topology, disk: Granularity) -> None:
        case = case_of("path-lock", "free-running", topology, disk)
        sampled = fuzz(case, schedules=150, seed=0)
        stale = [
            found.token
            for found in sampled.found
            if found.verdict == "failed" and reached(history_of(case, found.token), ["stale-commit"])
        ]
        assert stale

    @pytest.mark.parametrize("name", ["reference", "locked-intent"])
    def test_these_do_not(self, name: str, topology: Topology, disk: Granularity) -> None:
        case = case_of(name, "free-running", topology, disk)
        result = prove(case, preemptions=1)
        assert (result.verdict, result.bound) == ("proved", "preemptions<=1"), result.reason
        assert windows(case).widths["failing"].item() == 0

    @pytest.mark.exhaustive
    @pytest.mark.parametrize("name", ["reference", "locked-intent"])
    def test_these_do_not_with_two_preemptions_either(self, name: str, topology: Topology, disk: Granularity) -> None:
        result = prove(case_of(name, "free-running", topology, disk))
        assert (result.verdict, result.bound) == ("proved", "preemptions<=2"), result.reason


class TestMutants:
    @pytest.mark.parametrize("topology", APART)
    def test_without_the_lock_acknowledged_messages_are_lost(self, topology: Topology) -> None:
        case = case_of("reference-without-lock", "add-during-commit", topology, "suspending")
        result = prove(case)
        assert (result.verdict, result.kinds) == ("failed", ("nothing-lost",))
        assert result.first is not None
        assert result.first.preemptions == 1
        (violation,) = result.first.violations
        history = history_of(case, result.token)
        assert set(violation.messages) <= {each.operation.argument for each in history.acknowledged_adds}

    @pytest.mark.parametrize("topology", APART)
    def test_an_answer_before_the_append_is_worth_nothing_after_a_crash(self, topology: Topology) -> None:
        result = prove(case_of("reference-answers-early", "crash-during-commit", topology, "suspending"))
        assert (result.verdict, result.kinds) == ("failed", ("nothing-lost",))

    @pytest.mark.parametrize("topology", APART)
    def test_a_claim_that_is_not_durable_comes_undone_after_it_was_completed(self, topology: Topology) -> None:
        case = case_of("reference-without-rename-fsync", "completed-then-power-loss", topology, "suspending")
        result = prove(case)
        assert result.verdict == "failed"
        assert "completed-means-switched" in result.kinds

    @pytest.mark.parametrize("name", ["reference-without-fsync", "reference-without-directory-fsync"])
    @pytest.mark.parametrize("disk", GRANULARITIES)
    def test_without_an_fsync_an_acknowledged_message_is_lost(self, name: str, disk: Granularity) -> None:
        result = prove(case_of(name, "acknowledged-then-power-loss", "same-store", disk))
        assert (result.verdict, result.kinds) == ("failed", ("nothing-lost",))

    @pytest.mark.parametrize("topology", APART)
    def test_with_the_claim_after_the_extraction_two_commits_extract_the_same(self, topology: Topology) -> None:
        result = prove(case_of("reference-claim-after-extraction", "two-commits", topology, "suspending"))
        assert (result.verdict, result.kinds) == ("failed", ("extracted-once",))

    @pytest.mark.parametrize("name", ["add-during-commit", "acknowledged-then-power-loss", "two-commits"])
    @pytest.mark.parametrize("topology", APART)
    def test_the_reference_itself_survives_what_kills_them(self, name: str, topology: Topology) -> None:
        result = prove(case_of("reference", name, topology, "suspending"), preemptions=1)
        assert (result.verdict, result.reason) == ("proved", "")


class TestTwoClients:
    @pytest.mark.parametrize("topology", APART)
    @pytest.mark.parametrize(
        ("disk", "bound"),
        [
            ("atomic", 1),
            pytest.param("suspending", 1, marks=pytest.mark.slow),
            pytest.param("atomic", 2, marks=pytest.mark.exhaustive),
        ],
    )
    def test_the_reference_is_proved_within_the_stated_bound(
        self, topology: Topology, disk: Granularity, bound: int
    ) -> None:
        result = prove(case_of("reference", TWO_CLIENTS, topology, disk), preemptions=bound)
        assert (result.verdict, result.bound) == ("proved", f"preemptions<={bound}"), result.reason
        assert result.schedules > 1
        assert result.goals == {"commits-overlap": True}


class TestNothingIsHardCoded:
    """A design says what happens in which order. What goes wrong is for the simulator to find out."""

    @pytest.mark.parametrize(
        "module",
        [*dict.fromkeys(map(inspect.getmodule, DESIGNS)), _model, _queue, _redo, _task],
        ids=lambda module: module.__name__,
    )
    def test_no_design_knows_a_story_or_an_invariant(self, module: object) -> None:
        tree = ast.parse(inspect.getsource(module))  # type: ignore[arg-type]
        documentation = {
            node.body[0].value
            for node in ast.walk(tree)
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
            and node.body
            and isinstance(node.body[0], ast.Expr)
        }
        texts = {
            node.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in documentation
        }
        assert not texts & {*INVARIANTS, *STORIES, "m1", "m2"}
        used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        assert not used & {"violate", "check", "scenario", "topology"}
        imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        known = {"capabilities", "history", "implementation"}
        assert {each for each in imported if each and each.startswith("racewindow.sessions")} <= {
            f"racewindow.sessions.{each}" for each in known
        }
