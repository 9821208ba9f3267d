"""Shrink a failing schedule to the simplest one that fails in the same way; :mod:`racewindow.search._simplicity` says what that is.

Two ways, one after the other. First the schedule that was found is thinned out: stretches of it are left away, and tasks that were
held back are let run, as long as it still fails (after Zeller and Hildebrandt, "Simplifying and isolating failure-inducing input",
IEEE TSE 2002). Then all schedules with no preemption are run, with one, and so on, up to as many as are left. Where nothing failed with
fewer preemptions and none was left out, the minimum is *certified*.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from racewindow.errors import UsageError
from racewindow.kernel.engine import Engine, Subject
from racewindow.kernel.hosts import Host, run_on
from racewindow.kernel.run import Limits, Run
from racewindow.kernel.token import Segment, Token, token_of
from racewindow.kernel.violation import Violation
from racewindow.search._checks import check_whole
from racewindow.search._exploration import Found
from racewindow.search._reproduce import check_token, replayed
from racewindow.search._simplicity import Simplicity, simplicity
from racewindow.search._subject import identify
from racewindow.search.bounded import Bounded
from racewindow.search.replay import Replay
from racewindow.search.strategy import Search

EXECUTIONS = 2_000
"""Schedules that one shrinking may run where nothing else is said: a few seconds."""

_POLISH = 300
"""So many of them may look for a simpler schedule with no fewer preemptions; that one is a matter of taste."""

Fingerprints = Callable[[Run], Sequence[Hashable]]
"""What each violation of a run is known by, in the order of the violations."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shrunk:
    """The simplest schedule that was found to fail in the same way.

    Attributes:
        subject: its name.
        raw: the token of the failure as it was given.
        token: the token of the simplest one.
        fingerprint: what both have in common.
        violations: what the simplest one is found guilty of.
        simplicity: how simple it is.
        executions: schedules run to find it.
        certified: every schedule with fewer preemptions was run, and none failed in this way.
        reason: why it is not certified; empty when it is.
    """

    subject: str
    raw: str = field(repr=False)
    token: str
    fingerprint: Hashable = field(repr=False)
    violations: tuple[Violation, ...] = field(repr=False)
    simplicity: Simplicity
    executions: int
    certified: bool
    reason: str = ""

    @property
    def preemptions(self) -> int:
        """Of the simplest schedule."""
        return self.simplicity.preemptions

    @property
    def steps(self) -> int:
        """Of the simplest schedule."""
        return self.simplicity.steps

    @property
    def says(self) -> str:
        """One line for a person: the size, and whether it is known to be the smallest."""
        preemptions = f"{self.preemptions} preemption{'' if self.preemptions == 1 else 's'}"
        sure = "no schedule with fewer fails in this way" if self.certified else f"not certified: {self.reason}"
        return f"{preemptions}, {self.steps} steps; {sure}"

    def __repr__(self) -> str:
        sure = " certified" if self.certified else ""
        return f"<{type(self).__name__} {self.subject} preemptions={self.preemptions} steps={self.steps}{sure} {self.token}>"


def shrink(
    subject: Subject,
    failure: str | Token | Found,
    *,
    max_executions: int = EXECUTIONS,
    host: Host = "trio",
    limits: Limits | None = None,
    name: str = "",
    checksum: str = "",
) -> Shrunk:
    """Find the simplest schedule of ``subject`` that fails as ``failure`` does: with the first violation's kind and messages.

    Args:
        subject: async function that takes a :class:`~racewindow.World`.
        failure: a failing schedule: its token, or what an exploration found.
        max_executions: schedules to run at most.
        host, limits, name, checksum: as for :func:`~racewindow.explore`.

    Raises:
        UsageError: the budget makes no sense, the token belongs to another subject, or its schedule does not fail.
        ReplayDiverged: the subject does not follow the token, or does not repeat itself.
    """
    limits = limits or Limits()
    name, checksum = identify(subject, name, checksum, limits, host)
    token = token_to_shrink(failure, name=name, checksum=checksum)

    def drive(engine: Engine) -> Shrunk:
        shrinker = Shrinker(engine, kinds, limits, max_executions)
        run = shrinker.begin(subject, token)
        run, reason = shrinker.simplest(subject, run)
        return Shrunk(
            subject=name,
            raw=str(token),
            token=str(token_of(run, subject=name, checksum=checksum)),
            fingerprint=shrinker.wanted,
            violations=run.violations,
            simplicity=simplicity(run),
            executions=shrinker.executions,
            certified=not reason,
            reason=reason,
        )

    return run_on(host, drive)


def kinds(run: Run) -> Sequence[Hashable]:
    """What violations of any subject are known by: their kind, and whom they concern."""
    return [(violation.kind, violation.messages) for violation in run.violations]


def token_to_shrink(failure: str | Token | Found, *, name: str, checksum: str) -> Token:
    """The token of a failure.

    Raises:
        UsageError: it belongs to another subject, or there was no failure.
        ReplayDiverged: the subject changed since.
    """
    text = failure.token if isinstance(failure, Found) else failure
    if not text:
        raise UsageError("there is nothing to shrink: that schedule has passed; give a failing one, or its token")
    return check_token(text, name=name, checksum=checksum, strict=True)


class Shrinker:
    """Shrinking at work: runs schedules within a budget, and knows the failure it is after.

    Args:
        engine: runs the schedules.
        fingerprints: tells one bug from another.
        limits: of each schedule.
        max_executions: the budget.

    Raises:
        UsageError: the budget is not positive.
    """

    def __init__(self, engine: Engine, fingerprints: Fingerprints, limits: Limits, max_executions: int) -> None:
        check_whole("max_executions", max_executions, least=1, why="the failure itself has to run once")
        self._engine = engine
        self._fingerprints = fingerprints
        self._limits = limits
        self._max_executions = max_executions
        self.executions = 0
        self.wanted: Hashable = None

    @property
    def left(self) -> int:
        """Schedules that may still be run."""
        return self._max_executions - self.executions

    def begin(self, subject: Subject, token: Token) -> Run:
        """Run the failure as it was found, and remember its first violation as the one to keep.

        Raises:
            UsageError: the schedule does not fail.
            ReplayDiverged: the subject does not follow it.
        """
        run = self._run(subject, Replay(token.segments).search(0))
        replayed(run, token, strict=True)
        if not run.violations:
            raise UsageError(
                f"there is nothing to shrink: the token's schedule of {token.subject} did not fail, its verdict is {run.verdict}"
            )
        self.wanted = self._fingerprints(run)[0]
        return run

    def fails(self, run: Run) -> bool:
        """Whether a run has the violation that is to be kept."""
        return bool(run.violations) and self.wanted in self._fingerprints(run)

    def follow(self, subject: Subject, segments: Sequence[Segment]) -> Run | None:
        """The run that follows the segments as far as it goes, if it fails; None also when the budget is spent."""
        if self.left < 1:
            return None
        run = self._run(subject, Replay(tuple(segments), strict=False).search(0))
        return run if self.fails(run) else None

    def first_within(self, subject: Subject, preemptions: int, *, at_most: int) -> Run | None:
        """The first failing schedule with so many preemptions among the ``at_most`` that are tried."""
        return next((run for run in self._every(subject, preemptions, at_most=at_most) if self.fails(run)), None)

    def simplest(self, subject: Subject, run: Run) -> tuple[Run, str]:
        """The simplest failing schedule that can be found from ``run`` on.

        Returns:
            its run, and why it is not certified; empty: no schedule with fewer preemptions fails.
        """
        best = self._thin(subject, run)
        for bound in range(best.preemptions + 1):
            before = self.executions
            at_most = self.left if bound < best.preemptions else _POLISH
            for other in self._every(subject, bound, at_most=at_most):
                if self.fails(other) and simplicity(other) < simplicity(best):
                    best = other
            if best.preemptions <= bound:
                break  # none with fewer failed, and this was the look for the simplest of those with as many
            if not self.left:
                done = f"the budget of {self._max_executions} executions ended within preemptions<={bound}"
                return best, f"{done}, after {self.executions - before}"
        return best, ""

    def _thin(self, subject: Subject, run: Run) -> Run:
        """Leave stretches of the schedule away, long ones first; then let run who was held back."""
        for variants in (_shorter, _less_held_back):
            size = len(_segments(run))
            while size:
                again = next(
                    (
                        other
                        for candidate in variants(_segments(run), size)
                        if (other := self.follow(subject, candidate)) and simplicity(other) < simplicity(run)
                    ),
                    None,
                )
                if again is None:
                    size //= 2
                else:
                    run = again
        return run

    def _every(self, subject: Subject, preemptions: int, *, at_most: int) -> Iterator[Run]:
        search = Bounded(preemptions).search(0)
        for index in range(min(at_most, self.left)):
            if not search.begin(index):
                return
            self.executions += 1
            run = self._engine.execute(subject, search, self._limits)
            search.end(run)
            yield run

    def _run(self, subject: Subject, search: Search) -> Run:
        self.executions += 1
        search.begin(0)
        return self._engine.execute(subject, search, self._limits)


def _segments(run: Run) -> tuple[Segment, ...]:
    return token_of(run, subject="", checksum="").segments


def _shorter(segments: tuple[Segment, ...], size: int) -> Iterator[tuple[Segment, ...]]:
    """The schedule without ``size`` of its stretches, the last ones first: what comes early is what the rest stands on."""
    for start in reversed(range(len(segments) - size + 1)):
        yield segments[:start] + segments[start + size :]


def _less_held_back(segments: tuple[Segment, ...], size: int) -> Iterator[tuple[Segment, ...]]:
    """The schedule in which ``size`` tasks in a row run until they block, instead of being held back at a point."""
    for start in reversed(range(len(segments) - size + 1)):
        freed = [replace(segment, label="", occurrence=1) for segment in segments[start : start + size]]
        yield (*segments[:start], *freed, *segments[start + size :])
