"""Timelines: one schedule, told step by step."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One step of a timeline.

    Attributes:
        step: index in the trace.
        task: the column it stands in.
        label: the point the task left.
        preempted: this row is a preemption: the task of the row before could have gone on.
        notes: facts that became visible here, for example ``accepted``.
        state: the lane of the files after this step, for example ``live m1 | A1 m1``.
        violating: the violation became certain here.
    """

    step: int
    task: str
    label: str
    preempted: bool = False
    notes: tuple[str, ...] = ()
    state: str = ""
    violating: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """One schedule, told step by step; ``replay`` is the line that runs it again."""

    title: str
    subtitle: str = ""
    tasks: tuple[str, ...] = ()
    rows: tuple[Row, ...] = ()
    violation: str = ""
    violating_step: int | None = None
    replay: str = ""
