"""A name for the happens-before class of a schedule, from what its steps declared and were seen to touch.

Samplers do not watch the host, so spawn, join and wake-up need another rule than in a reduction: a task starts, joins and wakes at a
point of the host's that declares nothing, so the step that follows may touch anything, and comes after all that came before it.

Schedules with the same order of dependent steps form one Mazurkiewicz trace: Antoni Mazurkiewicz, "Trace theory" (1987).
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from hashlib import blake2b

from racewindow.kernel.footprint import declared
from racewindow.kernel.task import Point
from racewindow.search.partial_order import PartialOrder


def happens_before_class(points: Sequence[Point]) -> str:
    """Name the class of a schedule.

    Args:
        points: the steps of a :class:`~racewindow.Run`, in order.

    Returns:
        16 hex digits: equal for schedules that differ only in the order of independent steps, in any process of one Python.
    """
    undeclared = array("i", [point.task.index for point in points if point.reads is None])  # type: ignore[union-attr]
    if len(undeclared) == len(points):
        # Nobody declared anything, so the class is the schedule itself, and that is the order in which tasks took steps. Most subjects
        # that are no session store are like that.
        return blake2b(undeclared.tobytes(), digest_size=8).hexdigest()
    order = PartialOrder()
    for point in points:
        order.add(point.task.name if point.task else "", point.label, declared(point))
    return f"{order.class_number & 0xFFFF_FFFF_FFFF_FFFF:016x}"
