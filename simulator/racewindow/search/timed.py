"""Timed: every point takes a while, and the order follows."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from math import isfinite

from racewindow.errors import UsageError
from racewindow.kernel.run import Run
from racewindow.kernel.task import Point, Task
from racewindow.search._checks import check_number
from racewindow.search.strategy import Account

Latency = Callable[[Point, random.Random], float]
"""Virtual seconds that a point takes, drawn with the generator given."""

_LEAST_S = 1e-9


@dataclass(frozen=True, slots=True)
class Timed:
    """Each point takes a duration drawn from a latency model; the step whose time is up first runs next.

    A task's time begins when it gets to a point, or when it can go on again. Timers keep the kernel's rules: with ``time="idle"`` they
    fire when nothing else can run; with ``time="adversarial"`` the next timer fires in its turn, up to the bound on early timers.

    Args:
        latency: mean in virtual seconds of an exponential distribution; or such a mean for each pattern of labels (``*`` and ``?`` are
            wild; the first that fits holds), as ``{"extract": 2.0, "*": 0.001}``; or a function of the point and a
            :class:`random.Random` that gives virtual seconds.

    Raises:
        UsageError: a mean is not positive; while it runs: no pattern fits a label, or the function gives no duration.
    """

    latency: float | Mapping[str, float] | Latency = 1.0

    def __post_init__(self) -> None:
        means = self.latency if isinstance(self.latency, Mapping) else {"latency": self.latency}
        for name, mean in means.items():
            if not callable(mean):
                check_number(name, mean, least=_LEAST_S, why="it is the mean of a duration in virtual seconds")

    name = "timed"
    exhaustive = False
    bound = ""

    def search(self, seed: int) -> TimedSearch:
        """A fresh search; schedule ``i`` depends on the seed and ``i`` only."""
        return TimedSearch(seed, _model(self.latency))


def _model(latency: float | Mapping[str, float] | Latency) -> Latency:
    if callable(latency):
        return latency
    if isinstance(latency, Mapping):
        means = dict(latency)
        return lambda point, rng: rng.expovariate(1.0 / _fitting(means, point.label))
    rate = 1.0 / latency
    return lambda point, rng: rng.expovariate(rate)


def _fitting(means: dict[str, float], label: str) -> float:
    for pattern, mean in means.items():
        if fnmatchcase(label, pattern):
            return mean
    raise UsageError(
        f"latency has no pattern that fits the point {label!r}; give a mean for all others: {{..., '*': 0.001}}"
    )


class TimedSearch:
    """Timed execution at work. Where only one task can run nobody else's time is running, so it need not be asked."""

    every_step = False

    def __init__(self, seed: int, latency: Latency) -> None:
        self._seed = seed
        self._latency = latency
        self._rng = random.Random()

    def begin(self, index: int) -> bool:
        self._rng.seed(f"{self._seed}:{index}")
        self._now_s = 0.0
        self._due: dict[Task, tuple[object, float]] = {}  # task: what it waits at, and when that is over
        return True

    def choose(self, enabled: list[Task], current: int) -> int:
        for task in enabled:
            waits = task.point if task.index >= 0 else task.timer_s
            due = self._due.get(task)
            if due is None or due[0] != waits:
                duration = self._drawn(task.point) if task.index >= 0 else task.timer_s
                self._due[task] = waits, self._now_s + duration
        chosen = min(range(len(enabled)), key=lambda index: self._due[enabled[index]][1])
        self._now_s = self._due.pop(enabled[chosen])[1]
        return chosen

    def _drawn(self, point: Point) -> float:
        duration = self._latency(point, self._rng)
        if not isinstance(duration, int | float) or not isfinite(duration) or duration < 0:
            raise UsageError(
                f"latency gave {duration!r} for the point {point.label!r}; it has to give virtual seconds, 0 or more"
            )
        return duration

    def end(self, run: Run) -> None:
        """Every schedule is drawn afresh."""

    def account(self) -> Account:
        return Account(independent_from=0)
