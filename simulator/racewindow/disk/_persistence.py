"""What a loss of power may leave.

Every operation that was not synced has a fate of its own. Those on directories survive or do not, in any combination in which each one
still makes sense (:meth:`Change.needs`): nothing promises an order among the others, not even within one directory (Pillai et al., "All
File Systems Are Not Created Equal", OSDI 2014, found file systems that keep none). Of what was written to a file there may be left
nothing, all, everything up to the end of one of the writes, or up to its middle. The notes of locks come through, or an earlier one
does, or none.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from itertools import pairwise
from typing import Literal, NamedTuple

from racewindow.disk._tree import Change, Node
from racewindow.errors import UsageError

Persistence = Literal["lose-unsynced", "keep-all", "torn", "any"]
PERSISTENCE: tuple[Persistence, ...] = ("lose-unsynced", "keep-all", "torn", "any")


class Unsynced(NamedTuple):
    """Something that a loss of power decides about.

    Attributes:
        what: an operation on directories (``live.rename``), the content of a file (``live/messages.jsonl``), the note of a lock
            (``lock:locks/s``), or the way to the root (``root``).
        fates: what may become of it, ``lost`` first and ``kept`` last; ``torn at N`` means that N bytes are left.
        torn: which of these is in the middle.
    """

    what: str
    fates: tuple[str, ...]
    torn: int


Settling = Generator[Unsynced, int, None]
"""Asks for the fate of one thing after the other, and sees to it."""


def send(settling: Settling, fate: int) -> Unsynced | None:
    """Answer, and give what is asked next; None: everything is settled."""
    try:
        return settling.send(fate)
    except StopIteration:
        return None


def answer(persistence: str) -> Callable[[Unsynced], int]:
    """The fate of everything under a policy that leaves nothing to chance.

    Raises:
        UsageError: there is no such policy, or it is ``any``.
    """
    if persistence not in _ANSWERS:
        left = "; 'any' asks for one fate after the other: use Disk.losing_power" if persistence == "any" else ""
        raise UsageError(f"unknown persistence policy {persistence!r}: use {', '.join(_ANSWERS)}{left}")
    return _ANSWERS[persistence]


_ANSWERS: dict[str, Callable[[Unsynced], int]] = {
    "lose-unsynced": lambda unsynced: 0,
    "keep-all": lambda unsynced: len(unsynced.fates) - 1,
    "torn": lambda unsynced: unsynced.torn,
}


WAY_TO_THE_ROOT = Unsynced("root", ("lost", "kept"), 1)
"""The entries that lead to the storage's own root, where a store has to make them durable itself."""


def settle_changes(pending: Sequence[Change]) -> Settling:
    """The operations on directories, in their order."""
    lost: list[Change] = []
    for change in pending:
        if not any(change.needs(earlier) for earlier in lost) and (yield Unsynced(change.what, ("lost", "kept"), 1)):
            change.make_durable()
        else:
            lost.append(change)


def settle_contents(node: Node, path: str, hide: str) -> Settling:
    """The contents of all files that are left in a directory; afterwards volatile and durable state are one."""
    if node.durable_data != node.written:
        left, torn = _left_of(node)
        fates = ("lost", *(f"torn at {len(each)}" for each in left[1:-1]), "kept")
        node.durable_data = left[(yield Unsynced(path.removeprefix(hide), fates, torn))]
    node.data = node.durable_data
    node.ends.clear()
    node.given_up = 0
    node.entries = dict(node.durable_entries)
    for name in sorted(node.entries):
        yield from settle_contents(node.entries[name], f"{path}/{name}" if path else name, hide)


def _left_of(node: Node) -> tuple[list[bytes], int]:
    """What there may be left of a file, nothing new first and everything last; and which of these is cut in the middle."""
    whole = node.written
    start = len(node.durable_data) if whole.startswith(node.durable_data) else 0
    ends = sorted({start, len(whole), *(end for end in node.ends if start < end < len(whole))})
    middle = start + (len(whole) - start) // 2
    cuts = sorted({*ends, *((before + after) // 2 for before, after in pairwise(ends)), middle})
    left = list(dict.fromkeys([node.durable_data, *(whole[:cut] for cut in cuts)]))
    return left, left.index(whole[:middle])


def settle_note(path: str, earlier: str, last: str) -> Generator[Unsynced, int, str]:
    """The note of a lock; gives what is left of it. Notes are never fsynced."""
    notes = ["", *({earlier} - {"", last}), last]
    if not any(notes):
        return ""
    fates = ("lost", *["earlier"] * (len(notes) - 2), "kept")
    return notes[(yield Unsynced(f"lock:{path}", fates, notes.index(earlier)))]
