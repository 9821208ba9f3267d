"""The outcome of one schedule."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from racewindow.errors import UsageError
from racewindow.kernel.task import DEFAULT, FORCED, FREE, PREEMPTION, UNASKED, Point
from racewindow.kernel.violation import Violation

Verdict = Literal["passed", "failed", "unknown"]
TimeMode = Literal["idle", "adversarial"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one schedule may use up; a bound that is hit makes its verdict ``unknown``.

    Attributes:
        max_steps: steps of one schedule.
        time: ``idle`` moves virtual time when nothing else can run; ``adversarial`` lets the next timer fire at any moment.
        timers_max: with ``adversarial``, how many timers may fire early in one schedule.
        step_limit_s: processor seconds that one step may take. A step that never gives up control is interrupted then; one that waits
            for something real, or is at work in a library written in C, is not.

    Raises:
        UsageError: for an unknown ``time``, or a bound below zero.
    """

    max_steps: int = 10_000
    time: TimeMode = "idle"
    timers_max: int = 2
    step_limit_s: float = 60.0

    def __post_init__(self) -> None:
        if self.time not in ("idle", "adversarial"):
            raise UsageError(f"time={self.time!r}: say 'idle' or 'adversarial'")
        if self.max_steps < 1:
            raise UsageError(f"max_steps={self.max_steps}: a schedule has at least one step")
        if not self.step_limit_s > 0:
            raise UsageError(f"step_limit_s={self.step_limit_s}: the limit must be positive; inf means none")
        if self.timers_max < 0:
            raise UsageError(
                f"timers_max={self.timers_max}: the bound cannot be negative; 0 means that no timer fires early"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One line of a trace.

    Attributes:
        index: position in the schedule, from 0.
        task: role of the task that took the step.
        label: the point it started from.
        reads, writes: declared and observed resources; None means that nobody declared them.
        preempted: another task could have gone on, and was held back for this one.
        choice: ``forced``, ``default``, ``free`` or ``preemption``.
        notes: remarks made during the step.
    """

    index: int
    task: str
    label: str
    reads: tuple[str, ...] | None
    writes: tuple[str, ...] | None
    preempted: bool
    choice: str
    notes: tuple[str, ...]

    def __str__(self) -> str:
        touches = []
        if self.reads:
            touches.append("reads " + ", ".join(self.reads))
        if self.writes:
            touches.append("writes " + ", ".join(self.writes))
        parts = [f"{self.index:4d} {'>' if self.preempted else ' '} {self.task:<16} {self.label}"]
        if touches:
            parts.append(f"[{'; '.join(touches)}]")
        parts += [f"<{note}>" for note in self.notes]
        return " ".join(parts)


_CHOICES = {FORCED: "forced", DEFAULT: "default", FREE: "free", PREEMPTION: "preemption", UNASKED: "forced"}


def _resources(declared: tuple[str, ...] | None, point: Point, *, write: bool) -> tuple[str, ...] | None:
    seen = tuple(name for name, is_write in point.seen.touched if is_write == write) if point.seen else ()
    if declared is None:
        return seen or None
    return declared + tuple(name for name in seen if name not in declared)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What one schedule did.

    Attributes:
        index: number of the schedule within its exploration.
        verdict: ``passed``, ``failed`` or ``unknown``.
        reason: why the verdict is ``unknown``, or how the schedule ended.
        violations: the broken invariants, the first one first.
        preemptions: how often a task that could have gone on was held back.
        points: the raw record of the steps, in order.
        result: what the subject returned.
    """

    index: int = 0
    verdict: Verdict
    reason: str = ""
    violations: tuple[Violation, ...] = ()
    preemptions: int = 0
    points: Sequence[Point] = ()
    result: Any = None

    @property
    def steps(self) -> int:
        """Number of steps."""
        return len(self.points)

    @property
    def violation(self) -> Violation | None:
        """The first broken invariant, if any."""
        return self.violations[0] if self.violations else None

    @property
    def trace(self) -> tuple[Step, ...]:
        """The steps as plain values."""
        return tuple(
            Step(
                index=index,
                task=point.task.name if point.task else "",
                label=point.label,
                reads=_resources(point.reads, point, write=False),
                writes=_resources(point.writes, point, write=True),
                preempted=point.choice == PREEMPTION,
                choice=_CHOICES[point.choice],
                notes=tuple(point.seen.notes) if point.seen else (),
            )
            for index, point in enumerate(self.points)
        )

    @property
    def fingerprint(self) -> str:
        """Eight hex digits over the roles and labels of all steps: equal schedules have equal fingerprints."""
        crc = 0
        for point in self.points:
            crc = zlib.crc32(f"{point.task.name if point.task else ''}:{point.label}\n".encode(), crc)
        return f"{crc:08x}"

    def __repr__(self) -> str:
        kind = f" {self.violation.kind}" if self.violation else ""
        return f"<Run {self.index} {self.verdict}{kind} steps={self.steps} preemptions={self.preemptions}>"
