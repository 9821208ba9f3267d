"""nothing-hidden: whoever reads the context is told, in full or in a summary, every message acknowledged before."""

from __future__ import annotations

from collections.abc import Iterator

from racewindow.kernel.violation import Violation
from racewindow.sessions.history import History, provenance
from racewindow.sessions.invariants._invariant import Invariant, always, listed


def check(history: History) -> Iterator[Violation]:
    reported: set[str] = set()
    for context in history.of_kind("context"):
        if not context.acknowledged:
            continue
        told = provenance(context.messages)
        # A reader may come before or after whatever happens while it reads, but not before what was acknowledged earlier.
        known = [add.operation.argument for add in history.acknowledged_adds if (add.returned or 0) <= context.invoked]
        hidden = tuple(message for message in known if message not in told | reported)
        if hidden:
            reported.update(hidden)
            verb = "was" if len(hidden) == 1 else "were"
            yield Violation(
                kind="nothing-hidden",
                detail=f"{listed(hidden)} {verb} acknowledged, "
                f"but the context that {context.client} read at step {context.invoked} does not have it",
                messages=hidden,
                step=context.returned,
            )


INVARIANT = Invariant(
    name="nothing-hidden",
    says="a context that is read has every message acknowledged before, itself or in a summary",
    judged=always,  # a scenario that reads the context applies only where there is one
    check=check,
)
