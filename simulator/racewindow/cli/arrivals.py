"""``racewindow arrivals``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from racewindow.cli._arguments import Json, Seed, cases_of, drawable
from racewindow.cli._output import print_json, say
from racewindow.cli.codes import CLEAN, INTERRUPTED, VIOLATION
from racewindow.errors import UsageError


def arrivals(
    implementations: Annotated[
        list[str],
        typer.Argument(help="names ('racewindow list'), module:Class or file.py:Class", metavar="IMPLEMENTATION..."),
    ],
    scenario: Annotated[str, typer.Option("--scenario", help="name of a story, or its text")] = "free-running",
    topology: Annotated[
        str, typer.Option("--topology", help="which clients share a handle or a store")
    ] = "separate-stores",
    disk: Annotated[str, typer.Option("--disk", help="granularity: suspending or atomic")] = "suspending",
    delays: Annotated[
        str, typer.Option("--delays", help="virtual seconds from 'accepted' to the arrival, joined by commas")
    ] = "0,0.001,0.01,0.1,0.3,1,2,3,5,10",
    load: Annotated[
        list[int], typer.Option("--load", help="so many other clients add and commit meanwhile; may be repeated")
    ] = [0],  # noqa: B006
    latency: Annotated[
        list[str],
        typer.Option(
            "--latency",
            help="PATTERN=SECONDS, mean of the steps that fit; may be repeated, the first fitting one holds",
        ),
    ] = [],  # noqa: B006
    distribution: Annotated[str, typer.Option("--distribution", help="exponential, or fixed: exact")] = "exponential",
    think: Annotated[
        float, typer.Option("--think", help="mean seconds that the load takes before each operation")
    ] = 1.0,
    schedules: Annotated[int, typer.Option("--schedules", min=1, help="for each implementation, load and delay")] = 200,
    seed: Seed = 0,
    server: Annotated[
        list[str],
        typer.Option(
            "--server",
            help="a real server beside them, as for 'racewindow server'; wall-clock seconds; may be repeated",
        ),
    ] = [],  # noqa: B006
    jobs: Annotated[
        int, typer.Option("--jobs", min=1, help="worker processes; they change nothing but the time it takes")
    ] = 2,
    output: Annotated[
        Path | None, typer.Option("--output", help="draw the curves into this file (.png or .svg)")
    ] = None,
    as_json: Json = False,
) -> int:
    """How likely harm is when a second client arrives a while after the first one's commit was accepted."""
    from tqdm import tqdm

    from racewindow import charts, experiments
    from racewindow.frames import ARRIVALS, arrival_widths, concat

    if output is not None:
        drawable(output)
    latencies = experiments.Latencies.parse(latency, distribution)
    delays_s = _numbers(delays)
    cases = [
        case for name in dict.fromkeys(implementations) for case in cases_of(name, scenario, [topology], [disk], "idle")
    ]
    for case in cases:
        if case.not_applicable:
            say(f"{case.implementation.name} is left out: {case.not_applicable}")
    result = experiments.arrivals(
        cases,
        latencies=latencies,
        delays_s=delays_s,
        loads=load,
        think_s=think,
        schedules=schedules,
        seed=seed,
        jobs=jobs,
        progress=lambda rows, total: tqdm(rows, total=total, disable=None, leave=False),
    )
    measured = [_measured(target, cases[0], delays_s, schedules, seed) for target in server]
    frame = concat([result.frame, *measured], ARRIVALS)
    widths = arrival_widths(frame)
    if as_json:
        print_json({"arrivals": frame.to_dict("records"), "widths": widths.to_dict("records")})
    elif len(frame):
        shown = ["implementation", "load", "delay_s", "schedules", "failures", "probability", "low", "high", "exact"]
        print(frame[shown].round(4).to_string(index=False))
        for width in widths.itertuples():
            clock = "wall-clock" if width.disk == "real" else "virtual"
            more = f"; still open at {width.last_s:g} s" if width.open else ""
            print(
                f"{width.implementation}, load {width.load}: an arrival does harm for {width.seconds:.3g} {clock} seconds on average "
                f"({width.seconds_low:.3g} to {width.seconds_high:.3g}), {width.first_s:g} to {width.last_s:g} s after 'accepted'{more}"
            )
        for text in frame["latency"].cat.categories:
            print(f"latencies, {text}")
        token = next((token for token in result.frame["token"] if token), "")
        print(f"racewindow timeline '{token}'" if token else "no violation")
    if output is not None:
        if measured:  # one picture of two worlds
            places = dict.fromkeys(frame["topology"].astype(str))
            frame = frame.assign(topology=" and ".join(places), disk=f"{disk} and real")
        charts.save(charts.arrivals(frame), output)
        say(f"drawn: {output}")
    if result.interrupted:
        say(f"interrupted after {len(result.frame)} rows: these are partial results")
        return INTERRUPTED
    return VIOLATION if frame["failures"].any() else CLEAN


def _measured(target: str, case: Any, delays_s: list[float], tries: int, seed: int) -> Any:
    """The frame of a real server, in wall-clock seconds."""
    import trio

    from racewindow.experiments import pair_of
    from racewindow.servers import TOKEN, name_of, reach
    from racewindow.servers import arrivals as measure

    async def run() -> Any:
        async with reach(target, token=os.environ.get(TOKEN, "")) as fleet:
            second = pair_of(case).intruder
            found = await measure(
                fleet, case.scenario, second=second, delays_s=delays_s, name=name_of(target), tries=tries, seed=seed
            )
            return found.frame

    return trio.run(run)


def _numbers(text: str) -> list[float]:
    try:
        return [float(number) for number in text.split(",")]
    except ValueError:
        raise UsageError(f"--delays {text!r}: give virtual seconds joined by commas, for example 0,0.01,1,5") from None
