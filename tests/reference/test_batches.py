"""Adds that come at the same time share an append, and nobody is harmed by the company."""

import errno
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing

from oncestore import (
    Conflict,
    FsyncFailed,
    MemoryStorage,
    Message,
    NotStored,
    OutcomeUnknown,
    SessionStore,
    Storage,
    StoreError,
)

Open = Callable[..., AbstractAsyncContextManager[SessionStore]]
LOG = "sessions/s/live/messages.jsonl"


def ids(messages: Sequence[Message]) -> list[str]:
    return [message.id for message in messages]


class Slow(MemoryStorage):
    """Appends to the log of session s wait for ``go``, once ``hold`` was called, and can be told to raise."""

    def __init__(self) -> None:
        super().__init__()
        self.appends: list[int] = []  # how many records each held
        self.begun = trio.Event()
        self.go = trio.Event()
        self.go.set()
        self.error: BaseException | None = None

    def hold(self) -> None:
        self.begun, self.go = trio.Event(), trio.Event()
        self.appends.clear()

    async def append(self, path: str, data: bytes) -> None:
        if path == LOG:
            self.appends.append(data.count(b"\n"))
            self.begun.set()
            await self.go.wait()
            if self.error is not None:
                error, self.error = self.error, None
                raise error
        await super().append(path, data)


@asynccontextmanager
async def held(reopen: Open, slow: Slow, **options: Any) -> AsyncGenerator[SessionStore]:
    """A store with one message in session s, whose next append will wait."""
    async with reopen(on=slow, **options) as store:
        await store.session("s").add("user", "zero", "m0")
        slow.hold()
        yield store


class Adds:
    """Adds that are started together, and what came of each."""

    def __init__(self, store: SessionStore, nursery: trio.Nursery) -> None:
        self.outcomes: dict[str, Message | StoreError] = {}
        self.scopes: dict[str, trio.CancelScope] = {}
        self._session = store.session("s")
        self._nursery = nursery

    async def start(self, *names: str, content: str = "hi", id: str | None = None) -> None:
        for name in names:
            self.scopes[name] = trio.CancelScope()
            self._nursery.start_soon(self._add, name, content, id)
            await trio.testing.wait_all_tasks_blocked()

    async def _add(self, name: str, content: str, id: str | None) -> None:
        with self.scopes[name]:
            try:
                self.outcomes[name] = await self._session.add("user", content, id or name)
            except StoreError as error:
                self.outcomes[name] = error

    def kinds(self) -> dict[str, type]:
        return {name: type(outcome) for name, outcome in self.outcomes.items()}


class TestAddsAtTheSameTime:
    def test_share_one_append_and_keep_their_order(self, reopen: Open) -> None:
        async def main() -> None:
            async with held(reopen, slow := Slow()) as store, trio.open_nursery() as nursery:
                adds = Adds(store, nursery)
                names = [f"m{n}" for n in range(1, 21)]
                await adds.start(*names)
                assert adds.outcomes == {}
                slow.go.set()
                await trio.testing.wait_all_tasks_blocked()
                assert slow.appends == [1, 19]
                assert ids(await store.session("s").reload()) == ["m0", *names]
                stored = {message.id: message for message in await store.session("s").reload()}
                assert adds.outcomes == {name: stored[name] for name in names}

        trio.run(main)

    def test_are_written_one_by_one_without_group_commit(self, reopen: Open) -> None:
        async def main() -> None:
            async with held(reopen, slow := Slow(), group_commit=False) as store, trio.open_nursery() as nursery:
                await Adds(store, nursery).start("m1", "m2", "m3")
                slow.go.set()
                await trio.testing.wait_all_tasks_blocked()
                assert slow.appends == [1, 1, 1]
                assert ids(await store.session("s").reload()) == ["m0", "m1", "m2", "m3"]

        trio.run(main)

    def test_come_in_batches_with_an_end(self, reopen: Open) -> None:
        async def main() -> None:
            async with held(reopen, slow := Slow()) as store, trio.open_nursery() as nursery:
                await Adds(store, nursery).start("m1")
                for _ in range(1500):
                    nursery.start_soon(store.session("s").add, "user", "hi")
                await trio.testing.wait_all_tasks_blocked()
                slow.go.set()
                await trio.testing.wait_all_tasks_blocked()
                assert slow.appends == [1, 1000, 500]

        trio.run(main)

    def test_are_not_answered_before_what_they_wrote_is_durable(self, reopen: Open) -> None:
        async def main() -> None:
            async with held(reopen, slow := Slow()) as store, trio.open_nursery() as nursery:
                adds = Adds(store, nursery)
                await adds.start("m1", "m2")
                slow.go.set()
                slow.hold()
                await slow.begun.wait()
                await trio.testing.wait_all_tasks_blocked()
                assert list(adds.outcomes) == ["m1"]
                slow.go.set()

        trio.run(main)

    def test_of_different_sessions_do_not_wait_for_each_other(self, reopen: Open) -> None:
        async def main() -> None:
            async with held(reopen, slow := Slow(), sessions=("s", "t")) as store, trio.open_nursery() as nursery:
                await Adds(store, nursery).start("m1")
                await store.session("t").add("user", "hi")
                slow.go.set()

        trio.run(main)

    def test_of_two_stores_and_a_commit_lose_nothing(self, storage: Storage, reopen: Open, extractor: Any) -> None:
        async def main() -> None:
            expected = sorted(f"{who}{n}" for who in range(4) for n in range(10))

            async def client(store: SessionStore, who: int) -> None:
                for n in range(10):
                    await store.session("s").add("user", "hi", f"{who}{n}")
                    if n % 4 == who:
                        await store.session("s").commit()

            async with reopen() as one, reopen() as two:
                async with trio.open_nursery() as nursery:
                    for who in range(4):
                        nursery.start_soon(client, (one, two)[who % 2], who)
                await one.session("s").commit(wait=True)
            handed = [id for batch in extractor.seen for id in batch]
            assert sorted(handed) == expected
            for who in range(4):
                assert [id for id in handed if id[0] == str(who)] == [f"{who}{n}" for n in range(10)]

        trio.run(main)


class TestCancelling:
    def test_the_one_who_writes_harms_nobody_and_is_written(self, reopen: Open) -> None:
        async def main() -> None:
            async with held(reopen, slow := Slow()) as store, trio.open_nursery() as nursery:
                adds = Adds(store, nursery)
                await adds.start("m1", "m2", "m3")
                adds.scopes["m1"].cancel()
                slow.go.set()
                await trio.testing.wait_all_tasks_blocked()
                assert {"m2", "m3"} <= set(adds.outcomes)
                assert ids(await store.session("s").reload()) == ["m0", "m1", "m2", "m3"]

        trio.run(main)

    def test_one_who_was_taken_along_is_written_without_an_answer(self, reopen: Open) -> None:
        async def main() -> None:
            async with held(reopen, slow := Slow()) as store, trio.open_nursery() as nursery:
                adds = Adds(store, nursery)
                await adds.start("m1", "m2", "m3", "m4")
                slow.go.set()
                slow.hold()
                await slow.begun.wait()  # m2 writes for m3 and m4
                adds.scopes["m3"].cancel()
                await trio.testing.wait_all_tasks_blocked()
                slow.go.set()
                await trio.testing.wait_all_tasks_blocked()
                assert list(adds.outcomes) == ["m1", "m2", "m4"]
                assert ids(await store.session("s").reload()) == ["m0", "m1", "m2", "m3", "m4"]

        trio.run(main)

    def test_one_who_still_waits_means_that_it_never_happened(self, reopen: Open) -> None:
        async def main() -> None:
            async with held(reopen, slow := Slow()) as store, trio.open_nursery() as nursery:
                adds = Adds(store, nursery)
                await adds.start("m1", "m2", "m3")
                adds.scopes["m2"].cancel()
                await trio.testing.wait_all_tasks_blocked()
                slow.go.set()
                await trio.testing.wait_all_tasks_blocked()
                assert list(adds.outcomes) == ["m1", "m3"]
                assert ids(await store.session("s").reload()) == ["m0", "m1", "m3"]

        trio.run(main)

    def test_the_one_who_waits_for_the_lock_leaves_it_to_the_next(self, reopen: Open) -> None:
        async def main() -> None:
            slow = Slow()
            async with reopen(on=slow) as store, trio.open_nursery() as nursery:
                adds = Adds(store, nursery)
                async with slow.lock("locks/s"):
                    await adds.start("m1", "m2")
                    adds.scopes["m1"].cancel()
                    await trio.testing.wait_all_tasks_blocked()
                await trio.testing.wait_all_tasks_blocked()
                assert list(adds.outcomes) == ["m2"]
                assert ids(await store.session("s").reload()) == ["m2"]

        trio.run(main)


class TestErrors:
    @pytest.mark.parametrize(
        ("error", "kind", "left"),
        [
            (OSError(errno.ENOSPC, "No space left on device"), NotStored, ["m0", "m1"]),
            (FsyncFailed(errno.EIO, "Input/output error"), OutcomeUnknown, ["m0", "m1"]),
        ],
    )
    def test_reach_everybody_of_the_batch_and_nobody_else(
        self, reopen: Open, error: OSError, kind: type[StoreError], left: list[str]
    ) -> None:
        async def main() -> None:
            async with held(reopen, slow := Slow()) as store, trio.open_nursery() as nursery:
                adds = Adds(store, nursery)
                await adds.start("m1", "m2", "m3")
                slow.go.set()
                slow.hold()
                await slow.begun.wait()
                await adds.start("m4")
                slow.error = error
                slow.go.set()
                await trio.testing.wait_all_tasks_blocked()
                assert adds.kinds() == {"m1": Message, "m2": kind, "m3": kind, "m4": Message}
                assert adds.outcomes["m2"] is not adds.outcomes["m3"], "each raises its own"
                assert ids(await store.session("s").reload()) == [*left, "m4"]
                for id in ("m2", "m3"):
                    await store.session("s").add("user", "hi", id)
                assert ids(await store.session("s").reload()) == [*left, "m4", "m2", "m3"]

        trio.run(main)

    def test_that_nobody_foresaw_leave_nobody_waiting(self, reopen: Open) -> None:
        async def main() -> None:
            async with held(reopen, slow := Slow()) as store:
                with pytest.RaisesGroup(RuntimeError):
                    async with trio.open_nursery() as nursery:
                        adds = Adds(store, nursery)
                        await adds.start("m1", "m2")
                        slow.error = RuntimeError("a bug")
                        adds.scopes["m2"].shield = True
                        slow.go.set()
                assert adds.kinds() == {"m2": Message}
                await store.session("s").add("user", "hi", "m3")
                assert ids(await store.session("s").reload()) == ["m0", "m2", "m3"]

        trio.run(main)

    def test_that_nobody_foresaw_reach_those_who_were_taken_along(self, reopen: Open) -> None:
        async def main() -> None:
            async with held(reopen, slow := Slow()) as store:
                with pytest.RaisesGroup(RuntimeError):
                    async with trio.open_nursery() as nursery:
                        adds = Adds(store, nursery)
                        await adds.start("m1", "m2", "m3")
                        slow.go.set()
                        slow.hold()
                        await slow.begun.wait()
                        adds.scopes["m3"].shield = True
                        slow.error = RuntimeError("a bug")
                        slow.go.set()
                assert adds.kinds() == {"m1": Message, "m3": OutcomeUnknown}

        trio.run(main)

    def test_do_not_take_back_what_was_stored_before(self, reopen: Open) -> None:
        """NotStored would tell a client that repeats itself that its message is not there."""

        async def main() -> None:
            async with held(reopen, slow := Slow()) as store, trio.open_nursery() as nursery:
                adds = Adds(store, nursery)
                await adds.start("m1")
                await adds.start("again", content="zero", id="m0")
                await adds.start("other", content="one", id="m0")
                await adds.start("m2")
                slow.go.set()
                slow.hold()
                await slow.begun.wait()
                slow.error = OSError(errno.ENOSPC, "No space left on device")
                slow.go.set()
                await trio.testing.wait_all_tasks_blocked()
                assert adds.kinds() == {"m1": Message, "again": Message, "other": Conflict, "m2": NotStored}

        trio.run(main)


class TestTheSameIdInOneBatch:
    def test_is_written_once_and_all_get_the_one_answer(self, reopen: Open) -> None:
        async def main() -> None:
            async with held(reopen, slow := Slow()) as store, trio.open_nursery() as nursery:
                adds = Adds(store, nursery)
                await adds.start("m1")
                for name in ("a", "b", "c"):
                    await adds.start(name, id="m2")
                slow.go.set()
                await trio.testing.wait_all_tasks_blocked()
                assert adds.outcomes["a"] == adds.outcomes["b"] == adds.outcomes["c"]
                assert ids(await store.session("s").reload()) == ["m0", "m1", "m2"]

        trio.run(main)

    @pytest.mark.parametrize("fails", [False, True])
    def test_with_other_content_conflicts_once_the_first_is_stored(self, reopen: Open, fails: bool) -> None:
        async def main() -> None:
            async with held(reopen, slow := Slow()) as store, trio.open_nursery() as nursery:
                adds = Adds(store, nursery)
                await adds.start("m1")
                await adds.start("a", id="m2")
                await adds.start("b", id="m2", content="ho")
                slow.go.set()
                slow.hold()
                await slow.begun.wait()
                slow.error = OSError(errno.ENOSPC, "No space left on device") if fails else None
                slow.go.set()
                await trio.testing.wait_all_tasks_blocked()
                assert adds.kinds() == {
                    "m1": Message,
                    "a": NotStored if fails else Message,
                    "b": NotStored if fails else Conflict,
                }

        trio.run(main)
