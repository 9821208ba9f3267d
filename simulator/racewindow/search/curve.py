"""The probability curve of a failing schedule: after each of its choices, how likely is it that the run still ends in the violation?

Where the curve jumps, the bug was decided, which is often long before it shows.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from racewindow.errors import ReplayDiverged, Unsupported, UsageError
from racewindow.kernel.engine import Engine, Subject
from racewindow.kernel.hosts import Host, run_on
from racewindow.kernel.run import Limits, Run
from racewindow.kernel.task import UNASKED, Task
from racewindow.kernel.token import Token
from racewindow.search._reproduce import replay
from racewindow.search.counting import Sampler, State, Totals, count


@dataclass(frozen=True, slots=True, kw_only=True)
class CurvePoint:
    """The probability after one choice.

    Attributes:
        step: index in the trace of the step that was chosen; -1: before the first.
        task, label: whose step, and from where.
        probability: that a schedule that began like this one ends in the violation.
        low, high: 95 % interval (Clopper-Pearson); both equal the probability where it is exact.
    """

    step: int
    task: str
    label: str
    probability: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """A failing schedule's probability curve.

    Attributes:
        violation: kind of the violation that it is about.
        sampler: who makes the remaining choices.
        exact: whether the probabilities were counted, not sampled.
        points: one per choice, the first of them before any.
    """

    violation: str
    sampler: str
    exact: bool
    points: tuple[CurvePoint, ...] = field(repr=False)

    @property
    def jump(self) -> CurvePoint:
        """The choice that raised the probability most, by as much as is certain where it was sampled; the first of those that did."""
        return max(pairwise(self.points), key=lambda pair: pair[1].low - pair[0].high)[1]


def probability_curve(
    subject: Subject,
    token: str | Token,
    *,
    sampler: Sampler = "random-walk",
    states_max: int = 20_000,
    schedules: int = 200,
    seed: int = 0,
    host: Host = "trio",
    limits: Limits | None = None,
    name: str = "",
    checksum: str = "",
) -> Curve:
    """After each choice of a failing schedule, the probability that the run still ends in its violation.

    Exact where the subject can be counted. Otherwise ``schedules`` random walks are run on from every choice.

    Args:
        subject: the subject that the token was made with.
        token: of a failing schedule.
        sampler: ``random-walk`` or ``urw``; only the first can be sampled.
        states_max: count up to so many states.
        schedules: random walks from each choice, where it cannot be counted.
        seed: of these walks.
        host, limits, name, checksum: as for :func:`explore`.

    Raises:
        UsageError: the schedule does not fail, or makes no choice; or a curve over ``urw`` would have to be sampled.
        ReplayDiverged: the subject does not repeat itself.
    """
    limits = limits or Limits()
    run = replay(subject, token, host=host, limits=limits, name=name, checksum=checksum)
    if run.violation is None:
        raise UsageError("the token's schedule does not fail, so that there is no violation to tell the probability of")
    if schedules < 1:
        raise UsageError(f"schedules={schedules}: at least one schedule has to run from each choice")
    kind = run.violation.kind
    try:
        start = count(subject, states_max=states_max, host=host, limits=limits, name=name, checksum=checksum).start
    except Unsupported as refusal:
        if sampler != "random-walk":
            raise UsageError(f"a curve over {sampler} can only be counted, and that failed: {refusal}") from refusal
        estimates = run_on(host, lambda engine: _sampled(engine, subject, limits, run, kind, schedules, seed))
        return Curve(violation=kind, sampler=sampler, exact=False, points=_points(run, estimates))
    return Curve(violation=kind, sampler=sampler, exact=True, points=_points(run, _exact(start, run, kind, sampler)))


def _choices(run: Run) -> list[tuple[int, str, str]]:
    """(step, task, label) of the steps that were up to the strategy."""
    return [
        (index, point.task.name, point.label)
        for index, point in enumerate(run.points)
        if point.task is not None and point.choice != UNASKED
    ]


def _points(run: Run, estimates: Sequence[tuple[float, float, float]]) -> tuple[CurvePoint, ...]:
    return tuple(
        CurvePoint(step=step, task=task, label=label, probability=probability, low=low, high=high)
        for (step, task, label), (probability, low, high) in zip([(-1, "", ""), *_choices(run)], estimates, strict=True)
    )


def _exact(start: State, run: Run, kind: str, sampler: Sampler) -> list[tuple[float, float, float]]:
    totals = Totals(lambda kinds: kind in kinds, sampler)
    state, states = start, [start]
    for _, task, _ in _choices(run):
        state = state.next[task]
        states.append(state)
    return [(float(totals.of(state)),) * 3 for state in states]


def _sampled(
    engine: Engine, subject: Subject, limits: Limits, run: Run, kind: str, schedules: int, seed: int
) -> list[tuple[float, float, float]]:
    from scipy.stats import binomtest

    way = [task for _, task, _ in _choices(run)]
    estimates = []
    for length in range(len(way) + 1):
        hits = 0
        for number in range(schedules):
            walk = _GuidedWalk(way[:length], random.Random(f"{seed}:{length}:{number}"))
            found = engine.execute(subject, walk, limits)
            hits += any(violation.kind == kind for violation in found.violations)
        interval = binomtest(hits, schedules).proportion_ci(0.95, method="exact")
        estimates.append((hits / schedules, float(interval.low), float(interval.high)))
    return estimates


class _GuidedWalk:
    """Begins as it is told, and goes on at random."""

    every_step = True

    def __init__(self, way: list[str], rng: random.Random) -> None:
        self._way = iter(way)
        self._rng = rng

    def choose(self, enabled: list[Task], current: int) -> int:
        told = next(self._way, None)
        if told is None:
            return self._rng.randrange(len(enabled))
        for index, task in enumerate(enabled):
            if task.name == told:
                return index
        raise ReplayDiverged(f"the schedule goes on with {told}, which cannot run the second time")
