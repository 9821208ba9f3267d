"""The protocol step by step: which calls, in which order; what a death at each leaves; what each guard is there for."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext, suppress
from typing import Any, Literal

import pytest
import trio
import trio.testing

from oncestore import CommitTask, Conflict, File, MemoryStorage, Message, Session, SessionStore, Storage, open_store
from oncestore._log import Log
from oncestore._task import Progress

Open = Callable[..., AbstractAsyncContextManager[SessionStore]]
LIVE = "sessions/s/live"
LOG = f"{LIVE}/messages.jsonl"


class Watched:
    """A storage that tells of each call before it is made; whoever is told may wait, or raise."""

    def __init__(self, storage: Storage, told: Callable[[str], Awaitable[None]]) -> None:
        self.storage = storage
        self.told = told

    async def read(self, path: str) -> bytes:
        await self.told(f"read {path}")
        return await self.storage.read(path)

    async def list(self, path: str) -> list[str]:
        await self.told(f"list {path}")
        return await self.storage.list(path)

    async def open(self, path: str, mode: Literal["append", "create", "replace"]) -> File:
        await self.told(f"open {path}")
        return WatchedFile(await self.storage.open(path, mode), path, self.told)

    async def make_directory(self, path: str) -> None:
        await self.told(f"make_directory {path}")
        await self.storage.make_directory(path)

    async def rename(self, source: str, target: str) -> None:
        await self.told(f"rename {source} {target}")
        await self.storage.rename(source, target)

    async def remove(self, path: str) -> None:
        await self.told(f"remove {path}")
        await self.storage.remove(path)

    async def fsync_directory(self, path: str) -> None:
        await self.told(f"fsync_directory {path}")
        await self.storage.fsync_directory(path)

    def lock(self, path: str) -> AbstractAsyncContextManager[None]:
        return self._lock(path)

    @asynccontextmanager
    async def _lock(self, path: str) -> AsyncIterator[None]:
        await self.told(f"lock {path}")
        async with self.storage.lock(path):
            yield


class WatchedFile:
    def __init__(self, file: File, path: str, told: Callable[[str], Awaitable[None]]) -> None:
        self.file = file
        self.path = path
        self.told = told

    async def write(self, data: bytes) -> None:
        await self.told(f"write {self.path}")
        await self.file.write(data)

    async def fsync(self) -> None:
        await self.told(f"fsync {self.path}")
        await self.file.fsync()

    async def close(self) -> None:
        await self.file.close()


class Unlocked(Watched):
    """The mutant: nobody is excluded from anything."""

    def lock(self, path: str) -> AbstractAsyncContextManager[None]:
        return nullcontext()


class TestCalls:
    """Each is a place where a scheduler can switch and a process can die: one more or less is worth a thought."""

    def test_of_every_operation(self, reopen: Open) -> None:
        calls: list[str] = []

        async def told(call: str) -> None:
            calls.append(call)

        def made() -> list[str]:
            made = calls.copy()
            calls.clear()
            return made

        async def main() -> None:
            storage = Watched(MemoryStorage(), told)
            async with reopen(on=storage):
                pass
            assert made() == ["make_directory sessions", "fsync_directory ", "list sessions"]

            async with reopen(on=storage, extract=waiting) as store:
                await trio.testing.wait_all_tasks_blocked()
                made()
                session = store.session("s")
                await session.add("user", "one")
                assert made() == [
                    "lock locks/s",
                    f"read {LOG}",
                    f"make_directory {LIVE}",
                    "make_directory sessions/s",
                    f"make_directory {LIVE}",
                    f"open {LOG}",
                    f"fsync_directory {LIVE}",
                    "fsync_directory sessions/s",
                    "fsync_directory sessions",
                    f"write {LOG}",
                    f"fsync {LOG}",
                ]
                await session.add("user", "two")
                assert made() == ["lock locks/s", f"read {LOG}", f"open {LOG}", f"write {LOG}", f"fsync {LOG}"]
                await session.commit()
                assert made() == [
                    "lock locks/s",
                    f"read {LOG}",
                    f"open {LOG}",
                    f"fsync {LOG}",
                    "list sessions/s/archives",
                    "make_directory sessions/s/archives",
                    "fsync_directory sessions/s",
                    f"open {LIVE}/claim.json",
                    f"write {LIVE}/claim.json",
                    f"fsync {LIVE}/claim.json",
                    f"fsync_directory {LIVE}",
                    f"rename {LIVE} sessions/s/archives/1",
                    "fsync_directory sessions/s/archives",
                    "fsync_directory sessions/s",
                ]
                gate.set()
                await (await store.task("s:1")).wait()
                assert [call for call in made() if call != "list sessions/s/archives/1"] == [
                    "lock leases/s",
                    "read sessions/s/archives/1/claim.json",
                    "read sessions/s/archives/1/messages.jsonl",
                    "open sessions/s/archives/1/extraction.json.new",
                    "write sessions/s/archives/1/extraction.json.new",
                    "fsync sessions/s/archives/1/extraction.json.new",
                    "rename sessions/s/archives/1/extraction.json.new sessions/s/archives/1/extraction.json",
                    "fsync_directory sessions/s/archives/1",
                ]
                await session.reload()
                assert made() == [f"read {LOG}"]
                assert (await session.commit()).status == "skipped"
                assert made() == ["lock locks/s", f"read {LOG}"]
                await session.add("user", "three", "m3")
                assert made() == [
                    "lock locks/s",
                    f"read {LOG}",
                    "list sessions/s/archives",
                    "read sessions/s/archives/1/messages.jsonl",
                    f"make_directory {LIVE}",
                    f"open {LOG}",
                    f"fsync_directory {LIVE}",
                    "fsync_directory sessions/s",
                    "fsync_directory sessions",
                    f"write {LOG}",
                    f"fsync {LOG}",
                ]
                await session.add("user", "three", "m3")
                assert made() == ["lock locks/s", f"read {LOG}", f"open {LOG}", f"fsync {LOG}"]

        gate = trio.Event()

        async def waiting(messages: Any, key: str) -> str:
            await gate.wait()
            return "text"

        trio.run(main)


class Death(BaseException):
    """Not an Exception: nothing in the store may think that it can go on."""


async def live_then_die(root: Storage, last_call: int, acknowledged: list[str]) -> int:
    """Add and commit with ids that make it repeatable; every call after the last one is a death. Counts the calls."""
    calls = 0

    async def told(call: str) -> None:
        nonlocal calls
        calls += 1
        if calls > last_call:
            raise Death

    async def extract(messages: Sequence[Message], key: str) -> str:
        return " ".join(message.id for message in messages)

    try:
        async with open_store(Watched(root, told), extract) as store:
            session = store.session("s")
            for id in ("m1", "m2", "m3"):
                await session.add("user", id, id)
                acknowledged.append(id)
                if id != "m2":
                    await session.commit(wait=True)
    except* Death:
        pass
    return calls


async def ids_on_disk(root: Storage) -> tuple[list[str], list[str]]:
    """From the files alone: the ids in the logs, live and archived, and the ids in the recorded extractions."""
    logged: list[str] = []
    extracted: list[str] = []
    places = [LIVE]
    with suppress(FileNotFoundError):
        places += [f"sessions/s/archives/{n}" for n in await root.list("sessions/s/archives")]
    for place in places:
        with suppress(FileNotFoundError):
            logged += [json.loads(line)["id"] for line in (await root.read(f"{place}/messages.jsonl")).splitlines()]
            extracted += json.loads(await root.read(f"{place}/extraction.json"))["text"].split()
    return sorted(logged), sorted(extracted)


class TestDeathAtEachCall:
    def test_what_was_acknowledged_survives_and_a_client_that_repeats_itself_changes_nothing(
        self, new_storage: Callable[[], Storage]
    ) -> None:
        async def main() -> None:
            all_calls = await live_then_die(new_storage(), 10**9, [])
            assert all_calls > 60
            for last_call in range(all_calls):
                root, acknowledged = new_storage(), list[str]()
                await live_then_die(root, last_call, acknowledged)
                logged, _ = await ids_on_disk(root)
                assert set(acknowledged) <= set(logged), f"lost, after death at call {last_call}"
                await live_then_die(root, 10**9, [])
                assert await ids_on_disk(root) == (["m1", "m2", "m3"], ["m1", "m2", "m3"]), f"at call {last_call}"

        trio.run(main)


class TestMutants:
    """Each guard taken away, and the schedule that then goes wrong. (The simulator finds these by itself.)"""

    def test_without_the_lock_an_acknowledged_message_is_stranded_in_an_extracted_archive(self, extractor: Any) -> None:
        async def main() -> None:
            held, go = trio.Event(), trio.Event()

            async def told(call: str) -> None:
                if armed and call == f"write {LOG}":
                    held.set()
                    await go.wait()

            armed = False
            storage = Unlocked(MemoryStorage(), told)
            async with open_store(storage, extractor) as store:
                session = store.session("s")
                await session.add("user", "one", "m1")
                armed = True
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(session.add, "user", "two", "m2")
                    await held.wait()
                    assert (await store.session("s").commit(wait=True)).status == "completed"
                    go.set()
                assert await session.reload() == ()
                assert (await session.commit()).status == "skipped"
                assert b'"m2"' in await storage.read("sessions/s/archives/1/messages.jsonl")
            assert extractor.seen == [["m1"]]

        trio.run(main)

    def test_with_the_claim_after_the_extraction_a_message_is_extracted_twice(self, extractor: Any) -> None:
        class ExtractsFirst(Session):
            async def _switch(self, log: Log) -> CommitTask:
                extraction, number, progress = self._extraction, await self._next_number(), Progress()

                async def later() -> None:
                    await extraction.extract(log.messages, "key")
                    async with self._lock():
                        if (await self._read_live()).messages:
                            await self._claim(number, log)
                    progress.end("completed")

                self._store.nursery.start_soon(later)
                return CommitTask(extraction, number, progress)

        class Store(SessionStore):
            session_type = ExtractsFirst

        async def main() -> None:
            extractor.gate = trio.Event()
            async with open_store(MemoryStorage(), extractor, store_type=Store) as store:
                session = store.session("s")
                await session.add("user", "one", "m1")
                await session.commit()
                await session.reload()
                await session.commit()
                extractor.gate.set()
            assert extractor.seen == [["m1"], ["m1"]]

        trio.run(main)

    def test_the_lock_makes_the_first_of_them_harmless(self, extractor: Any, reopen: Open) -> None:
        async def main() -> None:
            async with reopen() as store, trio.open_nursery() as nursery:
                session = store.session("s")
                await session.add("user", "one", "m1")
                nursery.start_soon(session.add, "user", "two", "m2")
                nursery.start_soon(store.session("s").commit)
            async with reopen() as store:
                await store.session("s").commit(wait=True)
            assert [id for ids in extractor.seen for id in ids] == ["m1", "m2"]

        trio.run(main)


def test_a_conflict_leaves_the_lock_free(reopen: Open) -> None:
    async def main() -> None:
        async with reopen() as store:
            await store.session("s").add("user", "one", "m1")
            with pytest.raises(Conflict):
                await store.session("s").add("user", "two", "m1")
            await store.session("s").add("user", "two", "m2")

    trio.run(main)
