"""nothing-stranded: an archived message is eventually extracted, or its failure is visible and retryable."""

from __future__ import annotations

from collections.abc import Iterator

from racewindow.kernel.violation import Violation
from racewindow.sessions.history import Archive, History, Observation, provenance, raw
from racewindow.sessions.invariants._invariant import Invariant


def check(history: History) -> Iterator[Violation]:
    # "Eventually" is judged only where everything came to rest.
    if not history.observations or history.observations[-1][1] != "quiescence":
        return
    observation = history.observations[-1][2]
    extracted = provenance(
        message for handover in history.handovers if handover.outcome == "succeeded" for message in handover.messages
    )
    status = {seen.task: seen.status for seen in sorted(history.seen, key=lambda seen: seen.step)}
    failed = {task for task, last in status.items() if last == "failed"}
    settled = _settled(observation, extracted, failed)
    for archive in observation.ordered:
        stranded = tuple(message for message in dict.fromkeys(raw(archive.messages)) if message not in settled)
        if stranded:
            settled.update(stranded)
            yield Violation(
                kind="nothing-stranded",
                detail=f"{', '.join(stranded)} in archive {archive.number}: {_why(archive)}",
                messages=stranded,
            )


def _settled(observation: Observation, extracted: frozenset[str], failed: set[str]) -> set[str]:
    """The messages that one archive or another accounts for; a failed task makes a failure visible, too.

    One that is still live is not stranded: the next commit takes it (and if that leaves it in two archives, it is for committed-once
    to say so).
    """
    settled = set(raw(observation.live))
    for archive in observation.archives:
        if archive.state == "extracted":
            # An archive that says "extracted" accounts only for what the extractor got: a message that was written into
            # it afterwards (through a descriptor that a commit renamed away, say) is stranded.
            settled.update(message for message in raw(archive.messages) if message in extracted)
        elif archive.retryable and (archive.state == "failed" or archive.task in failed):
            settled.update(raw(archive.messages))
    return settled


def _why(archive: Archive) -> str:
    if archive.state == "extracted":
        return "it says extracted, but the extractor never got this"
    if archive.state == "failed":
        return "its extraction failed and cannot be retried"
    return "still pending, and nobody is at work"


INVARIANT = Invariant(
    name="nothing-stranded",
    says="an archived message is eventually extracted, or its failure is visible and retryable",
    judged=lambda capabilities: capabilities.archives,
    check=check,
)
