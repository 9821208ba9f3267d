"""extracted-once: no message is handed to the extractor again after a successful hand-over, while no crash happened."""

from __future__ import annotations

from collections.abc import Iterator

from racewindow.kernel.violation import Violation
from racewindow.sessions.history import Handover, History, raw
from racewindow.sessions.invariants._invariant import Invariant, always, listed


def pairs(history: History) -> Iterator[tuple[Handover, Handover, tuple[str, ...]]]:
    """(earlier, later, messages in both) for every two hand-overs that share messages, by the step of the later."""
    ordered = sorted(history.handovers, key=lambda handover: handover.step)
    for at, later in enumerate(ordered):
        for earlier in ordered[:at]:
            again = [message for message in dict.fromkeys(raw(later.messages)) if message in raw(earlier.messages)]
            if again:
                yield earlier, later, tuple(again)


def crash_between(history: History, earlier: Handover, later: Handover) -> bool:
    """Whether a crash happened since the earlier one began, or the storage failed: recovery may then have to extract again.

    A crash *before* both excuses nothing: a recovery that extracts what a live owner extracts too is the bug.
    """
    return any(earlier.step <= crash.step <= later.step for crash in history.interruptions)


def _certain(earlier: Handover, later: Handover) -> int | None:
    """The step at which the messages had been extracted twice, or None if they were not."""
    if earlier.outcome != "succeeded" or earlier.ended is None:
        return None
    if earlier.ended <= later.step:
        return later.step
    # Both were in flight at once. One success is a hedged attempt (the other counts as failed); two are the bug.
    if later.outcome == "succeeded" and later.ended is not None:
        return max(earlier.ended, later.ended)
    return None


def check(history: History) -> Iterator[Violation]:
    blamed: set[tuple[int, str]] = set()  # A third hand-over is one more violation, not two.
    for earlier, later, again in pairs(history):
        step = _certain(earlier, later)
        fresh = tuple(message for message in again if (id(later), message) not in blamed)
        if step is None or not fresh or crash_between(history, earlier, later):
            continue
        blamed.update((id(later), message) for message in fresh)
        yield Violation(
            kind="extracted-once",
            detail=f"{listed(fresh)} went to the extractor at step {earlier.step} and again at step {later.step}",
            messages=fresh,
            step=step,
        )
    yield from _effects(history)


def _effects(history: History) -> Iterator[Violation]:
    """However often it was handed over, its effect must be recorded once."""
    for archive in history.last.ordered if history.last is not None else ():
        if archive.effects > 1:
            yield Violation(
                kind="extracted-once",
                detail=f"the extraction of archive {archive.number} is recorded {archive.effects} times",
                messages=raw(archive.messages),
            )


INVARIANT = Invariant(
    name="extracted-once",
    says="no message is handed to the extractor again after a successful hand-over, while no crash happened",
    judged=always,
    check=check,
)
