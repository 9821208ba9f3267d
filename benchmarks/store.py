"""How fast the store is, against what this disk can do in the same minute; how much memory it takes; how it opens.

::

    python benchmarks/store.py speed
    python benchmarks/store.py memory --messages 1000000
    python benchmarks/store.py opening --sessions 10000

Machines are noisy. So all the cases of a round are measured one after the other, in turns, and what is compared is the
ratio within a round: its median over the rounds, and the quartiles.
"""

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import trio

from oncestore import Message, Session, open_store

_TEXT = "x" * 100  # the content of a message
_AT_ONCE = 1000  # clients that fill a large session

Once = Callable[[], Awaitable[object]]


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    speed = commands.add_parser("speed", help="adds and commits per second, and ratios")
    speed.add_argument("--rounds", type=int, default=40)
    speed.add_argument("--seconds", type=float, default=0.2, help="for each case in each round")
    memory = commands.add_parser("memory", help="memory while one session grows")
    memory.add_argument("--messages", type=int, default=1_000_000)
    memory.add_argument("--client-ids", action="store_true", help="the messages come with ids of their clients")
    opening = commands.add_parser("opening", help="the time to open a root with many sessions")
    opening.add_argument("--sessions", type=int, default=10_000)
    for command in (speed, memory, opening):
        command.add_argument("--directory", type=Path, help="where to put the files, for the disk that is meant")
        command.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(dir=arguments.directory, prefix="store-") as temporary:
        root = Path(temporary)
        if arguments.command == "speed":
            found = trio.run(_speed, root, arguments.rounds, arguments.seconds)
        elif arguments.command == "memory":
            found = trio.run(partial(_memory, root, arguments.messages, client_ids=arguments.client_ids))
        else:
            found = trio.run(_opening, root, arguments.sessions)
    if arguments.json:
        print(json.dumps(found))
    else:
        width = max(map(len, found))
        print("\n".join(f"{name:{width}}  {value}" for name, value in found.items()))
    return 0


async def _extract(messages: Sequence[Message], key: str) -> str:
    return key


# -- speed -------------------------------------------------------------------------------------------------------------


async def _speed(root: Path, rounds: int, seconds: float) -> dict[str, str]:
    """Per second, for each case, and the ratios that the targets are about."""
    measured: dict[str, list[float]] = {}
    async with _cases(root) as cases:
        for round in range(rounds + 1):
            for name, clients in cases.items():
                rate = await _rate(clients, seconds)
                if round:  # the first one warms up
                    measured.setdefault(name, []).append(rate)
    found = {f"{name}, per second": _spread(rates, "{:,.0f}") for name, rates in measured.items()}
    for above, below in (
        ("add, 1 client", "append + fsync, one thread hop"),
        ("add, 1 client", "append + fsync"),
        ("add, 8 clients, 1 session", "add, 1 client"),
        ("add, 8 clients, 1 session", "add, 8 clients, 1 session, alone"),
        ("add, 8 clients, 8 sessions", "add, 1 client"),
        ("add and commit, 8 clients, 8 sessions", "add and commit, 1 client"),
    ):
        ratios = [one / other for one, other in zip(measured[above], measured[below], strict=True)]
        found[f"{above} / {below}"] = _spread(ratios, "{:.2f}")
    return found


@asynccontextmanager
async def _cases(root: Path) -> AsyncGenerator[dict[str, list[Once]]]:
    """What each client of each case does again and again. "Alone" is without group commit."""
    descriptor = os.open(root / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    record = json.dumps({"id": "0" * 32, "role": "user", "content": _TEXT, "time": time.time()}).encode()

    def append() -> None:
        os.write(descriptor, record)
        os.fsync(descriptor)

    async def alone() -> None:
        append()

    async with (
        open_store(root / "together", _extract) as together,
        open_store(root / "alone", _extract, group_commit=False) as separate,
    ):
        sessions = [await together.create(f"s{number}") for number in range(8)]
        own = await separate.create("s")
        yield {
            "append + fsync": [alone],
            "append + fsync, one thread hop": [partial(trio.to_thread.run_sync, append)],
            "add, 1 client": [partial(_add, sessions[0])],
            "add, 8 clients, 1 session": [partial(_add, sessions[0])] * 8,
            "add, 8 clients, 1 session, alone": [partial(_add, own)] * 8,
            "add, 8 clients, 8 sessions": [partial(_add, session) for session in sessions],
            "add and commit, 1 client": [partial(_commit, sessions[0])],
            "add and commit, 8 clients, 1 session": [partial(_commit, sessions[0])] * 8,
            "add and commit, 8 clients, 8 sessions": [partial(_commit, session) for session in sessions],
        }
    os.close(descriptor)


async def _add(session: Session) -> None:
    await session.add("user", _TEXT)


async def _commit(session: Session) -> None:
    await session.add("user", _TEXT)
    await session.commit()


async def _rate(clients: list[Once], seconds: float) -> float:
    done = 0
    began = time.perf_counter()

    async def client(once: Once) -> None:
        nonlocal done
        while time.perf_counter() < began + seconds:
            await once()
            done += 1
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        for once in clients:
            nursery.start_soon(client, once)
    return done / (time.perf_counter() - began)


def _spread(values: Sequence[float], form: str) -> str:
    low, median, high = statistics.quantiles(values, n=4)
    return f"{form.format(median)} ({form.format(low)} to {form.format(high)})"


# -- memory ------------------------------------------------------------------------------------------------------------


async def _memory(root: Path, messages: int, *, client_ids: bool) -> dict[str, str]:
    """Resident megabytes after each tenth of the adds, after a stream through all of them, and in another store."""
    found = {}
    async with open_store(root / "store", _extract) as store:
        session = await store.create("s")
        for tenth in range(10):
            await _fill(session, range(messages * tenth // 10, messages * (tenth + 1) // 10), client_ids=client_ids)
            found[f"resident megabytes after {messages * (tenth + 1) // 10:,} messages"] = _resident()
        found["resident megabytes after a stream of all"] = await _stream(session)
    async with open_store(root / "store", _extract) as store:
        await store.session("s").add("user", _TEXT, "one-more" if client_ids else None)
        found["resident megabytes after another store's first add"] = _resident()
    found["megabytes on the disk"] = f"{(root / 'store/sessions/s/live/messages.jsonl').stat().st_size / 1e6:,.0f}"
    return found


async def _fill(session: Session, numbers: range, *, client_ids: bool) -> None:
    left = iter(numbers)

    async def client() -> None:
        for number in left:
            await session.add("user", _TEXT, f"m{number}" if client_ids else None)

    async with trio.open_nursery() as nursery:
        for _ in range(_AT_ONCE):
            nursery.start_soon(client)


async def _stream(session: Session) -> str:
    async for _ in session.stream():
        pass
    return _resident()


def _resident() -> str:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return f"{pages * os.sysconf('SC_PAGE_SIZE') / 1e6:,.1f}"


# -- opening -----------------------------------------------------------------------------------------------------------


async def _opening(root: Path, sessions: int) -> dict[str, str]:
    """Seconds until a first add was stored, and until recovery came to what was left undone in the last session."""
    names = [f"s{number:08}" for number in range(sessions)]
    async with open_store(root, _extract) as store:
        first = await store.create(names[0])
        await _commit(first)
        await first.add("user", _TEXT)
    # Copies, for to create so many durably takes the disk minutes.
    for name in names[1:]:
        shutil.copytree(root / "sessions" / names[0], root / "sessions" / name)
    (root / "sessions" / names[-1] / "archives" / "1" / "extraction.json").unlink()
    recovered = trio.Event()

    async def extract(messages: Sequence[Message], key: str) -> str:
        recovered.set()
        return key

    began = time.perf_counter()
    async with open_store(root, extract) as store:
        await store.session(names[sessions // 2]).add("user", _TEXT)
        usable_s = time.perf_counter() - began
        await recovered.wait()
        recovered_s = time.perf_counter() - began
    return {"seconds until usable": f"{usable_s:.3f}", "seconds until all were looked at": f"{recovered_s:.2f}"}


if __name__ == "__main__":
    sys.exit(main())
