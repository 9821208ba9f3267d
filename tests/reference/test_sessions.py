"""Sessions come into being once, can be deleted, and their ids are not used again; stores are opened and left."""

import errno
import math
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from oncestore import (
    AlreadyExists,
    CommitPending,
    DirectoryStorage,
    ExtractionInterrupted,
    FsyncFailed,
    MemoryStorage,
    NotStored,
    OutcomeUnknown,
    Session,
    SessionInfo,
    SessionStore,
    Storage,
    StoreClosed,
    UnknownSession,
    UnknownTask,
    UsageError,
    open_store,
)

Open = Callable[..., AbstractAsyncContextManager[SessionStore]]


async def consume(session: Session) -> None:
    async with aclosing(session.stream()) as messages:
        async for _ in messages:
            pass


def uses(store: SessionStore, id: str) -> list[Callable[[], Awaitable[object]]]:
    session = store.session(id)
    return [
        lambda: session.add("user", "hi"),
        lambda: session.add("user", "hi", "m1"),
        session.commit,
        session.reload,
        session.info,
        lambda: consume(session),
        lambda: session.archive(1),
        lambda: store.delete(id),
    ]


class TestCreating:
    def test_makes_an_empty_session_that_every_store_sees(self, reopen: Open) -> None:
        async def main() -> None:
            async with reopen(sessions=()) as store, reopen(sessions=()) as other:
                assert await store.sessions() == []
                session = await store.create("s")
                assert (session.id, await session.reload()) == ("s", ())
                await other.create("a")
                assert await store.sessions() == await other.sessions() == ["a", "s"]
                assert await other.session("s").info() == SessionInfo(messages=0, archives=0, pending=0)

        trio.run(main)

    def test_needs_an_id_that_was_never_used(self, reopen: Open) -> None:
        async def main() -> None:
            async with reopen() as store, reopen() as other:
                await store.session("s").add("user", "hi", "m1")
                for each in (store, other):
                    with pytest.raises(AlreadyExists, match="session id 's' is in use"):
                        await each.create("s")
                await other.session("s").add("user", "hi", "m2")
                assert len(await store.session("s").reload()) == 2

        trio.run(main)

    def test_at_the_same_time_succeeds_once(self, reopen: Open) -> None:
        async def main() -> None:
            outcomes: list[str] = []

            async def create(store: SessionStore) -> None:
                try:
                    outcomes.append((await store.create("s")).id)
                except AlreadyExists:
                    outcomes.append("refused")

            async with reopen(sessions=()) as one, reopen(sessions=()) as two:
                async with trio.open_nursery() as nursery:
                    for store in (one, one, two, two):
                        nursery.start_soon(create, store)
            assert sorted(outcomes) == ["refused"] * 3 + ["s"]

        trio.run(main)

    @pytest.mark.parametrize("made", [["new/s"], ["new/s", "new/s/archives"]])
    def test_goes_on_where_a_dead_process_stopped(self, storage: Storage, reopen: Open, made: list[str]) -> None:
        async def main() -> None:
            async with reopen(sessions=()) as store:
                for path in made:
                    await storage.make_directory(path)
                assert await store.sessions() == []
                with pytest.raises(UnknownSession):
                    await store.session("s").add("user", "hi")
                await store.create("s")
                await store.session("s").add("user", "hi")

        trio.run(main)

    def test_is_needed_before_anything_else(self, reopen: Open) -> None:
        async def main() -> None:
            async with reopen(sessions=()) as store:
                for use in uses(store, "s"):
                    with pytest.raises(UnknownSession, match="there is no session 's' here; create it first"):
                        await use()
                assert await store.sessions() == []

        trio.run(main)

    @pytest.mark.parametrize("id", ["", ".", "..", "a/b", "a b", "ä", "x" * 129, "a\n", None])
    def test_refuses_an_id_that_is_no_file_name(self, reopen: Open, id: Any) -> None:
        async def main() -> None:
            async with reopen() as store:
                for use in (store.create, store.delete):
                    with pytest.raises(UsageError, match="no session id"):
                        await use(id)

        trio.run(main)


def test_an_unknown_session_leaves_no_lock_behind(tmp_path: Path, extractor: Any) -> None:
    async def main() -> None:
        async with open_store(tmp_path, extractor) as store:
            for use in uses(store, "s"):
                with pytest.raises(UnknownSession):
                    await use()
            with pytest.raises(UnknownTask):
                await store.task("s:1")

    trio.run(main)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["deleted", "new", "sessions"]


class TestDeleting:
    def test_takes_everything_away_and_keeps_the_id(self, storage: Storage, reopen: Open) -> None:
        async def main() -> None:
            async with reopen() as store, reopen() as other:
                for n in range(2):
                    await store.session("s").add("user", "hi", f"m{n}")
                    await store.session("s").commit(wait=True)
                await store.session("s").add("user", "hi")
                await other.session("s").add("user", "hi")
                await store.delete("s")
                assert await storage.list("deleted/s") == []
                for each in (store, other):
                    assert await each.sessions() == []
                    for use in uses(each, "s"):
                        with pytest.raises(UnknownSession):
                            await use()
                    for task in ("s:0", "s:1"):
                        with pytest.raises(UnknownTask):
                            await each.task(task)
                    with pytest.raises(AlreadyExists, match="or was used by a session that was deleted"):
                        await each.create("s")
            async with reopen(sessions=()) as store:
                with pytest.raises(AlreadyExists):
                    await store.create("s")

        trio.run(main)

    def test_is_refused_while_a_commit_is_pending(self, reopen: Open, extractor: Any) -> None:
        async def main() -> None:
            extractor.gate = trio.Event()
            async with reopen() as store, reopen() as other:
                await store.session("s").add("user", "hi", "m1")
                task = await store.session("s").commit()
                await extractor.entered.wait()
                for each in (store, other):
                    with pytest.raises(CommitPending, match="wait for its extraction to end"):
                        await each.delete("s")
                await store.session("s").add("user", "hi", "m2")
                extractor.gate.set()
                await task.wait()
                assert len(await store.session("s").reload()) == 1
                await other.delete("s")

        trio.run(main)

    def test_is_refused_while_a_commit_waits_for_somebody_to_extract_it(
        self, storage: Storage, reopen: Open, extractor: Any
    ) -> None:
        async def main() -> None:
            extractor.gate = trio.Event()
            with trio.CancelScope() as life:
                async with reopen() as store:
                    await store.session("s").add("user", "hi", "m1")
                    await store.session("s").commit()
                    await extractor.entered.wait()
                    life.cancel()

            async def hold(task_status: trio.TaskStatus[None]) -> None:
                with holding:
                    async with storage.lock("leases/s"):
                        task_status.started()
                        await trio.sleep_forever()

            holding = trio.CancelScope()
            async with trio.open_nursery() as nursery:
                await nursery.start(hold)
                async with reopen() as store:
                    with pytest.raises(CommitPending):
                        await store.delete("s")
                    holding.cancel()
                    extractor.gate.set()
                    assert await (await store.task("s:1")).wait() == "completed"
                    await store.delete("s")

        trio.run(main)

    def test_may_follow_a_failed_extraction(self, reopen: Open, extractor: Any) -> None:
        async def main() -> None:
            extractor.failures = 1
            async with reopen() as store:
                await store.session("s").add("user", "hi")
                task = await store.session("s").commit(wait=True)
                await store.delete("s")
                await task.retry()
                with pytest.raises(ExtractionInterrupted):
                    await task.wait()

        trio.run(main)

    def test_that_was_refused_costs_the_next_add_nothing(
        self, storage: Storage, reopen: Open, extractor: Any, watched: Any
    ) -> None:
        async def main() -> None:
            calls: list[str] = []

            async def told(call: str) -> None:
                calls.append(call)

            extractor.gate = trio.Event()
            async with reopen(on=watched(storage, told), takeover_s=math.inf) as store:
                await store.session("s").add("user", "hi", "m1")
                task = await store.session("s").commit()
                await extractor.entered.wait()
                await store.session("s").add("user", "hi", "m2")
                with pytest.raises(CommitPending):
                    await store.delete("s")
                calls.clear()
                await store.session("s").add("user", "hi")
                assert calls == ["lock locks/s", "append sessions/s/live/messages.jsonl"]
                extractor.gate.set()
                await task.wait()

        trio.run(main)

    @pytest.mark.parametrize("refused", ["remove ", "list deleted/s"])
    def test_is_done_when_only_the_cleaning_up_is_refused(
        self, storage: Storage, reopen: Open, watched: Any, refused: str
    ) -> None:
        async def main() -> None:
            async def told(call: str) -> None:
                if deleting and call.startswith(refused):
                    raise OSError(errno.EIO, "Input/output error")

            deleting = False
            async with reopen(on=watched(storage, told)) as store:
                await store.session("s").add("user", "hi")
                deleting = True
                await store.delete("s")
                deleting = False
                assert await store.sessions() == []
                with pytest.raises(AlreadyExists):
                    await store.create("s")

        trio.run(main)

    def test_that_died_halfway_is_finished_by_a_store_that_looks_around(
        self, storage: Storage, reopen: Open, watched: Any
    ) -> None:
        async def main() -> None:
            calls: list[str] = []
            looked = trio.Event()

            async def told(call: str) -> None:
                calls.append(call)
                if calls.count("list deleted") == 3:
                    looked.set()

            async with reopen() as store:
                await store.session("s").add("user", "hi")
                await storage.rename("sessions/s", "deleted/s")  # and nothing after it
            async with reopen(on=watched(storage, told), sessions=(), takeover_s=0.001) as store:
                await looked.wait()
                assert await storage.list("deleted/s") == []
                assert calls.count("list deleted/s") == 1  # what was seen empty once is not looked at again
                removed = calls.index("remove deleted/s/live/messages.jsonl")
                # Before that, a loss of power could still bring the session back.
                assert {"fsync_directory deleted", "fsync_directory sessions"} <= set(calls[:removed])
                with pytest.raises(AlreadyExists):
                    await store.create("s")

        trio.run(main)

    @pytest.mark.parametrize(("error", "kind"), [(OSError, NotStored), (FsyncFailed, OutcomeUnknown)])
    def test_says_what_an_error_means(
        self, storage: Storage, reopen: Open, watched: Any, error: type[OSError], kind: type[Exception]
    ) -> None:
        async def main() -> None:
            async def told(call: str) -> None:
                if deleting and call.startswith("rename sessions/s" if error is OSError else "fsync_directory deleted"):
                    raise error(errno.EIO, "Input/output error")

            deleting = False
            async with reopen(on=watched(storage, told)) as store:
                await store.session("s").add("user", "hi", "m1")
                deleting = True
                with pytest.raises(kind):
                    await store.delete("s")
                deleting = False
                if kind is NotStored:
                    await store.session("s").add("user", "hi", "m2")
                    assert len(await store.session("s").reload()) == 2
                    await store.delete("s")
                assert await store.sessions() == []

        trio.run(main)


class TestTaskIds:
    @pytest.mark.parametrize(
        "digits", ["2", "", "x", "-1", "+1", " 1", "01", "1_0", "-0", "00", "١", "9" * 17, "9" * 300, "9" * 5000]
    )
    def test_that_no_commit_returned_are_unknown(self, reopen: Open, digits: str) -> None:
        async def main() -> None:
            async with reopen() as store:
                await store.session("s").add("user", "one")
                await store.session("s").commit(wait=True)
                with pytest.raises(UnknownTask, match="there is no commit"):
                    await store.task(f"s:{digits}")

        trio.run(main)


class TestOpening:
    @pytest.mark.parametrize("name", ["extractors_most", "attempts_most", "extract_timeout_s", "takeover_s"])
    @pytest.mark.parametrize("limit", [0, -1, math.nan])
    def test_refuses_a_limit_that_is_no_positive_number(self, reopen: Open, name: str, limit: float) -> None:
        async def main() -> None:
            with pytest.raises(UsageError, match=f"{name} is {limit!r}; it has to be a positive"):
                async with reopen(on=MemoryStorage(), **{name: limit}):
                    pass

        trio.run(main)

    @pytest.mark.parametrize("name", ["extractors_most", "attempts_most"])
    @pytest.mark.parametrize("limit", [1.5, math.inf])
    def test_refuses_a_count_that_is_no_integer(self, reopen: Open, name: str, limit: float) -> None:
        async def main() -> None:
            with pytest.raises(UsageError, match="positive integer"):
                async with reopen(on=MemoryStorage(), **{name: limit}):
                    pass

        trio.run(main)

    def test_makes_the_root_and_what_is_above_it(self, tmp_path: Path, extractor: Any) -> None:
        async def main() -> None:
            async with open_store(tmp_path / "a" / "b", extractor) as store:
                await (await store.create("s")).add("user", "hi")
            async with open_store(str(tmp_path / "a" / "b"), extractor) as store:
                assert len(await store.session("s").reload()) == 1

        trio.run(main)

    @pytest.mark.parametrize("below", [False, True])
    def test_says_that_the_root_is_a_file(self, tmp_path: Path, extractor: Any, below: bool) -> None:
        async def main() -> None:
            (file := tmp_path / "file").write_text("mine")
            with pytest.raises(NotStored, match=f"storage refused .*{file}"):
                async with open_store(file / "root" if below else file, extractor):
                    pass
            assert file.read_text() == "mine"

        trio.run(main)

    def test_of_a_root_that_cannot_be_written_allows_reading(
        self, storage: Storage, reopen: Open, extractor: Any, watched: Any
    ) -> None:
        async def main() -> None:
            async def read_only(call: str) -> None:
                if call.startswith(("append", "write", "make_directory", "rename", "remove", "lock")):
                    raise OSError(errno.EROFS, "Read-only file system")

            async with reopen() as store:
                await store.session("s").add("user", "hi", "m1")
                await store.session("s").commit(wait=True)
                await store.session("s").add("user", "hi", "m2")
            async with reopen(on=watched(storage, read_only), sessions=()) as store:
                session = store.session("s")
                assert [message.id for message in await session.reload()] == ["m2"]
                assert (await store.task("s:1")).status == "completed"
                for change in (
                    lambda: session.add("user", "hi"),
                    session.commit,
                    lambda: store.create("t"),
                    lambda: store.delete("s"),
                ):
                    with pytest.raises(NotStored, match="Read-only file system"):
                        await change()
            async with reopen() as store:
                assert await store.session("s").info() == SessionInfo(messages=1, archives=1, pending=0)
            with pytest.raises(NotStored, match="Read-only file system"):
                async with reopen(on=watched(MemoryStorage(), read_only)):
                    pass

        trio.run(main)

    def test_of_a_directory_that_is_full_for_lock_files_stores_nothing(self, tmp_path: Path, extractor: Any) -> None:
        """What cannot be noted cannot be begun; and what was done stays done when it cannot be noted."""
        left = 10**6  # notes that can still be written

        class Note:
            def __init__(self, lock: Any) -> None:
                self.lock = lock

            @property
            def note(self) -> str:
                return str(self.lock.note)

            @note.setter
            def note(self, note: str) -> None:
                nonlocal left
                if not left:
                    raise OSError(errno.ENOSPC, "No space left on device")
                left -= 1
                self.lock.note = note

        class Full(DirectoryStorage):
            @asynccontextmanager
            async def lock(self, path: str, *, wait: bool = True) -> AsyncGenerator[Any]:
                async with super().lock(path, wait=wait) as lock:
                    yield Note(lock)

        async def main() -> None:
            nonlocal left
            async with open_store(Full(tmp_path), extractor) as store, open_store(tmp_path, extractor) as other:
                session = await store.create("s")
                left = 0
                with pytest.raises(NotStored):
                    await session.add("user", "hi", "m1")
                assert await session.reload() == ()
                left = 1
                await session.add("user", "hi", "m1")
                assert len(await session.reload()) == 1
                left = 10**6
                for each in (store, other):
                    await each.session("s").add("user", "hi", "m1")
                    await each.session("s").add("user", "hi")
                assert len(await session.reload()) == 3

        trio.run(main)


class TestLeaving:
    def test_does_not_wait_for_what_another_store_is_at_and_tells_who_waits(self, reopen: Open, extractor: Any) -> None:
        async def main() -> None:
            extractor.gate = trio.Event()
            async with reopen() as one:
                await one.session("s").add("user", "hi", "m1")
                mine = await one.session("s").commit()
                await extractor.entered.wait()
                async with trio.open_nursery() as nursery:
                    async with reopen() as two:
                        task = await two.task("s:1")

                        async def wait() -> None:
                            with pytest.raises(StoreClosed, match="the archive is safe"):
                                await task.wait()

                        nursery.start_soon(wait)
                        await trio.testing.wait_all_tasks_blocked()
                extractor.gate.set()
                assert await mine.wait() == "completed"
            assert extractor.seen == [["m1"]]

        trio.run(main)

    def test_tells_who_waits_also_when_a_look_around_ends_after_it(
        self, storage: Storage, reopen: Open, extractor: Any, watched: Any
    ) -> None:
        """The look began another round of work, which took what somebody waited for for its own, and dropped it."""

        async def main() -> None:
            left, looks = trio.Event(), list[str]()

            class Leaving(SessionStore):
                def leave(self) -> None:
                    super().leave()
                    left.set()

            async def told(call: str) -> None: ...

            class Late(watched):  # type: ignore[misc]
                async def list(self, path: str) -> Any:
                    names = await super().list(path)
                    if path == "sessions/s/archives/1" and not looks:
                        looks.append(path)
                        with trio.CancelScope(shield=True):  # as in a thread, which cannot be cancelled
                            await left.wait()
                            await trio.testing.wait_all_tasks_blocked()
                    return names

            extractor.gate = trio.Event()
            async with reopen() as one, trio.open_nursery() as nursery:
                await one.session("s").add("user", "hi")
                await one.session("s").commit()
                await extractor.entered.wait()
                async with reopen(on=Late(storage, told), sessions=(), store_type=Leaving) as two:
                    while not looks:
                        await trio.lowlevel.checkpoint()
                    task = await two.task("s:1")

                    async def wait() -> None:
                        with pytest.raises(StoreClosed, match="the archive is safe"):
                            await task.wait()

                    nursery.start_soon(wait)
                    await trio.testing.wait_all_tasks_blocked()
                with trio.fail_after(30):
                    while nursery.child_tasks:
                        await trio.lowlevel.checkpoint()
                extractor.gate.set()

        trio.run(main)

    def test_finishes_what_was_committed_a_moment_ago(self, reopen: Open, extractor: Any) -> None:
        async def main() -> None:
            async with reopen(sessions=[f"s{n}" for n in range(5)], extractors_most=2) as store:
                tasks = []
                for n in range(5):
                    await store.session(f"s{n}").add("user", "hi", f"m{n}")
                    tasks.append(await store.session(f"s{n}").commit())
            assert [task.status for task in tasks] == ["completed"] * 5

        trio.run(main)

    def test_leaves_nobody_waiting_however_many_sessions_there_are(self, extractor: Any) -> None:
        async def main() -> None:
            extractor.gate = trio.Event()
            waiting: list[str] = []

            async def wait(store: SessionStore, name: str) -> None:
                await store.session(name).add("user", "hi", name)
                task = await store.session(name).commit()
                waiting.append(name)
                with pytest.raises(StoreClosed):
                    await task.wait()
                waiting.remove(name)

            async with trio.open_nursery() as nursery:
                with pytest.raises(ZeroDivisionError):  # noqa: PT012
                    async with open_store(MemoryStorage(), extractor) as store:
                        for n in range(1100):
                            await store.create(f"s{n}")
                            nursery.start_soon(wait, store, f"s{n}")
                        await trio.testing.wait_all_tasks_blocked()
                        assert len(waiting) == 1100
                        raise ZeroDivisionError
            assert waiting == []

        trio.run(main)
