"""Verdicts: what is proved, what is only not found, and what nobody can know."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace

import pytest

import racewindow as rw
from racewindow.experiments import _prove, fuzz, prove
from racewindow.experiments._case_result import CaseResult
from racewindow.frames import RUNS
from racewindow.implementations import implementation
from racewindow.kernel import Run, Task
from racewindow.search import RandomWalk
from racewindow.search.random_walk import RandomWalkSearch
from racewindow.sessions import Case, Scenario, story


def case_of(name: str, scenario: str | Scenario, **options: object) -> Case:
    chosen = story(scenario) if isinstance(scenario, str) else scenario
    return Case(implementation=implementation(name), scenario=chosen, **options)  # type: ignore[arg-type]


UNREACHABLE = Scenario.parse("a: add m1; commit", goals=("commits-overlap",))
ALONE = "a: add m1; commit"


class TestVerdicts:
    def test_proved_says_within_what(self) -> None:
        result = prove(case_of("reference", "after-completion"), preemptions=1)
        assert (result.verdict, result.bound, result.complete, result.failures) == ("proved", "preemptions<=1", True, 0)
        assert (result.reason, result.token, result.first) == ("", "", None)
        assert len(result.runs) == result.schedules

    def test_sampling_never_proves(self) -> None:
        result = fuzz(case_of("reference", ALONE), schedules=20)
        assert (result.verdict, result.complete, result.bound) == ("passed", False, "")
        assert result.schedules == 20

    def test_a_second_hand_over_after_a_crash_is_noted_and_no_violation(self) -> None:
        crashed = prove(case_of("reference", "crash-during-commit", disk="atomic"), preemptions=1)
        assert crashed.verdict == "proved"
        assert 0 < crashed.noted["re_extracted"] < crashed.schedules
        assert prove(case_of("reference", "after-completion"), preemptions=1).noted == {}

    def test_failed_has_a_token_that_replays(self) -> None:
        case = case_of("path-lock", "free-running")
        result = fuzz(case, schedules=100, seed=1)
        assert result.verdict == "failed"
        assert 0 < result.failures < 100
        assert result.first is not None
        assert result.first.index == min(found.index for found in result.found if found.verdict == "failed")
        run = rw.replay(case.subject(), result.token, limits=case.limits, name=case.name, checksum=case.checksum)
        assert run.violations == result.first.violations
        assert result.timeline().violation.startswith(result.kinds[0])

    @pytest.mark.parametrize("experiment", [prove, partial(fuzz, schedules=50)], ids=["prove", "fuzz"])
    def test_a_goal_that_nobody_reached_makes_a_clean_result_unknown(
        self, experiment: Callable[..., CaseResult]
    ) -> None:
        result = experiment(case_of("reference", UNREACHABLE, disk="atomic"))
        assert (result.verdict, result.goals) == ("unknown", {"commits-overlap": False})
        assert (
            result.reason == "no schedule reached the goal commits-overlap: two clients' commits are under way at once"
        )

    def test_a_violation_stands_whatever_goals_were_missed(self) -> None:
        scenario = Scenario.parse("a: add m1; commit; reload", goals=("commits-overlap",))
        result = prove(case_of("copy-on-write", scenario))
        assert (result.verdict, result.reason) == ("failed", "")
        assert result.goals == {"commits-overlap": False}

    @pytest.mark.parametrize("experiment", [prove, partial(fuzz, schedules=50)], ids=["prove", "fuzz"])
    def test_not_applicable_says_why_and_runs_nothing(self, experiment: Callable[..., CaseResult]) -> None:
        result = experiment(case_of("path-lock", "acknowledged-then-power-loss"))
        assert (result.verdict, result.schedules) == ("not-applicable", 0)
        assert result.reason == "it does not promise to survive a loss of power"

    @pytest.mark.parametrize("experiment", [prove, partial(fuzz, schedules=50)], ids=["prove", "fuzz"])
    def test_a_schedule_cut_short_is_unknown_and_never_a_pass(self, experiment: Callable[..., CaseResult]) -> None:
        result = experiment(case_of("reference", ALONE, max_steps=12))
        assert result.verdict == "unknown"
        assert "max_steps=12" in result.reason

    def test_the_row_and_the_frame_say_the_same(self) -> None:
        result = prove(case_of("path-lock", "free-running"))
        (row,) = result.frame.to_dict("records")
        assert row == result.row
        assert (row["verdict"], row["failures"], row["violation"]) == ("failed", 1, "extracted-once")
        assert repr(result).startswith(
            "<CaseResult path-lock/free-running/same-store/suspending failed extracted-once schedules="
        )


class TestDeepening:
    @pytest.mark.parametrize(
        ("name", "scenario"),
        [
            ("copy-on-write", "after-completion"),
            ("path-lock", "free-running"),
            ("path-lock", "add-during-commit"),
            ("reference-without-lock", "add-during-commit"),
            ("reference-claim-after-extraction", "two-commits"),
        ],
    )
    def test_the_first_failure_has_the_fewest_preemptions_that_fail_at_all(self, name: str, scenario: str) -> None:
        case = case_of(name, scenario)
        result = prove(case, preemptions=3)
        assert result.first is not None
        fewest = result.first.preemptions
        assert result.bound == f"preemptions<={fewest}"
        if fewest:
            # A search of its own, without deepening, finds none below.
            below = rw.prove(case.subject(), preemptions=fewest - 1, limits=case.limits)
            assert (below.verdict, below.complete) == ("proved", True)
        sampled = fuzz(case, schedules=300, seed=0)
        assert all(found.preemptions >= fewest for found in sampled.found if found.verdict == "failed")

    def test_all_failures_within_the_bound_on_request(self) -> None:
        result = prove(case_of("path-lock", "free-running"), preemptions=1, stop_at_first=False)
        assert result.verdict == "failed"
        assert result.complete
        assert result.failures > 1

    def test_a_negative_bound_is_refused(self) -> None:
        with pytest.raises(rw.UsageError, match=r"preemptions=-1"):
            prove(case_of("reference", ALONE), preemptions=-1)


class TestBudget:
    def test_that_ends_within_the_smallest_bound_proves_nothing(self) -> None:
        result = prove(case_of("reference", "free-running"), max_executions=1)
        assert (result.verdict, result.complete, result.schedules) == ("unknown", False, 1)
        assert result.reason == "the budget ended after 1 schedules, before the search did"

    def test_that_ends_later_leaves_the_smaller_proof_and_says_so(self) -> None:
        case = case_of("copy-on-write-early-clear", "after-completion")
        whole = [prove(case, preemptions=bound) for bound in (0, 1)]
        assert [result.verdict for result in whole] == ["proved", "proved"]
        result = prove(case, max_executions=whole[1].schedules - 1)
        assert (result.verdict, result.bound, result.schedules) == ("proved", "preemptions<=0", whole[0].schedules)
        assert "preemptions<=1 cut off" in result.reason

    @pytest.mark.parametrize("experiment", [prove, partial(fuzz, schedules=50)], ids=["prove", "fuzz"])
    def test_of_no_time_at_all_is_unknown(self, experiment: Callable[..., CaseResult]) -> None:
        result = experiment(case_of("reference", "free-running"), time_limit_s=1e-9)
        assert (result.verdict, result.complete, result.schedules) == ("unknown", False, 0)
        assert result.reason == "the budget ended after 0 schedules, before the search did"

    def test_of_time_that_ends_between_two_bounds_leaves_the_smaller_proof(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """With a clock of our own: it stands still while a bound is searched, and jumps afterwards."""
        readings = iter([0.0, 0.0, *[10.0] * 100])
        monkeypatch.setattr(_prove, "time", SimpleNamespace(monotonic=lambda: next(readings)))
        result = prove(case_of("reference", "after-completion"), time_limit_s=5.0)
        assert (result.verdict, result.bound) == ("proved", "preemptions<=0")
        assert result.reason == "preemptions<=1 not begun: the time was up"

    @pytest.mark.parametrize("options", [{"schedules": 0}, {"time_limit_s": 0}, {"schedules": None}])
    def test_that_makes_no_sense_is_refused(self, options: dict[str, int]) -> None:
        with pytest.raises(rw.UsageError):
            fuzz(case_of("reference", ALONE), **options)  # type: ignore[arg-type]


class _Interrupted(RandomWalkSearch):
    """Somebody presses Ctrl-C in the sixth schedule."""

    def begin(self, index: int) -> bool:
        self.index = index
        return super().begin(index)

    def choose(self, enabled: list[Task], current: int) -> int:
        if self.index == 5:
            raise KeyboardInterrupt
        return super().choose(enabled, current)

    def end(self, run: Run) -> None:
        super().end(run)


@dataclasses.dataclass(frozen=True)
class _Impatient(RandomWalk):
    def search(self, seed: int) -> RandomWalkSearch:
        return _Interrupted(seed)


class TestInterruption:
    def test_keeps_what_was_found(self) -> None:
        result = fuzz(case_of("path-lock", "free-running"), strategy=_Impatient(), schedules=1000, seed=1)
        assert (result.interrupted, result.schedules) == (True, 5)
        same = fuzz(case_of("path-lock", "free-running"), schedules=5, seed=1)
        assert (result.failures, result.token, result.verdict) == (same.failures, same.token, same.verdict)
        assert result.runs.equals(same.runs)


class TestSampling:
    def test_a_schedule_depends_on_the_seed_and_its_number_only(self) -> None:
        case = case_of("path-lock", "free-running")
        assert fuzz(case, schedules=10, seed=4).runs.equals(fuzz(case, schedules=30, seed=4).runs.head(10))
        assert not fuzz(case, schedules=10, seed=4).runs.equals(fuzz(case, schedules=10, seed=5).runs)

    def test_stops_at_the_first_failure_on_request(self) -> None:
        result = fuzz(case_of("path-lock", "free-running"), schedules=1000, seed=1, stop_at_first=True)
        assert result.failures == 1
        assert result.found[-1].verdict == "failed"

    def test_runs_are_tidy(self) -> None:
        runs = fuzz(case_of("path-lock", "free-running"), schedules=100, seed=1).runs
        assert runs.columns.tolist() == [column.name for column in RUNS]
        failed = runs[runs["verdict"] == "failed"]
        assert (failed["messages"] == "m1").all()
        assert (failed["token"] != "").all()
        assert (runs.loc[runs["verdict"] == "passed", "token"] == "").all()
