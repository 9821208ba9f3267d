"""Logs and lock files stay open between uses: what becomes of them when files move, disks fail and processes fork."""

import errno
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio
import trio.testing

import oncestore
from oncestore import DirectoryStorage, FsyncFailed
from oncestore._descriptors import _KEPT_MOST

Main = Callable[[DirectoryStorage], Awaitable[None]]


def on_a_directory(root: Path, main: Main) -> None:
    trio.run(main, DirectoryStorage(root))


def open_files(root: Path) -> list[str]:
    """What this process has open below the root."""
    found = []
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{descriptor}")
        except FileNotFoundError:  # the listing itself
            continue
        if target.startswith(f"{root}/"):
            found.append(target)
    return sorted(found)


class TestLogs:
    def test_that_was_renamed_away_and_made_again_gets_what_comes(self, tmp_path: Path) -> None:
        async def main(storage: DirectoryStorage) -> None:
            for directory in ("live", "archives"):
                await storage.make_directory(directory)
            for number in range(3):
                await storage.append("live/log", b"%d" % number)
                await storage.append("live/log", b"%d" % number)
                await storage.rename("live", f"archives/{number}")
                await storage.make_directory("live")
            assert [await storage.read(f"archives/{number}/log") for number in range(3)] == [b"00", b"11", b"22"]
            await storage.append("live/log", b"3")
            await storage.write("live/log.new", b"copy")
            await storage.rename("live/log.new", "live/log")
            await storage.append("live/log", b"3")
            assert await storage.read("live/log") == b"copy3"

        on_a_directory(tmp_path, main)

    def test_whose_directory_is_gone_is_refused_and_not_written_elsewhere(self, tmp_path: Path) -> None:
        async def main(storage: DirectoryStorage) -> None:
            await storage.make_directory("live")
            await storage.append("live/log", b"1")
            await storage.rename("live", "archive")
            with pytest.raises(FileNotFoundError):
                await storage.append("live/log", b"2")
            assert await storage.read("archive/log") == b"1"
            assert open_files(tmp_path) == []

        on_a_directory(tmp_path, main)

    def test_more_than_are_kept_are_closed_and_opened_again(self, tmp_path: Path) -> None:
        async def main(storage: DirectoryStorage) -> None:
            for _ in range(2):
                for number in range(_KEPT_MOST + 10):
                    await storage.append(f"{number}", b"%d," % number)
            for number in range(_KEPT_MOST + 10):
                assert await storage.read(f"{number}") == b"%d," % number * 2
            assert len(open_files(tmp_path)) == _KEPT_MOST

        on_a_directory(tmp_path, main)
        assert open_files(tmp_path) == []  # the storage was forgotten

    @pytest.mark.parametrize("call", ["write", "fsync"])
    def test_that_failed_is_not_kept(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
        """What a later fsync says of it would be said without knowing of this failure, or knowing of it for ever."""

        async def main(storage: DirectoryStorage) -> None:
            await storage.append("log", b"1")
            assert len(open_files(tmp_path)) == 1
            number, kind = (errno.ENOSPC, OSError) if call == "write" else (errno.EIO, FsyncFailed)

            def fail(*_: object) -> None:
                raise OSError(number, os.strerror(number))

            with monkeypatch.context() as patch:
                patch.setattr(os, call, fail)
                with pytest.raises(kind, match=rf"\[Errno {number}\]") as caught:
                    await storage.append("log", b"2")
            assert isinstance(caught.value, FsyncFailed) == (call == "fsync")
            assert open_files(tmp_path) == []
            await storage.append("log", b"3")
            assert await storage.read("log") == (b"13" if call == "write" else b"123")

        on_a_directory(tmp_path, main)

    def test_when_no_more_files_may_be_opened_those_that_are_open_go_on(self, tmp_path: Path) -> None:
        async def main(storage: DirectoryStorage) -> None:
            await storage.append("log", b"1")
            with refused_by_open(errno.EMFILE), pytest.raises(OSError, match=rf"\[Errno {errno.EMFILE}\]"):
                await storage.append("other", b"1")
            with refused_by_open(errno.EMFILE):
                await storage.append("log", b"2")  # is open
            assert await storage.read("log") == b"12"
            assert open_files(tmp_path) == [str(tmp_path / "log")]

        on_a_directory(tmp_path, main)


@contextmanager
def refused_by_open(number: int) -> Iterator[None]:
    """In here no file can be opened."""

    def refuse(*_: object, **__: object) -> int:
        raise OSError(number, os.strerror(number))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "open", refuse)
        yield


class TestLocks:
    def test_whose_directory_was_removed_is_made_again(self, tmp_path: Path) -> None:
        async def main(storage: DirectoryStorage) -> None:
            async with storage.lock("locks/a") as lock:
                lock.note = "mine"
            shutil.rmtree(tmp_path / "locks")
            other = DirectoryStorage(tmp_path)
            async with storage.lock("locks/a") as lock:
                assert lock.note == ""  # so that nobody vouches for anything
                with pytest.raises(BlockingIOError):
                    await other.lock("locks/a", wait=False).__aenter__()
            async with other.lock("locks/a", wait=False):
                pass

        on_a_directory(tmp_path, main)

    def test_of_many_sessions_do_not_use_up_the_descriptors(self, tmp_path: Path) -> None:
        async def main(storage: DirectoryStorage) -> None:
            for number in range(_KEPT_MOST):
                async with storage.lock(f"locks/{number}"), storage.lock(f"leases/{number}"):
                    pass
            assert len(open_files(tmp_path)) == _KEPT_MOST

        on_a_directory(tmp_path, main)

    def test_that_nobody_could_get_or_waited_for_in_vain_are_kept_once(self, tmp_path: Path) -> None:
        async def main(storage: DirectoryStorage) -> None:
            other = DirectoryStorage(tmp_path)
            async with other.lock("locks/a"):
                for _ in range(3):
                    with pytest.raises(BlockingIOError):
                        await storage.lock("locks/a", wait=False).__aenter__()
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(storage.lock("locks/a").__aenter__)
                        await trio.testing.wait_all_tasks_blocked()
                        nursery.cancel_scope.cancel()
            assert len(open_files(tmp_path)) == 3  # the lock by each, and the gate by the one that waited
            async with storage.lock("locks/a", wait=False):
                pass

        on_a_directory(tmp_path, main)


FORKED = """
import os, sys, time, trio, oncestore

storage = getattr(oncestore, sys.argv[1])(sys.argv[2])

async def extract(messages, key):
    return ""

async def add(name, count):
    async with oncestore.open_store(storage, extract) as store:
        for number in range(count):
            await store.session("s").add("user", f"{name}-{number}")

async def prepare():
    if sys.argv[1] == "DirectoryStorage":
        await storage.make_root()
    async with oncestore.open_store(storage, extract) as store:
        await store.create("s")

async def hold(then):
    async with storage.lock("locks/s"):
        await then()

async def ask():
    try:
        async with storage.lock("locks/s", wait=False):
            print("free", flush=True)
    except BlockingIOError:
        print("held", flush=True)

async def let_the_child_ask():
    os.write(its, b".")
    await trio.to_thread.run_sync(os.waitpid, child, 0)

async def leave_a_child():
    child = os.fork()
    if not child:
        time.sleep(600)
        os._exit(0)
    print(child, flush=True)
    os.kill(os.getpid(), 9)

trio.run(prepare)
if sys.argv[3] == "dies":
    trio.run(hold, leave_a_child)
mine, its = os.pipe()
child = os.fork()
if child:
    trio.run(hold, let_the_child_ask) if sys.argv[3] == "asks" else trio.run(add, "parent", 50)
else:
    if sys.argv[3] == "asks":
        os.read(mine, 1)
        trio.run(ask)
    else:
        trio.run(add, "child", 50)
    os._exit(0)
if sys.argv[3] == "adds":
    assert os.waitpid(child, 0)[1] == 0
"""


@pytest.mark.parametrize("kind", ["DirectoryStorage", "SqliteStorage"])
class TestForks:
    def run(self, kind: str, root: Path, do: str) -> subprocess.CompletedProcess[str]:
        source = str(Path(oncestore.__file__).parent.parent)
        arguments = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORKED, kind, str(root), do]
        environment = os.environ | {"PYTHONPATH": source, "PYTHONDONTWRITEBYTECODE": "1"}
        with (root.parent / "out").open("w+") as out:  # no pipe, which a child would hold open
            done = subprocess.run(arguments, stdout=out, stderr=subprocess.STDOUT, env=environment, check=False)
            out.seek(0)
            return subprocess.CompletedProcess(arguments, done.returncode, out.read())

    def test_a_child_does_not_get_the_lock_that_its_parent_holds(self, kind: str, tmp_path: Path) -> None:
        done = self.run(kind, tmp_path / "root", "asks")
        assert (done.returncode, done.stdout) == (0, "held\n")

    def test_a_child_does_not_keep_the_lock_of_a_parent_that_died(self, kind: str, tmp_path: Path) -> None:
        done = self.run(kind, tmp_path / "root", "dies")
        assert done.returncode == -signal.SIGKILL, done.stdout
        child = int(done.stdout)
        try:

            async def main() -> None:
                with trio.fail_after(60):  # the child may not have begun to run yet
                    async with getattr(oncestore, kind)(tmp_path / "root").lock("locks/s"):
                        pass

            trio.run(main)
        finally:
            os.kill(child, signal.SIGKILL)

    def test_a_child_and_its_parent_add_to_one_session(self, kind: str, tmp_path: Path) -> None:
        done = self.run(kind, tmp_path / "root", "adds")
        assert (done.returncode, done.stdout) == (0, "")

        async def extract(messages: object, key: str) -> str:
            return ""

        async def main() -> None:
            storage = getattr(oncestore, kind)(tmp_path / "root")
            async with oncestore.open_store(storage, extract) as store:
                said = [message.content for message in await store.session("s").reload()]
            for name in ("child", "parent"):
                assert [one for one in said if one.startswith(name)] == [f"{name}-{number}" for number in range(50)]
            assert len(said) == 100

        trio.run(main)
