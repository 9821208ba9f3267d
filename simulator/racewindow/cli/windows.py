"""``racewindow windows``."""

from __future__ import annotations

from dataclasses import dataclass
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
from racewindow.errors import UsageError


def windows(
    implementation: Implementation,
    scenario: ScenarioText = "after-completion",
    topology: Topologies = ["separate-stores"],  # noqa: B006
    disk: Disks = ["suspending"],  # noqa: B006
    time: Time = "idle",
    output: Annotated[Path | None, typer.Option("--output", help="draw the map into this file (.png or .svg)")] = None,
    seed: Annotated[int, typer.Option("--seed", help="changes nothing: the map is exact")] = 0,
    schedules: Annotated[int, typer.Option("--schedules", help="changes nothing: one schedule for each gap")] = 0,
    every: Annotated[
        bool,
        typer.Option(
            "--every", help="every operation of every client, against every other client and each of its operations"
        ),
    ] = False,
    double: Annotated[
        bool, typer.Option("--double", help="interrupt the intruder, too: a matrix, and --output draws that")
    ] = False,
    closing: Annotated[
        bool,
        typer.Option("--closing", help="find the steps that have to be atomic for each window to be gone, by trying"),
    ] = False,
    measure: Annotated[
        bool, typer.Option("--measure", help="widths as a share of all interleavings and in virtual seconds, too")
    ] = False,
    latency: Annotated[
        list[str],
        typer.Option("--latency", help="with --measure: PATTERN=SECONDS of the steps that fit; may be repeated"),
    ] = [],  # noqa: B006
    time_limit: TimeLimit = None,
    as_json: Json = False,
) -> int:
    """Map the race windows: the intruder runs to completion in every gap of the victim's commit."""
    from racewindow import charts, experiments
    from racewindow.frames import FAILING, WINDOWS, concat

    if output is not None:
        drawable(output)
    cases = cases_of(implementation, scenario, topology, disk, time)
    if double and output is not None and len(cases) > 1:
        raise UsageError(
            f"--double draws one matrix, but {len(cases)} were asked for: give one --topology and one --disk"
        )
    latencies = experiments.Latencies.parse(latency)
    share(time_limit, cases)
    deadline = monotonic() + (time_limit or inf)
    results: list[_Maps] = []
    interrupted = False
    try:
        for case in cases:
            if monotonic() < deadline:
                mapped = experiments.windows(case, every=every)
                applies = len(mapped.frame) > 0
                results.append(
                    _Maps(
                        windows=mapped,
                        double=experiments.double(case) if double else None,
                        closing=experiments.closing(case, double=double) if closing else None,
                        measures=experiments.measure(mapped, latencies=latencies) if measure and applies else None,
                    )
                )
    except KeyboardInterrupt:
        interrupted = True
    frame = concat([result.windows.frame for result in results], WINDOWS)
    if as_json:
        print_json(_plain(results, frame))
    else:
        for result in results:
            _print_maps(result)
    if output is not None:
        charts.save(charts.double(results[0].double.frame) if double and results else charts.atlas(frame), output)
        say(f"drawn: {output}")
    if interrupted:
        say(f"interrupted after {len(results)} of {len(cases)} maps: these are partial results")
        return INTERRUPTED
    if len(results) < len(cases):
        say(f"the time limit was up after {len(results)} of {len(cases)} maps: these are partial results")
        return UNKNOWN
    failing = any(
        part["outcome"].isin(FAILING).any() for part in (frame, *(each.double.frame for each in results if double))
    )
    return VIOLATION if failing else CLEAN


@dataclass(frozen=True, slots=True, kw_only=True)
class _Maps:
    """What was found for one case; None: was not asked for."""

    windows: Any
    double: Any
    closing: Any
    measures: Any


_MARKS = {"ok": ".", "failed": "X", "blocked-then-ok": "b", "blocked-then-failed": "B", "infeasible": "-"}
_KEY = "  . ok   X failed   b blocked, then ok   B blocked, then failed   - infeasible"


def _plain(results: list[_Maps], frame: Any) -> dict[str, Any]:
    tables = {"windows": frame.to_dict("records")}
    for name in ("double", "closing", "measures"):
        asked = [getattr(result, name) for result in results if getattr(result, name) is not None]
        if asked:
            tables[name] = [row for part in asked for row in getattr(part, "frame", part).to_dict("records")]
    return tables


def _print_maps(result: _Maps) -> None:
    from racewindow.frames import RIBBON, spans

    mapped = result.windows
    case = mapped.case
    print(f"{case.implementation.name}  {case.scenario.name}  {case.topology}, disk={case.disk}")
    if not len(mapped.frame):
        print(f"  not applicable: {case.not_applicable}")
        return
    for row in mapped.widths.to_dict("records"):
        mine = {name: row[name] for name in RIBBON}
        cells = mapped.frame[(mapped.frame[list(mine)].astype("str") == list(mine.values())).all(axis=1)]
        intruder = f"{row['intruder']}: {row['intrusion']}" if row["intrusion"] else row["intruder"]
        print(f"  {''.join(_MARKS[str(outcome)] for outcome in cells['outcome'])}")
        print(
            f"  {intruder} in every gap of '{row['operation']}' of {row['victim']}: {row['failing']} of {row['gaps']} gaps fail"
        )
        for span in spans(cells).to_dict("records"):
            print(f"  {span['violation']}: {span['opens']} .. {span['closes']}\n  racewindow timeline {span['token']}")
    print(_KEY)
    if result.double is not None:
        _print_double(result.double)
    if result.closing is not None:
        _print_closing(result.closing)
    if result.measures is not None:
        _print_measures(result.measures)


def _print_double(result: Any) -> None:
    row = result.widths.iloc[0]
    marks = {
        (cell["gap"], cell["intruder_steps"]): _MARKS[str(cell["outcome"])] for cell in result.frame.to_dict("records")
    }
    gaps, steps = max(gap for gap, _ in marks) + 1, max(step for _, step in marks)
    print(f"  {row['intruder']} starts in a gap (across) and is interrupted after so many steps (upwards):")
    for step in range(steps, 0, -1):
        line = "".join(marks.get((gap, step), marks.get((gap, 0), " ")) for gap in range(gaps))
        print(f"  {step:4d}  {line.rstrip()}")
    print(
        f"  {row['failing']} of {row['cells']} schedules fail, {row['only_double']} in gaps where no whole intrusion does"
    )
    if row["token"]:
        print(f"  racewindow timeline {row['token']}")


def _print_closing(result: Any) -> None:
    for row in result.frame.to_dict("records"):
        window = f"{row['opens']} .. {row['closes']}"
        if row["closed"]:
            print(f"  closed by making atomic: {row['atomic_from']} .. {row['atomic_to']} (the window {window})")
        else:
            print(f"  not closed: {window}; {row['reason'] or 'some of it is left'}")
    if len(result.frame):
        row = result.frame.iloc[0]
        double = (
            ""
            if row["double"] < 0
            else f"; of {row['double']} failing cells of the matrix {row['double_left']} are left"
        )
        broken = f"; in {row['broken']} gaps a section had to let others in" if row["broken"] else ""
        print(f"  with all of that, {row['left']} gaps fail{double}{broken}")


def _print_measures(measures: Any) -> None:
    first = measures.iloc[0]
    span = "" if first["share_exact"] else f" ({first['share_low']:.1%} to {first['share_high']:.1%}, 95 %)"
    how = "all " if first["share_exact"] else ""
    drawn = "" if first["share_exact"] else " drawn by urw"
    print(f"  of {how}{first['interleavings']} interleavings{drawn} {first['share']:.1%} fail{span}")
    if not first["share_exact"]:
        print(f"  {first['share_how']}")
    for row in measures.to_dict("records"):
        intruder = f"{row['intruder']}: {row['intrusion']}" if row["intrusion"] else row["intruder"]
        print(
            f"  '{row['operation']}' of {row['victim']} is open to {intruder} for {row['seconds']:.4g} of {row['seconds_all']:.4g} virtual "
            "seconds (means)"
        )
    print(f"  latencies, {first['latency']}")
