"""The happens-before order of one schedule, event by event, as bit masks.

An *event* is one choice: the step that the strategy chose, and what follows it without being asked. An event comes after what its task
did before, after what started or woke its task, after the exits that a nursery waited for, after everything when nothing else could run,
and after every earlier event that it depends on. Only the last kind of edge is a *race*: there the order could have been another.
"""

from __future__ import annotations

import zlib
from bisect import bisect_right
from collections.abc import Callable, Sequence
from functools import cache

from racewindow.kernel.footprint import ADD, READ, Footprint

_NONE = (0, 0, 0)


class PartialOrder:
    """Grows by one event at a time.

    Attributes:
        before: per event, the mask of all events that happen before it.
        number: per event, a hash of it and of all that happens before it: the same in equivalent schedules, in any process of one Python.
    """

    def __init__(self) -> None:
        self.before: list[int] = []
        self.number: list[int] = []
        self._last: dict[str, int] = {}
        self._events: dict[str, list[int]] = {}
        self._touched: dict[
            str, list[int]
        ] = {}  # resource: masks of the events that read it, add to it, do anything else
        self._anything = 0
        self._rest = 0

    def add(
        self,
        task: str,
        label: str,
        footprint: Footprint,
        *,
        woken_by: int = -1,
        joined: tuple[str, ...] = (),
        also_stepped: frozenset[str] = frozenset(),
        on_race: Callable[[int, int], None] | None = None,
    ) -> None:
        """Append an event.

        Args:
            task, label: who steps, from where.
            footprint: what the event touched.
            woken_by: index of the event that started or woke the task; -1 for none.
            joined: resources of which it waited for every contribution.
            also_stepped: tasks that took steps within the event without being asked.
            on_race: called with each earlier event whose order with this one could have been another, the latest first, and with the mask
                of what is known by then to happen before this one: all of it that came later than that event.
        """
        index = len(self.before)
        everything = (1 << index) - 1
        mask = self._rest
        for cause in (self._last.get(task, -1), woken_by):
            if cause >= 0:
                mask |= self.before[cause] | 1 << cause
        for resource in joined:
            mask = self._with(mask, self._touched.get(resource, _NONE)[1])
        if footprint is None:
            conflicts = everything
        else:
            conflicts = self._anything
            for resource, how in footprint.items():
                seen = self._touched.get(resource)
                if seen is None:
                    continue
                reads, adds, others = seen
                conflicts |= others
                if how != READ:
                    conflicts |= reads
                if how != ADD:
                    conflicts |= adds
        conflicts &= ~mask
        while conflicts:
            earlier = conflicts.bit_length() - 1
            if on_race is not None:
                on_race(earlier, mask)
            mask |= self.before[earlier] | 1 << earlier
            conflicts &= ~mask
        self.before.append(mask)
        self.number.append(hash((_number(task), _number(label), *self._latest(mask))))
        self._enter(index, task, footprint, also_stepped)

    def rest(self, on_race: Callable[[int, int], None] | None) -> None:
        """Nothing can run: what comes now comes after everything that was.

        Args:
            on_race: called as by :meth:`add`, for a timer that fires now and could have fired earlier.
        """
        mask = 0
        self._rest = everything = (1 << len(self.before)) - 1
        while on_race is not None and mask != everything:
            earlier = (everything & ~mask).bit_length() - 1
            on_race(earlier, mask)
            mask |= self.before[earlier] | 1 << earlier

    def _with(self, mask: int, events: int) -> int:
        """A downward closed mask, and these events with all that happens before them."""
        while events := events & ~mask:
            one = events.bit_length() - 1
            mask |= self.before[one] | 1 << one
        return mask

    def _enter(self, index: int, task: str, footprint: Footprint, also_stepped: frozenset[str]) -> None:
        bit = 1 << index
        self._last[task] = index
        self._events.setdefault(task, []).append(index)
        for other in also_stepped:
            self._last[other] = index
        if footprint is None:
            self._anything |= bit
            return
        for resource, how in footprint.items():
            seen = self._touched.setdefault(resource, [0, 0, 0])
            seen[0 if how == READ else 1 if how == ADD else 2] |= bit

    @property
    def class_number(self) -> int:
        """A hash of the whole order: equal for schedules that differ only in the order of independent events."""
        return hash(self.latest)

    @property
    def latest(self) -> tuple[int, ...]:
        """The numbers of the events that none comes after: the same for equivalent schedules only."""
        return self._latest((1 << len(self.before)) - 1)

    def interleavings(self) -> int:
        """How many schedules have this order: its linear extensions, counted beginning by beginning."""
        lines = [(events, sum(1 << index for index in events)) for events in self._events.values()]
        ways = {0: 1}
        for _ in self.before:
            longer: dict[int, int] = {}
            for done, count in ways.items():
                for events, line in lines:
                    place = (done & line).bit_count()
                    if place < len(events) and not self.before[events[place]] & ~done:
                        more = done | 1 << events[place]
                        longer[more] = longer.get(more, 0) + count
            ways = longer
        return sum(ways.values())

    @staticmethod
    def event_of(step: int, starts: Sequence[int]) -> int:
        """Index of the event that a step belongs to; -1 for none.

        Args:
            step: index of the step, or -1.
            starts: index of the first step of each event.
        """
        return bisect_right(starts, step) - 1 if step >= 0 else -1

    def _latest(self, mask: int) -> tuple[int, ...]:
        """The numbers of those events of a downward closed mask that no other one in it comes after."""
        numbers = []
        while mask:
            latest = mask.bit_length() - 1
            numbers.append(self.number[latest])
            mask &= ~(self.before[latest] | 1 << latest)
        return tuple(sorted(numbers))


@cache
def _number(text: str) -> int:
    """A number for a name that does not depend on PYTHONHASHSEED."""
    return zlib.crc32(text.encode())
