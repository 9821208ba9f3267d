"""One contract, every storage: the simulated disk of the simulator answers the same way."""

from pathlib import Path
from typing import Literal

import pytest
import trio
import trio.testing
from oncestore import DirectoryStorage, Storage, UsageError


async def put(
    storage: Storage, path: str, data: bytes, mode: Literal["append", "create", "replace"] = "create"
) -> None:
    file = await storage.open(path, mode)
    await file.write(data)
    await file.fsync()
    await file.close()


class TestFiles:
    def test_append_creates_and_then_adds_at_the_end(self, storage: Storage) -> None:
        async def main() -> None:
            await put(storage, "f", b"one", "append")
            await put(storage, "f", b"two", "append")
            assert await storage.read("f") == b"onetwo"

        trio.run(main)

    def test_create_refuses_what_exists(self, storage: Storage) -> None:
        async def main() -> None:
            await put(storage, "f", b"one")
            with pytest.raises(FileExistsError):
                await storage.open("f", "create")
            assert await storage.read("f") == b"one"

        trio.run(main)

    def test_replace_truncates(self, storage: Storage) -> None:
        async def main() -> None:
            await put(storage, "f", b"longer", "replace")
            await put(storage, "f", b"one", "replace")
            assert await storage.read("f") == b"one"

        trio.run(main)

    def test_two_writes_to_an_open_file_follow_each_other(self, storage: Storage) -> None:
        async def main() -> None:
            first, second = await storage.open("f", "append"), await storage.open("f", "append")
            await first.write(b"a")
            await second.write(b"b")
            await first.write(b"c")
            assert await storage.read("f") == b"abc"
            await first.close()
            await second.close()

        trio.run(main)

    def test_an_open_file_follows_its_directory_through_a_rename(self, storage: Storage) -> None:
        """What makes an add without a lock dangerous: see the mutants."""

        async def main() -> None:
            await storage.make_directory("live")
            file = await storage.open("live/f", "append")
            await storage.rename("live", "archive")
            await file.write(b"late")
            await file.close()
            assert await storage.read("archive/f") == b"late"

        trio.run(main)

    def test_what_is_missing_is_reported_as_missing(self, storage: Storage) -> None:
        async def main() -> None:
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

        trio.run(main)

    def test_remove_takes_the_file_away(self, storage: Storage) -> None:
        async def main() -> None:
            await put(storage, "f", b"")
            await storage.remove("f")
            assert await storage.list("") == []

        trio.run(main)


class TestDirectories:
    def test_list_is_sorted_and_knows_the_root_as_the_empty_path(self, storage: Storage) -> None:
        async def main() -> None:
            for name in ("b", "a", "c"):
                await put(storage, name, b"")
            await storage.make_directory("d")
            await put(storage, "d/e", b"")
            assert await storage.list("") == ["a", "b", "c", "d"]
            assert await storage.list("d") == ["e"]
            await storage.fsync_directory("")
            await storage.fsync_directory("d")

        trio.run(main)

    def test_make_directory_refuses_what_exists(self, storage: Storage) -> None:
        async def main() -> None:
            await storage.make_directory("d")
            with pytest.raises(FileExistsError):
                await storage.make_directory("d")

        trio.run(main)

    def test_rename_replaces_a_file(self, storage: Storage) -> None:
        async def main() -> None:
            await put(storage, "f.new", b"new")
            await put(storage, "f", b"old")
            await storage.rename("f.new", "f")
            assert await storage.read("f") == b"new"
            assert await storage.list("") == ["f"]

        trio.run(main)

    def test_rename_moves_a_directory_with_what_is_in_it(self, storage: Storage) -> None:
        async def main() -> None:
            await storage.make_directory("live")
            await put(storage, "live/f", b"x")
            await storage.make_directory("archives")
            await storage.rename("live", "archives/1")
            assert await storage.read("archives/1/f") == b"x"
            assert await storage.list("") == ["archives"]

        trio.run(main)

    @pytest.mark.parametrize("filled", [False, True])
    def test_rename_never_replaces_a_directory_not_even_an_empty_one(self, storage: Storage, filled: bool) -> None:
        async def main() -> None:
            await storage.make_directory("live")
            await storage.make_directory("there")
            if filled:
                await put(storage, "there/f", b"")
            with pytest.raises(FileExistsError):
                await storage.rename("live", "there")
            assert await storage.list("") == ["live", "there"]

        trio.run(main)

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
    def test_a_lock_admits_one_at_a_time(self, storage: Storage) -> None:
        async def main() -> None:
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

        trio.run(main)

    def test_another_path_is_another_lock(self, storage: Storage) -> None:
        async def main() -> None:
            async with storage.lock("locks/a"), storage.lock("locks/b"):
                pass

        trio.run(main)

    def test_a_lock_is_free_again_after_an_exception_and_after_a_cancellation(self, storage: Storage) -> None:
        async def main() -> None:
            with pytest.raises(ZeroDivisionError):
                async with storage.lock("a"):
                    raise ZeroDivisionError
            with trio.CancelScope() as scope:
                async with storage.lock("a"):
                    scope.cancel()
                    await trio.lowlevel.checkpoint()
            async with storage.lock("a"):
                pass

        trio.run(main)

    def test_who_waits_for_a_lock_can_be_cancelled(self, storage: Storage) -> None:
        async def main() -> None:
            async with storage.lock("a"), trio.open_nursery() as nursery:

                async def wait() -> None:
                    async with storage.lock("a"):
                        raise AssertionError("it is held")

                nursery.start_soon(wait)
                await trio.testing.wait_all_tasks_blocked()
                nursery.cancel_scope.cancel()
            async with storage.lock("a"):
                pass

        trio.run(main)

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
