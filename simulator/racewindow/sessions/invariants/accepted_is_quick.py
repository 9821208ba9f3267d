"""accepted-is-quick: ``commit(wait=False)`` returns without waiting for the extractor."""

from __future__ import annotations

from collections.abc import Iterator

from racewindow.kernel.violation import Violation
from racewindow.sessions.history import History, raw
from racewindow.sessions.invariants._invariant import Invariant


def check(history: History) -> Iterator[Violation]:
    for call in history.of_kind("commit"):
        if call.operation.wait or not call.acknowledged or call.returned is None:
            continue
        for handover in history.handovers:
            # A hand-over by a background task may end before the commit returns, by chance of the schedule; one that
            # the client's own task made inside its own call is what the call waited for.
            own = handover.client == call.client and not handover.in_background
            if own and handover.ended is not None and call.invoked <= handover.step <= handover.ended <= call.returned:
                yield Violation(
                    kind="accepted-is-quick",
                    detail=f"commit(wait=False) by {call.client} returned at step {call.returned}, only after the "
                    f"extractor that it called at step {handover.step} had ended at step {handover.ended}",
                    messages=raw(handover.messages),
                    step=call.returned,
                )
                break


INVARIANT = Invariant(
    name="accepted-is-quick",
    says="commit(wait=False) returns without waiting for the extractor",
    judged=lambda capabilities: capabilities.background,
    check=check,
)
