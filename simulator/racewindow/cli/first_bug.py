"""``racewindow first-bug``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from racewindow.cli._arguments import (
    TWO_CLIENTS,
    Disks,
    Implementation,
    Json,
    ScenarioText,
    Strategies,
    Time,
    TimeLimit,
    Topologies,
    cases_of,
    drawable,
)
from racewindow.cli._output import print_json, say
from racewindow.cli.codes import CLEAN, INTERRUPTED, UNKNOWN, VIOLATION

SAMPLERS = ("random-walk", "burst", "pct", "pos", "urw")


def first_bug(
    implementation: Implementation,
    scenario: ScenarioText = TWO_CLIENTS,
    topology: Topologies = ["separate-stores"],  # noqa: B006
    disk: Disks = ["suspending"],  # noqa: B006
    time: Time = "idle",
    strategy: Strategies = list(SAMPLERS),  # noqa: B006
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="searches with each strategy")] = 30,
    schedules: Annotated[int, typer.Option("--schedules", min=1, help="cut a search off here")] = 1000,
    output: Annotated[
        Path | None, typer.Option("--output", help="draw the curves into this file (.png or .svg)")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="of the first search; the others follow")] = 0,
    time_limit: TimeLimit = None,
    as_json: Json = False,
) -> int:
    """Compare strategies: how many schedules until the first violation."""
    from racewindow import charts, experiments

    if output is not None:
        drawable(output)
    cases = cases_of(implementation, scenario, topology, disk, time)
    result = experiments.first_bug(
        {case.name: case for case in cases},
        strategies=strategy,
        seeds=range(seed, seed + seeds),
        schedules=schedules,
        time_limit_s=time_limit,
    )
    if as_json:
        tables = {"searches": result.frame, "rates": result.rates, "logrank": result.logrank}
        print_json({name: table.to_dict("records") for name, table in tables.items()})
    elif len(result.frame):
        print(result.rates.round(2).to_string(index=False))
        if len(result.logrank):
            print()
            print(result.logrank.round(4).to_string(index=False))
    if output is not None:
        charts.save(charts.first_bug(result.survival), output)
        say(f"drawn: {output}")
    if result.interrupted:
        say(f"stopped after {len(result.frame)} searches: these are partial results")
        return INTERRUPTED if time_limit is None else UNKNOWN
    return VIOLATION if result.frame["found"].any() else CLEAN
