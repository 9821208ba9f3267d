"""Kill processes that use one store, at random moments, and see whether anything is lost, done twice, or left undone.

::

    python benchmarks/torture.py --kills 500 --processes 3 --seconds 150

Workers open the store on one root; their clients add, commit and reload. Each is killed with SIGKILL, and replaced by
another one whose clients go on where the recordings say that theirs stopped. In the end everything comes to rest, and
the simulator's invariants are checked on what is in the files. The exit code is 1 when one is broken.
"""

import argparse
import multiprocessing
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path

import trio

from judgement import judge_torture
from oncestore import SqliteStorage, Storage, open_store
from recording import Recording, read_recording
from workload import Client, Extractor, Place, come_back, come_to_rest

_CLIENTS = 4  # of each worker
_REST_S = 120.0
# A worker that is killed is nothing against the extractor.
_open_store = partial(open_store, takeover_s=0.2, attempts_most=1_000_000)


def main(argv: Sequence[str] | None = None) -> int:
    """0 when nothing is broken, 1 otherwise."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--processes", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=150.0, help="over which the kills are spread")
    parser.add_argument("--storage", choices=["directory", "sqlite"], default="directory")
    parser.add_argument(
        "--seed", type=int, default=1, help="of what is done, and when; the outcome is up to the machine"
    )
    parser.add_argument("--keep", type=Path, help="an empty or new directory, to be looked at or judged again")
    parser.add_argument("--judge", type=Path, help="only judge what an earlier --keep kept")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args(argv)
    if arguments.judge is not None:
        return print_judgement(arguments.judge, as_json=arguments.json)
    with tempfile.TemporaryDirectory(prefix="torture-") as temporary:
        directory = arguments.keep or Path(temporary)
        prepare(directory)
        root = directory / ("store" if arguments.storage == "directory" else "store.sqlite")
        Torture(directory, root, arguments.processes, arguments.seconds, arguments.seed).run(arguments.kills)
        return print_judgement(directory, as_json=arguments.json)


def prepare(directory: Path) -> None:
    """Make the places for what the workers write, beside their store."""
    for name in ("recordings", "effects"):
        (directory / name).mkdir(parents=True)


def print_judgement(directory: Path, *, as_json: bool) -> int:
    """Say what was found; the exit code."""
    judgement = judge_torture(directory)
    print(judgement.to_json() if as_json else judgement)
    return 1 if judgement.violations else 0


class Torture:
    """The workers, and who kills them."""

    def __init__(self, directory: Path, root: Path, processes: int, seconds: float, seed: int) -> None:
        self._directory = directory
        self._root = root
        self._seconds = seconds
        self._seed = seed
        self._fork = multiprocessing.get_context("fork")  # what is imported already makes for short lives
        self._places = [{_name(slot, client): Place() for client in range(_CLIENTS)} for slot in range(processes)]
        self._lives = [0] * processes

    def run(self, kills: int) -> None:
        chance = random.Random(self._seed)
        began = time.monotonic()
        moments = sorted(began + chance.uniform(0, self._seconds) for _ in range(kills))
        workers = [self._start(slot, began) for slot in range(len(self._lives))]
        recording = Recording(self._directory / "recordings" / "torture.jsonl")
        try:
            for moment in moments:
                time.sleep(max(0.0, moment - time.monotonic()))
                slot = chance.randrange(len(workers))
                self._kill(workers[slot], slot, recording)
                workers[slot] = self._start(slot, began)
            for worker in workers:
                _finish(worker)
        finally:
            for worker in workers:  # that had no chance to finish, for another one failed
                worker.kill()
                worker.join()
        _finish(self._begin(_rest, self._root))

    def _start(self, slot: int, began: float) -> BaseProcess:
        self._lives[slot] += 1
        until = began + self._seconds
        return self._begin(_work, self._root, self._worker(slot), self._places[slot], self._seed, began, until)

    def _begin(self, target: Callable[..., None], *arguments: object) -> BaseProcess:
        process = self._fork.Process(target=target, args=arguments, daemon=True)
        process.start()
        return process

    def _worker(self, slot: int) -> str:
        return f"w{slot}.{self._lives[slot]}"

    def _kill(self, worker: BaseProcess, slot: int, recording: Recording) -> None:
        before = time.monotonic_ns()
        worker.kill()
        worker.join()
        if worker.exitcode != -signal.SIGKILL:
            raise RuntimeError(f"a worker ended by itself, with {worker.exitcode}; what it printed says why")
        path = self._directory / "recordings" / f"{self._worker(slot)}.jsonl"
        facts = list(read_recording(path)) if path.exists() else []
        # After all that it did, and before anybody could get what it held.
        recording.note("killed", at=max([before, *(fact["at"] for fact in facts[-1:])]), victim=self._worker(slot))
        for client, place in self._places[slot].items():
            come_back(place, facts, client)


def _name(slot: int, client: int) -> str:
    return f"w{slot}c{client}"


def _finish(worker: BaseProcess) -> None:
    worker.join(_REST_S)
    if worker.exitcode != 0:
        raise RuntimeError(f"a worker ended with {worker.exitcode} (None: not at all); what it printed says why")


def _storage(root: Path) -> Path | Storage:
    return SqliteStorage(root) if root.suffix else root


def _work(root: Path, worker: str, places: dict[str, Place], seed: int, began: float, until: float) -> None:
    """The life of a worker, perhaps a short one."""

    def ended() -> bool:
        return time.monotonic() >= until

    async def live() -> None:
        recording = Recording(root.parent / "recordings" / f"{worker}.jsonl")
        extractor = Extractor(recording, root.parent / "effects", seed=str(seed))
        async with _open_store(_storage(root), extractor) as store, trio.open_nursery() as nursery:
            for name, place in places.items():
                client = Client(store, recording, name, place, seed=str(seed), began=began, ended=ended)
                nursery.start_soon(client.run)

    trio.run(live)


def _rest(root: Path) -> None:
    """A last worker, that finds whatever the others left."""

    async def live() -> None:
        recording = Recording(root.parent / "recordings" / "rest.jsonl")
        extractor = Extractor(recording, root.parent / "effects", seed="rest")
        async with _open_store(_storage(root), extractor) as store:
            await come_to_rest(store, within_s=_REST_S)

    trio.run(live)


if __name__ == "__main__":
    sys.exit(main())
