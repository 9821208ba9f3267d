"""Shrink a failure of a case: first its scenario, operations and then clients, then its schedule.

:mod:`racewindow.search._simplicity` says what simpler means. A smaller scenario is tried with the schedule that failed, as far as it
goes, and with a few others; it is taken when it has the same :class:`Fingerprint`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import inf
from typing import NamedTuple

from racewindow.experiments._smaller import Renamed, operations_of, renamed_segments, smaller
from racewindow.frames import Timeline
from racewindow.kernel.engine import Engine
from racewindow.kernel.hosts import run_on
from racewindow.kernel.run import Run
from racewindow.kernel.token import Token, token_of
from racewindow.kernel.violation import Violation
from racewindow.search import EXECUTIONS, Found, Shrinker, Shrunk, simplicity
from racewindow.search.shrink import token_to_shrink
from racewindow.sessions.case import Case
from racewindow.sessions.history import History, raw
from racewindow.sessions.scenario import Scenario

_TRIES = 60
"""Schedules of a smaller scenario that are run, with one preemption at most, where the one that failed leads nowhere."""


class Role(NamedTuple):
    """What happened to a message, whatever its id.

    Attributes:
        added_by: the client that added it in the scenario that shrinking began with.
        reloaded: whether a reload had shown it before the decisive commit was invoked, which then knew it from storage; a handle
            that never forgot it is another bug.
        archived: the places of its archives among all that hold a message of the violation, from 0.
        handed_over: the same for successful hand-overs to the extractor.
    """

    added_by: str
    reloaded: bool
    archived: tuple[int, ...]
    handed_over: tuple[int, ...]


class Fingerprint(NamedTuple):
    """What shrinking keeps of a violation, so that it cannot slip to another bug.

    Attributes:
        kind: the invariant.
        completed: whether a client had seen a commit completed before the decisive commit was invoked: the last one that handed
            these messages over.
        faults: the kinds of faults that had fired before that, sorted.
        roles: of the messages concerned, sorted.
    """

    kind: str
    completed: bool
    faults: tuple[str, ...]
    roles: tuple[Role, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShrunkCase(Shrunk):
    """The simplest failure of a case.

    Attributes:
        original: the case that failed.
        case: the one with the smallest scenario that fails in the same way; ``token`` belongs to it.
    """

    original: Case
    case: Case

    def timeline(self) -> Timeline:
        """The story of the simplest failure."""
        from racewindow.experiments._timeline import timeline

        return timeline(self.case, self.token)

    @property
    def row(self) -> dict[str, object]:
        """What it is, as plain values."""
        return {
            "scenario": self.case.scenario.text,
            "token": self.token,
            "raw": self.raw,
            "operations": self.simplicity.operations,
            "clients": self.simplicity.clients,
            "preemptions": self.preemptions,
            "steps": self.steps,
            "certified": self.certified,
            "reason": self.reason,
            "executions": self.executions,
        }


def shrink(case: Case, failure: str | Token | Found, *, max_executions: int = EXECUTIONS) -> ShrunkCase:
    """Find the simplest failure of ``case`` that is the same bug as ``failure``.

    Args:
        case: implementation, scenario and granularity; topology and granularity are kept.
        failure: a failing schedule of it: its token, or what an exploration found.
        max_executions: schedules to run at most. Half of them may go into the scenario, the rest into the schedule.

    Returns:
        the shrunk case and its token. ``certified``: every schedule of the shrunk scenario with fewer preemptions was run, and none
        failed in this way.

    Raises:
        UsageError: the budget makes no sense, the token belongs to another case, or its schedule does not fail.
        ReplayDiverged: the case changed since the token was made, or does not repeat itself.
    """
    token = token_to_shrink(failure, name=case.name, checksum=case.checksum)

    def drive(engine: Engine) -> ShrunkCase:
        shrinker = Shrinker(engine, partial(fingerprints, _adders(case.scenario)), case.limits, max_executions)
        run = shrinker.begin(case.subject(), token)
        run, small = _smallest_scenario(shrinker, run, case, keep=max_executions // 2)
        run, reason = shrinker.simplest(small.subject(), run)
        return ShrunkCase(
            subject=small.name,
            original=case,
            case=small,
            raw=str(token),
            token=str(token_of(run, subject=small.name, checksum=small.checksum)),
            fingerprint=shrinker.wanted,
            violations=run.violations,
            simplicity=simplicity(run, operations=operations_of(small.scenario), clients=len(small.scenario.clients)),
            executions=shrinker.executions,
            certified=not reason,
            reason=reason,
        )

    return run_on(case.implementation.host, drive)


def fingerprints(adders: dict[str, str], run: Run) -> list[Fingerprint]:
    """One for each violation of a run.

    Args:
        adders: which client adds which message.
        run: a run of a case.
    """
    history = run.result if isinstance(run.result, History) else History()
    return [_fingerprint(violation, history, adders) for violation in run.violations]


def _fingerprint(violation: Violation, history: History, adders: dict[str, str]) -> Fingerprint:
    concerned = [message for message in violation.messages if message in adders]
    archives = [archive.messages for archive in history.last.ordered] if history.last else []
    handed = [handover for handover in history.handovers if handover.outcome == "succeeded"]
    archived = _places(concerned, archives)
    handed_over = _places(concerned, [handover.messages for handover in handed])
    before = _decisive(violation, history, concerned)
    seen = [seen.step for seen in history.seen if seen.client and seen.status == "completed"]
    waited = [call.returned or 0 for call in history.of_kind("commit") if call.acknowledged and call.operation.wait]
    shown = [
        call.messages for call in history.of_kind("reload") if call.returned is not None and call.returned <= before
    ]
    reloaded = {message for messages in shown for message in messages}
    return Fingerprint(
        kind=violation.kind,
        completed=any(step <= before for step in seen + waited),
        faults=tuple(sorted({fault.kind for fault in history.faults if fault.step <= before})),
        roles=tuple(
            sorted(Role(adders[each], each in reloaded, archived[each], handed_over[each]) for each in concerned)
        ),
    )


def _decisive(violation: Violation, history: History, concerned: Sequence[str]) -> float:
    """The step in which the commit was invoked that handed the messages over last; where there is none, that of the violation.

    What a client learned later, while this commit was already under way, had no part in it: without this, a reload after
    ``completed`` would shrink to two commits that overlap, which is another bug.
    """
    handed = [each for each in history.handovers if not set(concerned).isdisjoint(raw(each.messages))]
    if handed:
        mine = [call.invoked for call in history.of_kind("commit") if call.client == handed[-1].client]
        return max((step for step in mine if step <= handed[-1].step), default=handed[-1].step)
    return inf if violation.step is None else violation.step


def _places(concerned: Sequence[str], groups: Iterable[Sequence[str]]) -> dict[str, tuple[int, ...]]:
    """Where each message is among the groups that hold one of them: a commit that has nothing to do with them counts for nothing."""
    holding = [group for each in groups if not set(concerned).isdisjoint(group := raw(each))]
    return {message: tuple(at for at, group in enumerate(holding) if message in group) for message in concerned}


def _adders(scenario: Scenario) -> dict[str, str]:
    return {
        operation.argument: client.name
        for client in scenario.clients
        for operation in client.operations
        if operation.kind == "add"
    }


def _smallest_scenario(shrinker: Shrinker, run: Run, case: Case, *, keep: int) -> tuple[Run, Case]:
    """Take steps to smaller scenarios while they fail in the same way, and the budget is above ``keep``."""
    while found := _one_step(shrinker, run, case, keep=keep):
        run, case = found
    return run, case


def _one_step(shrinker: Shrinker, run: Run, case: Case, *, keep: int) -> tuple[Run, Case] | None:
    for scenario, renamed in smaller(case.scenario):
        if shrinker.left <= keep:
            return None
        candidate = replace(case, scenario=scenario)
        again = _failing(shrinker, run, candidate, renamed)
        if again is not None:
            return again, candidate
    return None


def _failing(shrinker: Shrinker, run: Run, candidate: Case, renamed: Renamed) -> Run | None:
    subject = candidate.subject()
    segments = renamed_segments(token_of(run, subject="", checksum="").segments, renamed)
    return shrinker.follow(subject, segments) or shrinker.first_within(subject, 1, at_most=_TRIES)
