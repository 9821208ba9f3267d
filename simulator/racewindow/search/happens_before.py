"""The happens-before order of a schedule: which steps depend on each other, and a name for the class of schedules that share it.

Two steps depend on each other when they are of one task, or touch the same resource and at least one writes it. A step that nobody
declared may touch anything, so it depends on every other one. Spawn, join and wake-up need no rule of their own: a task starts,
joins and wakes at a point of the host's that declares nothing, so the step that follows comes after all that came before it.

Schedules with the same order of dependent steps form one Mazurkiewicz trace: Antoni Mazurkiewicz, "Trace theory" (1987).
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from functools import cache
from hashlib import blake2b

from racewindow.kernel.task import Point

_MASK = (1 << 64) - 1


def dependent(one: Point, other: Point) -> bool:
    """Whether the order of two steps of different tasks can matter."""
    if one.reads is None or one.writes is None or other.reads is None or other.writes is None:
        return True
    reads, writes = footprint(one)
    other_reads, other_writes = footprint(other)
    return not (writes.isdisjoint(other_writes) and writes.isdisjoint(other_reads) and reads.isdisjoint(other_writes))


def footprint(point: Point) -> tuple[set[str], set[str]]:
    """The resources that a step declared or was seen to read, and those it wrote."""
    reads, writes = set(point.reads or ()), set(point.writes or ())
    for resource, write in point.touched or ():
        (writes if write else reads).add(resource)
    return reads, writes


def happens_before_class(points: Sequence[Point]) -> str:
    """Name the class of a schedule.

    Args:
        points: the steps of a :class:`~racewindow.Run`, in order.

    Returns:
        16 hex digits: equal for schedules that differ only in the order of independent steps, in any process of one Python.
    """
    if all(point.reads is None or point.writes is None for point in points):
        # Nobody declared anything, so the class is the schedule itself; most subjects that are no session store are like that.
        text = "\n".join([f"{point.task.name if point.task else ''}:{point.label}" for point in points])
        return blake2b(text.encode(), digest_size=8).hexdigest()
    last: dict[
        str, int
    ] = {}  # what each task did last; a step's number covers the steps it depends on, so these cover all
    written: dict[str, int] = {}
    read: dict[str, int] = {}  # since it was written; a sum, because reads have no order among each other
    barrier = 0
    for point in points:
        role = point.task.name if point.task else ""
        if point.reads is None or point.writes is None:
            barrier = last[role] = hash((_number(role), _number(point.label), *sorted(last.values())))
            written.clear()
            read.clear()
            continue
        reads, writes = footprint(point) if point.touched else (point.reads, point.writes)
        causes = [_number(role), _number(point.label), last.get(role, 0), barrier]
        for resource in sorted(reads) if len(reads) > 1 else reads:
            causes += _number(resource), written.get(resource, 0)
        for resource in sorted(writes) if len(writes) > 1 else writes:
            causes += _number(resource), written.get(resource, 0), read.get(resource, 0)
        number = last[role] = hash(tuple(causes))
        for resource in reads:
            read[resource] = read.get(resource, 0) + number & _MASK
        for resource in writes:
            written[resource] = number
            read.pop(resource, None)
    return f"{hash(tuple(sorted(last.values()))) & _MASK:016x}"


@cache
def _number(text: str) -> int:
    """A number for a name that does not depend on PYTHONHASHSEED."""
    return zlib.crc32(text.encode())
