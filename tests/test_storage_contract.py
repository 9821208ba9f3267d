"""One contract, every storage: memory, a directory, an SQLite file, and the simulator's disk in both granularities."""

import errno
import gc
import os
import resource
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

import oncestore
import racewindow as rw
from oncestore import DirectoryStorage, FsyncFailed, MemoryStorage, SqliteStorage, Storage, UsageError, _sqlite
from racewindow.disk import GRANULARITIES, Disk, Granularity
from racewindow.implementations.disk_storage import DiskStorage

Main = Callable[[Storage], Awaitable[None]]
On = Callable[[Main], None]
Again = Callable[[], DirectoryStorage | SqliteStorage]


def in_a_world(main: Main, granularity: Granularity, *, schedules: int = 10) -> None:
    async def subject(world: rw.World) -> None:
        await main(DiskStorage(Disk(world, granularity)))

    found = rw.explore(subject, schedules=schedules, seed=0)
    assert found.first is None, found.first and found.first.violations
    assert found.verdict == "passed"


@pytest.fixture(params=["memory", "directory", "sqlite", "disk-suspending", "disk-atomic"])
def on(request: pytest.FixtureRequest, tmp_path: Path) -> On:
    """Runs an async function on one kind of storage; on the simulated disk, in ten schedules."""

    def on(main: Main) -> None:
        if request.param == "memory":
            trio.run(main, MemoryStorage())
        elif request.param == "directory":
            trio.run(main, DirectoryStorage(tmp_path))
        elif request.param == "sqlite":
            trio.run(main, SqliteStorage(tmp_path / "store.db"))
        else:
            in_a_world(main, "suspending" if request.param == "disk-suspending" else "atomic")

    return on


@pytest.fixture(params=[DirectoryStorage, SqliteStorage])
def again(request: pytest.FixtureRequest, tmp_path: Path) -> Again:
    """One more storage on the same root, as another process has it."""
    return lambda: request.param(tmp_path / "root")


async def join(chunks: AsyncGenerator[bytes]) -> bytes:
    async with aclosing(chunks):
        return b"".join([chunk async for chunk in chunks])


@contextmanager
def refused(number: int) -> Iterator[None]:
    """In here an error is raised that says: nothing was changed."""
    with pytest.raises(OSError, match=rf"\[Errno {number}\]") as caught:
        yield
    assert not isinstance(caught.value, FsyncFailed)


class TestFiles:
    def test_append_makes_a_file_and_then_adds_at_the_end(self, on: On) -> None:
        async def main(storage: Storage) -> None:
            for data in (b"one", b"", b"two"):
                await storage.append("f", data)
            assert await storage.read("f") == b"onetwo"

        on(main)

    def test_write_makes_a_file_and_then_replaces_what_is_in_it(self, on: On) -> None:
        async def main(storage: Storage) -> None:
            await storage.write("f", b"longer")
            await storage.write("f", b"one")
            assert await storage.read("f") == b"one"
            await storage.append("f", b"two")
            assert await storage.read("f") == b"onetwo"
            await storage.write("f", b"")
            assert await storage.read("f") == b""
            assert await storage.list("") == ["f"]

        on(main)

    def test_chunks_begin_anywhere_in_the_file_and_also_behind_its_end(self, on: On) -> None:
        async def main(storage: Storage) -> None:
            for data in (b"abc", b"", b"defg", b"h"):
                await storage.append("f", data)
            for start in range(10):
                assert await join(storage.chunks("f", start)) == b"abcdefgh"[start:]
            await storage.write("empty", b"")
            assert await join(storage.chunks("empty")) == b""

        on(main)

    def test_a_large_file_comes_in_pieces(self, again: Again) -> None:
        async def main() -> None:
            storage = again()
            if isinstance(storage, DirectoryStorage):
                await storage.make_root()
            data = bytes(range(256)) * 4096
            await storage.append("f", data)
            for at in range(0, len(data), 1 << 16):
                await storage.append("f", data[at : at + (1 << 16)])
            async with aclosing(storage.chunks("f", 300_001)) as chunks:
                pieces = [piece async for piece in chunks]
            assert max(map(len, pieces)) < 1 << 19
            assert b"".join(pieces) == (data + data)[300_001:]

        trio.run(main)

    def test_chunks_are_of_the_file_that_was_there_at_the_first(self, on: On) -> None:
        async def main(storage: Storage) -> None:
            await storage.write("f", b"old" * 500_000)
            await storage.write("f.new", b"new" * 500_000)
            async with aclosing(storage.chunks("f")) as chunks:
                read = await anext(chunks)
                await storage.rename("f.new", "f")
                assert await storage.read("f") == b"new" * 500_000
                await storage.remove("f")
                read += b"".join([chunk async for chunk in chunks])
            assert read == b"old" * 500_000

        on(main)

    def test_chunks_that_nobody_reads_to_the_end_are_in_nobodys_way(self, on: On) -> None:
        async def main(storage: Storage) -> None:
            await storage.write("f", b"x" * 1_000_000)
            for _ in range(3):
                async with aclosing(storage.chunks("f")) as chunks:
                    await anext(chunks)
            with trio.CancelScope() as scope:
                async with aclosing(storage.chunks("f")) as chunks:
                    await anext(chunks)
                    scope.cancel()
                    await trio.lowlevel.checkpoint()
            await storage.write("f", b"y")
            assert await join(storage.chunks("f")) == b"y"

        on(main)

    def test_what_is_missing_is_reported_as_missing(self, on: On) -> None:
        async def main(storage: Storage) -> None:
            for call in (
                storage.read("no"),
                storage.read("no/f"),
                join(storage.chunks("no")),
                storage.list("no"),
                storage.append("no/f", b""),
                storage.write("no/f", b""),
                storage.make_directory("no/d"),
                storage.rename("no", "f"),
                storage.remove("no"),
                storage.fsync_directory("no"),
            ):
                with pytest.raises(FileNotFoundError):
                    await call

        on(main)

    def test_remove_takes_away_a_file_or_an_empty_directory_and_no_other(self, on: On) -> None:
        async def main(storage: Storage) -> None:
            await storage.make_directory("d")
            await storage.append("d/f", b"x")
            with refused(errno.ENOTEMPTY):
                await storage.remove("d")
            assert await storage.read("d/f") == b"x"
            await storage.remove("d/f")
            await storage.remove("d")
            assert await storage.list("") == []

        on(main)


class TestDirectories:
    def test_list_is_sorted_and_knows_the_root_as_the_empty_path(self, on: On) -> None:
        async def main(storage: Storage) -> None:
            for name in ("b", "a", "c"):
                await storage.write(name, b"")
            await storage.make_directory("d")
            await storage.write("d/e", b"")
            assert await storage.list("") == ["a", "b", "c", "d"]
            assert await storage.list("d") == ["e"]
            await storage.fsync_directory("")
            await storage.fsync_directory("d")

        on(main)

    def test_make_directory_refuses_what_exists(self, on: On) -> None:
        async def main(storage: Storage) -> None:
            await storage.make_directory("d")
            with pytest.raises(FileExistsError):
                await storage.make_directory("d")

        on(main)

    def test_rename_replaces_a_file(self, on: On) -> None:
        async def main(storage: Storage) -> None:
            await storage.write("f.new", b"new")
            await storage.write("f", b"old")
            await storage.rename("f.new", "f")
            assert await storage.read("f") == b"new"
            assert await storage.list("") == ["f"]

        on(main)

    def test_rename_moves_a_directory_with_what_is_in_it(self, on: On) -> None:
        async def main(storage: Storage) -> None:
            await storage.make_directory("live")
            await storage.write("live/f", b"x")
            await storage.make_directory("archives")
            await storage.rename("live", "archives/1")
            assert await storage.read("archives/1/f") == b"x"
            assert await storage.list("") == ["archives"]

        on(main)

    @pytest.mark.parametrize("filled", [False, True])
    def test_rename_never_replaces_a_directory_not_even_an_empty_one(self, on: On, filled: bool) -> None:
        async def main(storage: Storage) -> None:
            await storage.make_directory("live")
            await storage.make_directory("there")
            if filled:
                await storage.write("there/f", b"")
            with pytest.raises(FileExistsError):
                await storage.rename("live", "there")
            assert await storage.list("") == ["live", "there"]

        on(main)

    def test_a_directory_cannot_be_moved_into_itself(self, on: On) -> None:
        async def main(storage: Storage) -> None:
            await storage.make_directory("d")
            with refused(errno.EINVAL):
                await storage.rename("d", "d/e")
            assert await storage.list("") == ["d"]

        on(main)

    def test_a_path_cannot_leave_the_root(self, again: Again) -> None:
        async def main() -> None:
            storage = again()
            for path in ("../f", "d/../../f", "/f"):
                for call in (storage.read, storage.remove, storage.make_directory):
                    with pytest.raises(UsageError):
                        await call(path)
                with pytest.raises(UsageError):
                    storage.lock(path)

        trio.run(main)

    def test_a_missing_root_is_made_with_its_parents(self, tmp_path: Path) -> None:
        async def main() -> None:
            storage = DirectoryStorage(tmp_path / "a" / "b")
            await storage.make_root()
            await storage.make_root()
            assert await storage.list("") == []

        trio.run(main)

    def test_a_root_whose_maker_may_have_died_is_made_durable(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        synced: list[str] = []
        real = os.fsync

        def fsync(descriptor: int) -> None:
            synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
            real(descriptor)

        monkeypatch.setattr(os, "fsync", fsync)
        (tmp_path / "a").mkdir()
        trio.run(DirectoryStorage(tmp_path / "a" / "root").make_root)
        assert synced == [str(tmp_path), str(tmp_path / "a")]
        trio.run(DirectoryStorage(tmp_path / "a" / "root").make_root)
        assert synced == [str(tmp_path), str(tmp_path / "a"), str(tmp_path / "a")]


class TestLocks:
    def test_a_lock_admits_one_at_a_time(self, on: On) -> None:
        async def main(storage: Storage) -> None:
            seen: list[str] = []

            async def enter(name: str) -> None:
                async with storage.lock("locks/a"):
                    seen.append(name)
                    await trio.testing.wait_all_tasks_blocked()
                    seen.append(name)

            async with trio.open_nursery() as nursery:
                for name in ("a", "b", "c"):
                    nursery.start_soon(enter, name)
            assert seen[::2] == seen[1::2]
            assert sorted(seen[::2]) == ["a", "b", "c"]

        on(main)

    def test_another_path_is_another_lock(self, on: On) -> None:
        async def main(storage: Storage) -> None:
            async with storage.lock("locks/a"), storage.lock("locks/b"):
                pass

        on(main)

    def test_a_lock_is_free_again_after_an_exception_and_after_a_cancellation(self, on: On) -> None:
        async def main(storage: Storage) -> None:
            with pytest.raises(ZeroDivisionError):
                async with storage.lock("a"):
                    raise ZeroDivisionError
            with trio.CancelScope() as scope:
                async with storage.lock("a"):
                    scope.cancel()
                    await trio.lowlevel.checkpoint()
            async with storage.lock("a"):
                pass

        on(main)

    def test_who_waits_for_a_lock_can_be_cancelled(self, on: On) -> None:
        async def main(storage: Storage) -> None:
            async with storage.lock("a"), trio.open_nursery() as nursery:

                async def wait() -> None:
                    async with storage.lock("a"):
                        raise AssertionError("it is held")

                nursery.start_soon(wait)
                await trio.testing.wait_all_tasks_blocked()
                nursery.cancel_scope.cancel()
            async with storage.lock("a"):
                pass

        on(main)

    def test_who_does_not_wait_for_a_lock_is_told_that_it_is_held(self, on: On) -> None:
        async def main(storage: Storage) -> None:
            async def ask() -> None:
                with pytest.raises(BlockingIOError):
                    async with storage.lock("a", wait=False):
                        raise AssertionError("it is held")

            async with storage.lock("a"), trio.open_nursery() as nursery:
                nursery.start_soon(ask)
            async with storage.lock("a", wait=False):
                pass

        on(main)

    def test_a_note_is_there_for_the_next_holder_and_empty_at_first(self, on: On) -> None:
        async def main(storage: Storage) -> None:
            for before, after in (("", "a long note"), ("a long note", "note"), ("note", ""), ("", "ä")):
                async with storage.lock("locks/a") as lock:
                    assert lock.note == before
                    lock.note = after
                    assert lock.note == after
            async with storage.lock("locks/b") as lock:
                assert lock.note == ""

        on(main)

    def test_two_storages_on_one_root_exclude_each_other_and_see_the_same_notes(self, again: Again) -> None:
        async def main() -> None:
            async def enter() -> None:
                async with again().lock("locks/a") as lock:
                    entered = int(lock.note or 0)
                    await trio.to_thread.run_sync(int)
                    lock.note = str(entered + 1)

            async with trio.open_nursery() as nursery:
                for _ in range(5):
                    nursery.start_soon(enter)
            async with again().lock("locks/a") as lock:
                assert lock.note == "5"
                with pytest.raises(BlockingIOError):
                    async with again().lock("locks/a", wait=False):
                        raise AssertionError("it is held")

        trio.run(main)


PROGRAM = """
import sys, trio, oncestore

async def main():
    storage = getattr(oncestore, sys.argv[1])(sys.argv[2])
    if sys.argv[3] == "hold":
        async with storage.lock("locks/a") as lock:
            lock.note = "mine"
            print("held", flush=True)
            await trio.sleep_forever()
    elif sys.argv[3] == "loop":
        async with storage.lock("locks/a"):
            print("held", flush=True)
        while True:
            async with storage.lock("locks/a"):
                pass
    for number in range(1_000_000):
        await storage.append("f", b"%d," % number)
        print(number, flush=True)

trio.run(main)
"""


@contextmanager
def process(storage: DirectoryStorage | SqliteStorage, do: str) -> Iterator[Iterator[bytes]]:
    """Another process at work on the same root, killed at the end; gives the lines that it prints."""
    source = str(Path(oncestore.__file__).parent.parent)
    arguments = [sys.executable, "-c", PROGRAM, type(storage).__name__, str(storage.root), do]
    environment = os.environ | {"PYTHONPATH": source, "PYTHONDONTWRITEBYTECODE": "1"}
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, env=environment) as other:
        assert other.stdout is not None
        try:
            yield iter(other.stdout)
        finally:
            other.send_signal(signal.SIGKILL)


class TestProcesses:
    def test_the_lock_of_a_killed_process_is_free_and_its_note_is_kept(self, again: Again) -> None:
        async def main() -> None:
            with process(again(), "hold") as lines:
                assert next(lines) == b"held\n"
                with pytest.raises(BlockingIOError):
                    async with again().lock("locks/a", wait=False):
                        raise AssertionError("it is held")
            async with again().lock("locks/a", wait=False) as lock:
                assert lock.note == "mine"

        trio.run(main)

    def test_a_process_that_takes_a_lock_again_and_again_starves_nobody(self, again: Again) -> None:
        async def main() -> None:
            with process(again(), "loop") as lines:
                next(lines)
                for _ in range(5):
                    async with again().lock("locks/a"):
                        pass

        trio.run(main)

    def test_a_kill_takes_nothing_back_and_leaves_nothing_in_the_way(self, again: Again) -> None:
        async def main() -> None:
            if isinstance(storage := again(), DirectoryStorage):
                await storage.make_root()
            with process(storage, "append") as lines:
                while (acknowledged := int(next(lines))) < 50:
                    assert b"%d," % acknowledged in await storage.read("f")
            written = await again().read("f")
            assert written.startswith(b"".join(b"%d," % number for number in range(acknowledged + 1)))
            await storage.append("f", b"end")
            assert await again().read("f") == written + b"end"

        trio.run(main)


PATHS = ["d", "e", "d/e", "f", "d/f", "e/f", "d/e/f", "d/e/g"]
paths = st.sampled_from(PATHS)
calls = st.one_of(
    st.tuples(st.sampled_from(["make_directory", "append", "write"]), paths),
    st.tuples(st.just("rename"), paths, paths),
    st.tuples(st.sampled_from(["remove", "read", "chunks", "list", "fsync_directory"]), paths),
)


async def answers(storage: Storage, program: list[tuple[str, ...]]) -> list[object]:
    """What a storage says to each call: the result, or the kind of error."""
    said: list[object] = []
    for number, (verb, *arguments) in enumerate(program):
        try:
            if verb in ("append", "write"):
                said.append(await getattr(storage, verb)(arguments[0], b"%d" % number))
            elif verb == "chunks":
                said.append(await join(storage.chunks(arguments[0], 1)))
            else:
                said.append(await getattr(storage, verb)(*arguments))
        except OSError as error:
            # A rename can be wrong in two ways at once; which of them is reported is nobody's promise.
            said.append(OSError if verb == "rename" else type(error))
    return said


class TestAgreement:
    @given(st.lists(calls, max_size=12))
    @settings(max_examples=60, deadline=None)
    def test_every_storage_answers_any_sequence_of_calls_as_a_real_directory_does(
        self, program: list[tuple[str, ...]]
    ) -> None:
        """The real file system is the judge: a kinder simulated disk would hide bugs, a harsher one invent them."""

        async def main(storage: Storage) -> None:
            assert await answers(storage, program) == real, program

        with TemporaryDirectory() as folder:
            real = trio.run(answers, DirectoryStorage(folder), program)
        with TemporaryDirectory() as folder:
            trio.run(main, SqliteStorage(Path(folder) / "store.db"))
        trio.run(main, MemoryStorage())
        for granularity in GRANULARITIES:
            in_a_world(main, granularity, schedules=1)


@contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    """What writes beyond it, in this process, first succeeds in part and then fails, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    (root := tmp_path / "disk").mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=512k", "none", str(root)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a file system")
    yield root
    subprocess.run(["umount", "--lazy", str(root)], check=True)


class TestFailures:
    def test_a_full_disk_changes_nothing_and_what_fits_is_stored_afterwards(self, small_disk: Path) -> None:
        async def main(storage: Storage) -> None:
            await storage.append("f", b"before")
            for call in (storage.append("f", b"x" * 1_000_000), storage.write("g", b"x" * 1_000_000)):
                with refused(errno.ENOSPC):
                    await call
            assert await storage.read("f") == b"before"
            await storage.append("f", b" after")
            assert await storage.read("f") == b"before after"

        trio.run(main, DirectoryStorage(small_disk))
        trio.run(main, SqliteStorage(small_disk / "store.db"))

    def test_a_directory_takes_back_the_part_of_an_append_that_found_room(self, tmp_path: Path) -> None:
        async def main(storage: Storage) -> None:
            await storage.append("f", b"before")
            with files_no_larger_than(4096), refused(errno.EFBIG):
                await storage.append("f", b"x" * 10_000)
            assert await storage.read("f") == b"before"

        trio.run(main, DirectoryStorage(tmp_path))

    def test_a_directory_whose_fsync_fails_says_so(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(descriptor: int) -> None:
            raise OSError(errno.EIO, "the disk failed")

        async def main(storage: Storage) -> None:
            monkeypatch.setattr(os, "fsync", fail)
            for call in (storage.append("f", b"x"), storage.write("f", b"x"), storage.fsync_directory("")):
                with pytest.raises(FsyncFailed, match="the disk failed"):
                    await call

        trio.run(main, DirectoryStorage(tmp_path))

    def test_a_database_whose_commit_fails_says_so_and_can_be_used_again(self, tmp_path: Path) -> None:
        async def main(storage: Storage) -> None:
            await storage.append("f", b"before")
            with files_no_larger_than(100_000), pytest.raises(FsyncFailed):
                await storage.append("f", b"x" * 1_000_000)
            assert await storage.read("f") == b"before"
            await storage.append("f", b" after")
            assert await storage.read("f") == b"before after"

        trio.run(main, SqliteStorage(tmp_path / "store.db"))

    @pytest.mark.parametrize(
        ("pragma", "number"), [("max_page_count = 9", errno.ENOSPC), ("query_only = TRUE", errno.EROFS)]
    )
    def test_a_database_that_is_full_or_read_only_refuses_and_is_unchanged(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pragma: str, number: int
    ) -> None:
        def restricted(path: Path) -> sqlite3.Connection:
            connection = connect(path)
            connection.execute(f"PRAGMA {pragma}")
            return connection

        async def main() -> None:
            await SqliteStorage(tmp_path / "store.db").append("f", b"before")
            with monkeypatch.context() as patch:
                patch.setattr(_sqlite, "_connect", restricted)
                with refused(number):
                    await SqliteStorage(tmp_path / "store.db").append("f", b"x" * 1_000_000)
            assert await SqliteStorage(tmp_path / "store.db").read("f") == b"before"

        connect = _sqlite._connect
        trio.run(main)


class TestDatabase:
    def test_who_writes_waits_for_other_writers_up_to_a_limit_and_who_reads_does_not(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def main() -> None:
            path = tmp_path / "store.db"
            patient = SqliteStorage(path)
            await patient.append("f", b"one")
            monkeypatch.setattr(_sqlite, "_BUSY_S", 0.0)
            impatient = SqliteStorage(path)
            with sqlite3.connect(path, isolation_level=None, check_same_thread=False) as other:
                other.execute("BEGIN IMMEDIATE")
                assert await impatient.read("f") == b"one"
                with refused(errno.EBUSY):
                    await impatient.append("f", b"never")
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(patient.append, "f", b"two")
                    await trio.testing.wait_all_tasks_blocked()
                    assert await impatient.read("f") == b"one"
                    other.execute("ROLLBACK")
            other.close()
            assert await impatient.read("f") == b"onetwo"

        trio.run(main)

    def test_several_may_make_it_at_the_same_time(self, tmp_path: Path) -> None:
        async def main() -> None:
            for name in ("a.db", "b.db", "c.db"):
                async with trio.open_nursery() as nursery:
                    for _ in range(5):
                        nursery.start_soon(SqliteStorage(tmp_path / name).append, "f", b"x")
                assert await SqliteStorage(tmp_path / name).read("f") == b"xxxxx"

        trio.run(main)

    def test_a_call_that_is_cancelled_happens_or_not_and_leaves_no_transaction(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def main() -> None:
            storage = SqliteStorage(tmp_path / "store.db")
            await storage.append("f", b"")
            for count in range(4):
                async with trio.open_nursery() as nursery:
                    for _ in range(3):
                        nursery.start_soon(storage.append, "f", b"x")
                    for _ in range(count):
                        await trio.lowlevel.checkpoint()
                    nursery.cancel_scope.cancel()
            before = await storage.read("f")
            monkeypatch.setattr(_sqlite, "_BUSY_S", 0.0)
            await SqliteStorage(tmp_path / "store.db").append("f", b"end")
            assert await storage.read("f") == before + b"end"

        trio.run(main)

    def test_a_storage_that_is_forgotten_closes_its_connections(self, tmp_path: Path) -> None:
        trio.run(SqliteStorage(tmp_path / "store.db").append, "f", b"x")
        gc.collect()
        assert [path.name for path in tmp_path.iterdir()] == ["store.db"], "the last connection removes the log"

    @pytest.mark.parametrize(
        ("script", "message"),
        [
            ("CREATE TABLE theirs (x)", "of another program"),
            ("PRAGMA application_id = 7", "of another program"),
            (f"PRAGMA application_id = {_sqlite._FORMAT[0]}; PRAGMA user_version = 99", "another version"),
            (None, "is no SQLite database"),
        ],
    )
    def test_another_kind_of_file_is_refused_and_left_as_it_is(
        self, tmp_path: Path, script: str | None, message: str
    ) -> None:
        path = tmp_path / "their.db"
        if script is None:
            path.write_text("Dear diary, " * 1000)
        else:
            theirs = sqlite3.connect(path)
            theirs.executescript(script)
            theirs.close()
        before = path.read_bytes()
        with pytest.raises(UsageError, match=message):
            trio.run(SqliteStorage(path).list, "")
        assert path.read_bytes() == before

    def test_a_place_that_is_missing_is_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(OSError, match="missing"):
            trio.run(SqliteStorage(tmp_path / "missing" / "store.db").list, "")
