"""One contract, every storage: memory, a directory, and the simulator's disk in both granularities."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

import racewindow as rw
from oncestore import DirectoryStorage, MemoryStorage, Storage, UsageError
from racewindow.disk import GRANULARITIES, Disk, Granularity

Main = Callable[[Storage], Awaitable[None]]
On = Callable[[Main], None]


def in_a_world(main: Main, granularity: Granularity, *, schedules: int = 10) -> None:
    async def subject(world: rw.World) -> None:
        await main(Disk(world, granularity))

    found = rw.explore(subject, schedules=schedules, seed=0)
    assert found.first is None, found.first and found.first.violations
    assert found.verdict == "passed"


@pytest.fixture(params=["memory", "directory", "disk-suspending", "disk-atomic"])
def on(request: pytest.FixtureRequest, tmp_path: Path) -> On:
    """Runs an async function on one kind of storage; on the simulated disk, in ten schedules."""

    def on(main: Main) -> None:
        if request.param == "memory":
            trio.run(main, MemoryStorage())
        elif request.param == "directory":
            trio.run(main, DirectoryStorage(tmp_path))
        else:
            in_a_world(main, "suspending" if request.param == "disk-suspending" else "atomic")

    return on


async def put(
    storage: Storage, path: str, data: bytes, mode: Literal["append", "create", "replace"] = "create"
) -> None:
    file = await storage.open(path, mode)
    await file.write(data)
    await file.fsync()
    await file.close()


class TestFiles:
    def test_append_creates_and_then_adds_at_the_end(self, on: On) -> None:
        async def main(storage: Storage) -> None:
            await put(storage, "f", b"one", "append")
            await put(storage, "f", b"two", "append")
            assert await storage.read("f") == b"onetwo"

        on(main)

    def test_create_refuses_what_exists(self, on: On) -> None:
        async def main(storage: Storage) -> None:
            await put(storage, "f", b"one")
            with pytest.raises(FileExistsError):
                await storage.open("f", "create")
            assert await storage.read("f") == b"one"

        on(main)

    def test_replace_truncates(self, on: On) -> None:
        async def main(storage: Storage) -> None:
            await put(storage, "f", b"longer", "replace")
            await put(storage, "f", b"one", "replace")
            assert await storage.read("f") == b"one"

        on(main)

    def test_two_writes_to_an_open_file_follow_each_other(self, on: On) -> None:
        async def main(storage: Storage) -> None:
            first, second = await storage.open("f", "append"), await storage.open("f", "append")
            await first.write(b"a")
            await second.write(b"b")
            await first.write(b"c")
            assert await storage.read("f") == b"abc"
            await first.close()
            await second.close()

        on(main)

    def test_an_open_file_follows_its_directory_through_a_rename(self, on: On) -> None:
        """What makes an add without a lock dangerous: see the mutants."""

        async def main(storage: Storage) -> None:
            await storage.make_directory("live")
            file = await storage.open("live/f", "append")
            await storage.rename("live", "archive")
            await file.write(b"late")
            await file.close()
            assert await storage.read("archive/f") == b"late"

        on(main)

    def test_what_is_missing_is_reported_as_missing(self, on: On) -> None:
        async def main(storage: Storage) -> None:
            for call in (
                storage.read("no"),
                storage.read("no/f"),
                storage.list("no"),
                storage.open("no/f", "append"),
                storage.make_directory("no/d"),
                storage.rename("no", "f"),
                storage.remove("no"),
                storage.fsync_directory("no"),
            ):
                with pytest.raises(FileNotFoundError):
                    await call

        on(main)

    def test_remove_takes_the_file_away(self, on: On) -> None:
        async def main(storage: Storage) -> None:
            await put(storage, "f", b"")
            await storage.remove("f")
            assert await storage.list("") == []

        on(main)


class TestDirectories:
    def test_list_is_sorted_and_knows_the_root_as_the_empty_path(self, on: On) -> None:
        async def main(storage: Storage) -> None:
            for name in ("b", "a", "c"):
                await put(storage, name, b"")
            await storage.make_directory("d")
            await put(storage, "d/e", b"")
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
            await put(storage, "f.new", b"new")
            await put(storage, "f", b"old")
            await storage.rename("f.new", "f")
            assert await storage.read("f") == b"new"
            assert await storage.list("") == ["f"]

        on(main)

    def test_rename_moves_a_directory_with_what_is_in_it(self, on: On) -> None:
        async def main(storage: Storage) -> None:
            await storage.make_directory("live")
            await put(storage, "live/f", b"x")
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
                await put(storage, "there/f", b"")
            with pytest.raises(FileExistsError):
                await storage.rename("live", "there")
            assert await storage.list("") == ["live", "there"]

        on(main)

    def test_a_path_cannot_leave_the_root(self, tmp_path: Path) -> None:
        async def main() -> None:
            storage = DirectoryStorage(tmp_path)
            for path in ("../f", "d/../../f", "/f"):
                with pytest.raises(UsageError):
                    await storage.read(path)

        trio.run(main)

    def test_a_missing_root_is_made_with_its_parents(self, tmp_path: Path) -> None:
        async def main() -> None:
            storage = DirectoryStorage(tmp_path / "a" / "b")
            await storage.make_root()
            await storage.make_root()
            assert await storage.list("") == []

        trio.run(main)


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

    def test_two_storages_on_one_directory_exclude_each_other(self, tmp_path: Path) -> None:
        async def main() -> None:
            inside = 0

            async def enter() -> None:
                nonlocal inside
                async with DirectoryStorage(tmp_path).lock("locks/a"):
                    inside += 1
                    assert inside == 1
                    await trio.to_thread.run_sync(int)
                    inside -= 1

            async with trio.open_nursery() as nursery:
                for _ in range(5):
                    nursery.start_soon(enter)

        trio.run(main)


PATHS = ["d", "e", "d/e", "f", "d/f", "e/f", "d/e/f", "d/e/g"]
paths = st.sampled_from(PATHS)
calls = st.one_of(
    st.tuples(st.just("make_directory"), paths),
    st.tuples(st.sampled_from(["append", "create", "replace"]), paths),
    st.tuples(st.just("rename"), paths, paths),
    st.tuples(st.sampled_from(["remove", "read", "list", "fsync_directory"]), paths),
)


async def answers(storage: Storage, program: list[tuple[str, ...]]) -> list[object]:
    """What a storage says to each call: the result, or the kind of error."""
    said: list[object] = []
    for number, (verb, *arguments) in enumerate(program):
        try:
            if verb in ("append", "create", "replace"):
                await put(storage, arguments[0], b"%d" % number, verb)  # type: ignore[arg-type]
                said.append(None)
            else:
                said.append(await getattr(storage, verb)(*arguments))
        except OSError as error:
            # A rename can be wrong in two ways at once; which of them is reported is nobody's promise.
            said.append(OSError if verb == "rename" else type(error))
    return said


class TestAgreement:
    @given(st.lists(calls, max_size=12))
    @settings(max_examples=100, deadline=None)
    def test_the_simulated_disk_answers_any_sequence_of_calls_as_a_real_directory_does(
        self, program: list[tuple[str, ...]]
    ) -> None:
        """The real file system is the judge: a kinder simulated disk would hide bugs, a harsher one invent them."""
        # A directory cannot be moved into itself; the stores never try.
        program = [call for call in program if call[0] != "rename" or not call[2].startswith(call[1])]
        with TemporaryDirectory() as folder:
            real = trio.run(answers, DirectoryStorage(folder), program)
        for granularity in GRANULARITIES:

            async def main(storage: Storage) -> None:
                assert await answers(storage, program) == real, program

            in_a_world(main, granularity, schedules=1)
