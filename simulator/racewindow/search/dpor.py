"""Dynamic partial-order reduction: one schedule for each order of dependent steps, instead of one for each order of steps.

Source sets and sleep sets after Abdulla, Aronis, Jonsson and Sagonas, "Optimal dynamic partial order reduction" (POPL 2014, algorithm 1).
A schedule is run to its end; each race found in it (two events in a row, but for what neither waits for, that could have come the
other way round) adds a choice to the place before the earlier one. What was explored from a place goes to sleep there, until an event
that depends on it. Two things go beyond the paper, whose tasks cannot disable each other:

- An event that ends a schedule, or kills a task that could have run, comes without the step that its victim would have taken. There that
  step becomes a choice as if it had been seen to race.
- Time that passes because nothing else can run comes after everything and before everything else. With ``time="adversarial"`` it could
  have passed earlier: a timer that fires depends on everything, for there is a bound on how many may fire early, and equivalent
  schedules have to spend it alike.

With a bound on preemptions an equivalent schedule may cost more than the one that it stands for. What that takes is in
:mod:`racewindow.search.bounded_dpor`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from racewindow.errors import ReplayDiverged
from racewindow.kernel.engine import Engine
from racewindow.kernel.footprint import Footprint, dependent, footprint_of, joined_by, stepped_unasked
from racewindow.kernel.run import Run
from racewindow.kernel.task import CLOCK_ROLE, Point, Task
from racewindow.search._checks import check_whole
from racewindow.search._shape import Shape, diverged, ended_early, shape_of
from racewindow.search.partial_order import PartialOrder
from racewindow.search.strategy import Account, Reduction, Redundant

COUNTED_MAX = 5_000
"""Classes up to which the interleavings they stand for are counted: where many tasks take many steps, that takes longer than to run
them."""


@dataclass(frozen=True, slots=True)
class DPOR:
    """Every schedule, up to the order of steps that do not depend on each other.

    How much that saves depends on what is known about the steps: see :meth:`World.memory_declared`. On the asyncio host nothing is known,
    and so nothing is left out: there the event loop itself is shared by all tasks, and who is called back first depends on it.

    Args:
        preemptions: bound on preemptions. Each order of dependent steps that some schedule within it has is run by one within it: that
            shows what :class:`Bounded` shows, in no more schedules and mostly in fewer; but each takes longer, since its steps are
            observed. None: no bound.

    Raises:
        UsageError: for a bound that is negative or no whole number.
    """

    preemptions: int | None = None

    def __post_init__(self) -> None:
        if self.preemptions is not None:
            why = "the bound cannot be negative; 0 means run-to-block schedules only"
            check_whole("preemptions", self.preemptions, least=0, why=why)

    name = "dpor"
    exhaustive = True

    @property
    def bound(self) -> str:
        """The bound as it is printed with a proof."""
        return "" if self.preemptions is None else f"preemptions<={self.preemptions}"

    def search(self, seed: int) -> DPORSearch:
        """A fresh search; the seed changes nothing."""
        if self.preemptions is None:
            return DPORSearch()
        from racewindow.search.bounded_dpor import BoundedDPORSearch  # which builds on the search below

        return BoundedDPORSearch(self.preemptions)


@dataclass(slots=True)
class Place:
    """A state on the way of the schedule that is being run, and the event that leaves it."""

    shape: Shape
    names: list[str]
    sleep: dict[str, Footprint]
    chosen: str
    label: str
    wanted: set[str]  # chosen, or to be chosen later
    done: dict[str, Footprint] = field(default_factory=dict)
    start: int = 0  # number of its first step
    woken: int = -1  # number of the step that woke the task
    rested: bool = False
    footprint: Footprint = None
    joined: tuple[str, ...] = ()
    also_stepped: frozenset[str] = frozenset()


class DPORSearch:
    """A reduction at work."""

    every_step = True

    def __init__(self) -> None:
        self._stack: list[Place] = []
        self._depth = 0
        self._rests = 0
        self._fresh = -1  # index of the first event that was not analysed yet
        self._classes: set[int] = set()  # numbers of the happens-before classes of the schedules that ended
        self._interleavings: int | None = 0  # of these classes
        self._blocked = 0  # schedules that were given up because everything that could run was asleep
        self._assumed = 0  # events that counted as touching anything
        self._observed = 0  # those of which more was known

    def attach(self, engine: Engine) -> None:
        """Have the engine watch what steps use; its books tell what each event was."""
        self._engine = engine
        engine.observe()
        self._observing = engine.observing  # it looks away before the account is given

    @property
    def share(self) -> float:
        """How much of the search is done; what there is to explore turns out on the way, so that at first this is too much."""
        share = 1.0
        for place in reversed(self._stack):
            share = (len(place.done) + share) / sum(name not in place.sleep for name in place.wanted)
        return share

    def account(self) -> Account:
        """Where nothing is left out although somebody asked for it, that has to be said."""
        footprints = "declared or observed"
        if self._assumed:
            steps = self._assumed + self._observed
            footprints = f"assumed to touch anything: {self._assumed} of {steps} steps; the others {footprints}"
        why = f"on the {self._engine.host} host nobody sees what steps share, so each may touch anything"
        return Account(
            notes=() if self._observing else (f"dpor: {why}: no schedule is left out",),
            sampled_from=None,
            reduction=Reduction(
                classes=len(self._classes),
                blocked=self._blocked,
                interleavings=self._interleavings,
                footprints=footprints,
            ),
        )

    def begin(self, index: int) -> bool:
        if self._fresh < 0:
            self._fresh = 0
        else:
            while self._stack:
                place = self._stack[-1]
                place.done[place.chosen] = self._sleeps_until(place)
                left = [name for name in place.names if self._to_explore(place, name)]
                if left:
                    place.chosen = left[0]
                    break
                self._stack.pop()
            if not self._stack:
                return False
            self._fresh = len(self._stack) - 1
        self._depth = self._rests = 0
        return True

    def _sleeps_until(self, place: Place) -> Footprint:
        """What was explored from a place goes to sleep there, until an event that depends on this."""
        return place.footprint

    @staticmethod
    def _to_explore(place: Place, name: str) -> bool:
        return name in place.wanted and name not in place.done and name not in place.sleep

    def choose(self, enabled: list[Task], current: int) -> int:
        engine, depth = self._engine, self._depth
        self._end_event(engine.points, frozenset(task.name for task in enabled))
        if depth < len(self._stack):
            place = self._stack[depth]
            if place.shape != shape_of(enabled):
                raise ReplayDiverged(diverged(depth, place.shape, enabled))
            index = place.names.index(place.chosen)
        else:
            index = self._new_place(enabled, current)
            place = self._stack[-1]
        place.start = len(engine.points)
        place.label = enabled[index].point.label
        place.woken = enabled[index].woken
        place.rested = len(engine.rests) > self._rests
        self._rests = len(engine.rests)
        self._depth += 1
        return index

    def _new_place(self, enabled: list[Task], current: int) -> int:
        names = [task.name for task in enabled]
        sleep: dict[str, Footprint] = {}
        if self._stack:
            above = self._stack[-1]
            for asleep in (above.sleep, above.done):
                for name, footprint in asleep.items():
                    if not dependent(footprint, above.footprint):
                        sleep[name] = footprint
        awake = [index for index, name in enumerate(names) if name not in sleep]
        if not awake:
            self._analyse()
            self._blocked += 1
            raise Redundant
        index = current if current in awake else awake[0]
        wanted = {names[index]}
        if enabled[-1].index < 0:
            wanted.add(names[-1])  # the clock races with every event
        if not self._observing:
            wanted.update(names)  # on a host that cannot see what steps use, nothing is left out
        self._stack.append(
            Place(shape=shape_of(enabled), names=names, sleep=sleep, chosen=names[index], label="", wanted=wanted)
        )
        return index

    def _end_event(self, points: Sequence[Point], enabled: frozenset[str]) -> None:
        """The last event is over: enter what it was; whom it disabled could have stepped before it."""
        if self._depth <= self._fresh:
            return  # a place from an earlier schedule, whose event is known
        place = self._stack[self._depth - 1]
        points = points[place.start :]
        place.also_stepped = others = stepped_unasked(points)
        place.footprint = footprint_of(points) if self._observing and others.isdisjoint(place.names) else None
        place.joined = joined_by(points)
        if place.footprint is None:
            self._assumed += 1
        else:
            self._observed += 1
        disabled = {name for name in place.names if name != place.chosen and name not in enabled}
        if disabled:
            self._prefer(self._depth - 1, disabled)

    def _prefer(self, index: int, disabled: set[str]) -> None:
        """Let those step whom the event would have disabled."""
        self._stack[index].wanted |= disabled

    def end(self, run: Run) -> None:
        if self._depth < len(self._stack):
            raise ReplayDiverged(ended_early(len(self._stack), self._depth))
        self._end_event(run.points, frozenset())
        ended = run.reason == "ended"
        if ended and self._stack:
            self._stack[-1].footprint = None  # what comes after it never happens
        order = self._analyse()
        if order.class_number not in self._classes:
            self._classes.add(order.class_number)
            if self._interleavings is not None:
                counted = len(self._classes) <= COUNTED_MAX
                self._interleavings = self._interleavings + order.interleavings() if counted else None

    def _analyse(self) -> PartialOrder:
        """Find the races of the events that are new in this schedule."""
        order = PartialOrder()
        starts = [place.start for place in self._stack]
        early = self._engine.limits.time == "adversarial"
        for index, place in enumerate(self._stack):
            fresh = index >= self._fresh
            if place.rested:
                order.rest(partial(self._reverse, order, index, CLOCK_ROLE) if early and fresh else None)
            order.add(
                place.chosen,
                place.label,
                place.footprint,
                woken_by=order.event_of(place.woken, starts),
                joined=place.joined,
                also_stepped=place.also_stepped,
                on_race=partial(self._reverse, order, index, place.chosen) if fresh else None,
            )
        if early and len(self._engine.rests) > self._rests:
            order.rest(partial(self._reverse, order, len(self._stack), CLOCK_ROLE))
        return order

    def _reverse(self, order: PartialOrder, later: int, task: str, earlier: int, mask: int) -> None:
        """Make sure that the event ``later``, a step of ``task``, gets a chance to come without ``earlier``, after what it needs.

        Args:
            mask: the events after the earlier one, of those that happen before the later one.
        """
        place = self._stack[earlier]
        bit = 1 << earlier
        sequence = 0  # what comes after the earlier event, but not because of it
        initials = []
        for index in range(earlier + 1, later):
            if not order.before[index] & bit:
                if not order.before[index] & sequence:
                    initials.append(self._stack[index].chosen)
                sequence |= 1 << index
        if not mask & sequence:
            initials.append(task)
        if any(name in place.wanted or name in place.sleep for name in initials):
            return
        if initials == [CLOCK_ROLE]:
            return  # no timer was armed there, or none was left to fire early: where there is one, it is wanted anyway
        candidates = [name for name in initials if name in place.names]
        place.wanted.update(candidates[:1] or place.names)
