"""The state of a tree as a value: equal for trees that nobody could tell apart."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from racewindow.disk._tree import Change, Node


def state_of(root: Node, pending: Sequence[Change]) -> Hashable:
    """Both states of everything that can be reached, and what waits to become durable. Nodes are numbered as they are met."""
    numbers = {root: 0}
    met = [root]

    def number(node: Node) -> int:
        if node not in numbers:
            numbers[node] = len(met)
            met.append(node)
        return numbers[node]

    changes = tuple(
        (change.what, tuple((number(where), name, node and number(node)) for where, name, node in change.entries))
        for change in pending
    )
    nodes = []
    for node in met:  # which grows meanwhile
        entries = tuple((name, number(node.entries[name])) for name in sorted(node.entries))
        durable = tuple((name, number(node.durable_entries[name])) for name in sorted(node.durable_entries))
        contents = (node.data, node.durable_data, tuple(node.ends), node.given_up)
        nodes.append((node.is_directory, contents, entries, durable))
    return changes, tuple(nodes)
