"""Budgets by name, for people who do not want to choose numbers: ``dev`` at the desk, ``ci`` for each change, ``nightly``."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from racewindow.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A budget.

    Attributes:
        test_schedules: schedules of one test in pytest.
        schedules: of one case with one strategy on the command line; None: as many as there is time for.
        strategies: that sample each case there.
        preemptions, max_executions: of the proof that each case gets first.
        time_limit_s: wall-clock seconds of the whole command.
    """

    test_schedules: int
    schedules: int | None
    strategies: tuple[str, ...]
    preemptions: int
    max_executions: int
    time_limit_s: float


PROFILES = {
    "dev": Profile(
        test_schedules=1000,
        schedules=100,
        strategies=("random-walk",),
        preemptions=1,
        max_executions=250,
        time_limit_s=30.0,
    ),
    "ci": Profile(
        test_schedules=2000,
        schedules=200,
        strategies=("random-walk", "pct"),
        preemptions=2,
        max_executions=250,
        time_limit_s=100.0,
    ),
    "nightly": Profile(
        test_schedules=50_000,
        schedules=None,
        strategies=("random-walk", "burst", "pct", "pos", "urw"),
        preemptions=2,
        max_executions=20_000,
        time_limit_s=3600.0,
    ),
}


def profile_named(name: str) -> Profile:
    """The profile of that name.

    Raises:
        UsageError: there is none.
    """
    if name not in PROFILES:
        near = difflib.get_close_matches(name, PROFILES, n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise UsageError(f"unknown profile {name!r}{hint}: use {', '.join(PROFILES)}")
    return PROFILES[name]
