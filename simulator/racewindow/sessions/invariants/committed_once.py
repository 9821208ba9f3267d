"""committed-once: no message is in two surviving archives."""

from __future__ import annotations

from collections.abc import Iterator

from racewindow.kernel.violation import Violation
from racewindow.sessions.history import Archive, History, Observation, raw
from racewindow.sessions.invariants._invariant import Invariant, listed


def archived_twice(observation: Observation) -> dict[str, tuple[Archive, ...]]:
    """The messages in more than one surviving archive, and those archives.

    A failed archive is the visible record of an attempt: its messages may have gone back to live and be committed by a
    later one. If it is retried and extracted after all, it counts again.
    """
    places: dict[str, list[Archive]] = {}
    for archive in observation.ordered:
        if archive.state != "failed":
            for message in dict.fromkeys(raw(archive.messages)):
                places.setdefault(message, []).append(archive)
    return {message: tuple(archives) for message, archives in places.items() if len(archives) > 1}


def check(history: History) -> Iterator[Violation]:
    # "Surviving" is judged in the end: what recovery removes again was never committed twice.
    if history.last is None:
        return
    for message, archives in archived_twice(history.last).items():
        numbers = listed(str(archive.number) for archive in archives)
        yield Violation(
            kind="committed-once",
            detail=f"{message} is in archives {numbers}",
            messages=(message,),
            step=_certain(history, message),
        )


def _certain(history: History, message: str) -> int | None:
    """The observation from which on it stayed so; None if only the end shows it."""
    step = None
    for seen_at, _, observation in reversed(history.observations[:-1]):
        if message not in archived_twice(observation):
            break
        step = seen_at
    return step


INVARIANT = Invariant(
    name="committed-once",
    says="no message is in two surviving archives",
    judged=lambda capabilities: capabilities.archives,
    check=check,
)
