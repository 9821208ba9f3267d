"""How many instructions a schedule takes, of ours and of other simulators: a measure that no neighbour on the machine disturbs.

    python benchmarks/instructions.py            # bare coroutines and the hosts of the kernel; needs valgrind
    python benchmarks/instructions.py --peers    # and other simulators, each under its own Python

A form runs a few schedules and then many, each time in a process of its own under ``valgrind``; the difference is what schedules
take, without what starting takes. Instructions are not time: a small loop that stays in the caches takes less time for each of them
than a kernel does.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from peers import PEERS, WORKER, environment

OURS = ("limit", "racewindow", "racewindow asyncio")


def count(python: str | Path, form: str, schedules: int) -> int:
    """Instructions of a process that runs so many schedules of a form, and as many bare ones.

    Raises:
        RuntimeError: it failed.
    """
    command = ["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null", str(python)]
    done = subprocess.run(
        [*command, str(WORKER), form],
        input=json.dumps({"schedules": schedules, "seed": 0}) + "\n",
        env={**os.environ, "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    told = re.search(r"I\s+refs:\s+([\d,]+)", done.stderr)
    if done.returncode or told is None:
        raise RuntimeError(f"{form}: {(done.stderr.strip() or 'failed').splitlines()[-1]}")
    return int(told[1].replace(",", ""))


def per_schedule(python: str | Path, form: str, few: int, many: int) -> float:
    """Instructions of one schedule of a form and one bare one."""
    return (count(python, form, many) - count(python, form, few)) / (many - few)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--few", type=int, default=50)
    parser.add_argument("--many", type=int, default=450)
    parser.add_argument("--peers", action="store_true")
    parser.add_argument(
        "--cache", type=Path, default=Path("out/peers"), help="where the environments of peers are kept"
    )
    options = parser.parse_args()
    if shutil.which("valgrind") is None:
        parser.error("valgrind is not installed; Debian calls its package valgrind")
    pythons: dict[str, str | Path] = dict.fromkeys(OURS, sys.executable)
    if options.peers:
        for name, version in PEERS.items():
            try:
                pythons[name] = environment(name, version, options.cache.resolve())
            except RuntimeError as error:
                print(f"{name:<22}not measured: {error}")
    forms = [*pythons.items(), *(("limit", python) for name, python in pythons.items() if name not in OURS)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        taken = list(pool.map(lambda form: per_schedule(form[1], form[0], options.few, options.many), forms))
    taken_by = dict(zip(forms, taken, strict=True))
    print(f"{'form':<22}{'instructions':>13}{'limit':>11}{'to limit':>10}")
    for name, python in pythons.items():
        limit = taken_by["limit", python] / 2
        ours = taken_by[name, python] - limit
        print(f"{name:<22}{ours:>13,.0f}{limit:>11,.0f}{limit / ours:>10.3f}", flush=True)


if __name__ == "__main__":
    main()
