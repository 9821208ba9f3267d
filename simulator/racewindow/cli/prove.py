"""``racewindow prove``."""

from __future__ import annotations

from typing import Annotated

import typer

from racewindow.cli._arguments import (
    TWO_CLIENTS,
    Disks,
    Implementation,
    Json,
    NoShrink,
    Preemptions,
    ScenarioText,
    ShrinkExecutions,
    Time,
    TimeLimit,
    Topologies,
    cases_of,
    share,
)
from racewindow.cli._output import examine
from racewindow.search import EXECUTIONS


def prove(
    implementation: Implementation,
    scenario: ScenarioText = TWO_CLIENTS,
    topology: Topologies = ["same-store", "separate-stores"],  # noqa: B006
    disk: Disks = ["all"],  # noqa: B006
    time: Time = "idle",
    preemptions: Preemptions = 2,
    unbounded: Annotated[
        bool, typer.Option("--unbounded", help="no bound on preemptions: reduce instead (DPOR)")
    ] = False,
    schedules: Annotated[
        int, typer.Option("--schedules", min=1, help="give up a bound beyond this many executions")
    ] = 100_000,
    seed: Annotated[int, typer.Option("--seed", help="changes nothing: every schedule is run")] = 0,
    time_limit: TimeLimit = None,
    no_shrink: NoShrink = False,
    shrink_executions: ShrinkExecutions = EXECUTIONS,
    as_json: Json = False,
) -> int:
    """Run every schedule within a bound on preemptions, or all of them up to the order of independent steps."""
    from racewindow import experiments

    cases = cases_of(implementation, scenario, topology, disk, time)
    return examine(
        (
            experiments.prove(
                case,
                preemptions=None if unbounded else preemptions,
                max_executions=schedules,
                time_limit_s=share(time_limit, cases),
            )
            for case in cases
        ),
        shrink_executions=0 if no_shrink else shrink_executions,
        as_json=as_json,
    )
