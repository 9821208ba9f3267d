"""A process that works on a real store is killed in the middle, again and again; what it acknowledged is there once."""

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
import trio

import oncestore
from oncestore import DirectoryStorage, Message, SqliteStorage, Storage, open_store
from oncestore import _layout as layout
from oncestore._archive import archive_numbers, read_claimed
from oncestore._cli import main as cli
from oncestore._log import read_messages

CLIENT = """
import contextlib, sys, trio, oncestore

async def extract(messages, key):
    return " ".join(message.id for message in messages)

async def main():
    storage = getattr(oncestore, sys.argv[1])(sys.argv[2])
    async with oncestore.open_store(storage, extract) as store:
        with contextlib.suppress(oncestore.AlreadyExists):
            await store.create("s")
        session = store.session("s")
        for number in range(1_000_000):
            message = await session.add("user", "hello", f"{sys.argv[3]}-{number}")
            print(message.id, flush=True)
            if number % 3 == 2:
                await session.commit()

trio.run(main)
"""


def add_until_killed(storage: DirectoryStorage | SqliteStorage, name: str, kill_after: int) -> list[str]:
    """The ids that were acknowledged by a process that was killed when there were so many, or a few more."""
    source = str(Path(oncestore.__file__).parent.parent)
    arguments = [sys.executable, "-c", CLIENT, type(storage).__name__, str(storage.root), name]
    environment = os.environ | {"PYTHONPATH": source, "PYTHONDONTWRITEBYTECODE": "1"}
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        acknowledged = [process.stdout.readline() for _ in range(kill_after)]
        process.send_signal(signal.SIGKILL)
        acknowledged += process.stdout.readlines()
    return [line.decode().strip() for line in acknowledged]


async def everything(storage: Storage) -> Counter[str]:
    """How often each message id is in the session, archived or live."""
    found = Counter([message.id for message in await read_messages(storage, layout.log(layout.live("s")))])
    for number in await archive_numbers(storage, "s"):
        messages, _ = await read_claimed(storage, "s", number)
        found.update(message.id for message in messages)
    return found


@pytest.mark.parametrize("kind", [DirectoryStorage, SqliteStorage])
def test_what_was_acknowledged_before_a_kill_is_there_once_and_is_extracted_once(
    kind: type[DirectoryStorage | SqliteStorage], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    storage = kind(tmp_path / "store")
    if isinstance(storage, DirectoryStorage):
        trio.run(storage.make_root)
    acknowledged: list[str] = []
    for name, kill_after in (("a", 1), ("b", 11), ("c", 30)):
        acknowledged += add_until_killed(storage, name, kill_after)

    async def extract(messages: Sequence[Message], key: str) -> str:
        return " ".join(message.id for message in messages)

    async def main() -> int:
        found = await everything(storage)
        assert set(found) >= set(acknowledged), "nothing is lost"
        assert set(found.values()) == {1}, "nothing is there twice"
        async with open_store(storage, extract) as store:
            session = store.session("s")
            for id in acknowledged:  # as clients do who did not hear the answer
                await session.add("user", "hello", id)
            await session.commit()
            assert await everything(storage) == found
            assert await session.reload() == ()
            numbers = await archive_numbers(storage, "s")
            extracted: Counter[str] = Counter()
            for number in numbers:
                task = await store.task(f"s:{number}")
                assert await task.wait() == "completed"
                outcome = await task.outcome()
                assert outcome is not None
                extracted.update((outcome.text or "").split())
            assert extracted == found
            return len(numbers)

    archives = trio.run(main)
    assert cli(["show", str(storage.root)]) == 0
    assert capsys.readouterr().out.splitlines()[1].split() == ["s", "0", str(archives), "0", "0"]
