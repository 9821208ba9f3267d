"""``racewindow curve``."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from racewindow.cli._arguments import Json, Seed, case_of
from racewindow.cli._output import print_json
from racewindow.cli.codes import VIOLATION


def curve(
    token: Annotated[str, typer.Argument(help="the token of a failing schedule")],
    sampler: Annotated[
        str,
        typer.Option("--sampler", help="who makes the remaining choices: random-walk, or urw where it can be counted"),
    ] = "random-walk",
    states: Annotated[int, typer.Option("--states", min=1, help="count up to so many states; beyond, sample")] = 2_000,
    schedules: Annotated[
        int, typer.Option("--schedules", min=1, help="random walks from each choice, where it is sampled")
    ] = 100,
    seed: Seed = 0,
    as_json: Json = False,
) -> int:
    """Show where a failure was decided: the probability, after each choice, that the run still ends in the violation."""
    from racewindow.search import probability_curve

    case = case_of(token)
    found = probability_curve(
        case.subject(),
        token,
        sampler=sampler,  # type: ignore[arg-type]
        states_max=states,
        schedules=schedules,
        seed=seed,
        host=case.implementation.host,
        limits=case.limits,
        name=case.name,
        checksum=case.checksum,
    )
    if as_json:
        told = {"violation": found.violation, "sampler": found.sampler, "exact": found.exact}
        print_json({**told, "jump": asdict(found.jump), "points": [asdict(point) for point in found.points]})
        return VIOLATION
    how = "exact" if found.exact else f"{schedules} walks from each choice, with 95 % intervals"
    print(f"{case.name}\nprobability of {found.violation} under {found.sampler}, {how}")
    for point in found.points:
        interval = "" if found.exact else f"  {point.low:6.1%} .. {point.high:6.1%}"
        mark = "^" if point is found.jump else " "
        where = f"{point.step:6d}  {point.task}: {point.label}" if point.step >= 0 else "        before any choice"
        print(f"{mark} {point.probability:7.2%}{interval}  {where}")
    print("^ the choice that raised it most")
    return VIOLATION
