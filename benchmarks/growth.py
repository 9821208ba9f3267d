"""What a schedule costs: to start, per task, per point, and how that grows with clients and points.

    python benchmarks/growth.py --output docs/pictures/growth.png

Prints the tables of ``docs/performance.md`` and draws its chart. Everything is processor time, and is told in parts of the *limit* too: the
same number of bare coroutines with the same number of bare yields, stepped by ``send(None)`` with one random choice a step, measured in the
same round. In a round all sizes and hosts take turns; what is told is the median of the rounds, with its quartiles.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import time
from collections.abc import Callable, Coroutine, Generator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import coroutine
from typing import Any

import pandas as pd
import trio
from matplotlib.figure import Figure

import racewindow as rw
from racewindow import charts
from racewindow.bench.subject import bare_schedule

CLIENTS = (2, 4, 8, 16)
POINTS = (10, 30, 100, 300, 1000)
HOSTS = ("trio", "asyncio")
STEPS_PER_ROUND = 10_000
SCHEDULES_MIN = (
    100  # with fewer, the first schedule weighs too much: it is run three times, to see that it repeats itself
)
Subject = Callable[[rw.World], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True)
class Size:
    """So many clients with so many points each."""

    clients: int
    points: int

    @property
    def steps(self) -> int:
        """At least so many."""
        return self.clients * (self.points + 1)


def subject_of(host: str, size: Size) -> Subject:
    """Clients that do nothing but stand at points."""

    async def client(world: rw.World) -> None:
        for _ in range(size.points):
            await world.point("work")

    async def on_trio(world: rw.World) -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(size.clients):
                nursery.start_soon(client, world)

    async def on_asyncio(world: rw.World) -> None:
        await asyncio.gather(*(client(world) for _ in range(size.clients)))

    return on_trio if host == "trio" else on_asyncio


@coroutine
def _yield() -> Generator[None, None, None]:
    yield


def bare(size: Size, rng: random.Random, schedules: int) -> None:
    """The same without a kernel."""
    for _ in range(schedules):
        bare_clients(size, rng)


def bare_clients(size: Size, rng: random.Random) -> None:
    """One schedule."""

    async def client() -> None:
        for _ in range(size.points):
            await _yield()

    ready = [client() for _ in range(size.clients)]
    while ready:
        index = int(rng.random() * len(ready))
        try:
            ready[index].send(None)
        except StopIteration:
            del ready[index]


def seconds_of(function: Callable[[], object]) -> float:
    """Processor time of a call."""
    started = time.process_time()
    function()
    return time.process_time() - started


def explore(host: str, subject: Subject, schedules: int) -> None:
    limits = rw.Limits(max_steps=100_000)
    rw.explore(subject, schedules=schedules, host=host, limits=limits, name="growth", checksum="00000000")


def growth(rounds: int) -> pd.DataFrame:
    """One row per host and size: microseconds to start a schedule of so many clients without points, and of a point beyond that."""
    sizes = [Size(clients, 100) for clients in CLIENTS] + [Size(2, points) for points in POINTS if points != 100]
    rng = random.Random(1)
    taken: dict[tuple[str, Size], list[tuple[float, float, float]]] = {}
    for _ in range(rounds):
        for size in sizes:
            schedules = max(SCHEDULES_MIN, STEPS_PER_ROUND // size.steps)
            limit = seconds_of(partial(bare, size, rng, schedules)) / schedules
            for host in HOSTS:
                start, whole = (
                    seconds_of(partial(explore, host, subject_of(host, of), schedules)) / schedules
                    for of in (Size(size.clients, 0), size)
                )
                points = size.clients * size.points
                taken.setdefault((host, size), []).append((start, (whole - start) / points, limit / points))
    rows = []
    for (host, size), times in taken.items():
        low, point, high = quartiles([point * 1e6 for _, point, _ in times])
        bare_low, bare_point, bare_high = quartiles([limit * 1e6 for _, _, limit in times])
        rows.append(
            {
                "host": host,
                "clients": size.clients,
                "points": size.points,
                "start_us": statistics.median(start for start, _, _ in times) * 1e6,
                "point_us": point,
                "low": low,
                "high": high,
                "bare_point_us": bare_point,
                "bare_low": bare_low,
                "bare_high": bare_high,
                "to_bare": statistics.median(point / limit for _, point, limit in times),
            }
        )
    return pd.DataFrame(rows)


def quartiles(values: list[float]) -> tuple[float, float, float]:
    """The lower one, the median and the upper one."""
    if len(values) == 1:
        return values[0], values[0], values[0]
    low, median, high = statistics.quantiles(values, method="inclusive")
    return low, median, high


def parts(rounds: int) -> pd.DataFrame:
    """What a schedule is made of, in microseconds and in schedules of the benchmark's subject as bare coroutines."""
    schedules = 100
    rng = random.Random(1)

    async def empty(world: rw.World) -> None:
        """Nothing."""

    rows = []
    for host in HOSTS:
        forms = {
            "empty": empty,
            "none": subject_of(host, Size(0, 0)),
            "eight": subject_of(host, Size(8, 0)),
            "points": subject_of(host, Size(8, 50)),
        }
        costs: dict[str, list[float]] = {name: [] for name in forms}
        limits: list[float] = []
        for _ in range(rounds):
            limits.append(seconds_of(lambda: [bare_schedule("correct", rng) for _ in range(schedules)]) / schedules)
            for name, form in forms.items():
                costs[name].append(seconds_of(partial(explore, host, form, schedules)) / schedules)
        limit = statistics.median(limits)
        cost = {name: statistics.median(each) for name, each in costs.items()}
        for part, seconds in (
            ("an empty schedule", cost["empty"]),
            ("a nursery, or gather", cost["none"] - cost["empty"]),
            ("a task", (cost["eight"] - cost["none"]) / 8),
            ("a point", (cost["points"] - cost["eight"]) / 400),
        ):
            rows.append({"host": host, "part": part, "us": seconds * 1e6, "of_limit": seconds / limit})
    return pd.DataFrame(rows)


def draw(frame: pd.DataFrame) -> Figure:
    """Time of a point over the number of clients, and over the number of points; whiskers are quartiles."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    looks = {"trio": ("o", "-", "#0072B2"), "asyncio": ("s", "--", "#D55E00"), "bare": ("^", ":", "#555555")}
    panels = figure.subplots(1, 2, sharey=True)
    by_clients, by_points = frame[frame["points"] == 100], frame[frame["clients"] == 2].sort_values("points")
    for ax, rows, column, title in (
        (panels[0], by_clients, "clients", "100 points each"),
        (panels[1], by_points, "points", "2 clients"),
    ):
        for name, (marker, style, colour) in looks.items():
            of = rows[rows["host"] == ("trio" if name == "bare" else name)]
            us, low, high = (
                of[["bare_point_us", "bare_low", "bare_high"] if name == "bare" else ["point_us", "low", "high"]]
                .to_numpy()
                .T
            )
            label = "bare coroutines" if name == "bare" else f"{name} host"
            whiskers = (us - low, high - us)
            ax.errorbar(of[column], us, whiskers, marker=marker, linestyle=style, color=colour, label=label, capsize=3)
        ax.set_xscale("log", base=2 if column == "clients" else 10)
        ax.set_xticks(sorted(set(rows[column])), [str(each) for each in sorted(set(rows[column]))])
        ax.minorticks_off()
        ax.set_title(title, loc="left")
        ax.set_xlabel("clients" if column == "clients" else "points of each client")
        ax.grid(axis="y", alpha=0.3)
    panels[0].set_ylabel("processor time of a point, µs")
    panels[0].set_ylim(0, 1.4 * frame["high"].max())
    panels[1].legend(frameon=False, ncols=2, loc="upper left")
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--output", type=Path, help="draw the chart into this file (.png or .svg)")
    arguments = parser.parse_args()
    print(parts(arguments.rounds).round({"us": 1, "of_limit": 3}).to_string(index=False))
    frame = growth(arguments.rounds)
    print()
    told = frame.drop(columns=["bare_low", "bare_high"])
    rounding = {"start_us": 0, "point_us": 2, "low": 2, "high": 2, "bare_point_us": 2, "to_bare": 1}
    print(told.round(rounding).to_string(index=False))
    if arguments.output:
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        charts.save(draw(frame), arguments.output)


if __name__ == "__main__":
    main()
