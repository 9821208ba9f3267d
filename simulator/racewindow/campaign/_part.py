"""What one range showed, and how ranges add up."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from racewindow.campaign._plan import Job, Plan, Proof, Range
from racewindow.errors import RacewindowError
from racewindow.experiments import CaseResult, prove
from racewindow.experiments._seen import Seen
from racewindow.frames import campaign_frame
from racewindow.kernel.violation import Violation
from racewindow.search import Found, SearchVerdict, explore

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What one range showed, in brief.

    Attributes:
        number, job, first: of the range.
        schedules, failures: counts.
        whole: the range was done as planned; neither time nor an interrupt cut it short.
        interrupted: the user stopped it.
        proved: every schedule within ``bound`` was run.
        verdict, reason: of the range alone.
        strategy, bound, notes: what the strategy says of itself.
        sampled: how many of the schedules were drawn at random.
        classes, interleavings, footprints: of a reduction.
        examples: the first schedule of each kind of violation, and the first that is unknown.
        reached, noted, failing, working: as :class:`~racewindow.experiments._seen.Seen` has them.
        seconds: that a worker took.
        rows: one row for each schedule, where they are kept.
    """

    number: int
    job: int
    first: int
    schedules: int
    failures: int
    whole: bool
    interrupted: bool = False
    proved: bool = False
    verdict: SearchVerdict
    reason: str = ""
    strategy: str = ""
    bound: str = ""
    notes: tuple[str, ...] = ()
    sampled: int = 0
    classes: int | None = None
    interleavings: int | None = None
    footprints: str = ""
    examples: tuple[Found, ...] = ()
    reached: tuple[str, ...] = ()
    noted: dict[str, int] = field(default_factory=dict)
    failing: dict[str, str] = field(default_factory=dict)
    working: tuple[str, ...] = ()
    seconds: float = 0.0
    rows: pd.DataFrame | None = field(default=None, repr=False)

    def to_json(self) -> str:
        """All but the rows, as one line."""
        return json.dumps(asdict(replace(self, rows=None)))

    @classmethod
    def from_json(cls, text: str | bytes) -> Part:
        """Read what :meth:`to_json` wrote."""
        told: dict[str, Any] = json.loads(text)
        for name in ("notes", "reached", "working"):
            told[name] = tuple(told[name])
        told["examples"] = tuple(_found(each) for each in told["examples"])
        return cls(**told)


def _found(told: dict[str, Any]) -> Found:
    violations = tuple(Violation(**{**each, "messages": tuple(each["messages"])}) for each in told["violations"])
    return Found(**{**told, "violations": violations})


_one_at_a_time = (
    threading.Lock()
)  # a worker of a cluster may have several threads, and the kernel watches trio's classes process-wide


def do_range(
    job: Job, part_of: Range, seed: int, time_limit_s: float | None, keep_rows: bool, deadline: float | None = None
) -> Part:
    """Do one range: what a worker is sent.

    It may wait in a queue before it begins, so where the clock is the same one there is a ``deadline`` (of ``time.time()``), too.

    A subject that breaks its side of the bargain (it does not repeat itself, its observer fails) makes its own job ``unknown``, with the
    reason, and nobody else's.
    """
    started = time.monotonic()
    with _one_at_a_time:
        if deadline is not None and time_limit_s is not None:
            time_limit_s = max(1e-9, min(time_limit_s, deadline - time.time()))
        try:
            if isinstance(job.how, Proof):
                part, found = _proof(job, job.how, part_of, time_limit_s)
            else:
                part, found = _sample(job, part_of, seed, time_limit_s)
        except RacewindowError as error:
            said = f"{type(error).__name__}: {error}"
            part, found = _nothing(part_of, said), ()
    rows = campaign_frame(_rows(job, found)) if keep_rows else None
    return replace(part, seconds=time.monotonic() - started, rows=rows)


def _nothing(part_of: Range, reason: str) -> Part:
    return Part(
        number=part_of.number,
        job=part_of.job,
        first=part_of.first,
        schedules=0,
        failures=0,
        whole=True,
        verdict="unknown",
        reason=reason,
    )


def _sample(job: Job, part_of: Range, seed: int, time_limit_s: float | None) -> tuple[Part, tuple[Found, ...]]:
    assert not isinstance(job.how, Proof)
    case, seen = job.case, Seen(job.case)
    done = explore(
        case.subject(),
        strategy=job.how,
        schedules=part_of.schedules,
        first=part_of.first,
        seed=seed,
        host=case.implementation.host,
        limits=case.limits,
        time_limit_s=time_limit_s,
        name=case.name,
        checksum=case.checksum,
        on_run=seen.add,
    )
    part = Part(
        number=part_of.number,
        job=part_of.job,
        first=part_of.first,
        schedules=done.schedules,
        failures=done.failures,
        whole=done.complete or done.schedules == part_of.schedules,
        interrupted=done.interrupted,
        proved=done.complete,
        verdict=done.verdict,
        reason=done.reason,
        strategy=done.strategy,
        bound=done.bound,
        notes=done.notes,
        sampled=0 if done.sampled_from is None else max(0, done.schedules - done.sampled_from),
        classes=done.classes,
        interleavings=done.interleavings,
        footprints=done.footprints,
        examples=examples(done.found),
        reached=tuple(sorted(seen.reached)),
        noted=dict(seen.noted),
        failing=seen.failing,
        working=tuple(sorted(seen.working)),
    )
    return part, done.found


def _proof(job: Job, how: Proof, part_of: Range, time_limit_s: float | None) -> tuple[Part, tuple[Found, ...]]:
    done = prove(job.case, preemptions=how.preemptions, max_executions=how.max_executions, time_limit_s=time_limit_s)
    assert done.verdict != "not-applicable", "such a job has no range"
    part = Part(
        number=part_of.number,
        job=part_of.job,
        first=0,
        schedules=done.schedules,
        failures=done.failures,
        whole=not done.interrupted and (time_limit_s is None or done.seconds < time_limit_s),
        interrupted=done.interrupted,
        proved=done.complete,
        verdict=done.verdict,  # type: ignore[arg-type]
        reason=done.reason,
        strategy=done.strategy,
        bound=done.bound,
        notes=done.notes,
        classes=done.classes,
        interleavings=done.interleavings,
        footprints=done.footprints,
        examples=examples(done.found),
        reached=tuple(goal for goal, was in done.goals.items() if was),
        noted=done.noted,
    )
    return part, done.found


def examples(found: tuple[Found, ...]) -> tuple[Found, ...]:
    """The first schedule of each kind of violation, and the first that is unknown, in the order of schedules."""
    first: dict[tuple[str, ...], Found] = {}
    for one in found:
        if one.verdict != "passed":
            first.setdefault(tuple(violation.kind for violation in one.violations), one)
    return tuple(sorted(first.values(), key=lambda one: one.index))


def _rows(job: Job, found: tuple[Found, ...]) -> list[dict[str, object]]:
    case = job.case
    where = {
        "implementation": case.implementation.name,
        "scenario": case.scenario.name,
        "topology": case.topology,
        "disk": case.disk,
        "strategy": job.label,
    }
    return [where | one.row for one in found]


class Sum:
    """The parts of one job, added up; the order in which they come makes no difference."""

    def __init__(self, plan: Plan, job: int) -> None:
        self._job = plan.jobs[job]
        self._seed = plan.seed
        self._seen = Seen(self._job.case)
        self._errors: dict[str, tuple[int, str]] = {}
        self._head: Part | None = (
            None  # the part with the smallest number; what a strategy says of itself comes from there
        )
        self._unknown: tuple[int, str] | None = None
        self._examples: tuple[Found, ...] = ()
        self.schedules = self.failures = self._sampled = 0
        self._seconds = 0.0
        self._interrupted = False
        self._whole = 0  # parts that were done as planned

    def add(self, part: Part) -> None:
        """Take a part in."""
        if self._head is None or part.number < self._head.number:
            self._head = replace(part, rows=None)
        self._whole += part.whole
        self.schedules += part.schedules
        self.failures += part.failures
        self._sampled += part.sampled
        self._seconds += part.seconds
        self._interrupted |= part.interrupted
        self._examples = examples(tuple(sorted((*self._examples, *part.examples), key=lambda one: one.index)))
        self._seen.reached.update(part.reached)
        self._seen.noted += Counter(part.noted)
        self._seen.working.update(part.working)
        for kind, error in part.failing.items():
            self._errors[kind] = min(self._errors.get(kind, (part.number, error)), (part.number, error))
        self._seen.failing = {kind: error for kind, (_, error) in sorted(self._errors.items())}
        if part.verdict == "unknown" and not (part.interrupted and part.schedules == 0):
            self._unknown = min(self._unknown or (part.number, part.reason), (part.number, part.reason))

    def give_up(self, reason: str) -> None:
        """Make the job ``unknown``: something of it could not be run."""
        self._unknown = (-1, reason)

    @property
    def result(self) -> CaseResult | None:
        """What the job showed; None: nothing of it was begun, or time cut it short before it could tell anything."""
        case = self._job.case
        if case.not_applicable:
            return CaseResult(case=case, verdict="not-applicable", reason=case.not_applicable)
        if self._head is None and self._unknown is None:
            return None
        head = self._head or _nothing(Range(number=0, job=0), "")
        proved = head.proved and not self._job.divisible
        verdict: SearchVerdict
        if self.failures:
            verdict, reason = "failed", ""
        elif self._unknown is not None:
            verdict, reason = "unknown", self._unknown[1]
        else:
            verdict, reason = self._seen.judge(head.verdict if proved else "passed", head.reason if proved else "")
        if verdict == "unknown" and not self._whole and self._head is not None:
            return None
        return CaseResult(
            case=case,
            verdict=verdict,
            reason=reason,
            strategy=head.strategy,
            bound=head.bound,
            seed=self._seed,
            complete=proved,
            schedules=self.schedules,
            failures=self.failures,
            classes=head.classes,
            interleavings=head.interleavings,
            footprints=head.footprints,
            first=next((one for one in self._examples if one.verdict == "failed"), None),
            goals=self._seen.goals,
            noted=dict(self._seen.noted),
            interrupted=self._interrupted,
            notes=head.notes,
            sampled_from=self.schedules - self._sampled if self._sampled else None,
            found=tuple(one for one in self._examples if one.verdict == "failed"),
            seconds=self._seconds,
        )
