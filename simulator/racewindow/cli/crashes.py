"""``racewindow crashes``."""

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
    several,
    share,
)
from racewindow.cli._output import print_json, say
from racewindow.cli.codes import CLEAN, INTERRUPTED, UNKNOWN, VIOLATION
from racewindow.disk import PERSISTENCE
from racewindow.sessions.scenario import CRASH_FAULTS

MARKS = {"ok": ".", "failed": "X", "infeasible": "-", "unknown": "?"}


def crashes(
    implementation: Implementation,
    scenario: ScenarioText = "a: add m1; commit nowait; wait",
    fault: Annotated[list[str], typer.Option("--fault", help=f"{', '.join(CRASH_FAULTS)} or all")] = ["all"],  # noqa: B006
    policy: Annotated[
        list[str],
        typer.Option(
            "--policy", help=f"what survives a loss of power: {', '.join(PERSISTENCE)} or all; may be repeated"
        ),
    ] = ["all"],  # noqa: B006
    victim: Annotated[str, typer.Option("--victim", help="client to strike; default: the first one that commits")] = "",
    second: Annotated[bool, typer.Option("--second", help="strike again at every point of the recovery")] = False,
    delays: Annotated[int, typer.Option("--delays", min=0, help="try schedules with so many delays afterwards")] = 0,
    topology: Topologies = ["same-store"],  # noqa: B006
    disk: Disks = ["suspending"],  # noqa: B006
    time: Time = "idle",
    output: Annotated[Path | None, typer.Option("--output", help="draw the maps into this file (.png or .svg)")] = None,
    time_limit: TimeLimit = None,
    as_json: Json = False,
) -> int:
    """Map what a crash, a loss of power or a cancellation does at every point of a story."""
    from racewindow import charts, experiments
    from racewindow.frames import CRASHES, concat

    if output is not None:
        drawable(output)
    faults = several(fault, CRASH_FAULTS, "fault")
    policies = several(policy, PERSISTENCE, "persistence policy")
    # A cancelled store does not recover, so there is nothing for a second fault to strike in.
    maps = [
        (case, kind, second and kind != "cancel")
        for case in cases_of(implementation, scenario, topology, disk, time)
        for kind in faults
    ]
    share(time_limit, maps)
    deadline = monotonic() + (time_limit or inf)
    results: list[experiments.CrashesResult] = []
    for case, kind, again in maps:
        left = deadline - monotonic()
        if left <= 0:
            break
        result = experiments.crashes(
            case,
            fault=kind,
            policies=policies,
            victim=victim,
            second=again,
            delays=delays,
            time_limit_s=None if left == inf else left,
        )
        results.append(result)
        if not as_json:
            _print_map(result)
        if result.interrupted:
            break
    frame = concat([result.frame for result in results], CRASHES)
    if as_json:
        print_json({"crashes": frame.to_dict("records"), "maps": [_plain(result) for result in results]})
    if output is not None:
        charts.save(charts.crash_atlas(frame), output)
        say(f"drawn: {output}")
    partial = sum(not result.complete and not result.not_applicable for result in results) + len(maps) - len(results)
    if partial:
        interrupted = any(result.interrupted for result in results)
        why = "interrupted" if interrupted else "the time limit was up"
        say(f"{why}: {partial} of {len(maps)} maps are incomplete or missing")
        if interrupted:
            return INTERRUPTED
    if (frame["outcome"] == "failed").any():
        return VIOLATION
    return UNKNOWN if partial or (frame["outcome"] == "unknown").any() else CLEAN


def _plain(result: Any) -> dict[str, Any]:
    case = result.case
    return {
        "implementation": case.implementation.name,
        "scenario": case.scenario.name,
        "topology": case.topology,
        "disk": case.disk,
        "fault": result.fault,
        "victim": result.victim,
        "baseline": list(result.baseline),
        "schedules": result.schedules,
        "merged": result.merged,
        "complete": result.complete,
        "reason": result.reason,
        "seconds": round(result.seconds, 2),
    }


def _print_map(result: Any) -> None:
    from racewindow.frames import crash_points

    case = result.case
    print(
        f"{case.implementation.name}  {case.scenario.name}  {case.topology}, disk={case.disk}: {result.fault} of {result.victim}"
    )
    if result.not_applicable:
        print(f"  not applicable: {result.not_applicable}")
        return
    if result.baseline:
        print(f"  the same story fails without any fault: {'+'.join(result.baseline)}")
    points = crash_points(result.frame)
    for (policy, twice), row in points.groupby(["policy", "twice"], observed=True, sort=False):
        name = f"{policy or result.fault}{', twice' if twice else ''}"
        line = "".join(MARKS[str(outcome)] for outcome in row["outcome"])
        print(f"  {name:<22} {line}  {row['failing'].sum()} of {row['cells'].sum()} cells fail")
        bad = row[row["outcome"] == "failed"]
        if len(bad):
            first, last = bad.iloc[0], bad.iloc[-1]
            kinds = "+".join(dict.fromkeys(kind for each in bad["violation"] for kind in each.split("+")))
            print(f"    {kinds}: {first['before_step'] or '(at rest)'} .. {last['before_step'] or '(at rest)'}")
            print(f"    racewindow timeline {first['token']}")
    print(f"  {result.schedules} schedules run, {result.merged} cells merged with others of the same state")
    print("  . ok   X failed   - nothing to strike   ? unknown")
