"""What an invariant is."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from racewindow.kernel.violation import Violation
from racewindow.sessions.capabilities import Capabilities
from racewindow.sessions.history import History


@dataclass(frozen=True, slots=True, kw_only=True)
class Invariant:
    """Something that must hold in every history.

    Attributes:
        name: also the kind of its violations.
        says: one line for a person.
        judged: whether an implementation with these capabilities can be held to it.
        check: the violations in a history, in a stable order. It knows the history only, and no store.
    """

    name: str
    says: str
    judged: Callable[[Capabilities], bool]
    check: Callable[[History], Iterable[Violation]]

    def __repr__(self) -> str:
        return f"<Invariant {self.name}>"


def always(capabilities: Capabilities) -> bool:
    """Every implementation can be held to it."""
    return True


def listed(messages: Iterable[str]) -> str:
    """``m1``, ``m1 and m2``, ``m1, m2 and m3``: for a sentence."""
    *most, last = messages
    return f"{', '.join(most)} and {last}" if most else last
