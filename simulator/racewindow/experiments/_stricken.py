"""The story that a fault is put into: who strikes whom, and who goes on afterwards."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import count

from racewindow.errors import UsageError
from racewindow.sessions.scenario import Client, CrashFault, Operation, Scenario
from racewindow.sessions.stories import story

_KINDS = ("crash", "power-loss", "cancel")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stricken:
    """A scenario with a fault in it.

    Attributes:
        scenario: clients at work, one that strikes, and one that adds and commits once more when that has happened.
        victim: whose store dies, or whose operation is cancelled.
        striker: who makes it happen.
    """

    scenario: Scenario
    victim: str
    striker: str


def stricken(scenario: Scenario, fault: CrashFault, policy: str, *, victim: str = "", strikes: int = 1) -> Stricken:
    """Put a fault into a scenario, in place of the faults that it has.

    Clients that wait for a client with a fault wait for this one; without any, a client is added that adds, commits and reloads.

    Args:
        scenario: the workload.
        fault: what strikes.
        policy: for a loss of power.
        victim: a client; default: the first one that commits, or else the first one that does anything.
        strikes: how often it happens; none: the same story without a fault, the last client comes after the victim instead.

    Raises:
        UsageError: there is no such client, or nobody uses a store.
    """
    workload, struck_by = _workload(scenario)
    victim = victim or _victim(workload, scenario)
    if victim not in [client.name for client in workload]:
        names = ", ".join(client.name for client in workload)
        raise UsageError(
            f"the scenario {scenario.name!r} has no client {victim!r} that uses a store: use one of {names}"
        )
    taken = {client.name for client in scenario.clients}
    striker = struck_by or _fresh("x", taken)
    trigger = striker if strikes else victim
    waiting = [client for client in workload if struck_by and client.after == struck_by]
    goes_on = [_after(client, trigger) if client in waiting else client for client in workload]
    if not waiting:
        goes_on.append(_one_more(scenario, trigger, taken | {striker}))
    if strikes:
        blow = Operation(
            kind="crash" if fault == "process-crash" else fault, argument=policy if fault == "power-loss" else victim
        )
        goes_on.insert(len(workload), Client(name=striker, operations=(blow,) * strikes))
    text = " | ".join(map(str, goes_on))
    return Stricken(scenario=story(text), victim=victim, striker=striker)


def _workload(scenario: Scenario) -> tuple[list[Client], str | None]:
    """The clients without their faults, and the first one that did nothing else."""
    workload: list[Client] = []
    bystanders: list[str] = []
    for client in scenario.clients:
        operations = tuple(each for each in client.operations if each.kind not in _KINDS)
        if any(operation.kind != "after" for operation in operations):
            workload.append(replace(client, operations=operations))
        elif operations != client.operations:
            bystanders.append(client.name)
    return workload, bystanders[0] if bystanders else None


def _victim(workload: list[Client], scenario: Scenario) -> str:
    if not workload:
        raise UsageError(
            f"nobody in the scenario {scenario.name!r} uses a store: there is nothing for a fault to strike"
        )
    committing = [client for client in workload if any(each.kind == "commit" for each in client.operations)]
    return (committing or workload)[0].name


def _after(client: Client, other: str) -> Client:
    return replace(client, operations=(Operation(kind="after", argument=other), *client.operations[1:]))


def _one_more(scenario: Scenario, trigger: str, taken: set[str]) -> Client:
    """One more add and commit, by a client whose handle is as fresh as the fault, and a look at what is live then."""
    message = next(f"m{number}" for number in count(1) if f"m{number}" not in scenario.messages)
    operations = (
        Operation(kind="after", argument=trigger),
        Operation(kind="reload"),
        Operation(kind="add", argument=message),
        Operation(kind="commit"),
        Operation(kind="reload"),
    )
    return Client(name=_fresh("z", taken), operations=operations)


def _fresh(name: str, taken: set[str]) -> str:
    return name if name not in taken else next(each for number in count(2) if (each := f"{name}{number}") not in taken)
