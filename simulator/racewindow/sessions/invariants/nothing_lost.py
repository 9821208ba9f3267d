"""nothing-lost: an acknowledged add is live or archived, at quiescence and after every crash."""

from __future__ import annotations

from collections.abc import Iterator

from racewindow.kernel.violation import Violation
from racewindow.sessions.history import History, provenance
from racewindow.sessions.invariants._invariant import Invariant, always, listed


def check(history: History) -> Iterator[Violation]:
    reported: set[str] = set()
    for step, when, observation in history.observations:
        there = provenance(observation.everything)  # Inside a summary counts: that is what archiving may turn it into.
        missing = tuple(
            add.operation.argument
            for add in history.acknowledged_adds
            if add.returned is not None and add.returned <= step and add.operation.argument not in there | reported
        )
        if missing:
            reported.update(missing)
            verb = "was" if len(missing) == 1 else "were"
            yield Violation(
                kind="nothing-lost",
                detail=f"{listed(missing)} {verb} acknowledged, but neither live nor archived {_AT[when]}",
                messages=missing,
                step=None if when == "quiescence" else step,
            )


_AT = {"quiescence": "in the end", "after-crash": "after the crash"}

INVARIANT = Invariant(
    name="nothing-lost",
    says="an acknowledged add is live or archived, at quiescence and after every crash",
    judged=always,
    check=check,
)
