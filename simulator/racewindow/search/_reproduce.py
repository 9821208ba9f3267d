"""Run one schedule again: replay a token, and confirm that a subject repeats itself."""

from __future__ import annotations

from racewindow.errors import ReplayDiverged, UsageError
from racewindow.kernel.engine import Engine, Subject
from racewindow.kernel.hosts import Host, run_on
from racewindow.kernel.run import Limits, Run
from racewindow.kernel.token import Token, outcome_of
from racewindow.search._subject import identify
from racewindow.search._suspects import likely_cause
from racewindow.search.replay import Replay


def replay(
    subject: Subject,
    token: str | Token,
    *,
    strict: bool = True,
    host: Host = "trio",
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
    limits = limits or Limits()
    name, checksum = identify(subject, name, checksum, limits, host)
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
        f"time. {likely_cause(subject, engine.host)}"
    )


def _end(run: Run) -> str:
    kinds = ", ".join(violation.kind for violation in run.violations)
    return f"the end with {kinds or 'no violation'}"
