"""``racewindow fuzz``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from racewindow.cli import _campaign
from racewindow.cli._arguments import (
    STRATEGY_HELP,
    TWO_CLIENTS,
    Disks,
    Implementation,
    Json,
    NoShrink,
    Seed,
    ShrinkExecutions,
    Time,
    TimeLimit,
    Topologies,
    cases_of,
    share,
)
from racewindow.cli._formats import parsed
from racewindow.cli._output import examine
from racewindow.errors import UsageError
from racewindow.search import EXECUTIONS


def fuzz(
    implementation: Implementation,
    scenario: Annotated[
        str | None,
        typer.Argument(
            help=f"name of a story, or a text like 'a: add m1; commit | b: reload; commit'; default: every story with a profile, "
            f"and without one '{TWO_CLIENTS}'",
            show_default=False,
        ),
    ] = None,
    topology: Topologies = ["all"],  # noqa: B006 - typer wants a list
    disk: Disks = ["all"],  # noqa: B006
    time: Time = "idle",
    strategy: Annotated[
        str | None, typer.Option("--strategy", help=f"{STRATEGY_HELP} [default: the profile's, or random-walk]")
    ] = None,
    schedules: Annotated[
        int | None,
        typer.Option("--schedules", min=1, help="how many to sample at most [default: the profile's, or 1000]"),
    ] = None,
    seed: Seed = 0,
    time_limit: TimeLimit = None,
    no_shrink: NoShrink = False,
    shrink_executions: ShrinkExecutions = EXECUTIONS,
    as_json: Json = False,
    profile: Annotated[
        str | None,
        typer.Option("--profile", help="a budget by name: dev, ci or nightly; proves what it can, then samples"),
    ] = None,
    corpus: Annotated[
        Path | None, typer.Option("--corpus", help="folder of failing tokens: replayed first, and added to")
    ] = None,
    output: Annotated[
        list[str] | None,
        typer.Option(
            "--output", help="text, json, junit or github, perhaps with a file: junit=races.xml; may be repeated"
        ),
    ] = None,
    runs: Annotated[
        Path | None,
        typer.Option(
            "--runs", help="keep every schedule in this folder (Parquet); the same command goes on where it stopped"
        ),
    ] = None,
    jobs: Annotated[int | None, typer.Option("--jobs", min=1, help="worker processes")] = None,
    backend: Annotated[
        str, typer.Option("--backend", help="local; or dask or ray: the workers of a cluster that runs")
    ] = "local",
    scheduler: Annotated[
        str, typer.Option("--scheduler", help="address of the cluster: tcp://host:port, ray://host:port")
    ] = "",
) -> int:
    """Sample schedules, and count what breaks; as a campaign, for CI and long runs, with a profile, a corpus, jobs or a cluster."""
    from racewindow import experiments
    from racewindow.search import strategy_named

    asked = (profile, corpus, output, runs, jobs, scheduler)
    if all(each is None or each == "" for each in asked) and backend == "local":
        chosen = strategy_named(strategy or "random-walk")
        cases = cases_of(implementation, scenario or TWO_CLIENTS, topology, disk, time)
        return examine(
            (
                experiments.fuzz(
                    case,
                    strategy=chosen,
                    schedules=schedules or 1000,
                    seed=seed,
                    time_limit_s=share(time_limit, cases),
                )
                for case in cases
            ),
            shrink_executions=0 if no_shrink else shrink_executions,
            as_json=as_json,
        )
    if as_json and output:
        raise UsageError("--json is --output json: give one of them")
    plan, budget_s = _plan(implementation, scenario, topology, disk, time, strategy, schedules, seed, profile)
    share(time_limit, plan.jobs)  # complains about a limit that is none
    order = _campaign.Order(
        title=f"fuzz {implementation}, {f'profile {profile}, ' if profile else ''}seed {seed}",
        plan=plan,
        time_limit_s=budget_s if time_limit is None else time_limit,
        corpus=corpus,
        runs=runs,
        jobs=jobs or 1,
        backend=backend,
        scheduler=scheduler,
        outputs=parsed(["json"] if as_json else output or ["text"]),
        shrink_executions=0 if no_shrink else shrink_executions,
    )
    return _campaign.run(order)


def _plan(
    implementation: str,
    scenario: str | None,
    topology: list[str],
    disk: list[str],
    time: str,
    strategy: str | None,
    schedules: int | None,
    seed: int,
    profile: str | None,
) -> tuple[Any, float | None]:
    """The campaign, and its time limit where a profile has one."""
    from racewindow.campaign import Proof, plan_of
    from racewindow.campaign.profiles import profile_named
    from racewindow.search import strategy_named
    from racewindow.sessions.stories import STORIES

    budget = None if profile is None else profile_named(profile)
    names = [strategy] if strategy else ["random-walk"] if budget is None else list(budget.strategies)
    texts = [scenario] if scenario else [TWO_CLIENTS] if budget is None else list(STORIES)
    plan = plan_of(
        [case for text in texts for case in cases_of(implementation, text, topology, disk, time)],
        strategies=[strategy_named(name) for name in names],
        schedules=schedules or (1000 if budget is None else budget.schedules),
        seed=seed,
        proof=None if budget is None else Proof(preemptions=budget.preemptions, max_executions=budget.max_executions),
    )
    return plan, None if budget is None else budget.time_limit_s
