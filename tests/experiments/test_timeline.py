"""The story of one schedule: every step of the clients, what they learned, and what was in storage."""

from __future__ import annotations

import pytest

import racewindow as rw
from racewindow.disk import Granularity
from racewindow.experiments import prove, replay_and_tell, timeline
from racewindow.implementations import BUILT_IN, implementation
from racewindow.sessions import Case, story


def case_of(name: str, scenario: str, disk: Granularity = "suspending") -> Case:
    return Case(implementation=implementation(name), scenario=story(scenario), topology="separate-stores", disk=disk)


@pytest.fixture(scope="module")
def case() -> Case:
    return case_of("copy-on-write", "after-completion")


@pytest.fixture(scope="module")
def token(case: Case) -> str:
    return prove(case).token


def test_has_every_step_of_the_race_and_none_of_the_setting_up(case: Case, token: str) -> None:
    run, told = replay_and_tell(case, token)
    first = next(step.index for step in run.trace if step.task == "a")
    expected = [
        (step.index, step.task, step.label)
        for step in run.trace
        if step.index >= first and step.task != "main" and not (step.label == "start" and step.task in ("a", "b"))
    ]
    assert [(row.step, row.task, row.label) for row in told.rows] == expected
    assert told.tasks[:2] == ("a", "b")
    assert {row.task for row in told.rows} <= set(told.tasks)


def test_tells_what_the_clients_learned(case: Case, token: str) -> None:
    notes = [note for row in timeline(case, token).rows for note in row.notes]
    for expected in ("m1 acknowledged", "accepted", "completed seen", "sees m1"):
        assert expected in notes


def test_the_storage_lane_shows_the_switch_that_comes_too_late(case: Case, token: str) -> None:
    rows = timeline(case, token).rows
    seen = next(row for row in rows if "completed seen" in row.notes)
    assert seen.state.startswith("live m1"), "completed, and still live: the bug"


def test_exactly_one_row_is_the_violating_one(case: Case, token: str) -> None:
    told = timeline(case, token)
    marked = [row.step for row in told.rows if row.violating]
    assert marked == [told.violating_step]
    assert "m1" in told.violation
    assert told.replay == f"racewindow replay {token}"


@pytest.mark.parametrize("name", BUILT_IN)
@pytest.mark.parametrize("scenario", ["free-running", "add-during-commit", "two-commits"])
def test_every_kind_of_failure_can_be_told(name: str, scenario: str) -> None:
    case = case_of(name, scenario, "atomic")
    result = prove(case, preemptions=1)
    if result.verdict == "failed":
        told = result.timeline()
        assert [row.step for row in told.rows if row.violating] == [told.violating_step]
    else:
        assert result.token == ""


def test_another_case_is_refused_and_a_changed_one_diverges(case: Case, token: str) -> None:
    with pytest.raises(rw.UsageError, match="belongs to the subject"):
        timeline(case_of("path-lock", "after-completion"), token)
    with pytest.raises(rw.UsageError, match="truncated or altered"):
        timeline(case, token[:-3])


def test_a_poll_that_never_ends_is_told_to_where_it_turned_in_a_circle() -> None:
    """To look into the storage must not make the program look as if it remembered more each time round."""
    case = Case(
        implementation=implementation("archive-then-clear"), scenario=story("commit-after-crash"), disk="suspending"
    )
    result = prove(case, preemptions=0)
    assert "tasks-end" in result.kinds
    run, told = replay_and_tell(case, result.token)
    assert run.steps < case.max_steps
    assert "tasks-end" in told.violation
