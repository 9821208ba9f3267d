"""Replay: follow a recorded schedule, segment by segment."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from racewindow.errors import ReplayDiverged
from racewindow.kernel.run import Run
from racewindow.kernel.task import CLOCK_ROLE, Task
from racewindow.kernel.token import Segment
from racewindow.search.strategy import Account

_CAUSES = (
    "Usual causes: the code under test or its points changed since the token was made; or something outside the kernel's control "
    "decides (wall-clock time, random numbers, the order of a set, a thread)"
)


@dataclass(frozen=True, slots=True)
class Replay:
    """Follow ``segments``, then the default order.

    Args:
        segments: the schedule of a token.
        strict: stop at the first divergence; otherwise skip what cannot be followed and go on.
    """

    segments: tuple[Segment, ...]
    strict: bool = True

    name = "replay"
    exhaustive = False
    bound = ""

    def search(self, seed: int) -> ReplaySearch:
        """A fresh replay; the seed changes nothing."""
        return ReplaySearch(self.segments, self.strict)


class ReplaySearch:
    """A replay at work. It is asked at every step, because it has to count where each task stood.

    Raises:
        ReplayDiverged: in a strict replay, when the subject leaves the recorded path.
    """

    every_step = True

    def __init__(self, segments: tuple[Segment, ...], strict: bool) -> None:
        self._segments = segments
        self._strict = strict
        self._runs = 0

    def begin(self, index: int) -> bool:
        self._runs += 1
        self._next = 0
        self._started = False
        self._step = 0
        self._stood: Counter[tuple[str, str]] = Counter()
        return self._runs == 1

    def choose(self, enabled: list[Task], current: int) -> int:
        chosen = self._follow(enabled, current)
        if chosen is None:
            chosen = max(current, 0)
        task = enabled[chosen]
        self._stood[task.name, task.point.label] += 1
        self._step += 1
        return chosen

    def _follow(self, enabled: list[Task], current: int) -> int | None:
        while self._next < len(self._segments):
            segment = self._segments[self._next]
            if not self._started:
                place = next((index for index, task in enumerate(enabled) if task.name == segment.role), None)
                if place is not None:
                    self._started = segment.role != CLOCK_ROLE  # a timer fires once, then the next segment begins
                    self._next += not self._started
                    return place
                self._diverge(f"{segment.role} to run", enabled)
            elif current >= 0 and not self._arrived(segment, enabled[current]):
                return current
            elif current < 0 and segment.label:
                self._diverge(f"{segment.role} to get to {segment.label}", enabled)
            self._next += 1
            self._started = False
        return None

    def _arrived(self, segment: Segment, task: Task) -> bool:
        label = segment.label
        return bool(label) and task.point.label == label and self._stood[task.name, label] + 1 == segment.occurrence

    def _diverge(self, expected: str, enabled: list[Task]) -> None:
        if self._strict:
            runnable = ", ".join(f"{task.name} at {task.point.label}" for task in enabled)
            raise ReplayDiverged(
                f"at choice {self._step} the token expects {expected}, but runnable are: {runnable}. {_CAUSES}"
            )

    def end(self, run: Run) -> None:
        """One schedule, nothing to learn."""

    def account(self) -> Account:
        return Account(sampled_from=None)
