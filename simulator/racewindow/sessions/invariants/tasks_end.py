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
    need not have left a task behind.
    """
    statuses: dict[str, str] = {}
    for call in history.of_kind("commit"):
        if call.acknowledged and call.task is not None:
            # A commit that waited and said ok is a completion seen.
            statuses.setdefault(call.task, "completed" if call.operation.wait else "accepted")
    for seen in sorted(history.seen, key=lambda seen: seen.step):
        if seen.task in statuses or seen.status in _AT_WORK:
            statuses[seen.task] = seen.status
    return statuses


_AT_WORK = ("accepted", "pending", "running")

INVARIANT = Invariant(
    name="tasks-end",
    says="every accepted task reaches completed or failed once faults stop and the schedule is fair",
    judged=always,
    check=check,
)
