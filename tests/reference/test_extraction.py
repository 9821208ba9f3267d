"""What becomes of archives: limits, timeouts, attempts, takeover, and several stores at it."""

import errno
import json
import math
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
import trio
import trio.testing

from oncestore import FsyncFailed, MemoryStorage, Message, SessionInfo, SessionStore, Storage

Open = Callable[..., AbstractAsyncContextManager[SessionStore]]
ARCHIVE = "sessions/s/archives/1"


def run(main: Callable[[], Awaitable[None]]) -> None:
    """In virtual time."""
    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


async def abandon(reopen: Open, extractor: Any, on: Storage, commits: int = 1) -> None:
    """Commit, and leave the extraction to others."""
    extractor.gate = trio.Event()
    with trio.CancelScope() as life:
        async with reopen(on=on) as store:
            for n in range(commits):
                await store.session("s").add("user", str(n), f"m{n}")
                await store.session("s").commit()
            await extractor.entered.wait()
            life.cancel()
    extractor.gate = None
    extractor.calls.clear()


async def die_at_it(storage: Storage, times: int) -> None:
    """What so many processes leave that were killed while they extracted."""
    for k in range(1, times + 1):
        await storage.write(f"{ARCHIVE}/attempt-{k}.json", b"{}")


class TestSeveralSessions:
    def test_are_extracted_at_the_same_time_up_to_the_limit(self, reopen: Open) -> None:
        async def main() -> None:
            running = most = 0

            async def extract(messages: Sequence[Message], key: str) -> str:
                nonlocal running, most
                running += 1
                most = max(most, running)
                await trio.sleep(10)
                running -= 1
                return "text"

            names = [f"s{n}" for n in range(7)]
            async with reopen(on=MemoryStorage(), sessions=names, extract=extract, extractors_most=3) as store:
                for name in names:
                    await store.session(name).add("user", "hi")
                began = trio.current_time()
                tasks = [await store.session(name).commit() for name in names]
                for task in tasks:
                    assert await task.wait() == "completed"
                assert trio.current_time() - began == 30
            assert most == 3

        run(main)

    def test_a_slow_one_keeps_no_other_waiting_and_its_own_archives_in_order(
        self, reopen: Open, extractor: Any
    ) -> None:
        async def main() -> None:
            gate = trio.Event()

            async def extract(messages: Sequence[Message], key: str) -> str:
                if messages[0].id == "slow":
                    await gate.wait()
                return str(await extractor(messages, key))

            async with reopen(sessions=("s", "t"), extract=extract) as store:
                for id in ("slow", "next"):
                    await store.session("s").add("user", "hi", id)
                    await store.session("s").commit()
                await store.session("t").add("user", "hi", "other")
                await store.session("t").commit(wait=True)
                assert extractor.seen == [["other"]]
                assert (await store.session("s").info()).pending == 2
                gate.set()
            assert extractor.seen == [["other"], ["slow"], ["next"]]

        trio.run(main)


class TestTimeLimit:
    def test_an_extractor_that_hangs_is_cancelled_and_has_failed(self, reopen: Open) -> None:
        async def main() -> None:
            hang = True

            async def extract(messages: Sequence[Message], key: str) -> str:
                if hang and messages[0].id == "m1":
                    await trio.sleep_forever()
                return "text"

            async with reopen(on=MemoryStorage(), extract=extract, extract_timeout_s=60) as store:
                session = store.session("s")
                await session.add("user", "hi", "m1")
                began = trio.current_time()
                first = await session.commit()
                await session.add("user", "hi", "m2")
                second = await session.commit(wait=True)
                assert trio.current_time() - began == 60
                assert (first.status, second.status) == ("failed", "completed")
                outcome = await first.outcome()
                assert outcome is not None
                assert outcome.error == "TimeoutError: the extractor took longer than 60 s and was cancelled"
                hang = False
                await first.retry()
                assert await first.wait() == "completed"

        run(main)

    def test_may_be_infinite(self, reopen: Open) -> None:
        async def main() -> None:
            async def extract(messages: Sequence[Message], key: str) -> str:
                await trio.sleep(10**6)
                return "text"

            options = {"extract": extract, "extract_timeout_s": math.inf, "takeover_s": math.inf}
            async with reopen(on=MemoryStorage(), **options) as store:
                await store.session("s").add("user", "hi")
                assert (await store.session("s").commit(wait=True)).status == "completed"

        run(main)


class TestAttempts:
    def test_are_marked_before_the_extractor_runs(self, storage: Storage, reopen: Open) -> None:
        async def main() -> None:
            seen: list[list[str]] = []

            async def extract(messages: Sequence[Message], key: str) -> str:
                seen.append(await storage.list(ARCHIVE))
                raise ConnectionError

            async with reopen(extract=extract) as store:
                await store.session("s").add("user", "hi")
                task = await store.session("s").commit(wait=True)
                await task.retry()
                await task.wait()
            assert [names[: n + 1] for n, names in enumerate(seen)] == [
                ["attempt-1.json"],
                ["attempt-1.json", "attempt-2.json"],
            ]

        trio.run(main)

    @pytest.mark.parametrize("most", [1, 3])
    def test_that_killed_the_process_come_to_an_end_and_may_be_retried(
        self, storage: Storage, reopen: Open, extractor: Any, most: int
    ) -> None:
        async def main() -> None:
            await abandon(reopen, extractor, storage, commits=2)
            await die_at_it(storage, most)
            async with reopen(attempts_most=most) as store:
                task = await store.task("s:1")
                assert await task.wait() == "failed"
                assert await (await store.task("s:2")).wait() == "completed"
                outcome = await task.outcome()
                assert outcome is not None
                assert outcome.attempts == most
                assert f"{most} attempts were begun and none ended" in str(outcome.error)
                assert extractor.seen == [["m1"]]
                await task.retry()
                assert await task.wait() == "completed"
                outcome = await task.outcome()
                assert outcome is not None
                assert outcome.attempts == most + 1
            assert extractor.seen == [["m1"], ["m0"]]

        trio.run(main)

    def test_before_the_last_are_followed_by_another(self, storage: Storage, reopen: Open, extractor: Any) -> None:
        async def main() -> None:
            await abandon(reopen, extractor, storage)
            await die_at_it(storage, 2)
            async with reopen(attempts_most=3) as store:
                task = await store.task("s:1")
                assert await task.wait() == "completed"
                outcome = await task.outcome()
                assert outcome is not None
                assert outcome.attempts == 3

        trio.run(main)

    def test_cut_short_by_leaving_the_store_do_not_count(self, storage: Storage, reopen: Open, extractor: Any) -> None:
        async def main() -> None:
            await abandon(reopen, extractor, storage)
            for _ in range(3):
                extractor.entered, extractor.gate = trio.Event(), trio.Event()
                with trio.CancelScope() as life:
                    async with reopen(attempts_most=1):
                        await extractor.entered.wait()
                        life.cancel()
                assert await storage.list(ARCHIVE) == ["claim.json", "messages.jsonl"]
            extractor.gate = None
            async with reopen(attempts_most=1) as store:
                assert await (await store.task("s:1")).wait() == "completed"

        trio.run(main)

    @pytest.mark.parametrize("where", ["write", "fsync_directory", "read", "chunks"])
    @pytest.mark.parametrize("cancelled", [False, True])
    def test_that_never_reached_the_extractor_do_not_count(
        self, storage: Storage, reopen: Open, extractor: Any, watched: Any, where: str, cancelled: bool
    ) -> None:
        async def main() -> None:
            await abandon(reopen, extractor, storage)
            for _ in range(3):
                met = trio.Event()

                async def told(call: str, met: trio.Event = met) -> None:
                    if call.startswith(f"{where} {ARCHIVE}"):
                        met.set()
                        if cancelled:
                            await trio.sleep_forever()
                        raise FsyncFailed(errno.EIO, "Input/output error")

                with trio.CancelScope() as life:
                    async with reopen(on=watched(storage, told), attempts_most=1, sessions=()):
                        await met.wait()
                        if cancelled:
                            life.cancel()
                assert "attempt-1.json" not in await storage.list(ARCHIVE)
            assert extractor.calls == []
            async with reopen(attempts_most=1) as store:
                assert await (await store.task("s:1")).wait() == "completed"

        trio.run(main)


class TestTakingOver:
    def test_what_a_dead_store_left_is_found_without_being_asked(self, reopen: Open, extractor: Any) -> None:
        async def main() -> None:
            storage = MemoryStorage()
            async with reopen(on=storage, takeover_s=10) as store:
                await trio.sleep(100)
                await abandon(reopen, extractor, storage, commits=3)
                await trio.sleep(11)
                assert extractor.seen == [["m0"], ["m1"], ["m2"]]
                assert await store.session("s").info() == SessionInfo(messages=0, archives=3, pending=0)

        run(main)

    def test_never_happens_with_an_infinite_period_unless_somebody_asks(self, reopen: Open, extractor: Any) -> None:
        async def main() -> None:
            storage = MemoryStorage()
            async with reopen(on=storage, takeover_s=math.inf) as store:
                await trio.sleep(1)
                await abandon(reopen, extractor, storage)
                await trio.sleep(10**6)
                assert extractor.calls == []
                assert await (await store.task("s:1")).wait() == "completed"

        run(main)

    def test_leaves_alone_what_a_living_store_is_at_however_long_it_takes(self, reopen: Open, extractor: Any) -> None:
        async def main() -> None:
            storage = MemoryStorage()
            extractor.gate = trio.Event()
            async with reopen(on=storage, extract_timeout_s=10**6) as one:
                await one.session("s").add("user", "hi", "m1")
                task = await one.session("s").commit()
                async with reopen(on=storage, takeover_s=1):
                    await trio.sleep(1000)
                    extractor.gate.set()
                    assert await task.wait() == "completed"
                    await trio.sleep(1000)
            assert extractor.seen == [["m1"]]

        run(main)

    def test_goes_on_when_storage_refused_for_a_while(self, reopen: Open, extractor: Any, watched: Any) -> None:
        async def main() -> None:
            storage = MemoryStorage()
            refused = ""

            async def told(call: str) -> None:
                if refused and call.startswith(refused):
                    raise OSError(errno.EIO, "Input/output error")

            async with reopen(on=watched(storage, told), takeover_s=10) as store:
                await abandon(reopen, extractor, storage)
                for call in ("list sessions", f"list {ARCHIVE}", "lock leases", f"write {ARCHIVE}"):
                    refused = call
                    await trio.sleep(50)
                    assert extractor.calls == []
                refused = ""
                await trio.sleep(50)
                assert extractor.seen == [["m0"]]
                assert (await store.task("s:1")).status == "completed"

        run(main)

    def test_of_one_broken_session_does_not_keep_others_waiting(self, reopen: Open, extractor: Any) -> None:
        async def main() -> None:
            storage = MemoryStorage()
            await abandon(reopen, extractor, storage)
            await storage.make_directory("sessions/a")
            await storage.make_directory("sessions/not a session")
            await storage.append("sessions/a-file", b"")
            await storage.make_directory("sessions/b")
            await storage.make_directory("sessions/b/archives")
            await storage.make_directory("sessions/b/archives/1")
            async with reopen(on=storage):
                await trio.sleep(100)
            assert extractor.seen == [["m0"]]

        run(main)


class TestTheIndexOfIds:
    @pytest.mark.parametrize("data", [None, b"", b"1234", b"12345678", b"x" * 20, b"\0" * 4, b"\0" * 12])
    def test_may_be_missing_or_broken_and_is_made_again(
        self, storage: Storage, reopen: Open, extractor: Any, data: bytes | None
    ) -> None:
        index = f"{ARCHIVE}/ids"

        async def main() -> None:
            async with reopen() as store:
                first = await store.session("s").add("user", "hi", "m1")
                await store.session("s").commit(wait=True)
            async with reopen() as store:
                await store.session("s").add("user", "hi", "m2")
                good = await storage.read(index)
            if data is None:
                await storage.remove(index)
            else:
                await storage.write(index, data)
            await storage.write(f"{index}.new", b"of a dead writer")
            async with reopen() as store:
                assert await store.session("s").add("user", "hi", "m1") == first
                assert await store.session("s").add("user", "new", "m3")
                assert await storage.read(index) == good

        trio.run(main)

    def test_holds_eight_bytes_for_a_message_whatever_its_size(self, storage: Storage, reopen: Open) -> None:
        async def main() -> None:
            async with reopen() as store:
                for n in range(50):
                    await store.session("s").add("user", "long " * 100, f"m{n}-{'x' * 200}")
                await store.session("s").commit(wait=True)
            async with reopen() as store:
                await store.session("s").add("user", "hi", "m")
                assert len(await storage.read(f"{ARCHIVE}/ids")) <= 50 * 8 + 8

        trio.run(main)

    def test_that_cannot_be_written_is_done_without(
        self, storage: Storage, reopen: Open, extractor: Any, watched: Any
    ) -> None:
        async def main() -> None:
            async def told(call: str) -> None:
                if call.startswith(f"write {ARCHIVE}/ids"):
                    raise OSError(errno.ENOSPC, "No space left on device")

            async with reopen(on=watched(storage, told)) as store:
                first = await store.session("s").add("user", "hi", "m1")
                await store.session("s").commit(wait=True)
                assert await store.session("s").add("user", "hi", "m1") == first

        trio.run(main)

    def test_of_another_store_learns_what_was_added_and_archived_meanwhile(
        self, storage: Storage, reopen: Open
    ) -> None:
        async def main() -> None:
            async with reopen() as one, reopen() as two:
                added: dict[str, Message] = {}
                for n in range(12):
                    store, other = (one, two) if n % 2 else (two, one)
                    added[f"m{n}"] = await store.session("s").add("user", "hi", f"m{n}")
                    if n % 3 == 2:
                        await other.session("s").commit(wait=True)
                    for id, message in added.items():
                        assert await other.session("s").add("user", "hi", id) == message
                assert len(await one.session("s").reload()) == 0
                logs = [await storage.read(f"sessions/s/archives/{n}/messages.jsonl") for n in (1, 2, 3, 4)]
                written = [json.loads(line)["id"] for log in logs for line in log.splitlines()]
                assert written == list(added)

        trio.run(main)
