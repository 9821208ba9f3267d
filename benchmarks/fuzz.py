"""Sample many schedules of large scenarios of the reference: several clients, several commits, and faults.

    python benchmarks/fuzz.py --schedules 100000

Each scenario is sampled in both topologies and both granularities with each sampler, the same number of schedules everywhere. A row of
the table is a scenario and a sampler. The last column is how often its sampler may still draw a failing schedule (Clopper-Pearson,
one-sided, 95 %): a statement about that sampler, not about how likely a failure is in life. The exit code is 1 when an invariant was
broken, and 3 when something that had to happen (``goals``) never did.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from math import inf

from joblib import Parallel, delayed
from tqdm import tqdm

import racewindow as rw
from racewindow.disk import GRANULARITIES, Granularity
from racewindow.experiments import fuzz
from racewindow.sessions.scenario import Scenario, Topology
from racewindow.statistics import upper_bound

TOPOLOGIES: tuple[Topology, ...] = ("same-store", "separate-stores")
SAMPLERS = ("random-walk", "burst", "pct", "pos", "urw")

THREE = "a: add m1; commit; add m2; commit nowait; wait; reload | b: add m3; reload; commit | c: add m4; commit nowait"
FOUR = f"{THREE} | d: after x; reload; add m5; commit"
CUT = ("crash-during-commit",)

# The fault comes when c has done its part and the others are in the midst of theirs: one that may come at any step comes too soon.
SCENARIOS = {
    "three clients": (THREE, ("commits-overlap", "add-during-commit", "add-during-extraction")),
    "a crash": (f"{FOUR} | x: after c; crash a", CUT),
    "two crashes": (f"{FOUR} | x: after c; crash a | y: after x; crash b", CUT),
    "power-loss": (f"{FOUR} | x: after c; power-loss", CUT),
    "power-loss keep-all": (f"{FOUR} | x: after c; power-loss keep-all", CUT),
    "power-loss torn": (f"{FOUR} | x: after c; power-loss torn", CUT),
    "a crash, then power-loss": (f"{FOUR} | x: after c; crash a | y: after x; power-loss", CUT),
    "power-loss torn, then power-loss": (f"{FOUR} | x: after c; power-loss torn | y: after x; power-loss", CUT),
    "a cancellation": (f"{FOUR} | x: after c; cancel a", ("cancel-fired", "commit-cancelled")),
    "a cancellation, then a crash": (f"{FOUR} | x: after c; cancel a | y: after x; crash b", ("cancel-fired", *CUT)),
}


@dataclass(frozen=True, slots=True)
class Cell:
    """What one scenario, topology and granularity showed under one sampler."""

    scenario: str
    sampler: str
    schedules: int
    failures: int
    token: str
    goals: dict[str, bool]
    noted: dict[str, int]
    seconds: float


def sample(seed: int, scenario: str, topology: Topology, disk: Granularity, sampler: str, schedules: int) -> Cell:
    """Sample one cell."""
    text, goals = SCENARIOS[scenario]
    case = rw.Case(
        implementation=rw.implementation("reference"),
        scenario=Scenario.parse(text, goals=goals),
        topology=topology,
        disk=disk,
    )
    began = time.process_time()
    result = fuzz(case, strategy=sampler, schedules=schedules, seed=seed)
    seconds = time.process_time() - began
    return Cell(scenario, sampler, result.schedules, result.failures, result.token, result.goals, result.noted, seconds)


def row(scenario: str, sampler: str, cells: Sequence[Cell]) -> dict[str, object]:
    """The cells of one scenario and one sampler together."""
    schedules, failures = sum(cell.schedules for cell in cells), sum(cell.failures for cell in cells)
    noted: Counter[str] = Counter()
    for cell in cells:
        noted.update(cell.noted)
    return {
        "scenario": scenario,
        "sampler": sampler,
        "schedules": schedules,
        "violations": failures,
        "at most": f"{upper_bound(schedules, failures):.3%}",
        "goals": ", ".join(
            goal if any(cell.goals[goal] for cell in cells) else f"not: {goal}" for goal in SCENARIOS[scenario][1]
        ),
        "re-extracted": noted["re_extracted"],
        "errors": noted["errors"],
        "cpu s": round(sum(cell.seconds for cell in cells), 1),
        "token": next((cell.token for cell in cells if cell.token), ""),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """0 when nothing is broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--schedules", type=int, default=100_000, help="in all")
    parser.add_argument("--seeds", type=int, default=5, help="the schedules are divided among so many")
    parser.add_argument("--time-limit", type=float, default=inf, metavar="S", help="begin nothing more after that")
    parser.add_argument("--jobs", type=int, default=2, help="worker processes")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args(argv)
    plan = list(product(range(arguments.seeds), SCENARIOS, TOPOLOGIES, GRANULARITIES, SAMPLERS))
    each = -(-arguments.schedules // len(plan))
    began = time.monotonic()
    running = Parallel(n_jobs=arguments.jobs, batch_size=1, return_as="generator", pre_dispatch=2 * arguments.jobs)(
        delayed(sample)(*where, each) for where in plan if time.monotonic() - began < arguments.time_limit
    )
    cells: list[Cell] = []
    for cell in tqdm(running, total=len(plan), unit="cell", mininterval=10):
        cells.append(cell)
        if cell.failures:
            print(f"{cell.failures} of {cell.schedules}: racewindow timeline '{cell.token}'", file=sys.stderr)
    rows = [
        row(scenario, sampler, [cell for cell in cells if (cell.scenario, cell.sampler) == (scenario, sampler)])
        for scenario, sampler in dict.fromkeys((cell.scenario, cell.sampler) for cell in cells)
    ]
    schedules, failures = sum(cell.schedules for cell in cells), sum(cell.failures for cell in cells)
    if arguments.json:
        print(json.dumps({"schedules": schedules, "violations": failures, "rows": rows}, indent=1))
    else:
        shown = [name for name in rows[0] if name != "token"]
        print("| " + " | ".join(shown) + " |")
        print("|---|---|" + "---:|" * 3 + "---|" + "---:|" * 3)
        for each_row in rows:
            print("| " + " | ".join(str(each_row[name]) for name in shown) + " |")
        print(f"\n{schedules:,} schedules, {failures} violations")
        for token in dict.fromkeys(str(each_row["token"]) for each_row in rows if each_row["token"]):
            print(f"racewindow timeline '{token}'")
    if failures:
        return 1
    return 3 if any("not: " in str(each_row["goals"]) for each_row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
