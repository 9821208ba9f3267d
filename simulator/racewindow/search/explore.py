"""Run many schedules of a subject: explore, prove, replay."""

from __future__ import annotations

import inspect
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from racewindow.errors import ReplayDiverged, UsageError
from racewindow.kernel.engine import Engine, Subject, function_name
from racewindow.kernel.hosts import run_on
from racewindow.kernel.run import Limits, Run
from racewindow.kernel.token import Token, outcome_of, token_of
from racewindow.kernel.violation import Violation
from racewindow.search.bounded import Bounded
from racewindow.search.random_walk import RandomWalk
from racewindow.search.replay import Replay
from racewindow.search.strategy import Strategy

if TYPE_CHECKING:
    import pandas as pd

SearchVerdict = Literal["proved", "passed", "failed", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One schedule of an exploration, in brief.

    Attributes:
        index: number of the schedule.
        verdict: ``passed``, ``failed`` or ``unknown``.
        violations: the broken invariants.
        steps, preemptions: size of the schedule.
        token: replays it; empty for schedules that passed.
        reason: why it is ``unknown``.
    """

    index: int
    verdict: str
    violations: tuple[Violation, ...]
    steps: int
    preemptions: int
    token: str
    reason: str

    @property
    def violation(self) -> Violation | None:
        """The first broken invariant, if any."""
        return self.violations[0] if self.violations else None

    def __repr__(self) -> str:
        kind = f" {self.violation.kind}" if self.violation else ""
        return f"<Found {self.index} {self.verdict}{kind} steps={self.steps} preemptions={self.preemptions}>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exploration:
    """What the schedules of one exploration did.

    Attributes:
        subject: its name.
        strategy, bound, seed: how schedules were chosen.
        verdict: ``proved`` (every schedule within the bound), ``passed``, ``failed`` or ``unknown``.
        reason: why it is ``unknown``, else empty.
        schedules, failures, unknowns: counts.
        complete: whether every schedule within the bound was run.
        interrupted: whether the user stopped it.
        first: the first failing schedule.
        found: all schedules in brief, in order.
        seconds: wall-clock time taken.
    """

    subject: str
    strategy: str
    bound: str
    seed: int
    verdict: SearchVerdict
    reason: str
    schedules: int
    failures: int
    unknowns: int
    complete: bool
    interrupted: bool
    first: Found | None
    found: tuple[Found, ...] = field(repr=False)
    seconds: float = field(repr=False)

    @property
    def executions(self) -> int:
        """Number of schedules, by the name proofs use."""
        return self.schedules

    @property
    def runs(self) -> pd.DataFrame:
        """One row per schedule; see :data:`racewindow.frames.RUNS` for the columns."""
        from racewindow.frames import runs_frame

        return runs_frame(
            {
                "schedule": found.index,
                "verdict": found.verdict,
                "violation": "+".join(dict.fromkeys(violation.kind for violation in found.violations)),
                "messages": " ".join(dict.fromkeys(m for violation in found.violations for m in violation.messages)),
                "steps": found.steps,
                "preemptions": found.preemptions,
                "token": found.token,
            }
            for found in self.found
        )

    def __repr__(self) -> str:
        bound = f" {self.bound}" if self.bound else ""
        return (
            f"<Exploration {self.subject} {self.verdict} {self.strategy}{bound} "
            f"schedules={self.schedules} failures={self.failures} seed={self.seed}>"
        )


def subject_checksum(name: str, definition: str, limits: Limits) -> str:
    """Eight hex digits over what a token depends on besides the schedule."""
    return f"{zlib.crc32(f'{name}|{definition}|{limits.time}|{limits.timers_max}'.encode()):08x}"


def _definition(subject: Subject) -> str:
    """The subject's own text, so that a token of a changed subject is known as such; its name where there is no source."""
    try:
        return inspect.getsource(subject)
    except (OSError, TypeError):
        return function_name(subject)


def _check_subject(subject: Any) -> None:
    function = subject
    while isinstance(function, partial):
        function = function.func
    if not inspect.isroutine(function):
        function = type(function).__call__ if callable(function) else None
    if not inspect.iscoroutinefunction(function):
        raise UsageError(
            f"the subject must be an async function that takes a world, not {subject!r}; write 'async def subject(world): ...' "
            "and pass the function itself (a session case goes to racewindow.experiments)"
        )


def explore(
    subject: Subject,
    *,
    strategy: Strategy | None = None,
    schedules: int | None = 1000,
    seed: int = 0,
    host: str = "trio",
    limits: Limits | None = None,
    time_limit_s: float | None = None,
    stop_at_first: bool = False,
    name: str = "",
    checksum: str = "",
    on_run: Callable[[Run], None] | None = None,
) -> Exploration:
    """Run schedules of ``subject`` and count what breaks.

    Args:
        subject: async function that takes a :class:`~racewindow.World`.
        strategy: how to choose; default: random walk.
        schedules: how many at most; None: until the strategy has no more.
        seed: schedule ``i`` depends on ``(seed, i)`` only.
        host: ``trio`` or ``asyncio``.
        limits: what one schedule may use up.
        time_limit_s: wall-clock seconds after which no further schedule starts.
        stop_at_first: end with the first failing schedule.
        name: of the subject in tokens; default: the function's name.
        checksum: of the subject's definition in tokens; default: of its source text.
        on_run: called with each :class:`Run` when it ended, for progress and for experiments that need the trace.

    Raises:
        UsageError: for a subject that is not async, or a budget that makes no sense.
        ReplayDiverged: the subject does not repeat itself.
    """
    _check_subject(subject)
    strategy = strategy or RandomWalk()
    if schedules is None and not strategy.exhaustive and time_limit_s is None:
        raise UsageError(f"{strategy.name} never ends by itself: give schedules= or time_limit_s=")
    if schedules is not None and schedules < 1:
        raise UsageError(f"schedules={schedules}: at least one schedule has to run")
    if time_limit_s is not None and time_limit_s <= 0:
        raise UsageError(f"time_limit_s={time_limit_s}: the limit must be positive")
    limits = limits or Limits()
    name = name or function_name(subject)
    checksum = checksum or subject_checksum(name, _definition(subject), limits)
    search = strategy.search(seed)
    found: list[Found] = []
    started = time.monotonic()
    state = {"complete": False, "interrupted": False, "confirmed": False}

    def drive(engine: Engine) -> None:
        index = 0
        try:
            while schedules is None or index < schedules:
                if time_limit_s is not None and time.monotonic() - started > time_limit_s:
                    return
                if not search.begin(index):
                    state["complete"] = True
                    return
                run = engine.execute(subject, search, limits)
                search.end(run)
                token = "" if run.verdict == "passed" else str(token_of(run, subject=name, checksum=checksum))
                if index == 0 or (run.verdict == "failed" and not state["confirmed"]):
                    state["confirmed"] = run.verdict == "failed"
                    confirm_repeats(engine, subject, run, token_of(run, subject=name, checksum=checksum), limits)
                found.append(
                    Found(
                        index=index,
                        verdict=run.verdict,
                        violations=run.violations,
                        steps=run.steps,
                        preemptions=run.preemptions,
                        token=token,
                        reason=run.reason,
                    )
                )
                if on_run is not None:
                    on_run(run)
                index += 1
                if stop_at_first and run.verdict == "failed":
                    return
            state["complete"] = strategy.exhaustive and not search.begin(index)
        except KeyboardInterrupt:
            state["interrupted"] = True

    try:
        run_on(host, drive)
    except KeyboardInterrupt:  # it can also strike between two schedules, or while the host shuts down
        state["interrupted"] = True
    failures = sum(one.verdict == "failed" for one in found)
    unknown = next((one for one in found if one.verdict == "unknown"), None)
    complete = state["complete"] and strategy.exhaustive
    reason = ""
    verdict: SearchVerdict
    if failures:
        verdict = "failed"
    elif unknown is not None:
        verdict, reason = "unknown", f"schedule {unknown.index}: {unknown.reason}"
    elif complete:
        verdict = "proved"
    elif strategy.exhaustive or not found:
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
        bound=strategy.bound,
        seed=seed,
        verdict=verdict,
        reason=reason,
        schedules=len(found),
        failures=failures,
        unknowns=sum(one.verdict == "unknown" for one in found),
        complete=complete,
        interrupted=state["interrupted"],
        first=next((one for one in found if one.verdict == "failed"), None),
        found=tuple(found),
        seconds=time.monotonic() - started,
    )


def prove(
    subject: Subject,
    *,
    preemptions: int | None = None,
    max_executions: int | None = 1_000_000,
    time_limit_s: float | None = None,
    host: str = "trio",
    limits: Limits | None = None,
    stop_at_first: bool = True,
    name: str = "",
    checksum: str = "",
    on_run: Callable[[Run], None] | None = None,
) -> Exploration:
    """Run every schedule of ``subject`` within the bounds.

    Args:
        subject: async function that takes a :class:`~racewindow.World`.
        preemptions: bound on preemptions; None: every schedule there is.
        max_executions, time_limit_s: give up (verdict ``unknown``) beyond.
        stop_at_first: end with the first failing schedule.

    The other arguments are those of :func:`explore`.
    """
    return explore(
        subject,
        strategy=Bounded(preemptions),
        schedules=max_executions,
        time_limit_s=time_limit_s,
        host=host,
        limits=limits,
        stop_at_first=stop_at_first,
        name=name,
        checksum=checksum,
        on_run=on_run,
    )


def replay(
    subject: Subject,
    token: str | Token,
    *,
    strict: bool = True,
    host: str = "trio",
    limits: Limits | None = None,
    name: str = "",
    checksum: str = "",
) -> Run:
    """Run the one schedule that ``token`` describes.

    Args:
        subject: the subject that the token was made with.
        token: the token, or its text.
        strict: raise at the first divergence; otherwise follow the token as far as it goes.

    Raises:
        UsageError: the text is no token, was altered, or belongs to another subject.
        ReplayDiverged: the subject left the recorded path, or changed since.
    """
    _check_subject(subject)
    limits = limits or Limits()
    name = name or function_name(subject)
    checksum = checksum or subject_checksum(name, _definition(subject), limits)
    token = check_token(token, name=name, checksum=checksum, strict=strict)
    search = Replay(token.segments, strict).search(0)
    search.begin(0)
    run = run_on(host, lambda engine: engine.execute(subject, search, limits))
    replayed(run, token, strict=strict)
    return run


def check_token(token: str | Token, *, name: str, checksum: str, strict: bool) -> Token:
    """Parse a token and make sure that it belongs to the subject at hand.

    Raises:
        UsageError: the text is no token, was altered, or belongs to another subject.
        ReplayDiverged: the subject changed since, and the replay is to be strict.
    """
    token = Token.parse(token) if isinstance(token, str) else token
    if token.subject != name:
        raise UsageError(
            f"the token belongs to the subject {token.subject!r}, not to {name!r}; replay it with that one"
        )
    if token.checksum != checksum and strict:
        raise ReplayDiverged(
            f"{name} (or its granularity or limits) changed since the token was made: its checksum was {token.checksum} and is "
            f"{checksum}. Use the version the token came from, or replay it with strict=False (--best-effort) to follow it as far "
            "as it goes"
        )
    return token


def replayed(run: Run, token: Token, *, strict: bool) -> None:
    """Make sure that a strict replay came out where the token says.

    Raises:
        ReplayDiverged: it did not.
    """
    if strict and (run.steps, outcome_of(run)) != (token.steps, token.fingerprint):
        found = ", ".join(violation.kind for violation in run.violations) or "no violation"
        raise ReplayDiverged(
            f"{token.subject} followed the token's schedule but not its path: {run.steps} steps with {found} and fingerprint "
            f"{outcome_of(run)} instead of {token.steps} with {token.fingerprint}. Usual causes: the code between two points "
            "changed, or something outside the kernel's control decides (wall-clock time, random numbers, the order of a set, a thread)"
        )


def confirm_repeats(engine: Engine, subject: Subject, run: Run, token: Token, limits: Limits) -> None:
    """Replay a schedule at once, the first one and the first that fails: what does not repeat is no verdict.

    Raises:
        ReplayDiverged: with the first step that differs.
    """
    search = Replay(token.segments, strict=False).search(0)
    search.begin(0)
    again = engine.execute(subject, search, limits)
    before = [(point.task.name if point.task else "", point.label) for point in run.points]
    after = [(point.task.name if point.task else "", point.label) for point in again.points]
    if before == after and outcome_of(run) == outcome_of(again):
        return
    step = next(
        (i for i, (one, two) in enumerate(zip(before, after, strict=False)) if one != two), min(len(before), len(after))
    )
    first = " at ".join(before[step]) if step < len(before) else _end(run)
    second = " at ".join(after[step]) if step < len(after) else _end(again)
    raise ReplayDiverged(
        f"the subject does not repeat itself: the same schedule came to {first} at step {step} first, and to {second} the second "
        f"time. Usual causes: wall-clock time, random numbers, the order of a set, state that survives from one schedule to the "
        "next, or a thread outside the kernel's control"
    )


def _end(run: Run) -> str:
    kinds = ", ".join(violation.kind for violation in run.violations)
    return f"the end with {kinds or 'no violation'}"
