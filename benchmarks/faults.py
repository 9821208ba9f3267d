"""Make storage calls fail at random, and see whether anything is lost, done twice, or left undone.

::

    python benchmarks/faults.py --faults 2000

The stores of one process share a root, each through a storage in which any call may fail: no space, no answer, not
durable. Clients repeat an add with the same id until it is answered; some take NotStored at its word and give up. In
the end nothing fails any more, everything comes to rest, and the simulator's invariants are checked on what is in the
files. The exit code is 1 when one is broken.
"""

import argparse
import logging
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import trio

from faulty_storage import FaultyStorage
from oncestore import DirectoryStorage, open_store
from recording import Recording
from torture import prepare, print_judgement
from workload import Client, Extractor, Place, come_to_rest

_STORES = 3
_CLIENTS = 4  # of each store
_TAKEOVER_S = 0.2
_REST_S = 120.0


def main(argv: Sequence[str] | None = None) -> int:
    """0 when nothing is broken, 1 otherwise."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--faults", type=int, default=2000)
    parser.add_argument("--share", type=float, default=0.02, help="of the calls that fail")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="an empty or new directory, to be looked at afterwards")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args(argv)
    logging.getLogger("oncestore").setLevel(logging.ERROR)  # each fault is a warning
    with tempfile.TemporaryDirectory(prefix="faults-") as temporary:
        directory = arguments.keep or Path(temporary)
        prepare(directory)
        trio.run(_torture, directory, arguments.faults, arguments.share, arguments.seed)
        return print_judgement(directory, as_json=arguments.json)


async def _torture(directory: Path, faults: int, share: float, seed: int) -> None:
    began, fired = time.monotonic(), 0
    chance = random.Random(seed)
    (directory / "store").mkdir()

    def ended() -> bool:
        return fired >= faults

    async def serve(number: int) -> None:
        recording = Recording(directory / "recordings" / f"p{number}.jsonl")

        def on_fault(call: str, path: str) -> None:
            nonlocal fired
            fired += 1
            recording.note("fault", call=call, path=path)

        storage = FaultyStorage(DirectoryStorage(directory / "store"), chance, share=0.0, on_fault=on_fault)
        extractor = Extractor(recording, directory / "effects", seed=str(seed))
        async with open_store(storage, extractor, takeover_s=_TAKEOVER_S) as store:
            storage.share = share
            async with trio.open_nursery() as nursery:
                for name in (f"p{number}c{client}" for client in range(_CLIENTS)):
                    client = Client(store, recording, name, Place(), seed=str(seed), began=began, ended=ended)
                    nursery.start_soon(client.run)
            storage.share = 0.0
            await come_to_rest(store, within_s=_REST_S)

    async with trio.open_nursery() as nursery:
        for number in range(_STORES):
            nursery.start_soon(serve, number)


if __name__ == "__main__":
    sys.exit(main())
