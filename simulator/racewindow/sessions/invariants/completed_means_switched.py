"""completed-means-switched: a reload that starts after ``completed`` was seen shows none of that commit's messages."""

from __future__ import annotations

from collections.abc import Iterator

from racewindow.kernel.violation import Violation
from racewindow.sessions.history import History, raw
from racewindow.sessions.invariants._invariant import Invariant, listed


def taken(history: History, task: str) -> frozenset[str]:
    """The messages of a commit: what it says it claimed, and what its archive holds; else what it had extracted."""
    claimed = [message for call in history.of_kind("commit") if call.task == task for message in call.messages]
    for _, _, observation in history.observations:
        claimed += (message for archive in observation.archives if archive.task == task for message in archive.messages)
    return frozenset(raw(claimed or _extracted(history, task)))


def _extracted(history: History, task: str) -> Iterator[str]:
    """The messages that surely were handed over for this task.

    By its key, or because its client (or the background work that the client started) handed them over when it had
    asked for no other commit yet. Where a hand-over could be another commit's, nobody is accused.
    """
    for call in history.of_kind("commit"):
        if call.task == task:
            mine = [other.invoked for other in history.of_kind("commit") if other.client == call.client]
            for handover in history.handovers:
                own = handover.client == call.client
                only = [invoked for invoked in mine if invoked <= handover.step] == [call.invoked]
                if handover.outcome == "succeeded" and (handover.key == task or (own and only)):
                    yield from handover.messages


def check(history: History) -> Iterator[Violation]:
    first: dict[str, int] = {}
    for task, step in history.completions():
        first[task] = min(step, first.get(task, step))
    reloads = [call for call in history.of_kind("reload") if call.acknowledged]
    for task, completed in first.items():
        messages = taken(history, task)
        for reload in reloads:
            seen = tuple(message for message in dict.fromkeys(reload.messages) if message in messages)
            if seen and reload.invoked >= completed:
                yield Violation(
                    kind="completed-means-switched",
                    detail=f"{task} was seen completed at step {completed}, "
                    f"and a reload by {reload.client} at step {reload.invoked} still showed {listed(seen)}",
                    messages=seen,
                    step=reload.returned,
                )
                break  # Later reloads show the same fact.


INVARIANT = Invariant(
    name="completed-means-switched",
    says="a reload that starts after completed was observed sees none of that commit's messages",
    judged=lambda capabilities: capabilities.tasks,
    check=check,
)
