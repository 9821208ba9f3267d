"""The scenarios that are one step smaller than another: without a client, without an operation, with two clients made one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from racewindow.errors import UsageError
from racewindow.kernel.token import Segment
from racewindow.sessions.scenario import KINDS, Client, Operation, Scenario, has_lost_its_meaning
from racewindow.sessions.stories import story

Renamed = tuple[str, str]
"""A client that is gone, and the one that has its operations now; empty names: nobody was renamed."""


def operations_of(scenario: Scenario) -> int:
    """How many operations there are to look at; ``after`` only says when a client starts."""
    return sum(operation.kind != "after" for client in scenario.clients for operation in client.operations)


def smaller(scenario: Scenario) -> Iterator[tuple[Scenario, Renamed]]:
    """Every scenario that is one step smaller, the largest steps first."""
    seen = {scenario.text}
    for clients, renamed in _steps(scenario.clients):
        candidate = _scenario(clients)
        if candidate is not None and candidate.text not in seen:
            seen.add(candidate.text)
            yield candidate, renamed


def renamed_segments(segments: Sequence[Segment], renamed: Renamed) -> list[Segment]:
    """A schedule in which the roles of a client are those of another: ``b`` and ``b/commit`` become ``a`` and ``a/commit``."""
    old, new = renamed
    if not old:
        return list(segments)
    return [
        replace(segment, role=f"{new}{segment.role[len(old) :]}") if _is(segment.role, old) else segment
        for segment in segments
    ]


def _is(role: str, client: str) -> bool:
    return role == client or role.startswith((f"{client}/", f"{client}."))


def _steps(clients: tuple[Client, ...]) -> Iterator[tuple[list[Client], Renamed]]:
    for client in clients:
        yield [other for other in clients if other is not client], ("", "")
    for client in clients:
        for index, operation in enumerate(client.operations):
            if operation.kind != "after":
                rest = (*client.operations[:index], *client.operations[index + 1 :])
                yield [replace(other, operations=rest) if other is client else other for other in clients], ("", "")
    for first in clients:
        for second in clients:
            if first is not second:
                yield _merged(clients, first, second), (second.name, first.name)


def _merged(clients: tuple[Client, ...], first: Client, second: Client) -> list[Client]:
    """The operations of ``second`` follow those of ``first``; who named the one names the other now."""
    rest = tuple(operation for operation in second.operations if operation.kind != "after")
    merged = replace(first, operations=first.operations + rest)
    return [
        _naming(merged if client is first else client, second.name, first.name)
        for client in clients
        if client is not second
    ]


def _naming(client: Client, old: str, new: str) -> Client:
    return replace(
        client,
        operations=tuple(
            replace(operation, argument=new)
            if KINDS[operation.kind].names_client and operation.argument == old
            else operation
            for operation in client.operations
        ),
    )


def _scenario(clients: Sequence[Client]) -> Scenario | None:
    """The scenario of these clients without what has lost its meaning; None: there is none."""
    clients = [client for client in clients if any(operation.kind != "after" for operation in client.operations)]
    names = {client.name for client in clients}
    kept = [replace(client, operations=tuple(_meaningful(client, names))) for client in clients]
    if kept != clients:
        return _scenario(kept)
    try:
        return story(" | ".join(map(str, kept)))
    except UsageError:  # for example a client that cancels itself
        return None


def _meaningful(client: Client, names: set[str]) -> Iterator[Operation]:
    """The operations that still mean something: whoever they name is there, and so is what they wait for or repeat."""
    for index, operation in enumerate(client.operations):
        named = operation.argument if KINDS[operation.kind].names_client else ""
        if (not named or named in names) and not has_lost_its_meaning(operation, client.operations[:index]):
            yield operation
