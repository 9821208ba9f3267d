"""Fuzz: sample schedules of a case."""

from __future__ import annotations

from racewindow.experiments._case_result import CaseResult, explore_case
from racewindow.search import RandomWalk, Strategy, strategy_named
from racewindow.sessions.case import Case


def fuzz(
    case: Case,
    *,
    strategy: Strategy | str | None = None,
    schedules: int | None = 1000,
    seed: int = 0,
    time_limit_s: float | None = None,
    stop_at_first: bool = False,
) -> CaseResult:
    """Sample schedules of ``case``.

    Args:
        case: implementation, scenario and granularity.
        strategy: how to choose, as a value or by name (``pct:depth=2``); default: random walk.
        schedules: how many at most; None: until ``time_limit_s``.
        seed: the same seed makes the same schedules; without a strategy that learns, schedule ``i`` depends on ``(seed, i)`` only.
        time_limit_s: wall-clock seconds.
        stop_at_first: end with the first failing schedule.

    Returns:
        verdict ``passed`` or ``failed``; ``proved`` where the strategy ran every schedule there is; ``unknown`` where a limit was hit
        or a goal of the scenario never happened.

    Raises:
        UsageError: the strategy's name or the budget makes no sense.
    """
    if isinstance(strategy, str):
        strategy = strategy_named(strategy)
    return explore_case(
        case,
        strategy or RandomWalk(),
        schedules=schedules,
        seed=seed,
        time_limit_s=time_limit_s,
        stop_at_first=stop_at_first,
    )
