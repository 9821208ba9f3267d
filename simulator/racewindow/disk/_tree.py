"""Files and directories, each in two states, and the operations on directories that wait to become durable."""

from __future__ import annotations

from typing import NamedTuple


class Node:
    """A file or a directory: its volatile and its durable state."""

    __slots__ = ("data", "durable_data", "durable_entries", "ends", "entries", "given_up", "id", "is_directory")

    def __init__(self, id: int, *, is_directory: bool) -> None:
        self.id = id
        self.is_directory = is_directory
        self.entries: dict[str, Node] = {}
        self.durable_entries: dict[str, Node] = {}
        self.data = b""
        self.durable_data = b""
        self.ends: list[
            int
        ] = []  # how long the file was after each write since it was last durable; 0 for a truncation
        self.given_up = 0  # an fsync of the bytes up to here has failed: none will write them any more

    def fill(self, data: bytes) -> None:
        """Give it another content, in one write."""
        if not data.startswith(self.data):
            self.ends.append(0)
        self.ends.append(len(data))
        self.data = data

    @property
    def written(self) -> bytes:
        """What is durable when all is written that still will be."""
        return self.durable_data[: self.given_up].ljust(self.given_up, b"\0") + self.data[self.given_up :]

    def make_durable(self) -> None:
        self.durable_data = self.written
        self.ends.clear()


class Change(NamedTuple):
    """One operation on directories, which becomes durable as a whole.

    Attributes:
        what: the operation, for example ``live.rename``.
        entries: the directory entries that it sets, or removes (None).
    """

    what: str
    entries: tuple[tuple[Node, str, Node | None], ...]

    @property
    def directories(self) -> set[Node]:
        """Those it works in."""
        return {directory for directory, _, _ in self.entries}

    def apply(self) -> None:
        """Do it in the volatile state."""
        for directory, name, node in self.entries:
            _set(directory.entries, name, node)

    def make_durable(self) -> None:
        for directory, name, node in self.entries:
            _set(directory.durable_entries, name, node)

    def needs(self, earlier: Change) -> bool:
        """Whether it makes no sense without an earlier one: the same entry is set again, or the directory was only made there."""
        made = earlier.entries[0][2] if len(earlier.entries) == 1 else None
        mine = {(directory, name) for directory, name, _ in self.entries}
        return made in self.directories or any((directory, name) in mine for directory, name, _ in earlier.entries)


def _set(entries: dict[str, Node], name: str, node: Node | None) -> None:
    if node is None:
        entries.pop(name, None)
    else:
        entries[name] = node
