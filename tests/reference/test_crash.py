"""Real processes on a real directory, and SIGKILL."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import trio

import oncestore
from oncestore import AlreadyExists, Message, open_store
from oncestore._cli import main as cli

# Each is told the root, and says in lines what it has come to.
PREFIX = """
import os, sys, trio
from contextlib import suppress
from oncestore import AlreadyExists, open_store

def say(*words):
    print(*words, flush=True)

async def session_of(store):
    with suppress(AlreadyExists):
        await store.create("s")
    return store.session("s")
"""
HANGS = """
async def extract(messages, key):
    say("extracting", key)
    await trio.sleep_forever()

async def main():
    async with open_store(sys.argv[1], extract) as store:
        session = await session_of(store)
        for id in ("m1", "m2"):
            await session.add("user", id, id)
        await session.commit()
        await session.add("user", "m3", "m3")
        say("accepted")
        await trio.sleep_forever()
"""
DIES = """
async def extract(messages, key):
    say("extracting", key)
    os._exit(3)

async def main():
    async with open_store(sys.argv[1], extract, attempts_most=2) as store:
        session = await session_of(store)
        if not (await session.info()).archives:
            await session.add("user", "poison", "m1")
            await session.commit()
        task = await store.task("s:1")
        say(await task.wait())
"""
HAMMERS = """
async def extract(messages, key):
    return "text"

async def main():
    async with open_store(sys.argv[1], extract) as store:
        session = await session_of(store)
        say("begun")
        n = 0
        while True:
            await session.add("user", "hi", f"{os.getpid()}-{n}")
            say(n)
            n += 1
"""


@contextmanager
def running(program: str, root: Path) -> Iterator["subprocess.Popen[str]"]:
    source = str(Path(oncestore.__file__).parent.parent)
    environment = os.environ | {"PYTHONPATH": source, "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", f"{PREFIX}{program}\ntrio.run(main)", str(root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGKILL)


def said(process: "subprocess.Popen[str]") -> list[str]:
    assert process.stdout is not None
    return process.stdout.readline().split()


@contextmanager
def client(root: Path) -> Iterator[str]:
    """A process that is in the middle of an extraction, and has added one more message; gives the key it was given."""
    with running(HANGS, root) as process:
        lines = sorted(said(process) for _ in range(2))
        assert [line[0] for line in lines] == ["accepted", "extracting"]
        yield lines[1][1]


async def extract(messages: Sequence[Message], key: str) -> str:
    return f"{key}: {' '.join(message.id for message in messages)}"


class Counted:
    """Remembers the keys."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.called = trio.Event()

    async def __call__(self, messages: Sequence[Message], key: str) -> str:
        self.keys.append(key)
        self.called.set()
        return await extract(messages, key)


def test_a_kill_during_the_extraction_loses_nothing_and_the_result_is_recorded_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with client(tmp_path) as key:
        pass
    assert cli(["show", str(tmp_path), "s"]) == 0
    assert "s:1   2         running" in capsys.readouterr().out

    async def main() -> None:
        async with open_store(tmp_path, extract) as store:
            task = await store.task("s:1")
            assert await task.wait() == "completed"
            outcome = await task.outcome()
            assert outcome is not None
            assert outcome.text == f"{key}: m1 m2", "the same key: to the extractor it is the same work"
            assert outcome.attempts == 2
            session = store.session("s")
            assert [message.id for message in await session.reload()] == ["m3"]
            await session.add("user", "m1", "m1")
            assert (await session.commit(wait=True)).id == "s:2"
        async with open_store(tmp_path, extract) as store:
            assert (await store.session("s").commit()).status == "skipped"

    trio.run(main)
    assert cli(["show", str(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "session  live  archives  unfinished  failed",
        "s        0     2         0           0",
    ]


def test_a_store_that_waits_takes_over_when_the_other_process_is_killed(tmp_path: Path) -> None:
    async def main() -> None:
        counted = Counted()
        with client(tmp_path) as key:
            opening = open_store(tmp_path, counted)
            store = await opening.__aenter__()
            task = await store.task("s:1")
            # Not blocked by the other's extraction, only by its lease.
            await store.session("s").add("user", "m4", "m4")
            assert (task.status, counted.keys) == ("accepted", [])
        assert await task.wait() == "completed"
        assert counted.keys == [key]
        await opening.__aexit__(None, None, None)

    trio.run(main)


def test_a_store_that_is_open_finds_by_itself_what_a_killed_process_left(tmp_path: Path) -> None:
    async def main() -> None:
        counted = Counted()
        async with open_store(tmp_path, counted, takeover_s=0.01) as store:
            with client(tmp_path) as key:
                # Adding and committing go on meanwhile; its own commit waits behind the other's in the queue.
                await store.session("s").add("user", "m4", "m4")
                task = await store.session("s").commit()
                assert counted.keys == []
            await counted.called.wait()
            assert await task.wait() == "completed"
            assert counted.keys[0] == key
            assert len(counted.keys) == 2
            assert [message.id for message in await store.session("s").archive(2)] == ["m3", "m4"]

    trio.run(main)


def test_a_store_that_is_open_takes_over_without_being_asked(tmp_path: Path) -> None:
    async def main() -> None:
        counted = Counted()
        async with open_store(tmp_path, counted, takeover_s=0.01):
            with client(tmp_path) as key:
                pass
            await counted.called.wait()
        assert counted.keys == [key]

    trio.run(main)


def test_an_extractor_that_kills_its_process_is_given_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keys = set()
    for _ in range(2):
        with running(DIES, tmp_path) as process:
            (word, key) = said(process)
            assert (word, process.wait()) == ("extracting", 3)
            keys.add(key)
    assert len(keys) == 1
    with running(DIES, tmp_path) as process:
        assert said(process) == ["failed"]
        assert process.wait() == 0
    assert cli(["show", str(tmp_path), "s"]) == 0
    assert "2 attempts were begun and none ended" in capsys.readouterr().out

    async def main() -> None:
        async with open_store(tmp_path, extract) as store:
            task = await store.task("s:1")
            assert task.status == "failed"
            await task.retry()
            assert await task.wait() == "completed"

    trio.run(main)


def test_a_process_that_adds_without_a_pause_keeps_no_other_out(tmp_path: Path) -> None:
    async def main() -> None:
        with running(HAMMERS, tmp_path) as process:
            assert said(process) == ["begun"]
            async with open_store(tmp_path, extract) as store:
                session = store.session("s")
                for n in range(20):
                    await session.add("user", "hi", f"mine-{n}")
                task = await session.commit(wait=True)
                assert process.poll() is None, "it was adding all the time"
                mine = [m.id for m in await session.archive(task.archive) if m.id.startswith("mine")]
                assert mine == [f"mine-{n}" for n in range(20)]

    trio.run(main)


def test_processes_that_are_killed_while_they_add_lose_nothing_they_were_told_was_stored(tmp_path: Path) -> None:
    acknowledged: set[str] = set()
    for lines in (1, 4, 12):
        with running(HAMMERS, tmp_path) as one, running(HAMMERS, tmp_path) as two:
            for process in (one, two):
                assert said(process) == ["begun"]
            for _ in range(lines):
                for process in (one, two):
                    acknowledged.add(f"{process.pid}-{said(process)[0]}")

    async def main() -> None:
        async with open_store(tmp_path, extract) as store:
            with suppress(AlreadyExists):
                await store.create("s")
            stored = [message.id for message in await store.session("s").reload()]
            assert len(set(stored)) == len(stored)
            assert acknowledged <= set(stored)
            for id in sorted(acknowledged):
                await store.session("s").add("user", "hi", id)
            assert [message.id for message in await store.session("s").reload()] == stored

    trio.run(main)


class TestShow:
    def test_a_session_is_shown_archive_by_archive(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        async def sometimes(messages: Sequence[Message], key: str) -> str:
            if messages[0].id == "m2":
                raise ConnectionError("away")
            return "line\nbreak"

        async def main() -> None:
            async with open_store(tmp_path, sometimes) as store:
                session = await store.create("s")
                for id in ("m1", "m2"):
                    await session.add("user", "hi", id)
                    await session.commit()
                await session.add("user", "hi")

        trio.run(main)
        before = sorted(tmp_path.rglob("*"))
        assert cli(["show", str(tmp_path), "s"]) == 0
        assert capsys.readouterr().out.splitlines() == [
            "task  messages  status     text or error",
            r's:1   1         completed  "line\nbreak"',
            's:2   1         failed     "ConnectionError: away"',
            "live  1",
        ]
        assert sorted(tmp_path.rglob("*")) == before

    def test_a_wrong_request_is_one_clear_line_and_exit_2(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert cli(["show", str(tmp_path / "missing")]) == 2
        assert "holds no store" in capsys.readouterr().err
        assert not (tmp_path / "missing").exists()
        (tmp_path / "empty").touch()
        assert cli(["show", str(tmp_path / "empty")]) == 2
        assert "holds no store" in capsys.readouterr().err
        assert [(path.name, path.stat().st_size) for path in tmp_path.iterdir()] == [("empty", 0)]
        (tmp_path / "sessions").mkdir()
        assert cli(["show", str(tmp_path), "s"]) == 2
        assert "there is no session 's' here" in capsys.readouterr().err
        assert cli(["show", str(tmp_path), "../s"]) == 2
        assert "no session id" in capsys.readouterr().err

    def test_a_corrupt_log_is_reported_and_exit_1(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        live = tmp_path / "sessions" / "s" / "live"
        live.mkdir(parents=True)
        (live / "messages.jsonl").write_bytes(b"garbage\n")
        assert cli(["show", str(tmp_path)]) == 1
        assert "sessions/s/live/messages.jsonl, line 1: not a checksummed record" in capsys.readouterr().err
