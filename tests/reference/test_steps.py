"""The protocol step by step: which calls, in which order; what a death at each leaves; what each guard is there for."""

import json
import math
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any

import pytest
import trio
import trio.testing

from oncestore import AlreadyExists, Conflict, Message, SessionStore, Storage, open_store

Open = Callable[..., AbstractAsyncContextManager[SessionStore]]
LIVE = "sessions/s/live"
LOG = f"{LIVE}/messages.jsonl"


class TestCalls:
    """Each is a place where a scheduler can switch and a process can die: one more or less is worth a thought."""

    def test_of_every_operation(self, storage: Storage, reopen: Open, watched: Any) -> None:
        calls: list[str] = []
        gate = trio.Event()

        async def told(call: str) -> None:
            calls.append(call)

        def made() -> list[str]:
            made = calls.copy()
            calls.clear()
            return made

        async def waiting(messages: Any, key: str) -> str:
            await gate.wait()
            return "text"

        async def main() -> None:
            on = watched(storage, told)
            async with reopen(on=on, sessions=()):
                pass
            assert made()[:6] == [
                "make_root",
                "list ",
                "make_directory sessions",
                "make_directory new",
                "make_directory deleted",
                "fsync_directory ",
            ]
            async with reopen(on=on, sessions=(), extract=waiting, takeover_s=math.inf) as store:
                while "list deleted" not in calls:
                    await trio.testing.wait_all_tasks_blocked()
                assert made() == ["make_root", "list ", "fsync_directory ", "list sessions", "list deleted"]
                session = await store.create("s")
                assert made() == [
                    "lock locks/s",
                    "list sessions/s",
                    "list deleted/s",
                    "make_directory new/s",
                    "make_directory new/s/archives",
                    "fsync_directory new/s",
                    "rename new/s sessions/s",
                    "fsync_directory sessions",
                ]
                await session.add("user", "one")
                first = [
                    f"make_directory {LIVE}",
                    "fsync_directory sessions/s",
                    f"append {LOG}",
                    f"fsync_directory {LIVE}",
                ]
                assert made() == ["lock locks/s", *first]
                await session.add("user", "two")
                assert made() == ["lock locks/s", f"append {LOG}"]
                await session.commit()
                assert [call for call in made() if "leases" not in call and "archives/1/" not in call][:6] == [
                    "lock locks/s",
                    f"write {LIVE}/claim.json",
                    f"fsync_directory {LIVE}",
                    f"rename {LIVE} sessions/s/archives/1",
                    "fsync_directory sessions/s/archives",
                    "fsync_directory sessions/s",
                ]
                gate.set()
                await (await store.task("s:1")).wait()
                made()
                await session.add("user", "three")
                await session.commit(wait=True)
                assert made() == [
                    "lock locks/s",
                    *first,
                    "lock locks/s",
                    f"write {LIVE}/claim.json",
                    f"fsync_directory {LIVE}",
                    f"rename {LIVE} sessions/s/archives/2",
                    "fsync_directory sessions/s/archives",
                    "fsync_directory sessions/s",
                    "lock leases/s",
                    "list sessions/s/archives/2",
                    "write sessions/s/archives/2/attempt-1.json",
                    "fsync_directory sessions/s/archives/2",
                    "read sessions/s/archives/2/claim.json",
                    "chunks sessions/s/archives/2/messages.jsonl",
                    "write sessions/s/archives/2/extraction.json.new",
                    "rename sessions/s/archives/2/extraction.json.new sessions/s/archives/2/extraction.json",
                    "fsync_directory sessions/s/archives/2",
                ]
                assert await session.reload() == ()
                assert made() == [f"chunks {LOG}", "list sessions/s/archives"]
                assert (await session.commit()).status == "skipped"
                assert made() == ["lock locks/s"]
                await session.add("user", "four", "m4")
                index = [
                    call
                    for number in (1, 2)
                    for call in (
                        f"read sessions/s/archives/{number}/ids",
                        f"chunks sessions/s/archives/{number}/messages.jsonl",
                        f"write sessions/s/archives/{number}/ids.new",
                        f"rename sessions/s/archives/{number}/ids.new sessions/s/archives/{number}/ids",
                        f"fsync_directory sessions/s/archives/{number}",
                    )
                ]
                assert made() == ["lock locks/s", *index, f"chunks {LOG}", *first]
                await session.add("user", "five", "m5")
                assert made() == ["lock locks/s", f"append {LOG}"]
                await session.add("user", "four", "m4")
                assert made() == ["lock locks/s", f"chunks {LOG}"]
                async with storage.lock("locks/s") as lock:
                    lock.note = "the dead?"
                await session.add("user", "six")
                assert made() == [
                    "lock locks/s",
                    "list sessions/s/archives",
                    f"chunks {LOG}",
                    "fsync_directory sessions",
                    "fsync_directory sessions/s",
                    "fsync_directory sessions/s/archives",
                    f"remove {LOG}.new",
                    f"chunks {LOG}",
                    f"append {LOG}.new",
                    f"rename {LOG}.new {LOG}",
                    f"fsync_directory {LIVE}",
                    f"append {LOG}",
                ]
                await store.delete("s")
                assert made()[:8] == [
                    "list sessions/s/archives",
                    "lock leases/s",
                    "lock locks/s",
                    "list sessions/s/archives/2",
                    "rename sessions/s deleted/s",
                    "fsync_directory deleted",
                    "fsync_directory sessions",
                    "list deleted/s",
                ]

        trio.run(main)

    def test_a_store_alone_trusts_itself_and_two_look_at_what_the_other_did(
        self, storage: Storage, reopen: Open, watched: Any
    ) -> None:
        calls: list[str] = []

        async def told(call: str) -> None:
            calls.append(call)

        async def main() -> None:
            async with reopen() as other, reopen(on=watched(storage, told), takeover_s=math.inf) as store:
                await store.session("s").add("user", "one")
                for after_another, looks in ((False, 0), (True, 2), (False, 0)):
                    if after_another:
                        await other.session("s").add("user", "two")
                    calls.clear()
                    await store.session("s").add("user", "three")
                    assert len(calls) == 2 + looks, calls

        trio.run(main)


class Death(BaseException):
    """Not an Exception: nothing in the store may think that it can go on."""


async def live_then_die(watched: Any, root: Storage, last_call: int, acknowledged: list[str]) -> int:
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
        async with open_store(watched(root, told), extract) as store:
            with suppress(AlreadyExists):
                await store.create("s")
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
        self, new_storage: Callable[[], Storage], watched: Any
    ) -> None:
        async def main() -> None:
            all_calls = await live_then_die(watched, new_storage(), 10**9, [])
            assert all_calls > 50
            for last_call in range(all_calls):
                root, acknowledged = new_storage(), list[str]()
                await live_then_die(watched, root, last_call, acknowledged)
                logged, _ = await ids_on_disk(root)
                assert set(acknowledged) <= set(logged), f"lost, after death at call {last_call}"
                await live_then_die(watched, root, 10**9, [])
                assert await ids_on_disk(root) == (["m1", "m2", "m3"], ["m1", "m2", "m3"]), f"at call {last_call}"

        trio.run(main)


def test_a_conflict_leaves_the_lock_free(reopen: Open) -> None:
    async def main() -> None:
        async with reopen() as store:
            await store.session("s").add("user", "one", "m1")
            with pytest.raises(Conflict):
                await store.session("s").add("user", "two", "m1")
            await store.session("s").add("user", "two", "m2")

    trio.run(main)
