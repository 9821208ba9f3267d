"""Other simulators on the same subject, each in an environment of its own: how fast, and how soon they find a bug.

    python benchmarks/peers.py --rounds 9 --seeds 30

Rates are per second of processor time, from rounds in which all take turns; ours over theirs is the median of the ratios within a round.
Peers run under the newest Python of this machine that they install on, so each is also told in parts of the limit, bare coroutines under
its own Python. A peer that cannot be installed or run is listed with the reason.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PEERS = {"detangle": "0.1.0", "seedloop": "0.4.1", "frontrun": "0.7.0", "simloom": "0.5.0", "simloop": "0.2.2"}
OURS = ("racewindow", "racewindow asyncio", "racewindow burst")
PYTHONS = ("python3.13", "python3.12", "python3.11")
WORKER = Path(__file__).with_name("_worker.py")
CAP = 2000
VARIANTS = ("easy", "narrow")


@dataclass
class Worker:
    """A simulator that waits for requests."""

    name: str
    process: subprocess.Popen[str]

    def ask(self, **request: object) -> dict[str, Any]:
        """One request, one answer; a worker that died says so as an error."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
            answer = self.process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            raise RuntimeError(f"{self.name} died with exit code {self.process.wait()}")
        return dict(json.loads(answer))


def start(name: str, python: str | Path) -> Worker:
    """Start the worker of one simulator."""
    command = [str(python), str(WORKER), name]
    return Worker(
        name,
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, bufsize=1
        ),
    )


def environment(name: str, version: str, cache: Path) -> Path:
    """The Python of an environment that has this peer; made when it is not there yet.

    Raises:
        RuntimeError: no Python of this machine can have it.
    """
    folder = cache / f"{name}-{version}"
    python = folder / "bin" / "python"
    if (folder / "ready").exists():
        return python
    reasons = []
    for candidate in (*filter(None, map(shutil.which, PYTHONS)), sys.executable):
        shutil.rmtree(folder, ignore_errors=True)
        for command in (
            [candidate, "-m", "venv", str(folder)],
            [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", f"{name}=={version}"],
        ):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                reasons.append(f"{candidate}: {(done.stderr.strip() or 'failed').splitlines()[-1]}")
                break
        else:
            (folder / "ready").touch()
            return python
    shutil.rmtree(folder, ignore_errors=True)
    raise RuntimeError("; ".join(reasons))


def measure(
    workers: list[Worker], rounds: int, round_s: float
) -> tuple[dict[str, list[tuple[float, float]]], dict[str, str]]:
    """Rates of all, in turns.

    Returns:
        For each its schedules per second and the limit's, round by round; and who failed, with the reason.
    """
    rates: dict[str, list[tuple[float, float]]] = {}
    failed: dict[str, str] = {}
    schedules: dict[str, int] = {}
    for number in range(-1, rounds):  # in the first one they warm up, and we see how many to ask for
        for worker in workers:
            if worker.name in failed:
                continue
            count = schedules.get(worker.name, 50)
            try:
                answer = worker.ask(schedules=count, seed=number + 1)
            except RuntimeError as error:
                failed[worker.name] = str(error)
                continue
            if number < 0:
                schedules[worker.name] = max(20, min(1000, int(count * round_s / max(answer["form_s"], 1e-6))))
                rates[worker.name] = []
            else:
                rates[worker.name].append((count / answer["form_s"], count / answer["limit_s"]))
    return {name: of for name, of in rates.items() if name not in failed}, failed


def first_bugs(worker: Worker, variant: str, seeds: int) -> str:
    """Schedules to the first bug: the mean over the seeds, and how many did not find it."""
    found: list[int] = []
    for seed in range(seeds):
        try:
            first = worker.ask(variant=variant, seed=seed, cap=CAP)["first"]
        except RuntimeError as error:
            return str(error)
        if first is not None:
            found.append(first)
    missed = f", {seeds - len(found)} of {seeds} not within {CAP}" if len(found) < seeds else ""
    return (f"{statistics.mean(found):.1f}" if found else "-") + missed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--round-s", type=float, default=0.3, help="seconds that each runs in a round, about")
    parser.add_argument("--seeds", type=int, default=30, help="searches for the first bug; 0: none")
    parser.add_argument("--cache", type=Path, default=Path("out/peers"), help="where the environments are kept")
    arguments = parser.parse_args()
    workers = [start(name, sys.executable) for name in OURS]
    failed = {}
    for name, version in PEERS.items():
        try:
            workers.append(start(name, environment(name, version, arguments.cache.resolve())))
        except RuntimeError as error:
            failed[name] = f"cannot be installed: {error}"
    rated = [worker for worker in workers if worker.name != "racewindow burst"]  # same kernel, another sampler
    rates, died = measure(rated, arguments.rounds, arguments.round_s)
    failed |= died
    ours = [rate for rate, _ in rates[OURS[0]]]
    print(f"{'simulator':<22}{'schedules/s':>12}{'to limit':>10}{'ours/theirs':>13}  quartiles")
    for name, of in rates.items():
        to_limit = statistics.median(rate / limit for rate, limit in of)
        ratios = [one / rate for one, (rate, _) in zip(ours, of, strict=True)]
        low, _, high = statistics.quantiles(ratios, method="inclusive") if len(ratios) > 1 else ratios * 3
        told = f"{statistics.median(ratios):>13.2f}  {low:.2f} to {high:.2f}" if name != OURS[0] else ""
        print(f"{name:<22}{statistics.median(rate for rate, _ in of):>12,.0f}{to_limit:>10.3f}{told}", flush=True)
    for name, reason in failed.items():
        print(f"{name:<22}not measured: {reason}")
    if arguments.seeds:
        print(f"\nschedules to the first bug, mean over {arguments.seeds} seeds")
        for worker in workers:
            if worker.name in failed or worker.name == "racewindow asyncio":
                continue
            told = "   ".join(f"{variant} {first_bugs(worker, variant, arguments.seeds)}" for variant in VARIANTS)
            print(f"{worker.name:<22}{told}", flush=True)
    for worker in workers:
        assert worker.process.stdin is not None
        worker.process.stdin.close()
        worker.process.wait()


if __name__ == "__main__":
    main()
