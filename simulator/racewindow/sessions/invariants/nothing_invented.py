"""nothing-invented: nothing is read that nobody added."""

from __future__ import annotations

from collections.abc import Iterator

from racewindow.kernel.violation import Violation
from racewindow.sessions.history import History, raw
from racewindow.sessions.invariants._invariant import Invariant, always

_NOT_DONE = ("refused", "busy", "skipped")


def check(history: History) -> Iterator[Violation]:
    # An add without an acknowledgement may have happened from its invocation on; a refused one says that it did not.
    added: dict[str, int] = {}
    for call in history.calls:
        if call.kind in ("add", "retry") and call.outcome not in _NOT_DONE:
            added.setdefault(call.operation.argument, call.invoked)
    reported: set[str] = set()
    for step, certain, who, messages in _reads(history):
        for message in raw(messages):
            if message not in reported and (message not in added or step < added[message]):
                reported.add(message)
                yield Violation(
                    kind="nothing-invented",
                    detail=f"{who} {message!r}, which nobody had added",
                    messages=(message,),
                    step=certain,
                )


def _reads(history: History) -> Iterator[tuple[int, int | None, str, tuple[str, ...]]]:
    """(step of the read, step to report, who read, what)."""
    for call in history.calls:
        if call.returned is not None and call.messages:
            yield call.returned, call.returned, f"a {call.kind} by {call.client} gave", call.messages
    for handover in history.handovers:
        yield handover.step, handover.step, "the extractor got", handover.messages
    for step, when, observation in history.observations:
        yield step, None if when == "quiescence" else step, "storage holds", observation.everything


INVARIANT = Invariant(
    name="nothing-invented",
    says="nothing is read that nobody added",
    judged=always,
    check=check,
)
