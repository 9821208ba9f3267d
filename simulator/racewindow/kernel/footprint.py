"""What a step touched, and when the order of two steps can matter.

A *footprint* maps each resource that a stretch of steps touched to how it did. ``None`` stands for *anything*: a step nobody can vouch
for. Two footprints are dependent when one of them is anything, or they share a resource in ways that do not commute.
"""

from __future__ import annotations

from collections.abc import Iterable

from racewindow.kernel.task import UNASKED, Point

READ, ADD, WRITE, JOIN = 1, 2, 4, 8
"""How a resource is touched: reads commute with reads, and contributions to a count (ADD) with each other. A JOIN is what may go on
when every contribution is there; like a WRITE it commutes with nothing."""

Footprint = dict[str, int] | None

_COMMUTE = (READ, ADD)


def dependent(one: Footprint, other: Footprint) -> bool:
    """Whether the order of two steps with these footprints can matter."""
    if one is None or other is None:
        return True
    if len(other) < len(one):
        one, other = other, one
    for resource, how in one.items():
        others = other.get(resource)
        if others is not None and (how != others or how not in _COMMUTE):
            return True
    return False


def declared(point: Point) -> Footprint:
    """What one step declared at its point or was seen to touch, where the host did not watch."""
    if point.reads is None or point.writes is None:
        return None
    footprint: dict[str, int] = {}
    _enter_declared(footprint, point)
    return footprint


def _enter_declared(footprint: dict[str, int], point: Point) -> None:
    for resource in point.reads or ():
        footprint[resource] = footprint.get(resource, 0) | READ
    for resource in point.writes or ():
        footprint[resource] = WRITE
    if point.seen is not None:
        for resource, write in point.seen.touched:
            footprint[resource] = footprint.get(resource, 0) | (WRITE if write else READ)


def joined_by(points: Iterable[Point]) -> tuple[str, ...]:
    """The resources of which a stretch of steps waited for every contribution."""
    return tuple(resource for point in points if point.seen for resource, how in point.seen.uses if how == JOIN)


def stepped_unasked(points: Iterable[Point]) -> frozenset[str]:
    """The tasks that took steps in a stretch which were not up to the strategy."""
    return frozenset(
        point.task.name for point in points if point.choice == UNASKED and point.task and point.task.index >= 0
    )


def footprint_of(points: Iterable[Point]) -> Footprint:
    """What a stretch of steps touched: declared at its points, touched by the subject, or seen by the host.

    The in-memory state of a process counts as touched by each of its steps; of a process that says nothing about it, that is anything.
    """
    footprint: dict[str, int] = {}
    for point in points:
        task = point.task
        assert task is not None, "a step that was taken has a task"
        if task.index < 0 and point.choice == UNASKED:
            continue  # time that passes because nothing else can has no order to choose
        memory, seen = task.process.memory, point.seen
        if memory is None or (point.reads is None and not point.observed) or (seen is not None and seen.anything):
            return None
        for resource in memory:
            footprint[resource] = WRITE
        _enter_declared(footprint, point)
        if seen is not None:
            for resource, how in seen.uses:
                footprint[resource] = footprint.get(resource, 0) | how
    return footprint
