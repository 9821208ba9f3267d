"""``racewindow bench``."""

from __future__ import annotations

from typing import Annotated

import typer

from racewindow.cli._arguments import (
    Json,
    Seed,
)
from racewindow.cli._output import print_json
from racewindow.cli.codes import CLEAN


def bench(
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="how often each form is measured, in turns")] = 15,
    schedules: Annotated[int, typer.Option("--schedules", min=20, help="how many each form runs in a round")] = 1000,
    seed: Seed = 0,
    as_json: Json = False,
) -> int:
    """Measure the kernel's speed beside bare coroutines, which no kernel can beat."""
    from dataclasses import asdict

    from racewindow.bench import bench as measure

    result = measure(rounds=rounds, schedules=schedules, seed=seed)
    if as_json:
        print_json(asdict(result))
        return CLEAN
    print(f"{'form':<9}{'schedules/s':>12}{'steps/s':>12}{'steps':>7}{'peak KiB':>10}{'kept B':>8}   to the limit")
    for name, rate in result.rates.items():
        ratio = result.ratios.get(f"{name}/limit")
        told = f"   {ratio.median:.3f} ({ratio.low:.3f} to {ratio.high:.3f})" if ratio else ""
        print(
            f"{name:<9}{rate.schedules_per_s.median:>12,.0f}{rate.steps_per_s.median:>12,.0f}{rate.steps:>7.1f}"
            f"{rate.memory_peak_kib:>10,.0f}{rate.memory_kept_bytes:>8,.0f}{told}"
        )
    return CLEAN
