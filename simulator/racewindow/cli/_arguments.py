"""Arguments that several commands take, and what is made of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from racewindow.disk import GRANULARITIES
from racewindow.errors import UsageError
from racewindow.sessions.scenario import TOPOLOGIES, Scenario
from racewindow.sessions.stories import story

TWO_CLIENTS = "a: add m1; commit; reload | b: add m2; commit; reload"

STRATEGY_HELP = (
    "random-walk, burst, pct, pos, urw, surw, timed, bounded, delays, dpor, states, auto or replay; "
    "parameters after a colon: pct:depth=5"
)
Implementation = Annotated[
    str, typer.Argument(help="name of an implementation ('racewindow list'), module:Class or file.py:Class")
]
ScenarioText = Annotated[
    str, typer.Argument(help="name of a story, or a text like 'a: add m1; commit | b: reload; commit'")
]
Topologies = Annotated[list[str], typer.Option("--topology", help=f"{', '.join(TOPOLOGIES)} or all; may be repeated")]
Disks = Annotated[
    list[str], typer.Option("--disk", help=f"granularity: {', '.join(GRANULARITIES)} or all; may be repeated")
]
Time = Annotated[str, typer.Option("--time", help="idle, or adversarial: a timer may fire at any moment")]
Strategies = Annotated[list[str], typer.Option("--strategy", help=f"{STRATEGY_HELP}; may be repeated")]
Json = Annotated[bool, typer.Option("--json", help="machine-readable result on stdout")]
Seed = Annotated[int, typer.Option("--seed", help="schedule i depends on the seed and i only")]
Schedules = Annotated[int, typer.Option("--schedules", min=1, help="how many schedules to sample at most")]
TimeLimit = Annotated[float | None, typer.Option("--time-limit", help="wall-clock seconds")]
Preemptions = Annotated[int, typer.Option("--preemptions", help="prove up to this many preemptions")]
NoShrink = Annotated[bool, typer.Option("--no-shrink", help="show a failure as it was found, not the simplest like it")]


ShrinkExecutions = Annotated[
    int, typer.Option("--shrink-executions", min=1, help="how many schedules shrinking one failure may run at most")
]


def cases_of(implementation_name: str, text: str, topology: list[str], disk: list[str], time: str) -> list[Any]:
    """One case for each topology and granularity."""
    from racewindow.implementations import implementation
    from racewindow.sessions.case import Case

    scenario: Scenario = story(text)
    return [
        Case(
            implementation=implementation(implementation_name),
            scenario=scenario,
            topology=one,
            disk=other,
            time=time,  # type: ignore[arg-type]
        )
        for one in several(topology, TOPOLOGIES, "topology")
        for other in several(disk, GRANULARITIES, "granularity")
    ]


def case_of(token: str) -> Any:
    """The case that a token names."""
    from racewindow.implementations import implementation
    from racewindow.kernel.token import Token
    from racewindow.sessions.case import Case

    return Case.named(Token.parse(token).subject, implementation)


def drawable(output: Path) -> None:
    """Make sure that a chart can be written there, before any work is done."""
    from racewindow.experiments import prepare

    if output.suffix not in (".png", ".svg"):
        raise UsageError(f"cannot draw into {output}: give a file that ends in .png or .svg")
    prepare(output.parent)


def several(given: list[str], known: Sequence[Any], what: str) -> list[Any]:
    """The values given, each once; all that are known for ``all``."""
    if "all" in given:
        return list(known)
    for value in given:
        if value not in known:
            raise UsageError(f"unknown {what} {value!r}: use {', '.join(known)} or all")
    return list(dict.fromkeys(given))


def share(time_limit: float | None, cases: Sequence[object]) -> float | None:
    """What each case may take of a time limit."""
    if time_limit is not None and time_limit <= 0:
        raise UsageError(f"--time-limit {time_limit}: give a positive number of seconds")
    return None if time_limit is None else time_limit / len(cases)
