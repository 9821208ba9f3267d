"""What a campaign costs: how much faster two processes are than one, and whether it stays as small as it began.

    python benchmarks/campaign.py speed --schedules 20000 --pairs 3
    python benchmarks/campaign.py memory --schedules 200000

``speed`` does the same campaign in one process and in two, by turns, so that what else the machine does meets both; the median of the
ratios is printed. ``memory`` notes how much memory the process that adds up has after every range, rows written to disk and all, and
prints the slope of a least-squares line through the second half of the campaign.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import racewindow as rw
from racewindow.campaign import Folder, Part, Plan, campaign, plan_of, pool_of

PAGE = os.sysconf("SC_PAGE_SIZE")


def resident() -> int:
    """Bytes of this process in memory now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


def plan_for(scenario: str, schedules: int) -> Plan:
    """One case of the reference, sampled by a random walk."""
    return plan_of([rw.case("reference", scenario, disk="atomic")], strategies=[rw.RandomWalk()], schedules=schedules)


def seconds(plan: Plan, jobs: int) -> float:
    """Wall-clock time of a campaign; the processes are there before it starts."""
    pool = pool_of(jobs)
    return campaign(plan, pool=pool).seconds


def speed(scenario: str, schedules: int, pairs: int) -> None:
    """Print the speed-up of two processes over one."""
    ratios = []
    for number in range(pairs):
        plan = plan_for(scenario, schedules)
        one, two = seconds(plan, 1), seconds(plan, 2)
        ratios.append(one / two)
        print(
            f"pair {number}: one process {one:.1f} s ({schedules / one:.0f}/s), two {two:.1f} s: {one / two:.2f} times as fast"
        )
    print(f"median of {pairs}: {statistics.median(ratios):.2f}; load of the machine now {os.getloadavg()[0]:.1f}")


def memory(scenario: str, schedules: int) -> None:
    """Print how memory grows with schedules."""
    done: list[int] = []
    sizes: list[int] = []

    def note(part: Part, again: bool) -> None:
        done.append((done[-1] if done else 0) + part.schedules)
        sizes.append(resident())

    plan = plan_for(scenario, schedules)
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        campaign(plan, folder=Folder(folder, plan), on_part=note)
    half = len(done) // 2
    slope = statistics.linear_regression(done[half:], sizes[half:]).slope
    print(
        f"{schedules} schedules in {time.monotonic() - began:.0f} s; {sizes[0] / 2**20:.1f} MiB after the first range, ",
        end="",
    )
    print(f"{sizes[half] / 2**20:.1f} after half, {sizes[-1] / 2**20:.1f} at the end")
    print(f"slope in the second half: {slope:.2f} bytes a schedule, {slope * 1e7 / 2**20:.1f} MiB for ten million")


def main(argv: Sequence[str] | None = None) -> int:
    """0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("speed", "memory"))
    parser.add_argument("--scenario", default="a: add m1; commit | b: reload")
    parser.add_argument("--schedules", type=int, default=20_000)
    parser.add_argument("--pairs", type=int, default=3)
    arguments = parser.parse_args(argv)
    if arguments.what == "speed":
        speed(arguments.scenario, arguments.schedules, arguments.pairs)
    else:
        memory(arguments.scenario, arguments.schedules)
    return 0


if __name__ == "__main__":
    sys.exit(main())
