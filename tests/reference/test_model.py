"""The reference store against a model of ten lines, by operations that overlap in time.

Rules start operations in one of two stores, let one storage call of either happen, and kill a store in between; the model knows only
what was asked and what was answered. Every storage call waits at a gate, so that nothing happens that no rule asked for, and Hypothesis
can choose, shrink and remember.
"""

import math
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from itertools import count
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

import trio
import trio.testing
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from oncestore import AlreadyExists, MemoryStorage, Message, SessionStore, open_store

T = TypeVar("T")
WHICH = st.integers(0, 1)


class Model:
    """What is asked of any store: what was acknowledged is committed, nothing twice, nothing else, and each is extracted once."""

    def __init__(self) -> None:
        self.asked: set[str] = set()
        self.acknowledged: set[str] = set()

    def check(self, archived: list[str], extracted: list[str]) -> None:
        assert len(archived) == len(set(archived)), f"committed twice: {archived}"
        assert self.acknowledged <= set(archived) <= self.asked, f"lost or invented: {self.acknowledged} {archived}"
        assert sorted(extracted) == sorted(archived), f"extracted {extracted}, archived {archived}"


class Process:
    """A store whose storage calls wait until somebody lets them happen, and that dies when it is told to."""

    storage: Any

    def __init__(self, extract: Any) -> None:
        self.extract = extract
        self.life = trio.CancelScope()
        self.gates: list[trio.Event] = []
        self.free = False  # no gates any more
        self.dead = False
        self.store: SessionStore | None = None
        self.nursery: trio.Nursery

    async def told(self, call: str) -> None:
        if self.store is not None and not self.free:  # opening is one step
            gate = trio.Event()
            self.gates.append(gate)
            await gate.wait()
        if self.dead:
            raise OSError("the process is dead: what it still wants to write, it never writes")

    async def live(self) -> None:
        try:
            await self._live()
        except Exception:
            if not self.dead:
                raise

    def die(self) -> None:
        self.dead = True
        self.life.cancel()
        self.go_on()

    async def _live(self) -> None:
        with self.life:
            async with (
                open_store(self.storage, self.extract, takeover_s=math.inf) as store,
                trio.open_nursery() as nursery,
            ):
                with suppress(AlreadyExists):
                    await store.create("s")
                self.store, self.nursery = store, nursery
                await trio.sleep_forever()

    def go_on(self) -> None:
        for gate in self.gates:
            gate.set()
        self.gates.clear()


class Clients(RuleBasedStateMachine):
    """Trio runs in a thread of its own; after each rule everything in it has come to rest."""

    watched: Any  # a storage that tells of each call before it is made

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.ids = count(1)
        self.extracted: dict[str, list[str]] = {}  # by key: after a crash the same archive may be extracted again
        self.storage = MemoryStorage()
        tokens: SimpleQueue[trio.lowlevel.TrioToken] = SimpleQueue()
        self.thread = Thread(target=trio.run, args=(self._main, tokens))
        self.thread.start()
        self.token = tokens.get()
        self.processes = [self.do(self._open), self.do(self._open)]

    async def _main(self, tokens: "SimpleQueue[trio.lowlevel.TrioToken]") -> None:
        async with trio.open_nursery() as self.nursery:
            self.over = trio.Event()
            tokens.put(trio.lowlevel.current_trio_token())
            await self.over.wait()
            self.nursery.cancel_scope.cancel()

    def do(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call a function in trio, and wait until nothing moves any more."""

        async def call() -> T:
            result = function(*arguments)
            await trio.testing.wait_all_tasks_blocked()
            return result

        return trio.from_thread.run(call, trio_token=self.token)

    def _open(self) -> Process:
        process = Process(self.extract)
        process.storage = self.watched(self.storage, process.told)
        self.nursery.start_soon(process.live)
        return process

    async def extract(self, messages: Sequence[Message], key: str) -> str:
        self.extracted[key] = [message.id for message in messages]
        return key

    # -- operations: begun by one rule, and ended by whichever lets their last storage call happen -----------------------

    async def _add(self, store: SessionStore, id: str) -> None:
        await store.session("s").add("user", id, id)
        self.model.acknowledged.add(id)

    async def _commit(self, store: SessionStore) -> None:
        await store.session("s").commit()

    def _begin(self, process: Process, operation: Callable[..., Awaitable[None]], *arguments: str) -> None:
        if process.store is not None:  # a successor may still be waiting for what the dead left
            self.model.asked.update(arguments)
            process.nursery.start_soon(operation, process.store, *arguments)

    @rule(which=WHICH)
    def add(self, which: int) -> None:
        self.do(self._begin, self.processes[which], self._add, f"m{next(self.ids)}")

    @rule(which=WHICH)
    def commit(self, which: int) -> None:
        self.do(self._begin, self.processes[which], self._commit)

    @rule(which=WHICH, gate=st.integers(0, 3))
    def one_call(self, which: int, gate: int) -> None:
        gates = self.processes[which].gates
        if gates:
            self.do(gates.pop(gate % len(gates)).set)

    @rule(which=WHICH)
    def all_calls(self, which: int) -> None:
        self.do(self.processes[which].go_on)

    @rule(which=WHICH)
    def crash(self, which: int) -> None:
        self.do(self.processes[which].die)
        self.processes[which] = self.do(self._open)

    # -- in the end ------------------------------------------------------------------------------------------------------

    def teardown(self) -> None:
        try:
            for process in self.processes:
                process.free = True
                self.do(process.go_on)
            archived = trio.from_thread.run(self._commit_the_rest, trio_token=self.token)
            self.model.check(archived, [id for ids in self.extracted.values() for id in ids])
        finally:
            trio.from_thread.run_sync(self.over.set, trio_token=self.token)
            self.thread.join()

    async def _commit_the_rest(self) -> list[str]:
        with trio.fail_after(30):
            async with open_store(self.storage, self.extract) as store:
                session = store.session("s")
                await session.commit(wait=True)
                numbers = range(1, (await session.info()).archives + 1)
                for number in numbers:
                    assert await (await store.task(f"s:{number}")).wait() == "completed"
                return [message.id for number in numbers for message in await session.archive(number)]


def test_clients_that_overlap_and_stores_that_die(watched: Any) -> None:
    machine = type("Clients", (Clients,), {"watched": staticmethod(watched)})
    chosen = settings(max_examples=40, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck))
    run_state_machine_as_test(machine, settings=chosen)
