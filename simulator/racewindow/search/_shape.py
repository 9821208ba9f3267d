"""What could run at a choice: a search that runs a schedule's beginning again has to find the same there."""

from __future__ import annotations

from racewindow.kernel.task import Task
from racewindow.search._subject import NOT_REPEATED

Shape = tuple[tuple[str, str], ...]
"""Role and label of each task that can run."""


def shape_of(enabled: list[Task]) -> Shape:
    return tuple([(task.name, task.point.label) for task in enabled])


def diverged(choice: int, expected: Shape, enabled: list[Task]) -> str:
    """What to tell when something else can run at a choice than did the first time."""
    first, now = (", ".join(f"{task} at {label}" for task, label in shape) for shape in (expected, shape_of(enabled)))
    return (
        f"the subject does not repeat itself: at choice {choice} of the same schedule there stood first {first}, "
        f"and now {now}. {NOT_REPEATED}"
    )


def ended_early(first: int, now: int) -> str:
    """What to tell when a schedule ends before the last choice that it had the first time."""
    return (
        f"the subject does not repeat itself: the same schedule came to choice {first} first, and ended after "
        f"choice {now} the second time. {NOT_REPEATED}"
    )
