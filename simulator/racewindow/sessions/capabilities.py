"""What an implementation promises. Only the invariants it claims are judged."""

from __future__ import annotations

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
    """

    background: bool = True
    tasks: bool = True
    archives: bool = True
    order: bool = True
    partial: bool = False
    durable: bool = True
    crash: bool = True
    cancel: bool = True
