"""Goals: each is reached by the history that it is about, and not by its close neighbour."""

from __future__ import annotations

import pytest

from racewindow.errors import UsageError
from racewindow.sessions.goals import GOALS, implied, reached
from racewindow.sessions.history import History
from racewindow.sessions.scenario import Operation, Scenario


def told(*events: str) -> History:
    """A history from lines: ``1-4 a commit nowait [t1]``, ``3-6 extract m1``, ``5 a sees t1``, ``7 process-crash``.

    ``1-4!`` is a call that was cancelled, ``1-?`` one that never returned.
    """
    history = History()
    for event in events:
        when, *words = event.split()
        start, _, end = when.partition("-")
        if words[0] == "extract":
            history.end_handover(history.hand_over(words[1:], int(start), caller="bg"), int(end), "succeeded")
        elif words[1:2] == ["sees"]:
            history.see(words[2], "completed", int(start), words[0])
        elif not end:
            history.fault(" ".join(words), int(start))
        else:
            task = words.pop().strip("[]") if words[-1].startswith("[") else None
            client, kind, *rest = words
            argument = "" if kind == "commit" else " ".join(rest)
            operation = Operation(kind=kind, argument=argument, wait=rest != ["nowait"])
            call = history.invoke(client, sum(each.client == client for each in history.calls), operation, int(start))
            if end != "?":
                history.answer(call, int(end.strip("!")), "cancelled" if "!" in end else "ok", task=task)
    return history


REACHED = [
    ("reload-during-commit", ["0-3 a commit", "1-2 b reload"]),
    ("reload-during-commit", ["0-5 b reload", "1-2 a commit"]),
    ("reload-during-commit", ["0-2 a commit nowait [t]", "4-5 b reload", "6 a sees t"]),
    ("commits-overlap", ["0-2 a commit", "1-5 b commit"]),
    ("commits-overlap", ["0-? a commit", "7-8 b commit"]),
    ("commits-overlap", ["0-2 a commit nowait [t]", "4-9 b commit", "6 a sees t"]),
    ("commit-after-commit", ["0-2 a commit nowait", "2-3 a commit"]),
    ("completed-observed-before-reload", ["0-1 a commit nowait [t]", "4 a sees t", "4-6 b reload"]),
    ("completed-observed-before-reload", ["0-3 a commit", "4-6 b reload"]),
    ("commit-after-completed", ["0-1 a commit nowait [t]", "4 a sees t", "5-6 b commit"]),
    ("stale-commit", ["0-1 b reload", "0-2 a commit", "1-4 b commit"]),
    ("add-during-commit", ["0-2 a add m1", "0-4 b commit"]),
    ("add-during-extraction", ["3-6 extract m1", "5-8 b add m2"]),
    ("add-during-extraction", ["4-4 extract m1", "2-8 b add m2"]),
    ("add-after-accepted", ["0-2 a commit nowait", "2-3 a add m2"]),
    ("add-between-reload-and-commit", ["0-1 b reload", "0-2 a add m1", "1-4 b commit"]),
    ("crash-fired", ["3 process-crash"]),
    ("power-loss-fired", ["3 power-loss"]),
    ("crash-during-commit", ["0-? a commit", "3 process-crash"]),
    ("crash-during-commit", ["0-2 a commit nowait [t]", "3 power-loss", "5 a sees t"]),
    ("power-loss-after-acknowledged", ["0-2 a add m1", "3 power-loss"]),
    ("cancel-fired", ["0-2! a add m1"]),
    ("commit-cancelled", ["0-2! a commit"]),
    ("late-add", ["0-1 b reload", "0-2 a commit", "1-4 b add m2"]),
    ("context-during-extraction", ["3-6 extract m1", "5-8 b context"]),
    ("retry-after-commit", ["0-1 a add m1", "0-3 b commit", "2-4 a retry m1"]),
    ("retry-after-cancelled-add", ["0-2! a add m1", "2-4 a retry m1"]),
    ("asked-after-crash", ["3 process-crash", "3-5 a ask"]),
    ("two-crashes", ["0-? a commit", "3 process-crash", "5 process-crash"]),
    ("extractor-failed", ["3 extractor fails"]),
    ("extractor-hung", ["3 extractor hangs"]),
    ("extractor-slow", ["3 extractor slows"]),
    ("storage-failed", ["3 storage fails"]),
    ("storage-forgot", ["3 storage forgets"]),
    ("queue-lost", ["3 queue loses"]),
    ("queue-repeated", ["3 queue repeats"]),
    ("clock-set", ["3 clock back"]),
    ("clock-set", ["3 clock ahead"]),
]

MISSED = [
    ("reload-during-commit", ["0-1 a commit", "2-3 b reload"]),
    ("reload-during-commit", ["0-2 a commit nowait [t]", "6 a sees t", "7-8 b reload"]),
    ("reload-during-commit", ["0-1 a commit", "1-2 a reload"]),
    ("commits-overlap", ["0-1 a commit", "2-3 b commit"]),
    ("commits-overlap", ["0-4 a commit", "2-3 b reload"]),
    ("commit-after-commit", ["0-3 a commit", "2-4 b commit"]),
    ("completed-observed-before-reload", ["0-1 a commit nowait [t]", "4 a sees t", "3-6 b reload"]),
    ("completed-observed-before-reload", ["0-1 a commit nowait [t]", "3-6 b reload"]),
    ("commit-after-completed", ["0-3 a commit"]),
    ("stale-commit", ["0-1 a commit", "2-3 b reload", "3-4 b commit"]),
    ("stale-commit", ["0-1 b reload", "0-2 a commit", "2-3 b reload", "3-4 b commit"]),
    ("add-during-commit", ["0-1 a add m1", "2-4 b commit"]),
    ("add-during-commit", ["0-2 a add m1", "2-4 a commit"]),
    ("add-during-extraction", ["3-6 extract m1", "0-3 a add m1"]),
    ("add-during-extraction", ["3-6 extract m1", "7-8 b add m2"]),
    ("add-after-accepted", ["0-2 a commit", "2-3 a add m2"]),
    ("add-between-reload-and-commit", ["0-1 a add m1", "2-3 b reload", "3-4 b commit"]),
    ("crash-fired", ["3 power-loss", "4 cancel"]),
    ("power-loss-fired", ["3 process-crash"]),
    ("crash-during-commit", ["0-2 a commit", "3 process-crash"]),
    ("crash-during-commit", ["0-5 a commit", "3 cancel"]),
    ("power-loss-after-acknowledged", ["0-4 a add m1", "3 power-loss"]),
    ("power-loss-after-acknowledged", ["0-2! a add m1", "3 power-loss"]),
    ("cancel-fired", ["3 cancel", "0-2 a add m1"]),
    ("commit-cancelled", ["0-2! a add m1"]),
    ("late-add", ["0-2 a commit", "2-3 b reload", "3-4 b add m2"]),
    ("late-add", ["0-1 b reload", "1-3 b add m2", "0-4 a commit"]),
    ("context-during-extraction", ["3-6 extract m1", "7-8 b context"]),
    ("context-during-extraction", ["3-6 extract m1", "4-5 b reload"]),
    ("retry-after-commit", ["0-1 a add m1", "1-2 a retry m1", "0-3 b commit"]),
    ("retry-after-commit", ["0-1 a add m1", "1-3 a commit", "3-4 a retry m1"]),
    ("retry-after-cancelled-add", ["0-2 a add m1", "2-4 a retry m1"]),
    ("retry-after-cancelled-add", ["0-2! a add m1", "2-4! a retry m1"]),
    ("asked-after-crash", ["2-5 a ask", "3 process-crash"]),
    ("two-crashes", ["0-2 a commit", "3 process-crash", "5 process-crash"]),
    ("two-crashes", ["0-? a commit", "3 process-crash"]),
    ("extractor-failed", ["3 storage fails"]),
    ("extractor-hung", ["3 extractor slows"]),
    ("extractor-slow", ["3 extractor hangs"]),
    ("storage-failed", ["3 extractor fails"]),
    ("storage-forgot", ["3 storage fails"]),
    ("queue-lost", ["3 queue repeats"]),
    ("queue-repeated", ["3 queue loses"]),
    ("clock-set", ["3 process-crash"]),
]


class TestGoals:
    """What has to have happened."""

    @pytest.mark.parametrize(("goal", "events"), REACHED)
    def test_reached(self, goal: str, events: list[str]) -> None:
        """This is what the goal is about."""
        assert reached(told(*events), [goal]) == (goal,)

    @pytest.mark.parametrize(("goal", "events"), MISSED)
    def test_missed(self, goal: str, events: list[str]) -> None:
        """Close, but not it."""
        assert reached(told(*events), [goal]) == ()

    def test_every_goal_is_tested_both_ways(self) -> None:
        """A goal that is always or never reached says nothing."""
        assert {goal for goal, _ in REACHED} == {goal for goal, _ in MISSED} == set(GOALS)
        assert reached(History(), GOALS) == ()

    def test_reached_keeps_the_order_asked_for(self) -> None:
        """The answer is a part of the question."""
        history = told("0-? a commit", "1-2 b commit", "3 process-crash")
        assert reached(history, ["crash-fired", "stale-commit", "commits-overlap"]) == (
            "crash-fired",
            "commits-overlap",
        )

    def test_an_unknown_goal_suggests_the_nearest(self) -> None:
        """A typing error is no goal that is never reached."""
        with pytest.raises(UsageError, match=r"there is no goal 'commit-overlap'; did you mean 'commits-overlap'\?"):
            reached(History(), ["commit-overlap"])
        with pytest.raises(UsageError, match="there is no goal 'zzz'; expected one of reload-during-commit, "):
            reached(History(), ["zzz"])

    @pytest.mark.parametrize(
        ("text", "goals"),
        [
            ("a: add m1; commit", ()),
            ("a: commit | b: commit", ("commits-overlap",)),
            ("a: commit | b: reload", ()),
            ("a: add m1; commit; reload | b: add m2; commit; reload", ("commits-overlap",)),
            ("a: commit | b: commit; power-loss", ("commits-overlap", "power-loss-fired")),
            ("a: commit | b: after a; commit", ()),
            ("a: reload; commit", ()),
            ("a: commit | x: crash a", ("crash-fired",)),
            ("a: add m1 | p: after a; power-loss", ("power-loss-fired",)),
            ("a: commit | x: extractor fails; clock back; clock ahead", ("extractor-failed", "clock-set")),
            (
                "a: commit | x: extractor hangs; storage forgets; queue loses",
                ("extractor-hung", "storage-forgot", "queue-lost"),
            ),
        ],
    )
    def test_a_text_implies_goals(self, text: str, goals: tuple[str, ...]) -> None:
        """A scenario typed in by hand is not vacuous either."""
        assert implied(Scenario.parse(text)) == goals
