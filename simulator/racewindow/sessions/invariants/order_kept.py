"""order-kept: one client's adds are committed in the order acknowledged."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from racewindow.kernel.violation import Violation
from racewindow.sessions.history import History, Observation, provenance, raw
from racewindow.sessions.invariants._invariant import Invariant


def check(history: History) -> Iterator[Violation]:
    if history.last is None:
        return
    places = _places(history.last)
    # Adds of different clients have no order, and an add that was not acknowledged binds nobody.
    mine: dict[str, list[str]] = {}
    for add in history.acknowledged_adds:
        if add.operation.argument in places:
            mine.setdefault(add.client, []).append(add.operation.argument)
    for client, messages in mine.items():
        for earlier, later in pairwise(messages):
            if places[later] < places[earlier]:
                when = "before it" if places[earlier] != _LIVE else f"while {earlier} is still live"
                yield Violation(
                    kind="order-kept",
                    detail=f"{client} added {earlier}, then {later}, but {later} was committed {when}",
                    messages=(earlier, later),
                )


_LIVE = (1, 0, 0)


def _places(observation: Observation) -> dict[str, tuple[int, int, int]]:
    """Where each message was first committed; one that is only live comes after everything that was."""
    places: dict[str, tuple[int, int, int]] = {}
    for archive in observation.ordered:
        for at, message in enumerate(archive.messages):
            places.setdefault(message, (0, archive.number, at))
    summarised = provenance(message for archive in observation.archives for message in archive.messages)
    for message in raw(observation.live):
        if message not in summarised:
            places[message] = _LIVE
    return places


INVARIANT = Invariant(
    name="order-kept",
    says="one client's adds are committed in the order acknowledged",
    judged=lambda capabilities: capabilities.archives and capabilities.order,
    check=check,
)
