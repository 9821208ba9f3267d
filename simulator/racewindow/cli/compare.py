"""``racewindow compare``."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from racewindow.cli._arguments import (
    Disks,
    Json,
    NoShrink,
    Preemptions,
    Seed,
    TimeLimit,
    Topologies,
    several,
)
from racewindow.cli._output import print_json, say
from racewindow.cli.codes import CLEAN, INTERRUPTED
from racewindow.disk import GRANULARITIES
from racewindow.errors import UsageError
from racewindow.sessions.scenario import TOPOLOGIES
from racewindow.sessions.stories import STORIES, story

COMPARED = (
    "after-completion",
    "free-running",
    "add-during-commit",
    "add-during-extraction",
    "crash-during-commit",
    "acknowledged-then-power-loss",
)
CRASHED = "crash-during-commit"
ARRIVED = "free-running"
SEARCHED = "free-running"


def compare(
    implementations: Annotated[
        list[str] | None, typer.Argument(help="which; default: all that come with racewindow and are installed")
    ] = None,
    scenario: Annotated[
        list[str] | None,
        typer.Option("--scenario", help=f"story or text; may be repeated; default: {', '.join(COMPARED)}"),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="all stories that 'racewindow list' shows")] = False,
    topology: Topologies = ["same-store", "separate-stores"],  # noqa: B006
    disk: Disks = ["all"],  # noqa: B006
    preemptions: Preemptions = 2,
    max_executions: Annotated[int, typer.Option("--max-executions", min=1, help="of one bound in one cell")] = 350,
    schedules: Annotated[
        int | None,
        typer.Option("--schedules", min=1, help="to sample where nothing is proved; default: 200, with --all 100"),
    ] = None,
    seed: Seed = 0,
    no_shrink: NoShrink = False,
    shrink_executions: Annotated[
        int | None,
        typer.Option("--shrink-executions", min=1, help="to shrink one failure; default: 400, with --all 100"),
    ] = None,
    no_crashes: Annotated[bool, typer.Option("--no-crashes", help=f"no crash maps (of {CRASHED})")] = False,
    no_arrivals: Annotated[bool, typer.Option("--no-arrivals", help=f"no arrival curves (of {ARRIVED})")] = False,
    no_first_bug: Annotated[
        bool, typer.Option("--no-first-bug", help=f"no searches for the first violation (of {SEARCHED})")
    ] = False,
    jobs: Annotated[int, typer.Option("--jobs", min=1, help="worker processes")] = 2,
    time_limit: TimeLimit = None,
    output: Annotated[Path, typer.Option("--output", help="folder for the report, the frames and the charts")] = Path(
        "out/compare"
    ),
    as_json: Json = False,
) -> int:
    """Compare implementations side by side: one matrix, one atlas, one report."""
    from tqdm import tqdm

    from racewindow import experiments
    from racewindow.frames import tally
    from racewindow.implementations import BUILT_IN, PACKAGES, implementation

    whole = [name for name, each in BUILT_IN.items() if not each.mutant]
    names = implementations or [*whole, *(name for name, package in PACKAGES.items() if package.installed)]
    chosen = [implementation(name) for name in names]
    if every and scenario:
        raise UsageError("--all compares every story there is, so --scenario has nothing to add: give one of the two")
    stories = [story(text) for text in (scenario or (STORIES if every else COMPARED))]
    topologies, disks = several(topology, TOPOLOGIES, "topology"), several(disk, GRANULARITIES, "granularity")
    experiments.prepare(output)

    def progress(cells: Iterable[Any], total: int) -> Iterable[Any]:
        shown: Iterable[Any] = tqdm(cells, total=total, unit="cell", file=sys.stderr, disable=None, leave=False)
        return shown

    result = experiments.compare(
        chosen,
        stories,
        topologies=topologies,
        disks=disks,
        crashed=None if no_crashes else story(CRASHED),
        arrived=None if no_arrivals else story(ARRIVED),
        searched=None if no_first_bug else story(SEARCHED),
        budget=experiments.Budget(
            preemptions=preemptions,
            max_executions=max_executions,
            schedules=schedules or (100 if every else 200),
            seed=seed,
            shrink_executions=0 if no_shrink else shrink_executions or (100 if every else 400),
            searches=5 if every else 10,
        ),
        jobs=jobs,
        time_limit_s=time_limit,
        progress=progress,
    )
    if result.matrix.empty:
        say("nothing was finished; nothing is written")
        return INTERRUPTED
    written = result.write(output)
    if as_json:
        print_json(result.summary)
    else:
        print(tally(result.matrix).to_string(index=False))
        print()
        wide = result.widths[result.widths["failing"] > 0]
        columns = ["implementation", "scenario", "topology", "disk", "failing", "gaps", "opens", "closes"]
        print(wide[columns].to_string(index=False) if len(wide) else "no race window is wider than zero")
    for name in PACKAGES:
        if not implementations and name not in names:
            say(f"left out: {name} is not installed (pip install 'racewindow[{PACKAGES[name].extra}]')")
    for note in result.notes:
        say(note)
    say(f"{len(result.matrix)} cells in {result.settings['seconds']} s; open {output / 'report.html'}")
    say("written: " + ", ".join(str(path) for path in written))
    if result.interrupted:
        say("stopped before the end: these are partial results")
        return INTERRUPTED
    return CLEAN
