"""Run many schedules of a subject: explore and prove."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from racewindow.errors import UsageError
from racewindow.kernel.engine import Engine, Subject
from racewindow.kernel.hosts import Host, run_on
from racewindow.kernel.run import Limits, Run
from racewindow.kernel.token import token_of
from racewindow.search._exploration import Exploration, Found, SearchVerdict
from racewindow.search._reproduce import confirm_repeats
from racewindow.search._subject import identify
from racewindow.search.auto import Auto
from racewindow.search.bounded import Bounded
from racewindow.search.dpor import DPOR
from racewindow.search.drawn import Drawn
from racewindow.search.happens_before import happens_before_class
from racewindow.search.random_walk import RandomWalk
from racewindow.search.replay import Replay
from racewindow.search.strategy import Account, Accountable, Attached, Budgeted, Redundant, Search, Strategy

CLASSES_MAX = 1000
"""So many schedules of a sampler have their happens-before class noted: enough for an estimate, and no burden on long campaigns."""


def explore(
    subject: Subject,
    *,
    strategy: Strategy | None = None,
    schedules: int | None = 1000,
    seed: int = 0,
    host: Host = "trio",
    limits: Limits | None = None,
    time_limit_s: float | None = None,
    stop_at_first: bool = False,
    name: str = "",
    checksum: str = "",
    first: int = 0,
    on_run: Callable[[Run], None] | None = None,
) -> Exploration:
    """Run schedules of ``subject`` and count what breaks.

    Args:
        subject: async function that takes a :class:`~racewindow.World`.
        strategy: how to choose; default: random walk.
        schedules: how many at most; None: until the strategy has no more.
        seed: schedule ``i`` depends on ``(seed, i)`` only.
        host: ``trio``, ``asyncio`` or ``threads``, or :class:`Threads` with options. On ``threads`` the subject is synchronous.
        limits: what one schedule may use up.
        time_limit_s: wall-clock seconds after which no further schedule starts.
        stop_at_first: end with the first failing schedule.
        name: of the subject in tokens; default: the function's name.
        checksum: of the subject's definition in tokens; default: of its source text.
        first: number of the first schedule, so that a long campaign can be split; only for strategies that sample.
        on_run: called with each :class:`Run` when it ended, for progress and for experiments that need the trace.

    Raises:
        UsageError: for a subject that is not async, or a budget that makes no sense.
        ReplayDiverged: the subject does not repeat itself.
    """
    limits = limits or Limits()
    name, checksum = identify(subject, name, checksum, limits, host)
    strategy = strategy or RandomWalk()
    if schedules is None and not strategy.exhaustive and time_limit_s is None:
        raise UsageError(f"{strategy.name} never ends by itself: give schedules= or time_limit_s=")
    if schedules is not None and schedules < 1:
        raise UsageError(f"schedules={schedules}: at least one schedule has to run")
    if time_limit_s is not None and time_limit_s <= 0:
        raise UsageError(f"time_limit_s={time_limit_s}: the limit must be positive")
    if first and (first < 0 or not splits(strategy)):
        raise UsageError(f"first={first}: {strategy.name} goes through its schedules from 0 on")
    if isinstance(strategy, Budgeted):
        strategy = strategy.within(schedules)
    search = strategy.search(seed)
    found: list[Found] = []
    started = time.monotonic()
    state = {"complete": False, "interrupted": False, "confirmed": False}

    def drive(engine: Engine) -> None:
        index = first
        if isinstance(search, Attached):
            search.attach(engine)
        try:
            while schedules is None or index - first < schedules:
                if time_limit_s is not None and time.monotonic() - started > time_limit_s:
                    return
                if not search.begin(index):
                    state["complete"] = True
                    return
                try:
                    run = engine.execute(subject, search, limits)
                except Redundant:
                    continue
                search.end(run)
                stuck = bool(
                    engine.stuck
                )  # how long a step takes is no property of a schedule, and the next would take as long
                to_confirm = not stuck and (index == first or (run.verdict == "failed" and not state["confirmed"]))
                token = (
                    token_of(run, subject=name, checksum=checksum) if to_confirm or run.verdict != "passed" else None
                )
                found.append(
                    Found(
                        index=index,
                        verdict=run.verdict,
                        violations=run.violations,
                        steps=run.steps,
                        preemptions=run.preemptions,
                        token="" if token is None or run.verdict == "passed" else str(token),
                        reason=run.reason,
                        happens_before=(
                            happens_before_class(run.points)
                            if index - first < CLASSES_MAX and not strategy.exhaustive
                            else ""
                        ),
                    )
                )
                if on_run is not None:
                    on_run(run)
                if to_confirm and token is not None:
                    state["confirmed"] = run.verdict == "failed"
                    confirm_repeats(engine, subject, run, token, limits)
                index += 1
                if stuck or (stop_at_first and run.verdict == "failed"):
                    return
            state["complete"] = bool(_account(strategy, search).exhaustive) and not search.begin(index)
        except KeyboardInterrupt:
            state["interrupted"] = True

    try:
        run_on(host, drive)
    except KeyboardInterrupt:  # it can also strike between two schedules, or while the host shuts down
        state["interrupted"] = True
    failures = sum(one.verdict == "failed" for one in found)
    unknown = next((one for one in found if one.verdict == "unknown"), None)
    account = _account(strategy, search)
    reduction = account.reduction
    complete = state["complete"] and bool(account.exhaustive)
    reason = ""
    verdict: SearchVerdict
    if failures:
        verdict = "failed"
    elif unknown is not None:
        verdict, reason = "unknown", f"schedule {unknown.index}: {unknown.reason}"
    elif complete:
        verdict = "proved"
    elif account.exhaustive or not found:
        verdict = "unknown"
        reason = (
            "interrupted"
            if state["interrupted"]
            else f"the budget ended after {len(found)} schedules, before the search did"
        )
    else:
        verdict = "passed"
    return Exploration(
        subject=name,
        strategy=strategy.name,
        bound=_bound(account, limits),
        seed=seed,
        verdict=verdict,
        reason=reason,
        schedules=len(found),
        failures=failures,
        unknowns=sum(one.verdict == "unknown" for one in found),
        complete=complete,
        interrupted=state["interrupted"],
        classes=reduction.classes if reduction else None,
        blocked=reduction.blocked if reduction else 0,
        interleavings=reduction.interleavings if reduction else None,
        footprints=reduction.footprints if reduction else "",
        first=next((one for one in found if one.verdict == "failed"), None),
        notes=account.notes,
        sampled_from=account.sampled_from,
        independent_from=account.independent_from,
        found=tuple(found),
        seconds=time.monotonic() - started,
    )


def splits(strategy: Strategy) -> bool:
    """Whether the strategy can begin with any schedule: it draws each for itself, or learns from those before what costs no more to
    learn anew."""
    return not (strategy.exhaustive or isinstance(strategy, (Auto, Drawn, Replay)))


def _account(strategy: Strategy, search: Search) -> Account:
    """What the search says of itself, and its strategy where it says nothing."""
    account = (
        search.account()
        if isinstance(search, Accountable)
        else Account(sampled_from=None if strategy.exhaustive else 0)
    )
    if account.exhaustive is None:
        return replace(account, exhaustive=strategy.exhaustive, bound=strategy.bound)
    return account


def _bound(account: Account, limits: Limits) -> str:
    """All that bounds an exhaustive search; early timers have a bound of their own."""
    timers = f"early timers<={limits.timers_max}" if limits.time == "adversarial" and account.exhaustive else ""
    return ", ".join(part for part in (account.bound, timers) if part)


def prove(
    subject: Subject,
    *,
    preemptions: int | None = None,
    max_executions: int | None = 1_000_000,
    time_limit_s: float | None = None,
    host: Host = "trio",
    limits: Limits | None = None,
    stop_at_first: bool = True,
    name: str = "",
    checksum: str = "",
    on_run: Callable[[Run], None] | None = None,
) -> Exploration:
    """Show that no schedule of ``subject`` within the bounds fails, or find one that does.

    Args:
        subject: async function that takes a :class:`~racewindow.World`.
        preemptions: bound on preemptions, within which every schedule is run. None: no bound; of schedules that differ only in the order
            of independent steps, one is run (:class:`DPOR`).
        max_executions, time_limit_s: give up (verdict ``unknown``) beyond.
        stop_at_first: end with the first failing schedule.

    The other arguments are those of :func:`explore`.
    """
    return explore(
        subject,
        strategy=DPOR() if preemptions is None else Bounded(preemptions),
        schedules=max_executions,
        time_limit_s=time_limit_s,
        host=host,
        limits=limits,
        stop_at_first=stop_at_first,
        name=name,
        checksum=checksum,
        on_run=on_run,
    )
