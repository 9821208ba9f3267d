"""Facts that are counted beside the violations, because they are no violation by themselves."""

from __future__ import annotations

from racewindow.sessions.history import History
from racewindow.sessions.invariants.committed_once import archived_twice
from racewindow.sessions.invariants.extracted_once import crash_between, pairs


def report(history: History) -> dict[str, int]:
    """Count the facts of a history.

    Returns:
        re_extracted: messages handed over again after a crash (that is allowed; the effect must be recorded once).
        attempts_failed: hand-overs that the extractor failed.
        archived_twice: messages in more than one surviving archive, in the end.
        consumed_twice: messages in more than one successful hand-over, crash or not.
    """
    again: set[str] = set()
    consumed: set[str] = set()
    for earlier, later, messages in pairs(history):
        if earlier.outcome == later.outcome == "succeeded":
            consumed.update(messages)
        if earlier.outcome != "failed" and crash_between(history, earlier, later):
            again.update(messages)
    return {
        "re_extracted": len(again),
        "attempts_failed": sum(handover.outcome == "failed" for handover in history.handovers),
        "archived_twice": len(archived_twice(history.last)) if history.last is not None else 0,
        "consumed_twice": len(consumed),
    }
