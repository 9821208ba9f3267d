"""What the suite says of an adapter."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that an adapter gets wrong.

    Attributes:
        check: the name of the check.
        what: the fact.
        why: what it spoils.
        do: how to put it right.
    """

    check: str
    what: str
    why: str
    do: str

    def __str__(self) -> str:
        return f"{self.check}: {self.what}\n  why: {self.why}\n  do:  {self.do}"
