"""tasks-end: every accepted task reaches completed or failed once faults stop and the schedule is fair."""

from __future__ import annotations

from collections.abc import Iterator

from racewindow.kernel.violation import Violation
from racewindow.sessions.history import ENDED, History
from racewindow.sessions.invariants._invariant import Invariant, always


def check(history: History) -> Iterator[Violation]:
    for name in history.unfinished:
        yield Violation(kind="tasks-end", detail=f"{name} never ended", messages=(name,))
    for task, status in _last_statuses(history).items():
        if status not in ENDED and task not in history.unfinished:
            yield Violation(
                kind="tasks-end",
                detail=f"task {task} was accepted, and in the end it is {status!r}",
                messages=(task,),
            )


def _last_statuses(history: History) -> dict[str, str]:
    """Every accepted task and the status it was last seen with.

    A task is accepted when its commit was acknowledged, or when somebody saw it at work: a commit that lost its answer
    need not have left a task behind. A task that nobody could ask for its status (the process that knew it is dead) is
    not judged here; nothing-stranded judges what it should have done.
    """
    accepted = {call.task for call in history.of_kind("commit") if call.acknowledged}
    accepted.update(seen.task for seen in history.seen if seen.status in _AT_WORK)
    looks = sorted(history.seen, key=lambda seen: seen.step)
    return {seen.task: seen.status for seen in looks if seen.task in accepted}


_AT_WORK = ("accepted", "pending", "running")

INVARIANT = Invariant(
    name="tasks-end",
    says="every accepted task reaches completed or failed once faults stop and the schedule is fair",
    judged=always,
    check=check,
)
