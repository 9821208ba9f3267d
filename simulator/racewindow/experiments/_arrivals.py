"""Arrivals: how likely is harm when a second client arrives a while after the first one's commit was accepted?

Every point takes a while (:class:`Latencies`), and the order follows. The second client is held at its first operation until the commit of
the first has been accepted and the delay is over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from math import inf, isfinite, nan
from typing import TYPE_CHECKING, Any

from racewindow.errors import Unsupported, UsageError
from racewindow.experiments._intrusion import Pair, pair_of
from racewindow.experiments._latency import Draws, Latencies
from racewindow.frames import Timeline, arrivals_frame
from racewindow.kernel.engine import Engine
from racewindow.kernel.hosts import run_on
from racewindow.kernel.run import Limits
from racewindow.kernel.task import CLOCK_ROLE, Task
from racewindow.kernel.token import Token, token_of
from racewindow.kernel.violation import Violation
from racewindow.sessions.case import Case
from racewindow.sessions.implementation import Environment
from racewindow.sessions.scenario import Client, Operation, Scenario

if TYPE_CHECKING:
    import pandas as pd

DELAYS_S = (0.0, 0.001, 0.01, 0.1, 0.3, 1.0, 2.0, 3.0, 5.0, 10.0)
CONFIDENCE = 0.95
_TIMERS_MAX = 10_000  # of one schedule: with durations, a timer fires in its turn


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrivalsResult:
    """How likely harm is, by delay.

    Attributes:
        cases: what was asked, with and without load, by the name that tokens carry.
        latencies: how long points take.
        frame: one row per implementation, load and delay, with the columns :data:`racewindow.frames.ARRIVALS`.
        interrupted: the user stopped it; what is here is what was finished until then.
    """

    cases: dict[str, Case] = field(repr=False)
    latencies: Latencies
    frame: pd.DataFrame = field(repr=False)
    interrupted: bool = False

    def timeline(self, token: str) -> Timeline:
        """The story of a failing schedule.

        Raises:
            UsageError: the token is not of this experiment.
        """
        from racewindow.experiments._timeline import timeline

        subject = Token.parse(token).subject
        if subject not in self.cases:
            raise UsageError(
                f"the token belongs to {subject!r}, which was not asked here; take one from the token column"
            )
        return timeline(self.cases[subject], token)

    def __repr__(self) -> str:
        return f"<ArrivalsResult rows={len(self.frame)} failures={int(self.frame['failures'].sum())}>"


def arrivals(
    cases: Case | Sequence[Case],
    *,
    latencies: Latencies | None = None,
    delays_s: Sequence[float] = DELAYS_S,
    loads: Sequence[int] = (0,),
    think_s: float = 1.0,
    schedules: int = 200,
    seed: int = 0,
    jobs: int = 1,
    progress: Callable[[Iterable[Any], int], Iterable[Any]] | None = None,
) -> ArrivalsResult:
    """Sample P(violation | the second client arrives d after the first one's commit was accepted).

    The first client's commit and the second client are those of :func:`pair_of`. Schedule i of every implementation, delay and load
    draws the same durations for the same things (common random numbers), so curves can be compared more closely than their intervals say.
    With fixed latencies and no load nothing is random: one schedule is run, and the row says that it is exact. A timer counts from when it
    is the next one to fire.

    Args:
        cases: what to ask; each is run with ``time="adversarial"``, where timers fire in their turn.
        latencies: how long points take.
        delays_s: virtual seconds from ``accepted`` (the answer of the commit call) to the arrival, 0 or more.
        loads: how many other clients add and commit meanwhile. What they do to each other's messages does not count.
        think_s: mean virtual seconds (exponential) that those take before each of their operations.
        schedules: for each implementation, load and delay.
        seed: schedule i depends on the seed and i only.
        jobs: worker processes; the result does not depend on it.
        progress: wraps the iterable of rows, with its length, to show progress.

    Raises:
        UsageError: a scenario has no commit with somebody to come after it, or a number makes no sense.
        Unsupported: a schedule hit ``max_steps``.
    """
    import joblib

    asked = [cases] if isinstance(cases, Case) else list(cases)
    _check(asked, delays_s, loads, think_s, schedules, jobs)
    latencies = latencies or Latencies()
    work = [
        _Work(
            case=_under_load(case, load),
            scenario=case.scenario.name,
            pair=pair_of(case),
            load=load,
            load_clients=_load_clients(case.scenario, load),
            delay_s=float(delay),
            latencies=latencies,
            think_s=think_s,
            schedules=schedules,
            seed=seed,
        )
        for load in dict.fromkeys(loads)
        for case in asked
        if not case.not_applicable
        for delay in sorted(set(delays_s))
    ]
    results: Iterable[Any] = joblib.Parallel(n_jobs=jobs, return_as="generator")(
        joblib.delayed(_row)(each) for each in work
    )
    rows: list[dict[str, object]] = []
    interrupted = False
    try:
        for row in progress(results, len(work)) if progress else results:
            rows.append(row)
    except KeyboardInterrupt:
        interrupted = True
    return ArrivalsResult(
        cases={each.case.name: each.case for each in work},
        latencies=latencies,
        frame=arrivals_frame(rows),
        interrupted=interrupted,
    )


def _check(
    cases: Sequence[Case], delays_s: Sequence[float], loads: Sequence[int], think_s: float, schedules: int, jobs: int
) -> None:
    if not cases or not delays_s or not loads:
        raise UsageError("arrivals needs at least one case, one delay and one load (0: nobody else)")
    for delay in delays_s:
        if not isfinite(delay) or delay < 0:
            raise UsageError(f"delay {delay!r}: it is counted from 'accepted' on; give virtual seconds, 0 or more")
    for load in loads:
        if load != int(load) or load < 0:
            raise UsageError(f"load {load!r}: give a number of clients, 0 or more")
    if not isfinite(think_s) or think_s < 0:
        raise UsageError(f"think_s={think_s!r}: give virtual seconds, 0 or more")
    if schedules < 1 or jobs < 1:
        raise UsageError(f"schedules={schedules}, jobs={jobs}: at least one of each is needed")


def _under_load(case: Case, load: int) -> Case:
    """The same case with clients that add and commit beside it."""
    case = replace(case, time="adversarial")
    if not load:
        return case
    names = _load_clients(case.scenario, load)
    clients = tuple(
        Client(name=name, operations=(Operation(kind="add", argument=f"{name}.m"), Operation(kind="commit")))
        for name in names
    )
    return replace(case, scenario=Scenario(name="", clients=(*case.scenario.clients, *clients)))


def _load_clients(scenario: Scenario, load: int) -> tuple[str, ...]:
    taken = {client.name for client in scenario.clients}
    free = (f"load{number}" for number in range(1, load + len(taken) + 1) if f"load{number}" not in taken)
    return tuple(islice(free, load))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Work:
    """One row to find."""

    case: Case
    scenario: str
    pair: Pair
    load: int
    load_clients: tuple[str, ...]
    delay_s: float
    latencies: Latencies
    think_s: float
    schedules: int
    seed: int

    @property
    def exact(self) -> bool:
        return self.latencies.distribution == "fixed" and not self.load

    @property
    def told(self) -> str:
        """The latency model in words."""
        think = f"; {self.think_s:g} s of thought before each operation of the load (exponential)" if self.load else ""
        return f"{self.latencies}{think}"


def _row(work: _Work) -> dict[str, object]:
    from racewindow.statistics import interval

    accepted, failing, token = run_on(work.case.implementation.host, lambda engine: _sample(engine, work))
    schedules = 1 if work.exact else work.schedules
    failures = len(failing)
    probability = failures / accepted if accepted else nan
    low, high = (
        (probability, probability)
        if work.exact or not accepted
        else interval(accepted, failures, confidence=CONFIDENCE)
    )
    return {
        "implementation": work.case.implementation.name,
        "scenario": work.scenario,
        "topology": work.case.topology,
        "disk": work.case.disk,
        "load": work.load,
        "delay_s": work.delay_s,
        "schedules": accepted,
        "failures": failures,
        "probability": probability,
        "low": low,
        "high": high,
        "confidence": CONFIDENCE,
        "exact": work.exact,
        "not_accepted": schedules - accepted,
        "latency": work.told,
        "seed": work.seed,
        "violation": "+".join(dict.fromkeys(kind for kinds in failing for kind in kinds)),
        "token": token,
    }


def _sample(engine: Engine, work: _Work) -> tuple[int, list[tuple[str, ...]], str]:
    """Schedules in which the commit was accepted, the kinds of violation of each that failed, and a token."""
    case = work.case
    limits = Limits(max_steps=case.max_steps, time="adversarial", timers_max=_TIMERS_MAX)
    accepted, token = 0, ""
    failing: list[tuple[str, ...]] = []
    for schedule in range(1 if work.exact else work.schedules):
        chooser = _Arrival(work, schedule)
        run = engine.execute(case.subject(chooser.set_up), chooser, limits)
        if run.verdict == "unknown":
            raise Unsupported(
                f"{case.name}: schedule {schedule} was cut short ({run.reason}); give the case more max_steps"
            )
        if chooser.accepted_s is None:
            continue
        accepted += 1
        kinds = tuple(violation.kind for violation in run.violations if not _of_the_load(violation, work))
        if not kinds:
            continue
        failing.append(kinds)
        # Replays keep to the case's own bound on early timers; a schedule beyond it has no token.
        if not token and chooser.timers <= case.limits.timers_max:
            token = str(token_of(run, subject=case.name, checksum=case.checksum))
    return accepted, failing, token


def _of_the_load(violation: Violation, work: _Work) -> bool:
    """Whether it harms nothing but messages of the load: what those clients do to each other is not what was asked."""
    theirs = {
        operation.argument
        for name in work.load_clients
        for operation in work.case.scenario.client(name).operations
        if operation.kind == "add"
    }
    return bool(violation.messages) and set(violation.messages) <= theirs


class _Arrival:
    """Chooses the step whose time is up first; the second client's time begins when the commit was accepted.

    Attributes:
        accepted_s: when it was; None: it was not before the second client had to come.
        timers: that fired while something else could run.
    """

    every_step = True

    def __init__(self, work: _Work, schedule: int) -> None:
        self._work = work
        self._draws = Draws(work.latencies, work.seed, schedule)
        self._env: Environment | None = None
        self._now_s = 0.0
        self._due: dict[Task, tuple[object, float]] = {}  # task: what it waits at, and when that is over
        self._arrived = False
        self.accepted_s: float | None = None
        self.timers = 0

    def set_up(self, env: Environment) -> None:
        """The environment of the schedule: whether the commit was accepted is read off its history."""
        self._env = env

    def choose(self, enabled: list[Task], current: int) -> int:
        if self.accepted_s is None and not self._arrived and self._accepted():
            self.accepted_s = self._now_s
        due = [self._due_s(task) for task in enabled]
        chosen = min(range(len(enabled)), key=due.__getitem__)
        task = enabled[chosen]
        if (
            due[chosen] < inf
        ):  # otherwise nobody but the second client can go on: it comes, and the schedule does not count
            self._now_s = due[chosen]
        self._due.pop(task, None)
        self._arrived = self._arrived or self._is_second(task)
        self.timers += task.name == CLOCK_ROLE
        return chosen

    def _accepted(self) -> bool:
        pair = self._work.pair
        return self._env is not None and any(
            call.client == pair.victim and call.index == pair.index and call.acknowledged
            for call in self._env.history.calls
        )

    def _is_second(self, task: Task) -> bool:
        return task.name == self._work.pair.intruder

    def _due_s(self, task: Task) -> float:
        if not self._arrived and self._is_second(task):
            return inf if self.accepted_s is None else max(self._now_s, self.accepted_s + self._work.delay_s)
        waits = task.timer_s if task.name == CLOCK_ROLE else task.point
        known = self._due.get(task)
        if known is None or known[0] != waits:
            known = self._due[task] = waits, self._now_s + self._duration_s(task)
        return known[1]

    def _duration_s(self, task: Task) -> float:
        if task.name == CLOCK_ROLE:
            return task.timer_s
        client = task.name.partition("/")[0].partition(".")[0]
        if client in self._work.load_clients and task.name == client and "/" not in task.point.label:
            return self._draws.exponential(client, "think", self._work.think_s)
        return self._draws.point(client, task.point.label)
