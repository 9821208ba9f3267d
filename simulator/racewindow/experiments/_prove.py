"""Prove: run every schedule of a case within a bound on preemptions, smallest bound first; or without a bound, by reduction."""

from __future__ import annotations

import time
from dataclasses import replace

from racewindow.errors import UsageError
from racewindow.experiments._case_result import CaseResult, explore_case
from racewindow.search.bounded import Bounded
from racewindow.search.dpor import DPOR
from racewindow.sessions.case import Case


def prove(
    case: Case,
    *,
    preemptions: int | None = 2,
    max_executions: int = 100_000,
    time_limit_s: float | None = None,
    stop_at_first: bool = True,
) -> CaseResult:
    """Run every schedule of ``case`` with at most 0, then 1, ... then ``preemptions`` preemptions.

    Because the bound grows, the first failing schedule is one with the fewest preemptions that fail at all. When the budget ends within
    a bound, the result is that of the bound before, which is stated; a proof is never claimed for more than was run.

    Args:
        case: implementation, scenario and granularity.
        preemptions: the largest bound to try. None: no bound at all, and of schedules that differ only in the order of independent steps
            one (:class:`~racewindow.DPOR`); a failing schedule is then not one with the fewest preemptions.
        max_executions: schedules of one bound at most.
        time_limit_s: wall-clock seconds for all bounds together.
        stop_at_first: end with the first failing schedule.

    Returns:
        verdict ``proved`` (within ``bound``; ``reason`` says why the bound is no larger), ``failed``, or ``unknown`` with the reason.

    Raises:
        UsageError: for a negative bound.
    """
    if preemptions is None:
        return explore_case(
            case,
            DPOR(),
            schedules=max_executions,
            seed=0,
            time_limit_s=time_limit_s,
            stop_at_first=stop_at_first,
        )
    if preemptions < 0:
        raise UsageError(
            f"preemptions={preemptions}: the bound cannot be negative; 0 means run-to-block schedules only"
        )
    started = time.monotonic()
    proved: CaseResult | None = None
    before: int | None = None
    for bound in range(preemptions + 1):
        if proved is not None:
            # As measured: a further preemption multiplies the schedules by half of what the last one did, or by more.
            expected = proved.schedules * proved.schedules // (2 * before) if before else 0
            if expected > max_executions:
                told = f"preemptions<={bound} not begun: about {expected}"
                return replace(proved, seconds=time.monotonic() - started, reason=proved.reason or told)
            before = proved.schedules
        left = None if time_limit_s is None else time_limit_s - (time.monotonic() - started)
        if left is not None and left <= 0:
            if proved is not None:
                told = f"preemptions<={bound} not begun: the time was up"
                return replace(proved, seconds=time.monotonic() - started, reason=proved.reason or told)
            left = 1e-9  # too short for a schedule, which the search itself will say
        result = explore_case(
            case,
            Bounded(bound),
            schedules=max_executions,
            seed=0,
            time_limit_s=left,
            stop_at_first=stop_at_first,
        )
        if result.verdict == "failed" or result.verdict == "not-applicable":
            return replace(result, seconds=time.monotonic() - started)
        if not result.complete:
            if proved is None:
                return result
            return replace(
                proved,
                seconds=time.monotonic() - started,
                interrupted=result.interrupted,
                reason=proved.reason or f"{result.bound} cut off at {result.schedules}",
            )
        proved = result
    assert proved is not None
    return replace(proved, seconds=time.monotonic() - started)
