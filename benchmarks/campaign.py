"""What a campaign costs: how much faster two processes are than one, and whether it stays as small as it began.

    python benchmarks/campaign.py speed --schedules 20000 --pairs 3
    python benchmarks/campaign.py memory --schedules 200000 --jobs 2

``speed`` does the same campaign in one process and in two, by turns, so that what else the machine does meets both; the median of the
ratios is printed. ``memory`` notes after every range, rows written to disk and all, how much memory the process that adds up has, and how
much those have that do the work (with one job they are the same one), and prints the slopes of least-squares lines through the second half.
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


def resident(process: int | str = "self") -> int:
    """Bytes of a process in memory now; 0: it is no more."""
    try:
        return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * PAGE
    except (FileNotFoundError, ProcessLookupError):
        return 0


def largest_child() -> int:
    """Bytes of the largest process that this one started; 0: there is none."""
    children = [each for file in Path("/proc/self/task").glob("*/children") for each in file.read_text().split()]
    return max(map(resident, children), default=0)


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


def memory(scenario: str, schedules: int, jobs: int) -> None:
    """Print how memory grows with schedules."""
    done: list[int] = []
    driver: list[int] = []
    worker: list[int] = []

    def note(part: Part, again: bool) -> None:
        done.append((done[-1] if done else 0) + part.schedules)
        driver.append(resident())
        worker.append(largest_child())

    plan = plan_for(scenario, schedules)
    if sum(1 for _ in plan.ranges()) < 4:
        raise SystemExit("a line needs points: give more schedules")
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        campaign(plan, folder=Folder(folder, plan), pool=pool_of(jobs), on_part=note)
    print(f"{schedules} schedules in {time.monotonic() - began:.0f} s, {len(done)} ranges, {jobs} processes at work")
    grows("the process that adds up", done, driver)
    if jobs > 1:
        grows("the largest of the workers", done, worker, share=jobs)


def grows(who: str, done: Sequence[int], sizes: Sequence[int], share: int = 1) -> None:
    """Print how one process grew; it does one schedule of ``share``."""
    half = len(done) // 2
    slope = statistics.linear_regression(done[half:], sizes[half:]).slope
    first, middle, last = (f"{size / 2**20:.1f}" for size in (sizes[0], sizes[half], sizes[-1]))
    print(f"{who}: {first} MiB after the first range, {middle} after half, {last} at the end")
    print(
        f"  in the second half {slope:.2f} bytes a schedule of the campaign, {slope * share:.2f} of its own; "
        f"{slope * 1e7 / 2**20:.1f} MiB for ten million"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("speed", "memory"))
    parser.add_argument("--scenario", default="a: add m1; commit | b: reload")
    parser.add_argument("--schedules", type=int, default=20_000)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=1, help="of memory")
    arguments = parser.parse_args(argv)
    if arguments.what == "speed":
        speed(arguments.scenario, arguments.schedules, arguments.pairs)
    else:
        memory(arguments.scenario, arguments.schedules, arguments.jobs)
    return 0


if __name__ == "__main__":
    sys.exit(main())
