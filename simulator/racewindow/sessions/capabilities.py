"""What an implementation promises. Only the invariants it claims are judged."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What an implementation can do, and so what it can be held to.

    Attributes:
        background: ``commit(wait=False)`` exists; else accepted-is-quick is not judged.
        tasks: commits have task ids with a status; else completed-means-switched is not judged.
        archives: archives can be observed; else committed-once, nothing-stranded and order-kept are not judged
            (nothing-lost still is: what left live must then be seen inside a summary).
        order: the order of one client's adds is promised; else order-kept is not judged.
        partial: a commit may take only a part of live.
        durable: what was acknowledged survives a power loss; else scenarios with one do not apply.
        crash: a process crash can be made to happen; else scenarios with one do not apply.
        cancel: an operation can be cancelled; else scenarios that do so do not apply.
        storage: it keeps its data on the simulated disk; else scenarios in which the storage fails do not apply.
        queue: it hands work over in a durable queue; else scenarios in which that fails do not apply.
        context: the context of a session can be read; else scenarios that do so do not apply.
        retries: an add that is repeated under the same id is written once; else scenarios with a retry do not apply.
    """

    background: bool = True
    tasks: bool = True
    archives: bool = True
    order: bool = True
    partial: bool = False
    durable: bool = True
    crash: bool = True
    cancel: bool = True
    storage: bool = True
    queue: bool = False
    context: bool = False
    retries: bool = False

    def lacks(self, operations: Iterable[str]) -> str:
        """Why a scenario with these kinds of operations does not apply; empty when it does."""
        kinds = set(operations)
        return next((why for kind, (name, why) in _NEEDS.items() if kind in kinds and not getattr(self, name)), "")


_NEEDS = {
    "crash": ("crash", "its process cannot be crashed here"),
    "cancel": ("cancel", "its operations cannot be cancelled"),
    "power-loss": ("durable", "it does not promise to survive a loss of power"),
    "storage": ("storage", "its storage cannot be made to fail here"),
    "queue": ("queue", "it has no durable queue"),
    "context": ("context", "it has no context to read"),
    "retry": ("retries", "it does not promise that a repeated add is written once"),
    "ask": ("tasks", "its commits have no tasks to ask for"),
}
"""The capability that an operation asks for, and what to say where it is missing."""
