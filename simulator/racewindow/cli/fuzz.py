"""``racewindow fuzz``."""

from __future__ import annotations

from typing import Annotated

import typer

from racewindow.cli._arguments import (
    STRATEGY_HELP,
    TWO_CLIENTS,
    Disks,
    Implementation,
    Json,
    NoShrink,
    ScenarioText,
    Schedules,
    Seed,
    ShrinkExecutions,
    Time,
    TimeLimit,
    Topologies,
    cases_of,
    share,
)
from racewindow.cli._output import examine
from racewindow.search import EXECUTIONS


def fuzz(
    implementation: Implementation,
    scenario: ScenarioText = TWO_CLIENTS,
    topology: Topologies = ["all"],  # noqa: B006 - typer wants a list
    disk: Disks = ["all"],  # noqa: B006
    time: Time = "idle",
    strategy: Annotated[str, typer.Option("--strategy", help=STRATEGY_HELP)] = "random-walk",
    schedules: Schedules = 1000,
    seed: Seed = 0,
    time_limit: TimeLimit = None,
    no_shrink: NoShrink = False,
    shrink_executions: ShrinkExecutions = EXECUTIONS,
    as_json: Json = False,
) -> int:
    """Sample schedules, and count what breaks."""
    from racewindow import experiments
    from racewindow.search import strategy_named

    chosen = strategy_named(strategy)
    cases = cases_of(implementation, scenario, topology, disk, time)
    return examine(
        (
            experiments.fuzz(
                case, strategy=chosen, schedules=schedules, seed=seed, time_limit_s=share(time_limit, cases)
            )
            for case in cases
        ),
        shrink_executions=0 if no_shrink else shrink_executions,
        as_json=as_json,
    )
