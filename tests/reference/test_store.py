"""What a client of the store can rely on, whatever the storage."""

import errno
import json
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any

import pytest
import trio
import trio.testing

from oncestore import (
    Conflict,
    Corrupt,
    ExtractionInterrupted,
    MemoryStorage,
    Message,
    Outcome,
    Session,
    SessionStore,
    Storage,
    StoreClosed,
    UnknownTask,
    UsageError,
    open_store,
)
from oncestore._messages import encode

Open = Callable[..., AbstractAsyncContextManager[SessionStore]]
LOG = "sessions/s/live/messages.jsonl"


def line(id: str) -> bytes:
    return encode(Message(id=id, role="user", content="hi", time=0.5))


def ids(messages: Sequence[Message]) -> list[str]:
    return [message.id for message in messages]


class TestAdding:
    def test_messages_are_live_in_the_order_added(self, reopen: Open) -> None:
        async def main() -> None:
            async with reopen() as store:
                session = store.session("s")
                first = await session.add("user", "one")
                second = await session.add("assistant", "zwei\n\u2028 \x18 💡")
                assert await session.reload() == await store.session("s").reload() == (first, second)
                assert first == Message(id=first.id, role="user", content="one", time=1.0)
                assert first.id != second.id

        trio.run(main)

    def test_clients_adding_at_the_same_time_lose_nothing(self, reopen: Open) -> None:
        async def main() -> None:
            async with reopen() as store, reopen() as other, trio.open_nursery() as nursery:
                for n in range(10):
                    nursery.start_soon((store, other)[n % 2].session("s").add, "user", "hi", f"m{n}")
            async with reopen() as store:
                assert sorted(ids(await store.session("s").reload())) == [f"m{n}" for n in range(10)]

        trio.run(main)

    @pytest.mark.parametrize("id", ["", ".", "..", "a/b", "a b", "ä", "x" * 129, "a\n", None])
    def test_an_id_that_is_no_file_name_is_refused(self, reopen: Open, id: Any) -> None:
        async def main() -> None:
            async with reopen() as store:
                with pytest.raises(UsageError, match="no session id"):
                    store.session(id)

        trio.run(main)

    @pytest.mark.parametrize(
        ("role", "content", "message_id"),
        [("", "x", None), ("user", 7, None), ("user", "x", ""), (None, "x", None), ("user", "\ud83d", None)],
    )
    def test_what_is_no_message_is_refused_and_not_stored(
        self, reopen: Open, role: Any, content: Any, message_id: Any
    ) -> None:
        async def main() -> None:
            async with reopen() as store:
                session = store.session("s")
                with pytest.raises(UsageError):
                    await session.add(role, content, message_id)
                assert await session.reload() == ()

        trio.run(main)


class TestIdempotentAdding:
    @pytest.mark.parametrize("committed", [False, True])
    def test_the_same_message_again_gets_the_same_answer_and_is_written_once(
        self, reopen: Open, extractor: Any, committed: bool
    ) -> None:
        async def main() -> None:
            async with reopen() as store:
                session = store.session("s")
                first = await session.add("user", "one", "m1")
                if committed:
                    await session.commit(wait=True)
                assert await session.add("user", "one", "m1") == first
                assert await store.session("s").add("user", "one", "m1") == first
                assert ids(await session.reload()) == ([] if committed else ["m1"])
                await session.commit(wait=True)
            assert extractor.seen == [["m1"]]

        trio.run(main)

    @pytest.mark.parametrize("committed", [False, True])
    def test_the_same_id_with_other_content_is_a_conflict(self, reopen: Open, committed: bool) -> None:
        async def main() -> None:
            async with reopen() as store:
                session = store.session("s")
                await session.add("user", "one", "m1")
                if committed:
                    await session.commit(wait=True)
                for role, content in (("user", "two"), ("assistant", "one")):
                    with pytest.raises(Conflict, match="'m1' is taken in session 's'"):
                        await session.add(role, content, "m1")
                assert len(await session.reload()) == (not committed)

        trio.run(main)

    def test_another_session_may_use_the_same_id(self, reopen: Open) -> None:
        async def main() -> None:
            async with reopen(sessions=("s", "t")) as store:
                await store.session("s").add("user", "one", "m1")
                await store.session("t").add("user", "two", "m1")

        trio.run(main)


class TestCommitting:
    def test_a_commit_hands_the_messages_over_once_and_live_is_empty(self, reopen: Open, extractor: Any) -> None:
        async def main() -> None:
            async with reopen() as store:
                session = store.session("s")
                first = await session.add("user", "one", "m1")
                second = await session.add("user", "two", "m2")
                task = await session.commit(wait=True)
                assert (task.id, task.status, task.archive) == ("s:1", "completed", 1)
                assert await session.reload() == ()
                assert await session.archive(1) == (first, second)
                assert await task.outcome() == Outcome(text="one two", attempts=1, time=5.0)
                claim = await task.claim()
                assert claim is not None
                assert (claim.key, claim.time) == (extractor.calls[0][1], 3.0)
                assert extractor.seen == [["m1", "m2"]]

        trio.run(main)

    def test_accepted_means_switched_while_the_extractor_is_still_at_it(self, reopen: Open, extractor: Any) -> None:
        """The bug of the issue: commit, reload, commit again, and the same messages are extracted twice."""

        async def main() -> None:
            extractor.gate = trio.Event()
            async with reopen() as store:
                session = store.session("s")
                await session.add("user", "one", "m1")
                task = await session.commit()
                seen: list[str] = [task.status]
                await extractor.entered.wait()
                assert [*seen, task.status] == ["accepted", "running"]
                for handle in (session, store.session("s")):
                    assert await handle.reload() == ()
                    assert (await handle.commit()).status == "skipped"
                await session.add("user", "two", "m2")
                extractor.gate.set()
                assert await task.wait() == "completed"
                assert ids(await session.reload()) == ["m2"]
            assert extractor.seen == [["m1"]]

        trio.run(main)

    def test_a_handle_loaded_before_anothers_commit_has_nothing_left_to_commit(
        self, reopen: Open, extractor: Any
    ) -> None:
        async def main() -> None:
            async with reopen() as store:
                stale = store.session("s")
                await store.session("s").add("user", "one", "m1")
                await stale.reload()
                await store.session("s").commit(wait=True)
                assert (await stale.commit()).status == "skipped"
                assert await stale.reload() == ()
            assert extractor.seen == [["m1"]]

        trio.run(main)

    def test_nothing_live_is_skipped(self, reopen: Open, extractor: Any) -> None:
        async def main() -> None:
            async with reopen() as store:
                task = await store.session("s").commit(wait=True)
                assert (task.status, await task.wait(), await task.outcome()) == ("skipped", "skipped", None)
                assert (await store.task(task.id)).status == "skipped"
                await task.retry()
            assert extractor.calls == []

        trio.run(main)

    def test_commits_in_a_loop_let_others_run_and_can_be_cancelled(self, reopen: Open) -> None:
        """Where a store is alone, all that it needs to skip is in memory, and nothing has to wait."""

        async def main() -> None:
            async with reopen() as store:
                session = store.session("s")
                await session.commit()
                with trio.CancelScope() as scope:
                    trio.lowlevel.spawn_system_task(_cancel, scope)
                    for _ in range(1000):
                        await session.commit()
                assert scope.cancelled_caught

        async def _cancel(scope: trio.CancelScope) -> None:
            scope.cancel()

        trio.run(main)

    def test_archives_are_extracted_in_order_with_a_key_of_their_own(self, reopen: Open, extractor: Any) -> None:
        async def main() -> None:
            async with reopen() as store:
                session = store.session("s")
                for n in range(4):
                    await session.add("user", str(n), f"m{n}")
                    await session.commit()
            assert extractor.seen == [["m0"], ["m1"], ["m2"], ["m3"]]
            assert len({key for _, key in extractor.calls}) == 4

        trio.run(main)

    def test_sessions_do_not_wait_for_each_other(self, reopen: Open, extractor: Any) -> None:
        async def main() -> None:
            extractor.gate = trio.Event()
            async with reopen(sessions=("s", "t")) as store:
                for name in ("s", "t"):
                    await store.session(name).add("user", "one", name)
                    await store.session(name).commit()
                while len(extractor.calls) < 2:
                    await trio.testing.wait_all_tasks_blocked()
                extractor.gate.set()

        trio.run(main)

    def test_a_waiting_client_that_is_cancelled_does_not_cancel_the_extraction(
        self, reopen: Open, extractor: Any
    ) -> None:
        async def main() -> None:
            extractor.gate = trio.Event()
            async with reopen() as store:
                session = store.session("s")
                await session.add("user", "one", "m1")
                async with trio.open_nursery() as clients:
                    clients.start_soon(lambda: session.commit(wait=True))
                    await extractor.entered.wait()
                    clients.cancel_scope.cancel()
                task = await store.task("s:1")
                with trio.CancelScope() as scope:
                    scope.cancel()
                    await task.wait()
                assert task.status == "running"
                extractor.gate.set()
                assert await task.wait() == "completed"
            assert extractor.seen == [["m1"]]

        trio.run(main)


class TestFailing:
    def test_a_failure_is_visible_and_a_retry_may_succeed(self, reopen: Open, extractor: Any) -> None:
        async def main() -> None:
            extractor.failures = 2
            async with reopen() as store:
                session = store.session("s")
                await session.add("user", "one", "m1")
                task = await session.commit(wait=True)
                assert task.status == "failed"
                await task.retry()
                assert await task.wait() == "failed"
                outcome = await task.outcome()
                assert outcome == Outcome(error="ConnectionError: the model is away", attempts=2, time=6.0)
            async with reopen() as store:
                task = await store.task("s:1")
                assert task.status == "failed"
                await task.retry()
                assert await task.wait() == "completed"
                outcome = await (await store.task("s:1")).outcome()
                assert outcome == Outcome(text="one", attempts=3, time=8.0)
                await task.retry()
            assert extractor.seen == [["m1"]] * 3
            assert len({key for _, key in extractor.calls}) == 1

        trio.run(main)

    def test_a_failure_blocks_no_later_commit(self, reopen: Open, extractor: Any) -> None:
        async def main() -> None:
            extractor.failures = 1
            async with reopen() as store:
                session = store.session("s")
                await session.add("user", "one", "m1")
                first = await session.commit()
                await session.add("user", "two", "m2")
                assert (await session.commit(wait=True)).status == "completed"
                assert first.status == "failed"

        trio.run(main)

    def test_clients_that_retry_at_the_same_time_share_one_attempt(self, reopen: Open, extractor: Any) -> None:
        async def main() -> None:
            extractor.failures = 1
            async with reopen() as store, reopen() as other:
                await store.session("s").add("user", "one", "m1")
                await store.session("s").commit(wait=True)
                tasks = [await store.task("s:1"), await store.task("s:1"), await other.task("s:1")]
                for task in tasks:
                    await task.retry()
                assert [await task.wait() for task in tasks] == ["completed"] * 3
            assert extractor.seen == [["m1"]] * 2

        trio.run(main)

    def test_an_extractor_that_returns_no_text_has_failed(self, reopen: Open) -> None:
        async def extract(messages: Sequence[Message], key: str) -> Any:
            return None

        async def main() -> None:
            async with reopen(extract=extract) as store:
                await store.session("s").add("user", "one")
                task = await store.session("s").commit(wait=True)
                assert "TypeError: the extractor returned a NoneType" in repr(await task.outcome())

        trio.run(main)

    def test_storage_that_refuses_the_result_interrupts_and_a_retry_goes_on(
        self, storage: Storage, reopen: Open, extractor: Any, watched: Any
    ) -> None:
        async def main() -> None:
            full = True

            async def told(call: str) -> None:
                if full and call.endswith("archives/1/extraction.json"):
                    raise OSError(errno.ENOSPC, "No space left on device")

            async with reopen(on=watched(storage, told)) as store:
                await store.session("s").add("user", "one", "m1")
                task = await store.session("s").commit()
                with pytest.raises(ExtractionInterrupted, match=r"No space left.*the archives are safe"):
                    await task.wait()
                assert task.status == "accepted"
                assert await task.outcome() is None
                full = False
                await task.retry()
                assert await task.wait() == "completed"
            assert extractor.seen == [["m1"]] * 2

        trio.run(main)


class TestReopening:
    def test_an_abandoned_extraction_is_done_by_the_next_store(self, reopen: Open, extractor: Any) -> None:
        async def main() -> None:
            extractor.gate = trio.Event()
            task = None
            with trio.CancelScope() as scope:
                async with reopen() as store:
                    await store.session("s").add("user", "one", "m1")
                    task = await store.session("s").commit()
                    await extractor.entered.wait()
                    scope.cancel()
            assert task is not None
            with pytest.raises(StoreClosed, match="the archive is safe"):
                await task.wait()
            extractor.gate = None
            async with reopen() as store:
                assert await (await store.task(task.id)).wait() == "completed"
            assert extractor.seen == [["m1"]] * 2
            assert len({key for _, key in extractor.calls}) == 1, "the extractor can tell that it is the same work"

        trio.run(main)

    def test_leaving_waits_for_what_was_accepted(self, reopen: Open, extractor: Any) -> None:
        async def main() -> None:
            async with reopen() as store:
                await store.session("s").add("user", "one", "m1")
                task = await store.session("s").commit()
            assert task.status == "completed"

        trio.run(main)

    def test_recovery_runs_without_being_asked_and_in_archive_order(self, reopen: Open, extractor: Any) -> None:
        async def main() -> None:
            extractor.gate = trio.Event()
            with trio.CancelScope() as scope:
                async with reopen() as store:
                    for n in range(12):
                        await store.session("s").add("user", str(n), f"m{n}")
                        await store.session("s").commit()
                    await extractor.entered.wait()
                    scope.cancel()
            extractor.gate = None
            extractor.calls.clear()
            async with reopen():
                await extractor.handed(12)
            assert extractor.seen == [[f"m{n}"] for n in range(12)]

        trio.run(main)

    def test_a_task_is_known_by_its_id_after_a_restart(self, reopen: Open) -> None:
        async def main() -> None:
            async with reopen(sessions=("a.b-c_D",)) as store:
                await store.session("a.b-c_D").add("user", "one")
                task = await store.session("a.b-c_D").commit()
            async with reopen() as store:
                again = await store.task(task.id)
                assert (again.id, again.session_id, again.archive) == (task.id, "a.b-c_D", 1)
                assert (again.status, await again.wait()) == ("completed", "completed")
                assert repr(again) == "<CommitTask a.b-c_D:1 completed>"

        trio.run(main)

    @pytest.mark.parametrize("id", ["s:2", "t:1", "s", "s:", "s:x", "../x:1", "", "s:-1"])
    def test_an_unknown_task_is_reported(self, reopen: Open, id: str) -> None:
        async def main() -> None:
            async with reopen() as store:
                await store.session("s").add("user", "one")
                await store.session("s").commit(wait=True)
                with pytest.raises(UnknownTask, match="there is no commit"):
                    await store.task(id)

        trio.run(main)

    def test_a_store_that_was_left_says_so(self, reopen: Open) -> None:
        async def main() -> None:
            async with reopen() as store:
                session = store.session("s")
            for call in (session.add("user", "one"), session.commit(), store.task("s:1")):
                with pytest.raises(StoreClosed):
                    await call

        trio.run(main)

    def test_the_callers_exception_comes_out_as_it_is(self, reopen: Open) -> None:
        async def main() -> None:
            with pytest.raises(ZeroDivisionError):
                async with reopen():
                    raise ZeroDivisionError

        trio.run(main)

    def test_a_broken_session_does_not_keep_the_others_from_recovering(self, storage: Storage, reopen: Open) -> None:
        async def main() -> None:
            async with reopen():
                pass
            await storage.make_directory("sessions/not a session")
            await storage.append("sessions/a-file", b"")
            async with reopen() as store:
                await store.session("s").add("user", "one")
                assert (await store.session("s").commit(wait=True)).status == "completed"

        trio.run(main)


class TestTwoStores:
    def test_they_see_each_others_messages_and_neither_commits_the_others_again(
        self, reopen: Open, extractor: Any
    ) -> None:
        async def main() -> None:
            async with reopen() as one, reopen() as two:
                mine, yours = one.session("s"), two.session("s")
                await mine.add("user", "one", "m1")
                assert ids(await yours.reload()) == ["m1"]
                await yours.add("user", "two", "m2")
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(lambda: mine.commit(wait=True))
                    nursery.start_soon(lambda: yours.commit(wait=True))
                assert await mine.reload() == await yours.reload() == ()
            assert extractor.seen == [["m1", "m2"]]

        trio.run(main)

    def test_live_work_is_neither_stolen_nor_repeated(self, reopen: Open, extractor: Any) -> None:
        async def main() -> None:
            extractor.gate = trio.Event()
            async with reopen() as one:
                await one.session("s").add("user", "one", "m1")
                await one.session("s").commit()
                await extractor.entered.wait()
                async with reopen() as two:
                    task = await two.task("s:1")
                    assert task.status == "accepted"
                    await trio.testing.wait_all_tasks_blocked()
                    extractor.gate.set()
                    assert await task.wait() == "completed"
            assert extractor.seen == [["m1"]]

        trio.run(main)

    def test_a_store_takes_over_when_the_other_one_goes_away(self, reopen: Open, extractor: Any) -> None:
        async def main() -> None:
            extractor.gate = trio.Event()
            life = trio.CancelScope()

            async def one() -> None:
                with life:
                    async with reopen() as store:
                        await store.session("s").add("user", "one", "m1")
                        await store.session("s").commit()
                        await trio.sleep_forever()

            async with trio.open_nursery() as nursery:
                nursery.start_soon(one)
                await extractor.entered.wait()
                async with reopen() as two:
                    task = await two.task("s:1")
                    extractor.gate = None
                    life.cancel()
                    assert await task.wait() == "completed"
            assert extractor.seen == [["m1"], ["m1"]]

        trio.run(main)


async def dies(storage: Storage, tail: bytes) -> None:
    """A process takes the lock of session s, appends something, and is killed."""
    async with storage.lock("locks/s") as lock:
        lock.note = "the dead?"
        await storage.append(LOG, tail)


class TestWhatACrashLeaves:
    @pytest.mark.parametrize("told", [False, True])
    def test_a_torn_last_line_is_dropped_wherever_it_was_cut(
        self, storage: Storage, reopen: Open, extractor: Any, told: bool
    ) -> None:
        """By a store that was there before, and by one that finds the lock without the note of who died."""

        async def main() -> None:
            async with reopen() as old:
                await old.session("s").add("user", "zwölf", "m0")
                record, added = await storage.read(LOG), ["m0"]
                async with AsyncExitStack() as others:
                    for cut in range(1, len(record), 1 if isinstance(storage, MemoryStorage) else 9):
                        if told:
                            await dies(storage, record[:cut].replace(b"m0", b"mx"))
                            store = old
                        else:
                            await storage.append(LOG, record[:cut].replace(b"m0", b"mx"))
                            store = await others.enter_async_context(reopen())
                        assert ids(await store.session("s").reload()) == added
                        added.append((await store.session("s").add("user", "next")).id)
                    assert ids(await old.session("s").reload()) == added
                    assert (await old.session("s").commit(wait=True)).status == "completed"
            assert extractor.seen == [added]

        trio.run(main)

    def test_a_whole_line_that_a_dead_process_left_counts_and_is_not_written_again(
        self, storage: Storage, reopen: Open, extractor: Any
    ) -> None:
        async def main() -> None:
            async with reopen() as store:
                session = store.session("s")
                first = await session.add("user", "one", "m1")
                await dies(storage, line("m2") + line("m3")[:-1])
                assert ids(await session.reload()) == ["m1", "m2"]
                assert (await session.add("user", "hi", "m2")).time == 0.5
                assert await session.add("user", "one", "m1") == first
                with pytest.raises(Conflict):
                    await session.add("user", "ho", "m2")
                await session.add("user", "hi", "m3")
                assert ids(await session.reload()) == ["m1", "m2", "m3"]
                await session.commit()
            assert extractor.seen == [["m1", "m2", "m3"]]

        trio.run(main)

    def test_what_a_dead_process_left_is_committed_without_an_add(
        self, storage: Storage, reopen: Open, extractor: Any
    ) -> None:
        async def main() -> None:
            async with reopen() as store:
                session = store.session("s")
                await session.add("user", "one", "m1")
                await dies(storage, line("m2") + line("m3")[:-1])
                assert (await session.commit(wait=True)).status == "completed"
                assert ids(await session.archive(1)) == ["m1", "m2"]
                assert (await storage.read("sessions/s/archives/1/messages.jsonl")).endswith(b"}\n")
            assert extractor.seen == [["m1", "m2"]]

        trio.run(main)

    def test_a_log_with_nothing_but_a_torn_line_is_empty(self, storage: Storage, reopen: Open) -> None:
        async def main() -> None:
            async with reopen() as store:
                session = store.session("s")
                await session.add("user", "one")
                await session.commit()
                await storage.make_directory("sessions/s/live")
                await dies(storage, line("m2")[:20])
                assert (await session.commit()).status == "skipped"
                await session.add("user", "two", "m2")
                assert ids(await session.reload()) == ["m2"]

        trio.run(main)

    def test_a_half_made_copy_of_the_log_means_nothing(self, storage: Storage, reopen: Open) -> None:
        async def main() -> None:
            async with reopen() as store:
                session = store.session("s")
                await session.add("user", "one", "m1")
                await dies(storage, line("m2"))
                await storage.append(f"{LOG}.new", line("mx"))
                await session.add("user", "three", "m3")
                assert ids(await session.reload()) == ["m1", "m2", "m3"]
                assert await storage.list("sessions/s/live") == ["messages.jsonl"]

        trio.run(main)

    @pytest.mark.parametrize("broken", [b"garbage", b"", b'{"id":"m2"}', b"\x00\x00"])
    def test_a_broken_line_in_the_middle_is_reported_with_file_and_line_and_stays(
        self, storage: Storage, reopen: Open, broken: bytes
    ) -> None:
        async def main() -> None:
            async with reopen() as old:
                await old.session("s").add("user", "one", "m1")
                await dies(storage, broken + b"\n" + line("m3") + b"torn")
                before = await storage.read(LOG)
                async with reopen() as new:
                    for store in (old, new):
                        session = store.session("s")
                        calls = (session.reload, session.commit, lambda s=session: s.add("user", "two"))
                        for call in (*calls, lambda s=session: s.add("user", "two", "m1")):
                            with pytest.raises(Corrupt, match=f"{LOG}, line 2: not a checksummed record") as caught:
                                await call()
                            assert (caught.value.path, caught.value.line) == (LOG, 2)
                assert await storage.read(LOG) == before
                await storage.write(LOG, before.replace(broken + b"\n", b"", 1))
                await old.session("s").add("user", "two", "m2")
                assert ids(await old.session("s").reload()) == ["m1", "m3", "m2"]

        trio.run(main)

    def test_a_broken_line_in_an_archive_is_reported_with_file_and_line(
        self, storage: Storage, reopen: Open, extractor: Any
    ) -> None:
        archived = "sessions/s/archives/1/messages.jsonl"

        async def main() -> None:
            extractor.failures = 1
            async with reopen() as store:
                session = store.session("s")
                for n in range(3):
                    await session.add("user", "hi", f"m{n}")
                assert (await session.commit(wait=True)).status == "failed"
                lines = (await storage.read(archived)).splitlines(keepends=True)
                await storage.write(archived, lines[0] + b"!" + lines[1] + lines[2])
            async with reopen() as store:
                session = store.session("s")
                for call in (lambda: session.archive(1), lambda: session.add("user", "hi", "m2")):
                    with pytest.raises(Corrupt, match=f"{archived}, line 2: not a checksummed record"):
                        await call()
                await session.add("user", "no need to look there")
                task = await store.task("s:1")
                await task.retry()
                assert await task.wait() == "failed"
                outcome = await task.outcome()
                assert outcome is not None
                assert f"Corrupt: {archived}, line 2: not a checksummed record" in str(outcome.error)
                await storage.write(archived, b"".join(lines))
                await task.retry()
                assert await task.wait() == "completed"
            assert extractor.seen == [["m0", "m1", "m2"]] * 2

        trio.run(main)

    def test_one_changed_letter_is_noticed(self, storage: Storage, reopen: Open) -> None:
        async def main() -> None:
            async with reopen() as store:
                await store.session("s").add("user", "one")
                await storage.write(LOG, (await storage.read(LOG)).replace(b"one", b"two"))
                with pytest.raises(Corrupt, match="line 1: the checksum does not match"):
                    await store.session("s").reload()

        trio.run(main)

    def test_a_claim_without_its_rename_means_nothing(self, storage: Storage, reopen: Open, extractor: Any) -> None:
        async def main() -> None:
            async with reopen() as store:
                session = store.session("s")
                await session.add("user", "one", "m1")
                await storage.append("sessions/s/live/claim.json", b'{"key":"dead","mess')
                await session.add("user", "two", "m2")
                assert (await session.commit(wait=True)).status == "completed"
            assert extractor.seen == [["m1", "m2"]]
            assert extractor.calls[0][1] != "dead"

        trio.run(main)

    def test_an_empty_live_directory_means_nothing(self, storage: Storage, reopen: Open) -> None:
        async def main() -> None:
            async with reopen() as old:
                await storage.make_directory("sessions/s/live")
                await storage.append(LOG, b"")
                async with reopen() as new:
                    for store in (old, new):
                        assert (await store.session("s").commit()).status == "skipped"
                    await new.session("s").add("user", "one")
                    assert (await old.session("s").commit(wait=True)).id == "s:1"

        trio.run(main)

    def test_an_outcome_is_durable_before_it_is_told(self, storage: Storage, reopen: Open, watched: Any) -> None:
        """Whoever wrote it may have died between rename and fsync."""
        calls: list[str] = []

        async def told(call: str) -> None:
            calls.append(call)

        async def main() -> None:
            async with reopen(on=watched(storage, told)) as store:
                await store.session("s").add("user", "one")
                task = await store.session("s").commit(wait=True)
                calls.clear()
                assert await task.outcome() is not None
                archive = "sessions/s/archives/1"
                assert calls.index(f"fsync_directory {archive}") < calls.index(f"read {archive}/extraction.json")

        trio.run(main)

    def test_a_half_written_result_is_written_again(self, storage: Storage, reopen: Open, extractor: Any) -> None:
        async def main() -> None:
            extractor.gate = trio.Event()
            with trio.CancelScope() as scope:
                async with reopen() as store:
                    await store.session("s").add("user", "one", "m1")
                    await store.session("s").commit()
                    await extractor.entered.wait()
                    scope.cancel()
            await storage.append("sessions/s/archives/1/extraction.json.new", b'{"text":"a long ha')
            extractor.gate = None
            async with reopen() as store:
                task = await store.task("s:1")
                await task.wait()
                assert "text='one'" in repr(await task.outcome())
                assert await storage.list("sessions/s/archives/1") == [
                    "attempt-1.json",
                    "claim.json",
                    "extraction.json",
                    "messages.jsonl",
                ]

        trio.run(main)

    def test_an_archive_that_lost_a_message_fails_visibly(self, storage: Storage, reopen: Open, extractor: Any) -> None:
        async def main() -> None:
            extractor.gate = trio.Event()
            with trio.CancelScope() as scope:
                async with reopen() as store:
                    await store.session("s").add("user", "one", "m1")
                    await store.session("s").commit()
                    await extractor.entered.wait()
                    scope.cancel()
            await storage.write("sessions/s/archives/1/messages.jsonl", b"")
            async with reopen() as store:
                task = await store.task("s:1")
                assert await task.wait() == "failed"
                assert "line 1: 70 bytes were claimed and 0 are here" in repr(await task.outcome())

        trio.run(main)

    def test_success_beats_failure_when_both_are_recorded(self, storage: Storage, reopen: Open) -> None:
        async def main() -> None:
            async with reopen() as store:
                await store.session("s").add("user", "one")
                await store.session("s").commit(wait=True)
            failure = {"text": None, "error": "late", "attempts": 1, "time": 0.0}
            await storage.append("sessions/s/archives/1/failure.json", json.dumps(failure).encode())
            async with reopen() as store:
                task = await store.task("s:1")
                assert task.status == "completed"
                assert "text='one'" in repr(await task.outcome())

        trio.run(main)

    def test_a_result_that_makes_no_sense_is_reported(self, storage: Storage, reopen: Open) -> None:
        async def main() -> None:
            async with reopen() as store:
                await store.session("s").add("user", "one")
                task = await store.session("s").commit(wait=True)
                for data in (b"", b"[]", b'{"other":1}'):
                    await storage.write("sessions/s/archives/1/extraction.json", data)
                    with pytest.raises(Corrupt, match=r"extraction\.json, line 1"):
                        await task.outcome()

        trio.run(main)


def test_reprs_are_short_and_hold_no_addresses(reopen: Open) -> None:
    async def main() -> None:
        async with reopen(on=MemoryStorage()) as store:
            session = store.session("s")
            message = await session.add("user", "a long text, too long to be shown whole", "m1")
            assert repr(message) == "<Message m1 user: 'a long text, too long t…'>"
            assert repr(session) == "<Session s>"
            assert repr(store) == "<SessionStore <MemoryStorage> open>"
        assert repr(store) == "<SessionStore <MemoryStorage> closed>"

    trio.run(main)


def test_a_subclass_can_replace_the_handles(extractor: Any) -> None:
    class Mine(Session):
        pass

    class Store(SessionStore):
        session_type = Mine

    async def main() -> None:
        async with open_store(MemoryStorage(), extractor, store_type=Store) as store:
            assert type(store.session("s")) is Mine

    trio.run(main)
