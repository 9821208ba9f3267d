"""What one schedule did, as its clients, its extractor and a fresh observer saw it. The invariants see nothing else.

A step is an index in the trace. Messages are ids; a summary is the text ``SUM(m1, m2)``, which says what went into it.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from racewindow.sessions.scenario import Operation

Outcome = Literal["pending", "ok", "refused", "busy", "skipped", "error", "cancelled", "lost"]
HandoverOutcome = Literal["running", "succeeded", "failed", "lost"]
ArchiveState = Literal["pending", "extracted", "failed"]
When = Literal["quiescence", "after-crash"]

ENDED = ("completed", "failed")
"""The statuses in which a task has ended."""

CRASHES = ("crash", "process-crash", "power-loss")
"""The kinds of fault after which a store may have to do work again."""


def is_summary(message: str) -> bool:
    """Whether the text is a summary of messages rather than a message."""
    return message.startswith("SUM(") and message.endswith(")")


def raw_ids(message: str) -> tuple[str, ...]:
    """The ids of the messages that a text came from.

    >>> raw_ids("m1"), raw_ids("SUM(m1, SUM(m2))")
    (('m1',), ('m1', 'm2'))
    """
    if not is_summary(message):
        return (message,)
    return tuple(dict.fromkeys(word for word in re.findall(r"[A-Za-z0-9._-]+", message) if word != "SUM"))


def raw(messages: Iterable[str]) -> tuple[str, ...]:
    """The messages proper, without the summaries."""
    return tuple(message for message in messages if not is_summary(message))


def provenance(messages: Iterable[str]) -> frozenset[str]:
    """Every id that is there, as itself or inside a summary."""
    return frozenset(each for message in messages for each in raw_ids(message))


@dataclass(slots=True, kw_only=True)
class Call:
    """One operation of one client, from its invocation to its answer.

    Attributes:
        client, index: whose operation, and which of its operations.
        operation: what was asked.
        invoked: the step in which the client got there.
        returned: the step of the answer; None while there is none.
        outcome: ``pending`` until then. Only ``ok`` acknowledges anything; ``refused``, ``busy`` and ``skipped`` say
            that nothing was done; after ``error``, ``cancelled`` and ``lost`` it may or may not have been done.
        messages: reload: what it saw live. commit: what the store says it claimed, where it says so.
        task: the commit's task, where the store has tasks.
        error: the text of the refusal or error.
        store: which incarnation of a store served it.
    """

    client: str
    index: int
    operation: Operation
    invoked: int
    returned: int | None = None
    outcome: Outcome = "pending"
    messages: tuple[str, ...] = ()
    task: str | None = None
    error: str = ""
    store: int = 0

    @property
    def kind(self) -> str:
        return self.operation.kind

    @property
    def acknowledged(self) -> bool:
        """Whether the store said yes: only that binds it."""
        return self.outcome == "ok" and self.returned is not None


@dataclass(slots=True, kw_only=True)
class Handover:
    """Messages given to the extractor.

    Attributes:
        step, ended: when the extractor got them, and when it answered (or was lost).
        messages: as handed over; may hold summaries.
        caller: the role of the task that called the extractor.
        key: the idempotency key, where the store gives one.
    """

    step: int
    messages: tuple[str, ...]
    ended: int | None = None
    outcome: HandoverOutcome = "running"
    caller: str = ""
    key: str = ""

    @property
    def client(self) -> str:
        """The client whose task, or whose background work, called: ``b`` for ``b``, ``b.2`` (come back after a crash), ``b/commit``."""
        return self.caller.partition("/")[0].partition(".")[0]

    @property
    def in_background(self) -> bool:
        """Whether it was not the client's own task that called."""
        return "/" in self.caller


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSeen:
    """A task's status, as a client saw it; ``client=""`` is the last look, when everything was over."""

    task: str
    status: str
    step: int
    client: str = ""


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault that fired."""

    kind: str
    step: int
    target: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """One archive in storage.

    Attributes:
        number: the order of the archives is the order of their numbers.
        messages: what it holds.
        state: what storage says about its extraction.
        effects: how many times the result of its extraction is recorded (0: none, or not known).
        task: the task of the commit that made it, "" where the implementation cannot say.
        retryable: whether the implementation would extract it (or its messages) if asked again after a failure.
    """

    number: int
    messages: tuple[str, ...]
    state: ArchiveState = "pending"
    effects: int = 0
    task: str = ""
    retryable: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What a fresh observer finds in storage."""

    live: tuple[str, ...] = ()
    archives: tuple[Archive, ...] = ()

    @property
    def everything(self) -> tuple[str, ...]:
        """All texts, archived ones first."""
        return (*(message for archive in self.ordered for message in archive.messages), *self.live)

    @property
    def ordered(self) -> tuple[Archive, ...]:
        """The archives in the order of their numbers."""
        return tuple(sorted(self.archives, key=lambda archive: archive.number))


@dataclass(slots=True, kw_only=True)
class History:
    """The recorder of one schedule.

    >>> history = History()
    >>> call = history.invoke("a", 0, Operation(kind="add", argument="m1"), 1)
    >>> history.answer(call, 3, "ok")
    >>> history
    <History calls=1 handovers=0 faults=0 observations=0>
    """

    calls: list[Call] = field(default_factory=list)
    handovers: list[Handover] = field(default_factory=list)
    seen: list[TaskSeen] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    observations: list[tuple[int, When, Observation]] = field(default_factory=list)
    unfinished: tuple[str, ...] = ()

    # Recording.

    def invoke(self, client: str, index: int, operation: Operation, step: int, *, store: int = 0) -> Call:
        call = Call(client=client, index=index, operation=operation, invoked=step, store=store)
        self.calls.append(call)
        return call

    def answer(
        self,
        call: Call,
        step: int,
        outcome: Outcome,
        *,
        messages: Iterable[str] = (),
        task: str | None = None,
        error: str = "",
    ) -> None:
        call.returned, call.outcome, call.messages, call.error = step, outcome, tuple(messages), error
        call.task = call.task if task is None else task

    def hand_over(self, messages: Iterable[str], step: int, *, caller: str, key: str = "") -> Handover:
        handover = Handover(step=step, messages=tuple(messages), caller=caller, key=key)
        self.handovers.append(handover)
        return handover

    def end_handover(self, handover: Handover, step: int, outcome: HandoverOutcome) -> None:
        handover.ended, handover.outcome = step, outcome

    def see(self, task: str, status: str, step: int, client: str = "") -> None:
        self.seen.append(TaskSeen(task=task, status=status, step=step, client=client))

    def fault(self, kind: str, step: int, target: str = "") -> None:
        self.faults.append(Fault(kind, step, target))

    def observe(self, step: int, when: When, observation: Observation) -> None:
        self.observations.append((step, when, observation))

    # Reading.

    def of_kind(self, kind: str) -> list[Call]:
        """The calls of one kind of operation, in the order of their invocation."""
        return [call for call in self.calls if call.kind == kind]

    @property
    def acknowledged_adds(self) -> list[Call]:
        """The adds that bind the store, in the order acknowledged; of one that was repeated, the first that was."""
        adds = [call for call in self.calls if call.kind in ("add", "retry") and call.acknowledged]
        first: dict[str, Call] = {}
        for add in sorted(adds, key=lambda call: call.returned or 0):
            first.setdefault(add.operation.argument, add)
        return list(first.values())

    @property
    def crashes(self) -> list[Fault]:
        """The faults after which a store may have to do work again."""
        return [fault for fault in self.faults if fault.kind in CRASHES]

    @property
    def interruptions(self) -> list[Fault]:
        """The faults that may keep what was done from being recorded, so that it is done again: crashes, and a storage that fails."""
        return [fault for fault in self.faults if fault.kind in (*CRASHES, "storage fails")]

    @property
    def last(self) -> Observation | None:
        """What storage held in the end."""
        return self.observations[-1][2] if self.observations else None

    @property
    def state(self) -> Hashable:
        """All that was recorded, as a value. Of the numbers of the steps it keeps the order only: nothing else is judged."""
        steps = [step for call in self.calls for step in (call.invoked, call.returned)]
        steps += [step for handover in self.handovers for step in (handover.step, handover.ended)]
        steps += [seen.step for seen in self.seen] + [fault.step for fault in self.faults]
        steps += [step for step, _, _ in self.observations]
        rank = {step: place for place, step in enumerate(sorted({step for step in steps if step is not None}))}
        calls = tuple(
            (
                *(call.client, call.index, rank[call.invoked], rank.get(call.returned or -1)),
                *(call.outcome, call.messages, call.task, call.error, call.store),
            )
            for call in self.calls
        )
        handovers = tuple(
            (rank[each.step], rank.get(each.ended or -1), each.messages, each.outcome, each.caller, each.key)
            for each in self.handovers
        )
        seen = tuple((rank[each.step], each.task, each.status, each.client) for each in self.seen)
        faults = tuple((rank[each.step], each.kind, each.target) for each in self.faults)
        looks = tuple((rank[step], when, observation) for step, when, observation in self.observations)
        return calls, handovers, seen, faults, looks

    def completions(self) -> Iterator[tuple[str, int]]:
        """(task, step) whenever a client learned that a task had completed: from its status, or by waiting for it."""
        for seen in self.seen:
            if seen.status == "completed":
                yield seen.task, seen.step
        failed = {seen.task for seen in self.seen if seen.status == "failed"}
        for call in self.of_kind("commit"):
            waited = call.operation.wait and call.acknowledged and call.task not in failed
            if waited and call.task is not None and call.returned is not None:
                yield call.task, call.returned

    def __repr__(self) -> str:
        counts = f"calls={len(self.calls)} handovers={len(self.handovers)} faults={len(self.faults)}"
        return f"<History {counts} observations={len(self.observations)}>"
