"""What a campaign does, cut into ranges. The cut depends on what is asked, and never on who does the work."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count

from racewindow.errors import UsageError
from racewindow.search import Strategy, splits
from racewindow.search.registry import label_of
from racewindow.sessions.case import Case

RANGE_MIN, RANGE_MAX = 1_000, 10_000
"""Schedules of one range: a second's work or some, so that little is lost with a worker; and in the longest campaign a thousand files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """Prove a case with 0, then 1, ... then ``preemptions`` preemptions, as :func:`racewindow.experiments.prove` does.

    Attributes:
        preemptions: the largest bound to try.
        max_executions: schedules of one bound at most.
    """

    preemptions: int = 2
    max_executions: int = 250

    def __str__(self) -> str:
        return f"prove:preemptions={self.preemptions},max_executions={self.max_executions}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One case, and how to look at it.

    Attributes:
        case: what is explored.
        how: a strategy, or a proof.
        schedules: how many a strategy runs; None: as many as there is time for.
        label: how tables name it.
    """

    case: Case
    how: Strategy | Proof
    schedules: int | None = 1000
    label: str = field(init=False, default="")

    def __post_init__(self) -> None:
        if self.schedules is not None and self.schedules < 1:
            raise UsageError(f"schedules={self.schedules}: at least one schedule has to run")
        object.__setattr__(self, "label", str(self.how) if isinstance(self.how, Proof) else label_of(self.how))

    @property
    def divisible(self) -> bool:
        """Whether its schedules can be split over workers."""
        return not isinstance(self.how, Proof) and splits(self.how)


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """A part of a job that one worker does.

    Attributes:
        number: its place in the plan, from 0.
        job: number of the job.
        first: its first schedule.
        schedules: how many; None: as many as there is time for.
    """

    number: int
    job: int
    first: int = 0
    schedules: int | None = None

    def __str__(self) -> str:
        return f"range {self.number} (schedules {self.first} to {self.first + (self.schedules or 1) - 1} of job {self.job})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Jobs and a seed: all that the results depend on.

    Attributes:
        jobs: in the order of the report.
        seed: of all of them.
    """

    jobs: tuple[Job, ...]
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.jobs:
            raise UsageError(
                "nothing to do: give at least one implementation, scenario, topology, granularity and strategy"
            )

    @property
    def schedules(self) -> int | None:
        """How many schedules the strategies run in all; None: as many as there is time for."""
        asked = [job.schedules for job in self.jobs if not isinstance(job.how, Proof)]
        return None if None in asked else sum(each or 0 for each in asked)

    @property
    def signature(self) -> dict[str, object]:
        """What has to be equal for one campaign to go on where another stopped."""
        return {
            "seed": self.seed,
            "jobs": [[job.case.name, job.case.checksum, job.label, job.schedules] for job in self.jobs],
        }

    def ranges(self) -> Iterator[Range]:
        """What cannot be divided first, proofs among it; then a range of each job in turn, so that time cut short is shared evenly."""
        numbers = count()
        for index, job in enumerate(self.jobs):
            if not job.divisible and not job.case.not_applicable:
                yield Range(number=next(numbers), job=index, schedules=job.schedules)
        at_work = [index for index, job in enumerate(self.jobs) if job.divisible and not job.case.not_applicable]
        done = dict.fromkeys(at_work, 0)
        while at_work:
            for index in at_work:
                asked = self.jobs[index].schedules
                size = range_size(asked)
                size = size if asked is None else min(size, asked - done[index])
                yield Range(number=next(numbers), job=index, first=done[index], schedules=size)
                done[index] += size
            at_work = [
                index for index in at_work if (asked := self.jobs[index].schedules) is None or done[index] < asked
            ]


def range_size(schedules: int | None) -> int:
    """Schedules of one range of a job.

    >>> range_size(None), range_size(1000), range_size(10_000_000)
    (1000, 1000, 10000)
    """
    return min(RANGE_MAX, max(RANGE_MIN, (schedules or 0) // 1000))


def plan_of(
    cases: Sequence[Case],
    *,
    strategies: Sequence[Strategy],
    schedules: int | None,
    seed: int = 0,
    proof: Proof | None = None,
) -> Plan:
    """A plan that proves every case, if there is a ``proof``, and samples it with every strategy.

    Raises:
        UsageError: there is nothing to do.
    """
    hows: list[Strategy | Proof] = [*([proof] if proof else []), *strategies]
    return Plan(jobs=tuple(Job(case=case, how=how, schedules=schedules) for case in cases for how in hows), seed=seed)
