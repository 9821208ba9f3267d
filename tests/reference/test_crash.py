"""Real processes on a real directory, and SIGKILL."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio

import oncestore
from oncestore import Message, open_store
from oncestore._cli import main as cli

CLIENT = """
import sys, trio
from oncestore import open_store

async def extract(messages, key):
    print("extracting", key, flush=True)
    await trio.sleep_forever()

async def main():
    async with open_store(sys.argv[1], extract) as store:
        session = store.session("s")
        for id in ("m1", "m2"):
            await session.add("user", id, id)
        await session.commit()
        await session.add("user", "m3", "m3")
        print("accepted", flush=True)
        await trio.sleep_forever()

trio.run(main)
"""


@contextmanager
def client(root: Path) -> Iterator[str]:
    """A process that is in the middle of an extraction, and has added one more message; gives the key it was given."""
    source = str(Path(oncestore.__file__).parent.parent)
    environment = os.environ | {"PYTHONPATH": source, "PYTHONDONTWRITEBYTECODE": "1"}
    with subprocess.Popen([sys.executable, "-c", CLIENT, root], stdout=subprocess.PIPE, env=environment) as process:
        try:
            assert process.stdout is not None
            lines = sorted(process.stdout.readline().decode().split() for _ in range(2))
            assert [line[0] for line in lines] == ["accepted", "extracting"]
            yield lines[1][1]
        finally:
            process.send_signal(signal.SIGKILL)


async def extract(messages: Sequence[Message], key: str) -> str:
    return f"{key}: {' '.join(message.id for message in messages)}"


def test_a_kill_during_the_extraction_loses_nothing_and_the_result_is_recorded_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with client(tmp_path) as key:
        pass
    assert cli(["show", str(tmp_path), "s"]) == 0
    assert "s:1   2         accepted" in capsys.readouterr().out

    async def main() -> None:
        async with open_store(tmp_path, extract) as store:
            task = await store.task("s:1")
            assert await task.wait() == "completed"
            outcome = await task.outcome()
            assert outcome is not None
            assert outcome.text == f"{key}: m1 m2", "the same key: to the extractor it is the same work"
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
    calls: list[str] = []

    async def counted(messages: Sequence[Message], key: str) -> str:
        calls.append(key)
        return await extract(messages, key)

    async def main() -> None:
        with client(tmp_path) as key:
            opening = open_store(tmp_path, counted)
            store = await opening.__aenter__()
            task = await store.task("s:1")
            # Not blocked by the other's extraction, only by its lease.
            await store.session("s").add("user", "m4", "m4")
            assert (task.status, calls) == ("accepted", [])
        assert await task.wait() == "completed"
        assert calls == [key]
        await opening.__aexit__(None, None, None)

    trio.run(main)


class TestShow:
    def test_a_session_is_shown_archive_by_archive(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        async def sometimes(messages: Sequence[Message], key: str) -> str:
            if messages[0].id == "m2":
                raise ConnectionError("away")
            return "line\nbreak"

        async def main() -> None:
            async with open_store(tmp_path, sometimes) as store:
                session = store.session("s")
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
