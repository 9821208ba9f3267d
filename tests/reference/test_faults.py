"""A storage that refuses, fails and loses power at every call: nothing acknowledged is lost, nothing is there twice.

``Platter`` is written from the promises in ``oncestore._storage`` alone, and is as mean as they allow. What a failed
fsync was to save is never saved by a later one; what was not fsynced is gone after a loss of power, or partly there.
"""

import errno
import itertools
import json
import math
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
import trio
import trio.testing

from oncestore import (
    AlreadyExists,
    ExtractionInterrupted,
    FsyncFailed,
    Lock,
    Message,
    NotStored,
    OutcomeUnknown,
    Session,
    SessionStore,
    open_store,
)

Fault = Literal["refuse", "fail"]
Loss = Literal["none", "unsynced", "some"]
FAULTS: tuple[Fault, ...] = ("refuse", "fail")
LOSSES: tuple[Loss, ...] = ("none", "unsynced", "some")
Names = list[str]  # inside Platter, "list" is the method


class Death(BaseException):
    """Not an Exception: nothing in the store may think that it can go on."""


@dataclass(eq=False)
class _File:
    """Pieces, each safe (durable), dirty (the next fsync saves it) or doomed (its fsync failed: none will)."""

    pieces: list[tuple[bytes, Literal["safe", "dirty", "doomed"]]] = field(default_factory=list)

    @property
    def data(self) -> bytes:
        return b"".join(data for data, _ in self.pieces)

    def fsync(self, *, fails: bool) -> None:
        into: Literal["safe", "doomed"] = "doomed" if fails else "safe"
        self.pieces = [(data, into if state == "dirty" else state) for data, state in self.pieces]

    def lose_power(self, kept: Callable[[], bool]) -> None:
        self.pieces = [
            (data if state == "safe" or kept() else b"\0" * len(data), "safe") for data, state in self.pieces
        ]
        while self.pieces and not self.pieces[-1][0].strip(b"\0"):
            self.pieces.pop()


@dataclass(eq=False)
class _Directory:
    entries: dict[str, "_File | _Directory"] = field(default_factory=dict)
    safe: dict[str, "_File | _Directory"] = field(default_factory=dict)


Change = list[tuple[_Directory, str, _File | _Directory | None]]
Changes = list[Change]


@dataclass(eq=False)
class _Lock:
    held: trio.Lock = field(default_factory=trio.Lock)
    note: str = ""


class Platter:
    """A simulated directory. ``faults`` says at which calls it refuses or fails, ``death`` after which all is over."""

    def __init__(self) -> None:
        self.calls = 0
        self.log: Names = []
        self.faults: dict[int, Fault] = {}
        self.death = math.inf
        self.before: dict[int, Callable[[], None]] = {}  # told of a call
        self._root = _Directory()
        self._journal: Changes = []
        self._locks: dict[str, _Lock] = {}

    def power_on(self) -> None:
        self.death, self.faults = math.inf, {}

    def lose_power(self, loss: Loss, seed: int = 0) -> None:
        chance = random.Random(seed)
        if loss == "none":  # only the process died
            return
        # A journal is played back up to some place; one change is there as a whole or not at all.
        kept = chance.randrange(len(self._journal) + 1) if loss == "some" else 0
        self._save(self._journal[:kept])
        self._journal.clear()
        self._settle(self._root, lambda: loss == "some" and chance.random() < 0.5)
        for lock in self._locks.values():
            lock.note = chance.choice(["", "the first of all", "the first of all?"])

    # -- what a store calls ---------------------------------------------------------------------------------------

    async def make_root(self) -> None:
        await self._call("make_root")

    async def read(self, path: str) -> bytes:
        await self._call(f"read {path}")
        return self._file(path).data

    async def chunks(self, path: str, start: int = 0) -> AsyncGenerator[bytes]:
        await self._call(f"chunks {path}")
        data = self._file(path).data[start:]
        for place in range(0, len(data), 100):  # small pieces, so that lines are cut
            yield data[place : place + 100]

    async def list(self, path: str) -> Names:
        await self._call(f"list {path}")
        return sorted(self._directory(path).entries)

    async def append(self, path: str, data: bytes) -> None:
        await self._put(path, data, f"append {path}")

    async def write(self, path: str, data: bytes) -> None:
        with suppress(FileNotFoundError):
            self._file(path).pieces = [(b"half of what was th", "dirty")]
        try:
            await self._put(path, data, f"write {path}", anew=True)
        except FsyncFailed:
            raise
        except OSError:
            parent, name = self._place(path)
            if name not in parent.entries:
                self._change([(parent, name, _File([(data[: len(data) // 2], "dirty")]))])
            raise

    async def make_directory(self, path: str) -> None:
        await self._call(f"make_directory {path}")
        parent, name = self._place(path)
        if name in parent.entries:
            raise FileExistsError(path)
        self._change([(parent, name, _Directory())])

    async def rename(self, source: str, target: str) -> None:
        await self._call(f"rename {source} {target}")
        (old, old_name), (new, new_name) = self._place(source), self._place(target)
        if old_name not in old.entries:
            raise FileNotFoundError(source)
        if isinstance(new.entries.get(new_name), _Directory):
            raise FileExistsError(target)
        self._change([(old, old_name, None), (new, new_name, old.entries[old_name])])

    async def remove(self, path: str) -> None:
        await self._call(f"remove {path}")
        parent, name = self._place(path)
        if name not in parent.entries:
            raise FileNotFoundError(path)
        node = parent.entries[name]
        if isinstance(node, _Directory) and node.entries:
            raise OSError(errno.ENOTEMPTY, path)
        self._change([(parent, name, None)])

    async def fsync_directory(self, path: str) -> None:
        fault = await self._call(f"fsync_directory {path}")
        directory = self._directory(path)
        if fault == "fail":
            raise FsyncFailed(errno.EIO, "Input/output error")
        directories, chosen = {directory}, Changes()
        for change in reversed(self._journal):
            if touched := {parent for parent, _, _ in change if parent in directories}:
                directories |= touched | {parent for parent, _, _ in change}
                chosen.insert(0, change)
        self._save(chosen)

    @asynccontextmanager
    async def lock(self, path: str, *, wait: bool = True) -> AsyncGenerator[Lock]:
        await self._call(f"lock {path}")
        lock = self._locks.setdefault(path, _Lock())
        if wait:
            await lock.held.acquire()
        else:
            try:
                lock.held.acquire_nowait()
            except trio.WouldBlock:
                raise BlockingIOError(path) from None
        try:
            yield lock
        finally:
            lock.held.release()

    # -- insides --------------------------------------------------------------------------------------------------

    async def _call(self, call: str) -> Fault | None:
        await trio.lowlevel.checkpoint()
        self.calls += 1
        self.log.append(call)
        if self.calls > self.death:
            raise Death
        if self.calls in self.before:
            self.before[self.calls]()
            await trio.lowlevel.checkpoint()
        fault = self.faults.get(self.calls)
        if fault == "refuse" or (fault and not call.startswith(("append", "write", "fsync_directory"))):
            raise OSError(errno.ENOSPC if fault == "refuse" else errno.EIO, f"injected into: {call}")
        return fault

    async def _put(self, path: str, data: bytes, call: str, *, anew: bool = False) -> None:
        fault = await self._call(call)
        parent, name = self._place(path)
        file = parent.entries.get(name)
        if not isinstance(file, _File):
            assert file is None, path
            self._change([(parent, name, file := _File())])
        if anew:
            file.pieces.clear()
        file.pieces.append((data, "dirty"))
        file.fsync(fails=fault == "fail")
        if fault == "fail":
            raise FsyncFailed(errno.EIO, f"injected into: {call}")

    def _node(self, path: str) -> _File | _Directory:
        node: _File | _Directory = self._root
        for name in path.split("/") if path else ():
            if not isinstance(node, _Directory):
                raise NotADirectoryError(path)
            if name not in node.entries:
                raise FileNotFoundError(path)
            node = node.entries[name]
        return node

    def _directory(self, path: str) -> _Directory:
        node = self._node(path)
        if not isinstance(node, _Directory):
            raise NotADirectoryError(path)
        return node

    def _file(self, path: str) -> _File:
        node = self._node(path)
        if not isinstance(node, _File):
            raise IsADirectoryError(path)
        return node

    def _place(self, path: str) -> tuple[_Directory, str]:
        parent, _, name = path.rpartition("/")
        return self._directory(parent), name

    def _change(self, change: Change) -> None:
        for parent, name, node in change:
            if node is None:
                parent.entries.pop(name, None)
            else:
                parent.entries[name] = node
        self._journal.append(change)

    def _save(self, changes: Changes) -> None:
        for change in changes:
            self._journal = [other for other in self._journal if other is not change]
            for parent, name, node in change:
                if node is None:
                    parent.safe.pop(name, None)
                else:
                    parent.safe[name] = node

    def _settle(self, directory: _Directory, kept: Callable[[], bool]) -> None:
        directory.entries = dict(directory.safe)
        for node in directory.entries.values():
            if isinstance(node, _Directory):
                self._settle(node, kept)
            else:
                node.lose_power(kept)

    # -- what a test looks at, without the store's help -----------------------------------------------------------

    def names(self, path: str) -> Names:
        try:
            return sorted(self._directory(path).entries)
        except FileNotFoundError:
            return []

    def whole_lines(self, directory: str) -> Names:
        try:
            *lines, _ = self._file(f"{directory}/messages.jsonl").data.split(b"\n")
        except FileNotFoundError:
            return []
        return [json.loads(line)["id"] for line in lines]

    def archived(self) -> dict[int, Names]:
        return {int(n): self.whole_lines(f"{ARCHIVES}/{n}") for n in self.names(ARCHIVES)}

    def messages(self) -> Names:
        return [id for ids in self.archived().values() for id in ids] + self.whole_lines("sessions/s/live")

    def extracted(self) -> dict[int, str]:
        return {
            int(n): json.loads(self._file(f"{ARCHIVES}/{n}/extraction.json").data)["text"]
            for n in self.names(ARCHIVES)
            if "extraction.json" in self.names(f"{ARCHIVES}/{n}")
        }


ARCHIVES, LIVE = "sessions/s/archives", "sessions/s/live"


_serial = itertools.count(1)


def make_id() -> str:
    # Never the same twice, over all stores on a platter: that is what is asked of whoever passes one in.
    return f"id{next(_serial)}"


@dataclass
class Client:
    """Tells one story, in operations that can be repeated, and remembers what it was told."""

    platter: Platter
    stored: list[str] = field(default_factory=list)
    unsure: set[str] = field(default_factory=set)
    committed: dict[int, list[str]] = field(default_factory=dict)
    completed: dict[int, str] = field(default_factory=dict)
    problems: list[Exception] = field(default_factory=list)
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)  # of the step being taken

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[SessionStore]:
        async def extract(messages: Sequence[Message], key: str) -> str:
            return " ".join(message.id for message in messages)

        options: dict[str, Any] = {"takeover_s": 5, "attempts_most": 9, "clock": lambda: 1.0, "make_id": make_id}
        async with open_store(self.platter, extract, **options) as store:
            yield store

    async def tell(self) -> None:
        """Create, add, add, commit, add, repeat an add, reload, commit; what raises or is cancelled is done again."""
        while True:
            try:
                async with self.open() as store:
                    await self._step(self._create, store)
                    session = store.session("s")
                    for id in ("m1", "m2"):
                        await self._step(self._add, session, id)
                    await self._step(self._commit, session)
                    for id in ("m3", "m1"):
                        await self._step(self._add, session, id)
                    await self._step(self._reload, session)
                    await self._step(self._commit, session)
                return
            except (NotStored, OutcomeUnknown) as problem:  # of opening
                self.problems.append(problem)

    async def tell_and_die(self) -> None:
        try:
            await self.tell()
        except* Death:
            pass

    async def _step(self, step: Callable[..., Awaitable[None]], *arguments: Any) -> None:
        """Until it was done without being cancelled."""
        while True:
            with trio.CancelScope() as self.scope:
                return await step(*arguments)

    async def _create(self, store: SessionStore) -> None:
        while True:
            before = self.platter.names("sessions")
            try:
                await store.create("s")
                return
            except AlreadyExists:
                return
            except NotStored as problem:
                self.problems.append(problem)
                assert self.platter.names("sessions") == before
            except OutcomeUnknown as problem:
                self.problems.append(problem)

    async def _add(self, session: Session, id: str) -> None:
        while True:
            try:
                await session.add("user", "said", id)
                self.stored.append(id)
                assert self.platter.messages().count(id) == 1
                return
            except NotStored as problem:
                self.problems.append(problem)
                assert id in (*self.stored, *self.unsure) or id not in self.platter.messages()
            except OutcomeUnknown as problem:
                self.problems.append(problem)
                self.unsure.add(id)

    async def _commit(self, session: Session) -> None:
        while True:
            before = self.platter.archived()
            try:
                task = await session.commit()
                break
            except NotStored as problem:
                self.problems.append(problem)
                assert self.platter.archived() == before
            except OutcomeUnknown as problem:
                self.problems.append(problem)
        if task.status == "skipped":
            return
        self.committed[task.archive] = self.platter.archived()[task.archive]
        while True:
            try:
                assert await task.wait() == "completed"
                break
            except ExtractionInterrupted as problem:
                self.problems.append(problem)
                await task.retry()
        self.completed[task.archive] = self.platter.extracted()[task.archive]

    async def _reload(self, session: Session) -> None:
        while True:
            try:
                assert [message.id for message in await session.reload()] == self.platter.whole_lines(LIVE)
                return
            except OSError as problem:
                self.problems.append(problem)

    def check(self) -> None:
        """What this client was told is still so."""
        there = self.platter.messages()
        assert sorted(set(there)) == sorted(there), "twice"
        assert set(self.stored) <= set(there), "lost"
        assert {n: ids for n, ids in self.platter.archived().items() if n in self.committed} == self.committed
        assert {n: text for n, text in self.platter.extracted().items() if n in self.completed} == self.completed


async def check_the_end(platter: Platter) -> None:
    """Another process opens the store and does nothing: everything is extracted, once."""
    async with Client(platter).open():
        await trio.sleep(20)
    extracted = platter.extracted()
    assert {n: " ".join(ids) for n, ids in platter.archived().items()} == extracted, "stranded"
    assert sorted(" ".join(extracted.values()).split()) == ["m1", "m2", "m3"]
    assert platter.whole_lines(LIVE) == []


async def calls_of_a_story() -> int:
    await Client(platter := Platter()).tell()
    return platter.calls


async def go(
    loss: Loss,
    *,
    faults: dict[int, Fault] | None = None,
    death: float = math.inf,
    cancelled: int = 0,
    seed: int = 0,
) -> None:
    """The story, with faults, up to a death; then perhaps a loss of power, and the story by somebody else."""
    platter = Platter()
    platter.faults, platter.death = faults or {}, death
    client = Client(platter)
    platter.before[cancelled] = lambda: client.scope.cancel()
    try:
        if death == math.inf:
            await client.tell()
        else:
            await client.tell_and_die()
        assert len(client.problems) <= len(platter.faults), "usable again at once"
        platter.power_on()
        platter.lose_power(loss, seed)
        client.check()
        await (again := Client(platter)).tell()
        assert again.problems == []
        # What a dead process had failed to make durable was acknowledged anew by one that never saw it fail.
        platter.lose_power("unsynced")
        again.check()
        client.check()
        await check_the_end(platter)
        client.check()
    except BaseException as error:
        error.add_note(f"{faults=} {death=} {cancelled=} {loss=} {seed=}")
        error.add_note("\n".join(f"{n:3} {call}" for n, call in enumerate(platter.log, start=1)))
        raise


def run(main: Callable[[], Awaitable[None]]) -> None:
    """In virtual time: a takeover takes no time."""
    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


@pytest.mark.parametrize("loss", LOSSES)
class TestAtEachCall:
    def test_a_process_dies(self, loss: Loss) -> None:
        async def main() -> None:
            for death in range(await calls_of_a_story() + 1):
                for seed in range(2 if loss == "some" else 1):
                    await go(loss, death=death, seed=seed)

        run(main)

    @pytest.mark.parametrize("fault", FAULTS)
    def test_storage_refuses_or_fails_once_and_the_store_is_usable_again(self, loss: Loss, fault: Fault) -> None:
        async def main() -> None:
            for call in range(1, await calls_of_a_story() + 1):
                await go(loss, faults={call: fault})

        run(main)

    def test_the_client_goes_away_and_comes_again(self, loss: Loss) -> None:
        async def main() -> None:
            for call in range(1, await calls_of_a_story() + 1):
                await go(loss, cancelled=call)

        run(main)

    def test_storage_fails_several_times_and_the_process_dies(self, loss: Loss) -> None:
        run(lambda: several_faults(loss, range(60)))

    @pytest.mark.exhaustive
    def test_storage_fails_several_times_and_the_process_dies_in_thousands_of_ways(self, loss: Loss) -> None:
        run(lambda: several_faults(loss, range(60, 1500)))


class TestAFailedFsync:
    def test_of_this_store_takes_back_what_was_never_acknowledged(self) -> None:
        async def main() -> None:
            async with Client(platter := Platter()).open() as store:
                session = await store.create("s")
                await session.add("user", "hi", "m1")
                platter.faults = {platter.calls + 2: "fail"}
                with pytest.raises(OutcomeUnknown, match="it may have been stored or not"):
                    await session.add("user", "hi", "m2")
                assert platter.whole_lines(LIVE) == ["m1", "m2"]
                await session.add("user", "hi", "m3")
                assert platter.whole_lines(LIVE) == ["m1", "m3"]
                platter.lose_power("unsynced")
                assert platter.whole_lines(LIVE) == ["m1", "m3"]

        run(main)

    def test_of_another_store_leaves_whole_lines_which_are_made_durable(self) -> None:
        async def main() -> None:
            platter = Platter()
            async with Client(platter).open() as one, Client(platter).open() as two:
                await one.create("s")
                await one.session("s").add("user", "hi", "m1")
                platter.faults = {platter.calls + 2: "fail"}
                with pytest.raises(OutcomeUnknown):
                    await one.session("s").add("user", "hi", "m2")
                await two.session("s").add("user", "hi", "m2")
                for store in (one, two):
                    await store.session("s").add("user", "hi", "m3")
                platter.lose_power("unsynced")
                assert platter.whole_lines(LIVE) == ["m1", "m2", "m3"]

        run(main)


async def several_faults(loss: Loss, seeds: Sequence[int]) -> None:
    calls = await calls_of_a_story()
    for seed in seeds:
        chance = random.Random(seed)
        faults = {chance.randrange(1, calls + 10): chance.choice(FAULTS) for _ in range(chance.choice((1, 1, 2, 3)))}
        death = chance.choice((math.inf, chance.randrange(min(faults), calls + 15)))
        await go(loss, faults=faults, death=death, seed=seed)
