"""What a schedule is found guilty of."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """A broken invariant.

    Attributes:
        kind: the invariant's name, for example ``committed-once``.
        detail: one sentence for a person.
        messages: the messages (or other things) concerned, in a stable order.
        step: index in the trace of the step where it became certain, or None where only the end shows it.
    """

    kind: str
    detail: str
    messages: tuple[str, ...] = ()
    step: int | None = None

    def __str__(self) -> str:
        where = "" if self.step is None else f" (certain at step {self.step})"
        return f"{self.kind}: {self.detail}{where}"
