"""``racewindow windows``."""

from __future__ import annotations

from math import inf
from pathlib import Path
from time import monotonic
from typing import Annotated, Any

import typer

from racewindow.cli._arguments import (
    Disks,
    Implementation,
    Json,
    ScenarioText,
    Time,
    TimeLimit,
    Topologies,
    cases_of,
    drawable,
    share,
)
from racewindow.cli._output import print_json, say
from racewindow.cli.codes import CLEAN, INTERRUPTED, UNKNOWN, VIOLATION


def windows(
    implementation: Implementation,
    scenario: ScenarioText = "after-completion",
    topology: Topologies = ["separate-stores"],  # noqa: B006
    disk: Disks = ["suspending"],  # noqa: B006
    time: Time = "idle",
    output: Annotated[Path | None, typer.Option("--output", help="draw the map into this file (.png or .svg)")] = None,
    seed: Annotated[int, typer.Option("--seed", help="changes nothing: the map is exact")] = 0,
    schedules: Annotated[int, typer.Option("--schedules", help="changes nothing: one schedule for each gap")] = 0,
    time_limit: TimeLimit = None,
    as_json: Json = False,
) -> int:
    """Map the race windows: the intruder runs to completion in every gap of the victim's commit."""
    from racewindow import charts, experiments
    from racewindow.frames import FAILING, WINDOWS, concat

    if output is not None:
        drawable(output)
    cases = cases_of(implementation, scenario, topology, disk, time)
    share(time_limit, cases)
    deadline = monotonic() + (time_limit or inf)
    results: list[experiments.WindowsResult] = []
    interrupted = False
    try:
        for case in cases:
            if monotonic() < deadline:
                results.append(experiments.windows(case))
    except KeyboardInterrupt:
        interrupted = True
    frame = concat([result.frame for result in results], WINDOWS)
    if as_json:
        print_json({"windows": frame.to_dict("records")})
    else:
        for result in results:
            _print_map(result)
    if output is not None:
        charts.save(charts.atlas(frame), output)
        say(f"drawn: {output}")
    if interrupted:
        say(f"interrupted after {len(results)} of {len(cases)} maps: these are partial results")
        return INTERRUPTED
    if len(results) < len(cases):
        say(f"the time limit was up after {len(results)} of {len(cases)} maps: these are partial results")
        return UNKNOWN
    return VIOLATION if frame["outcome"].isin(FAILING).any() else CLEAN


def _print_map(result: Any) -> None:
    marks = {"ok": ".", "failed": "X", "blocked-then-ok": "b", "blocked-then-failed": "B", "infeasible": "-"}
    case = result.case
    row = result.widths.iloc[0] if len(result.frame) else None
    print(f"{case.implementation.name}  {case.scenario.name}  {case.topology}, disk={case.disk}")
    if row is None:
        print(f"  not applicable: {case.not_applicable}")
        return
    print(f"  {''.join(marks[str(outcome)] for outcome in result.frame['outcome'])}")
    print(
        f"  {result.intruder} in every gap of '{result.operation}' of {result.victim}: {row['failing']} of {row['gaps']} gaps fail"
    )
    if row["failing"]:
        print(f"  {row['violation']}: {row['opens']} .. {row['closes']}\n  racewindow timeline {row['token']}")
    print("  . ok   X failed   b blocked, then ok   B blocked, then failed   - infeasible")
