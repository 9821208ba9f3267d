"""Partial-order reduction within a bound on preemptions: each order of dependent steps that some schedule within the bound has is run by
one within the bound.

The idea of conservative choices is that of Coons, Musuvathi and McKinley, "Bounded partial-order reduction" (OOPSLA 2013). To bring two
dependent events into the other order can take a preemption more than the schedules need that have this order anyway: a task would be held
back in the middle of a *block*, the events that it takes from where it got its turn to where it blocks, and the same order comes for
nothing where the block had not begun. So a race adds a choice to the place before the earlier event, and also to the place where the
earlier event's block began, if nothing but that block separates the two.

Why nothing is lost: take a schedule within the bound that goes on from a place with a task that is not wanted there, and of the wanted
tasks the one, ``t``, that this schedule steps first. If what comes before ``t`` in it does not depend on the block that ``t`` can run
from the place, its events there can come first, and cost no more there: a block that ran to its end is followed for nothing. Else take the
first event that depends on the block. The block, then what came up to that event, is within the bound, too; it was run, or an equivalent
of it, and the race found in it made a task wanted that the schedule steps before ``t``. (Where the task that ran last can go on, going on
costs nothing and need not go on to the end of the block: there one step takes the place of the block.) Four rules keep this true:

- The choice added has to be among what the later event of the race needs. Any other independent event would do without a bound.
- What was explored from a place goes to sleep with its whole block, and wakes with whatever depends on any of it: to bring its first event
  forward alone may cost a preemption. Where a race needs a task that sleeps so, the task wakes.
- A task that comes to wait for another one's end blocks or does not, by which came first, though the two do not depend on each other.
  Blocking is followed for nothing, so the order counts: it is a race, and wakes who sleeps until after its end.
- While timers may still fire early, everything that the bound allows is wanted wherever a new block begins, and at a race elsewhere. A
  timer may fire in the middle of a block, and nothing moves across it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from racewindow.kernel.footprint import ADD, Footprint, dependent
from racewindow.kernel.task import CLOCK_ROLE, Task
from racewindow.search._shape import shape_of
from racewindow.search.dpor import DPORSearch, Place
from racewindow.search.partial_order import PartialOrder
from racewindow.search.strategy import Redundant


@dataclass(slots=True)
class BoundedPlace(Place):
    """A place that knows what preemptions have been spent, and what can still be paid for."""

    current: str = ""  # who ran last and can go on
    spent: int = 0  # preemptions on the way here
    affordable: frozenset[str] = frozenset()
    early: bool = False  # whether timers may still fire early
    block: Footprint = (
        None  # of all that the chosen task did until it blocked; where it went on from before, of one event
    )
    whole: set[str] = field(default_factory=set)  # those that sleep, or will, with a block of several events

    def add_all(self) -> None:
        """Everything that the bound allows is wanted."""
        self.wanted |= self.affordable

    def add_one(self, names: list[str]) -> None:
        """One of these tasks is wanted, unless one of them is already, or sleeps with the one event that it would be wanted for."""
        for name in names:
            if name not in self.whole if name in self.sleep else name in self.wanted:
                return
        able = [name for name in names if name in self.affordable]
        if not able:
            self.add_all()
            return
        name = next((name for name in able if name not in self.sleep), able[0])
        self.sleep.pop(name, None)
        self.wanted.add(name)


class BoundedDPORSearch(DPORSearch):
    """A reduction within a bound at work. What its classes stand for is not counted: not all of that is within the bound."""

    _stack: list[BoundedPlace]  # type: ignore[assignment]  # nothing else is put on it

    def __init__(self, preemptions: int) -> None:
        super().__init__()
        self._preemptions = preemptions
        self._interleavings = None
        self._races: list[tuple[int, int]] = []  # of the schedule at hand: the earlier event, the later one

    def _new_place(self, enabled: list[Task], current: int) -> int:
        names = [task.name for task in enabled]
        spent, sleep, whole = self._inherited(names)
        free = [name for name, task in zip(names, enabled, strict=True) if task.index < 0]
        if current < 0 or spent < self._preemptions:
            free = names
        else:
            free.append(names[current])
        awake = [index for index, name in enumerate(names) if name in free and name not in sleep]
        if not awake:
            self._analyse()
            self._blocked += 1
            raise Redundant
        index = current if current in awake else awake[0]
        place = BoundedPlace(
            shape=shape_of(enabled),
            names=names,
            sleep=sleep,
            chosen=names[index],
            label="",
            wanted={names[index]},
            current=names[current] if current >= 0 else "",
            spent=spent,
            affordable=frozenset(free),
            early=self._engine.timers_left > 0,
            whole=whole,
        )
        if enabled[-1].index < 0:
            place.wanted.add(names[-1])  # the clock races with every event
        if not self._observing or (place.early and index != current):
            place.add_all()
        self._stack.append(place)
        return index

    def _inherited(self, names: list[str]) -> tuple[int, dict[str, Footprint], set[str]]:
        """The preemptions spent on the way to a new place, what sleeps there, and what of that sleeps with a block of several events.

        Args:
            names: the tasks that can run there.
        """
        if not self._stack:
            return 0, {}, set()
        above = self._stack[-1]
        preempted = above.current not in ("", above.chosen) and above.chosen != CLOCK_ROLE
        stepped = self._engine.points[above.start].task
        blocked = stepped is not None and stepped.alive and stepped.name not in names
        sleep = {
            name: footprint
            for asleep in (above.sleep, above.done)
            for name, footprint in asleep.items()
            if not dependent(footprint, above.footprint)
            and not (blocked and footprint and ADD in footprint.values())  # it may have blocked until that one ends
        }
        return above.spent + preempted, sleep, {name for name in sleep if name in above.whole}

    def _sleeps_until(self, place: Place) -> Footprint:
        assert isinstance(place, BoundedPlace)
        return place.block

    def _prefer(self, index: int, disabled: set[str]) -> None:
        """They get their chance before the event, and before its block began."""
        place = self._stack[index]
        if place.early:
            place.add_all()
        place.wanted |= disabled & place.affordable
        while index and self._stack[index].current == place.chosen == self._stack[index - 1].chosen:
            index -= 1
        begin = self._stack[index]
        begin.wanted |= disabled & begin.affordable

    def _analyse(self) -> PartialOrder:
        self._races.clear()
        order = super()._analyse()
        for index in range(max(self._fresh, 0), len(self._stack)):
            self._note_block(index)
        events: dict[str, list[int]] = {}
        for index, place in enumerate(self._stack):
            events.setdefault(place.chosen, []).append(index)
        for earlier, later in (*self._races, *self._ends_waited_for(order, events)):
            self._add_choices(order, events, earlier, later)
        return order

    def _note_block(self, index: int) -> None:
        """Enter what the event and those that followed it at once touched, where the block was run for the first time."""
        place = self._stack[index]
        place.block = place.footprint
        place.whole.discard(place.chosen)
        if place.chosen == place.current:
            return
        for after in self._stack[index + 1 :]:
            if not (after.current == after.chosen == place.chosen):
                return
            place.whole.add(place.chosen)
            if place.block is None or after.footprint is None or place.early:
                place.block = None
                return
            place.block = {
                resource: place.block.get(resource, 0) | after.footprint.get(resource, 0)
                for resource in place.block | after.footprint
            }

    def _ends_waited_for(self, order: PartialOrder, events: dict[str, list[int]]) -> Iterator[tuple[int, int]]:
        """Each end of a task that came before another one would have waited for it, without being the cause of that."""
        ends: dict[str, list[int]] = {}
        for index, place in enumerate(self._stack):
            if place.joined and index >= self._fresh:
                line = events[place.chosen]
                at = line.index(index)
                for end in (end for resource in place.joined for end in ends.get(resource, ()) if at):
                    if end < line[at - 1] and not order.before[line[at - 1]] >> end & 1:
                        yield end, line[at - 1]
            for resource, how in (place.footprint or {}).items():
                if how & ADD:
                    ends.setdefault(resource, []).append(index)

    def _reverse(self, order: PartialOrder, later: int, task: str, earlier: int, mask: int) -> None:
        place = self._stack[earlier]
        if place.chosen == CLOCK_ROLE:
            return  # what comes without it was explored from there before
        if place.early:
            place.add_all()
        elif task != CLOCK_ROLE:
            self._races.append((earlier, later))

    def _add_choices(self, order: PartialOrder, events: dict[str, list[int]], earlier: int, later: int) -> None:
        """Make sure that what the later event needs gets a chance to come before the earlier one, and before the earlier one's block."""
        before, task = order.before, self._stack[earlier].chosen
        own = 0  # the events of the block
        for begin in reversed(events[task]):
            if begin > earlier:
                continue
            own |= 1 << begin
            if before[earlier] & ~own & -1 << begin:
                return  # something else separates them
            needed = (before[later] | 1 << later) & ~own & -1 << begin
            first = []
            for index in range(begin + 1, later + 1):
                if needed >> index & 1:
                    if index != later and before[index] & own:
                        return  # it cannot come without the block
                    if not before[index] & needed:
                        first.append(self._stack[index].chosen)
            if begin == earlier or self._stack[begin].current != task:
                self._stack[begin].add_one(first)
