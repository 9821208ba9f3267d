"""Prove scenarios of the reference: every schedule, with a fault at every step of it, as far as that can be run.

    python benchmarks/proofs.py --executions 10000

Each row is run without a bound first, one schedule for each order of dependent steps (``DPOR``). Where that is cut off, every schedule
with no, one and two preemptions is run, and the row says which of these bounds was reached: no proof is claimed for more than was run.
The budget is a number of executions, so that the table does not depend on the machine; with a time limit it does. The exit code is 1
when an invariant was broken, and 3 when a row proved nothing.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from joblib import Parallel, delayed

import racewindow as rw
from racewindow.disk import GRANULARITIES, Granularity
from racewindow.experiments import CaseResult, prove
from racewindow.sessions.scenario import Topology

TOPOLOGIES: tuple[Topology, ...] = ("same-store", "separate-stores")
FAULTS = ("crash a", "power-loss", "power-loss keep-all", "power-loss torn", "cancel a")

ONE = "a: add m1; commit; reload"


@dataclass(frozen=True, slots=True)
class Row:
    """One case of the reference."""

    scenario: str
    topology: Topology
    disk: Granularity


ALONE = [Row(f"{ONE} | x: {fault}", "same-store", disk) for fault, disk in product(FAULTS, GRANULARITIES)]
"""One client has one store: the topologies are the same."""

TOGETHER = [
    Row(text, topology, disk)
    for text in (
        *(f"{ONE} | x: {fault} | b: after a; add m2; commit" for fault in ("crash a", "power-loss", "cancel a")),
        *(f"a: add m1 | b: commit | x: {fault}" for fault in ("crash b", "power-loss", "power-loss torn", "cancel b")),
        *(f"a: add m1 | b: add m2; commit | x: {fault}" for fault in ("crash a", "power-loss", "cancel a")),
        f"{ONE} | b: add m2; commit; reload",
        "a: add m1; commit | b: add m2; commit | x: crash a",
        f"{ONE} | b: add m2; commit; reload | x: crash a",
    )
    for topology, disk in product(TOPOLOGIES, GRANULARITIES)
]


def run(row: Row, executions: int, time_limit_s: float | None) -> dict[str, object]:
    """Prove one row, as far as the budget goes."""
    case = rw.case("reference", row.scenario, topology=row.topology, disk=row.disk)
    began = time.process_time()
    reduced = prove(case, preemptions=None, max_executions=executions, time_limit_s=time_limit_s)
    bounded: CaseResult | None = None
    if not reduced.complete and reduced.verdict != "failed":
        bounded = prove(case, preemptions=2, max_executions=executions, time_limit_s=time_limit_s)
    result = bounded or reduced
    cut_off = f" (cut off at {reduced.schedules:,})" if bounded else ""
    return {
        "scenario": row.scenario,
        "topology": row.topology,
        "disk": row.disk,
        "verdict": result.verdict,
        "bound": (result.bound or "none") if result.complete else "-",
        "executions": f"{result.schedules:,}{cut_off}",
        "classes": "" if bounded else f"{reduced.classes:,}",
        "cpu s": round(time.process_time() - began, 1),
        "goals": ", ".join(name if reached else f"not: {name}" for name, reached in result.goals.items()),
        "re-extracted": result.noted.get("re_extracted", 0),
        "footprints": reduced.footprints,
        "token": result.token,
    }


def main(argv: Sequence[str] | None = None) -> int:
    """0 when every row was proved, within the bound that it states."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--executions", type=int, default=10_000, help="of a row's reduction, and of each of its bounds"
    )
    parser.add_argument("--time-limit", type=float, metavar="S", help="wall-clock seconds for each of the two")
    parser.add_argument("--jobs", type=int, default=2, help="worker processes")
    parser.add_argument("--only", default="", metavar="TEXT", help="the rows whose scenario holds this text")
    parser.add_argument("--quick", action="store_true", help="only the rows with one client")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args(argv)
    rows = ALONE if arguments.quick else ALONE + TOGETHER
    running = Parallel(n_jobs=arguments.jobs, batch_size=1, return_as="generator")(
        delayed(run)(row, arguments.executions, arguments.time_limit) for row in rows if arguments.only in row.scenario
    )
    results = []
    for result in running:
        results.append(result)
        if not arguments.json:
            _print(result, first=len(results) == 1)
    if arguments.json:
        print(json.dumps(results, indent=1))
    verdicts = {result["verdict"] for result in results}
    return 1 if "failed" in verdicts else 0 if verdicts == {"proved"} else 3


def _print(result: dict[str, object], *, first: bool) -> None:
    shown = [name for name in result if name not in ("footprints", "token")]
    if first:
        print("| " + " | ".join(shown) + " |")
        print("|---|---|---|---|---|---:|---:|---:|---|---:|")
    print("| " + " | ".join(str(result[name]).replace("|", "\\|") for name in shown) + " |", flush=True)
    if result["token"]:
        print(f"racewindow timeline '{result['token']}'", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
