"""Exact counts: how many interleavings a subject has, how many of them fail, and how likely a sampler is to hit one.

Two beginnings of a schedule that differ only in the order of independent steps lead to the same state. So the states are the
happens-before classes of beginnings, each is left once in every possible way, and what is counted from a state on is counted once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal

from racewindow.errors import ReplayDiverged, Unsupported, UsageError
from racewindow.kernel.engine import Engine, Subject
from racewindow.kernel.footprint import footprint_of, joined_by, stepped_unasked
from racewindow.kernel.hosts import Host, run_on
from racewindow.kernel.run import Limits, Run
from racewindow.kernel.task import Point, Task
from racewindow.search._shape import Shape, diverged, shape_of
from racewindow.search._subject import identify
from racewindow.search.partial_order import PartialOrder
from racewindow.search.strategy import Redundant

Sampler = Literal["random-walk", "urw"]
SAMPLERS: tuple[Sampler, ...] = ("random-walk", "urw")


@dataclass(slots=True, eq=False)
class State:
    """A state that schedules pass through, or end in.

    Attributes:
        shape: what can run; empty at an end.
        way: the roles chosen on one way there.
        next: the state that each role leads to.
        kinds: at an end, the violations.
    """

    shape: Shape
    way: tuple[str, ...]
    next: dict[str, State] = field(default_factory=dict)
    kinds: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """All schedules of a subject, counted.

    Attributes:
        subject: its name.
        interleavings, failing: schedules, and those that fail; exact, however many they are.
        states: happens-before classes of beginnings, by which they were counted.
        executions: schedules that were run for that.
        start: the state in which every schedule begins.
    """

    subject: str
    interleavings: int
    failing: int
    states: int
    executions: int
    start: State = field(repr=False)

    def probability(self, sampler: Sampler) -> float:
        """Probability that one schedule of a sampler fails.

        Args:
            sampler: ``random-walk`` is uniform over the tasks that can run, at every step; ``urw`` is uniform over the interleavings.

        Raises:
            UsageError: for another sampler.
        """
        return float(Totals(bool, sampler).of(self.start))

    def __repr__(self) -> str:
        return f"<Count {self.subject} interleavings={self.interleavings} failing={self.failing} states={self.states}>"


class Totals:
    """Counts schedules from a state on, and the probability of those that end in a way that is asked for.

    Raises:
        UsageError: for an unknown sampler.
    """

    def __init__(self, hit: Callable[[tuple[str, ...]], bool], sampler: Sampler) -> None:
        if sampler not in SAMPLERS:
            raise UsageError(
                f"sampler={sampler!r}: exact probabilities are known for {' and '.join(SAMPLERS)}; sample the others with explore()"
            )
        self._hit = hit
        self._uniform = sampler == "urw"
        self._counts: dict[State, tuple[int, int, Fraction]] = {}

    def counts(self, state: State) -> tuple[int, int, Fraction]:
        """(schedules, schedules that hit, probability that a random walk hits), from this state on."""
        pending = [state]
        while pending:
            one = pending[-1]
            left = [after for after in one.next.values() if after not in self._counts]
            if left:
                pending += left
                continue
            pending.pop()
            if not one.next:
                hits = int(self._hit(one.kinds))
                self._counts[one] = (1, hits, Fraction(hits))
                continue
            after = [self._counts[each] for each in one.next.values()]
            self._counts[one] = (
                sum(all_ for all_, _, _ in after),
                sum(hits for _, hits, _ in after),
                sum((walk for _, _, walk in after), Fraction()) / len(after),
            )
        return self._counts[state]

    def of(self, state: State) -> Fraction:
        """Probability that the sampler hits, from this state on."""
        schedules, hits, walk = self.counts(state)
        return Fraction(hits, schedules) if self._uniform else walk


class _Survey:
    """Runs schedules until every state has been left in every way."""

    every_step = True

    def __init__(self, engine: Engine, states_max: int, name: str) -> None:
        engine.observe()
        self._engine = engine
        self._states_max = states_max
        self._name = name
        self._known: dict[tuple[int, ...], State] = {}
        self._to_leave: list[tuple[State, str]] = []
        self.ends = 0
        self.start: State | None = None

    @property
    def states(self) -> int:
        return len(self._known) + self.ends

    def begin(self) -> bool:
        """Get ready for the next schedule; False: there is no other."""
        if self.start is not None:
            if not self._to_leave:
                return False
            state, name = self._to_leave.pop()
            self._way = [*state.way, name]
        else:
            self._way = []
        self._taken: list[str] = []
        self._order = PartialOrder()
        self._starts: list[int] = []
        self._rests = 0
        self._at: State | None = None
        self._event: tuple[str, str, int, frozenset[str]] | None = None
        return True

    def choose(self, enabled: list[Task], current: int) -> int:
        self._end_event(self._engine.points)
        step = len(self._taken)
        state = self._known.get(self._order.latest)
        if state is None:
            state = self._known[self._order.latest] = State(shape=shape_of(enabled), way=tuple(self._taken))
            if self.states > self._states_max:
                raise Unsupported(
                    f"{self._name} has more than states_max={self._states_max} states, too many to count them all; raise the bound, make "
                    "the subject smaller, or sample it with explore(). If its tasks share only what the simulator sees, say so with "
                    "world.memory_declared(): that makes states equal which are told apart now"
                )
            self._to_leave += [(state, task.name) for task in enabled]
        elif state.shape != shape_of(enabled):
            raise ReplayDiverged(diverged(step, state.shape, enabled))
        self._arrive(state)
        if step < len(self._way):
            name = self._way[step]
        elif self._to_leave and self._to_leave[-1][0] is state:
            name = self._to_leave.pop()[1]
        else:
            raise Redundant  # what comes from here on is known, or will be found another time
        index = next(index for index, task in enumerate(enabled) if task.name == name)
        task = enabled[index]
        rests = self._engine.rests
        if len(rests) > self._rests:
            self._order.rest(None)
        self._rests = len(rests)
        self._event = (name, task.point.label, task.woken, frozenset(each.name for each in enabled))
        self._starts.append(len(self._engine.points))
        self._taken.append(name)
        return index

    def _arrive(self, state: State) -> None:
        if self._at is None:
            self.start = state
        else:
            self._at.next[self._taken[-1]] = state
        self._at = state

    def _end_event(self, points: list[Point]) -> None:
        if self._event is None:
            return
        task, label, woken, names = self._event
        stretch = points[self._starts[-1] :]
        others = stepped_unasked(stretch)
        known = self._engine.observing and others.isdisjoint(names)
        self._order.add(
            task,
            label,
            footprint_of(stretch) if known else None,
            woken_by=self._order.event_of(woken, self._starts),
            joined=joined_by(stretch),
            also_stepped=others,
            on_race=None,
        )

    def end(self, run: Run) -> None:
        """Enter how the schedule ended."""
        if run.verdict == "unknown":
            raise Unsupported(f"{self._name} cannot be counted: a schedule was not run to its end, for {run.reason}")
        self.ends += 1
        self._arrive(State(shape=(), way=tuple(self._taken), kinds=tuple(one.kind for one in run.violations)))


def count(
    subject: Subject,
    *,
    states_max: int = 20_000,
    time_limit_s: float | None = None,
    host: Host = "trio",
    limits: Limits | None = None,
    name: str = "",
    checksum: str = "",
) -> Count:
    """Count the schedules of ``subject`` exactly, and those that fail.

    Args:
        subject: async function that takes a :class:`~racewindow.World`.
        states_max, time_limit_s: refuse beyond.
        host, limits, name, checksum: as for :func:`explore`.

    Raises:
        Unsupported: the subject is too large to be counted, or a schedule was cut off.
        UsageError: for a subject that is not async, or a bound below one.
        ReplayDiverged: the subject does not repeat itself.
    """
    limits = limits or Limits()
    name, _ = identify(subject, name, checksum, limits, host)
    if states_max < 1:
        raise UsageError(f"states_max={states_max}: there is at least one state")
    started = time.monotonic()

    def drive(engine: Engine) -> Count:
        survey = _Survey(engine, states_max, name)
        executions = 0
        while survey.begin():
            if time_limit_s is not None and time.monotonic() - started > time_limit_s:
                raise Unsupported(
                    f"{name} was not counted within time_limit_s={time_limit_s:g}: {survey.states} states so far; allow more time, or "
                    "sample it with explore()"
                )
            executions += 1
            try:
                run = engine.execute(subject, survey, limits)
            except Redundant:
                continue
            survey.end(run)
        assert survey.start is not None, "the first schedule begins somewhere"
        interleavings, failing, _ = Totals(bool, "urw").counts(survey.start)
        return Count(
            subject=name,
            interleavings=interleavings,
            failing=failing,
            states=survey.states,
            executions=executions,
            start=survey.start,
        )

    return run_on(host, drive)
