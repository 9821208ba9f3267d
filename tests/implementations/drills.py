"""Drills: what is done to the reference and its mutants, at every step of it.

A drill is a subject. It lives through several lives of a store on one simulated disk, in which clients retry with the same message
ids what was not answered, and in the end a last store, to which nothing happens any more, must have kept every promise that was made.
The promises are checked from the files, and from what clients and the extractor saw; nothing here asks the store for them.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

import oncestore
import racewindow as rw
from oncestore import SessionStore
from racewindow.disk import Disk, Persistence
from racewindow.implementations.reference import Reference
from racewindow.kernel.task import Process

Client = Callable[[SessionStore], Awaitable[None]]
Drill = Callable[["Stage"], Awaitable[None]]
HOME = "sessions/s"
NEVER_S = float("inf")


@dataclass(eq=False)
class Life:
    """One process with a store, and what became of its client."""

    process: Process
    ended: rw.kernel.engine.Event
    errors: list[Exception] = field(default_factory=list)


class Stage:
    """A disk, the lives of stores on it, and the promises that were made."""

    def __init__(self, world: rw.World, implementation: type[Reference]) -> None:
        self.world = world
        self.implementation = implementation
        self.disk = Disk(world, "suspending", hide=f"{HOME}/", new_root=True)
        self.acknowledged: list[str] = []
        self.completed: set[str] = set()  # messages whose commit somebody saw completed
        self.handed: list[tuple[str, ...]] = []
        self.keys: dict[tuple[str, ...], set[str]] = {}
        self.extractor: Callable[[], Awaitable[None]] | None = None
        self.again: list[str] = []  # handed over after their commit was seen completed
        self._serial = 0
        self._lives = 0

    def live(self, client: Client, *, takeover_s: float = NEVER_S) -> Life:
        """A new process opens the store and does what its client does."""
        self._lives += 1
        life = Life(self.world.process(f"p{self._lives}"), self.world.event())
        run = partial(self._live, client, life, takeover_s)
        self.world.start(run, name=f"c{self._lives}", process=life.process)
        return life

    async def _live(self, client: Client, life: Life, takeover_s: float) -> None:
        forever = self.world.event()
        try:
            async with oncestore.open_store(
                self.implementation.storage(self.disk),
                self._extract,
                make_id=self._id,
                clock=lambda: self.world.now,
                takeover_s=takeover_s,
                store_type=self.implementation.store_type,
            ) as store:
                try:
                    await client(store)
                except oncestore.StoreError as error:
                    life.errors.append(error)
                life.ended.set()
                await self.world.wait(forever, "idle")
        except oncestore.StoreError as error:  # the store could not be opened
            life.errors.append(error)
            life.ended.set()

    def die(self, life: Life) -> None:
        """Its process dies."""
        self.world.crash(life.process)

    def lose_power(self, life: Life, persistence: Persistence = "lose-unsynced") -> None:
        """The machine stops; ``life`` is the only one on it."""
        self.world.crash(life.process)
        self.disk.power_loss(persistence)

    async def at_any_moment(self, what: str, happen: Callable[[], None]) -> None:
        """Where the strategy decides how far the others get before it happens."""
        happened = self.world.event()

        async def strike() -> None:
            await self.world.point(what)
            happen()
            happened.set()

        # By a task of its own: to let the others go first is then no preemption, only to interrupt them is.
        self.world.start(strike, name=what, process=self.world.process(what))
        await happened.wait()

    # -- what clients do -----------------------------------------------------------------------------------------------

    async def add(self, store: SessionStore, *messages: str) -> None:
        """Add under ids of their own, in order, and remember what was acknowledged."""
        session = store.session("s")
        for message in messages:
            await session.add("user", message, message)
            if message not in self.acknowledged:
                self.acknowledged.append(message)

    async def create(self, store: SessionStore) -> None:
        with suppress(oncestore.AlreadyExists):
            await store.create("s")

    async def commit(self, store: SessionStore) -> None:
        """Commit, wait for that and for what others committed, and remember what was seen completed."""
        await store.session("s").commit(wait=True)
        await self.ask(store)

    async def ask(self, store: SessionStore) -> None:
        """Ask for every commit there is, without touching the session."""
        for number in self.disk.names(f"{HOME}/archives"):
            task = await store.task(f"s:{number}")
            if await task.wait() == "completed":
                self.completed.update(_log(self.disk, f"{HOME}/archives/{number}"))

    # -- the end -------------------------------------------------------------------------------------------------------

    async def settle(self, *messages: str) -> None:
        """A last client retries what was never answered, commits and waits; then every promise must have been kept."""

        async def client(store: SessionStore) -> None:
            await self.create(store)
            await self.add(store, *(message for message in messages if message not in self.acknowledged))
            await self.commit(store)

        life = self.live(client)
        await self.world.quiet(within_s=1e6)
        check = self.world.check
        check(life.ended.is_set(), "tasks-end", "the last client waits for ever")
        check(not life.errors, "usable", f"nothing is wrong any more, and the store says: {life.errors}")
        self.judge()

    def judge(self) -> None:
        """Check the files against what was promised."""
        check = self.world.check
        there: list[str] = []
        for number in sorted(self.disk.names(f"{HOME}/archives"), key=int):
            path = f"{HOME}/archives/{number}"
            messages = _log(self.disk, path)
            there += messages
            result = _json(self.disk, f"{path}/extraction.json")
            check(
                result is not None and result.get("text") == " ".join(messages),
                "nothing-stranded",
                f"archive {number} holds {messages}, and its extraction says {result}",
            )
        there += _log(self.disk, f"{HOME}/live")
        lost = [message for message in self.acknowledged if message not in there]
        check(not lost, "nothing-lost", f"{lost} of {self.acknowledged} are not in {there}")
        check(len(set(there)) == len(there), "committed-once", f"twice: {there}")
        for client in "mn":  # whose messages begin with that letter, and were added in order
            order = [message for message in there if message in self.acknowledged and message.startswith(client)]
            check(order == sorted(order), "order-kept", f"acknowledged in order, and there as {there}")
        check(not self.again, "extracted-once", f"{self.again} went to the extractor after their commit was completed")
        mixed = {messages: keys for messages, keys in self.keys.items() if len(keys) > 1}
        check(not mixed, "extracted-once", f"one archive under several keys: {mixed}")

    async def _extract(self, messages: Sequence[oncestore.Message], key: str) -> str:
        ids = tuple(message.id for message in messages)
        self.again += [id for id in ids if id in self.completed]
        self.handed.append(ids)
        self.keys.setdefault(ids, set()).add(key)
        await self.world.point("extract")
        if self.extractor is not None:
            await self.extractor()
        return " ".join(ids)

    def _id(self) -> str:
        self._serial += 1
        return f"id{self._serial}"


def _log(disk: Disk, directory: str) -> list[str]:
    *lines, _ = (disk.peek(f"{directory}/messages.jsonl") or b"").split(b"\n")
    found = []
    for line in lines:
        with suppress(ValueError):
            found.append(str(json.loads(line)["id"]))
    return found


def _json(disk: Disk, path: str) -> dict[str, object] | None:
    try:
        return dict(json.loads(disk.peek(path) or b""))
    except ValueError:
        return None


# -- the drills --------------------------------------------------------------------------------------------------------


def _all(stage: Stage, *messages: str, commit: bool) -> Client:
    async def client(store: SessionStore) -> None:
        await stage.create(store)
        await stage.add(store, *messages)
        if commit:
            await stage.commit(store)

    return client


def _power(persistence: Persistence) -> Drill:
    async def drill(stage: Stage) -> None:
        life = stage.live(_all(stage, "m1", "m2", commit=True))
        await stage.at_any_moment("power-loss", partial(stage.lose_power, life, persistence))
        await stage.settle("m1", "m2")

    return drill


async def dead_then_power(stage: Stage) -> None:
    """A process dies at any moment; the next one goes on, and the power goes at any moment."""
    life = stage.live(_all(stage, "m1", commit=True))
    await stage.at_any_moment("crash", partial(stage.die, life))
    life = stage.live(_all(stage, "m1", "m2", commit=True))
    await stage.at_any_moment("power-loss", partial(stage.lose_power, life))
    await stage.settle("m1", "m2")


async def dead_then_asked(stage: Stage) -> None:
    """A process dies at any moment; the next one is only asked what became of the commits, and the power goes at any moment."""
    life = stage.live(_all(stage, "m1", commit=True))
    await stage.at_any_moment("crash", partial(stage.die, life))
    life = stage.live(stage.ask)
    await stage.at_any_moment("power-loss", partial(stage.lose_power, life))
    await stage.settle("m1", "m2")


async def dead_then_told(stage: Stage) -> None:
    """A process dies at any moment of an extraction; one that asked for the commit before tells its outcome, and the power goes."""
    asked, dead, told = (stage.world.event() for _ in range(3))

    async def hold() -> None:
        await asked.wait()

    stage.extractor = hold

    with stage.world.serially():
        life = stage.live(_all(stage, "m1", commit=False))
        await life.ended.wait()
        stage.die(life)

    async def reader(store: SessionStore) -> None:
        task = await store.task("s:1")
        asked.set()
        await dead.wait()
        outcome = await task.outcome()
        if outcome is not None and outcome.text is not None:
            stage.completed.update(_log(stage.disk, f"{HOME}/archives/1"))
        told.set()

    with stage.world.serially():
        dying = stage.live(stage.commit)
        await stage.world.quiet()
        reading = stage.live(reader)
        await asked.wait()
    await stage.at_any_moment("crash", partial(stage.die, dying))
    dead.set()
    await told.wait()
    stage.lose_power(reading)
    await stage.settle("m1")


async def torn_then_power(stage: Stage) -> None:
    """What is torn by one loss of power is there at the next."""
    life = stage.live(_all(stage, "m1", "m2", commit=False))
    await stage.at_any_moment("torn", partial(stage.lose_power, life, "torn"))
    life = stage.live(_all(stage, "m1", "m2", "m3", commit=False))
    await stage.at_any_moment("power-loss", partial(stage.lose_power, life))
    await stage.settle("m1", "m2", "m3")


async def failing_fsync(stage: Stage) -> None:
    """The disk fails once, at any moment; then the power goes, at any moment."""

    async def client(store: SessionStore) -> None:
        await stage.create(store)
        for message in ("m1", "m2", "m3"):
            for _ in range(3):
                with suppress(oncestore.OutcomeUnknown):
                    await stage.add(store, message)
                    break

    life = stage.live(client)
    await stage.at_any_moment("disk-fails", stage.disk.fail_fsyncs)
    await stage.at_any_moment("power-loss", partial(stage.lose_power, life))
    stage.disk.fail_fsyncs(0)
    await stage.settle("m1", "m2", "m3")


async def two_stores(stage: Stage) -> None:
    """Two stores add and commit as they like."""

    async def setting(store: SessionStore) -> None:
        await stage.create(store)

    with stage.world.serially():
        life = stage.live(setting)
        await life.ended.wait()

    def client(*messages: str) -> Client:
        async def client(store: SessionStore) -> None:
            await stage.add(store, *messages)
            await stage.commit(store)

        return client

    one, other = stage.live(client("m1")), stage.live(client("n1", "n2"))
    for each in (one, other):
        await each.ended.wait()
    stage.world.check(not one.errors + other.errors, "usable", f"{one.errors + other.errors}")
    await stage.settle()


async def deadly_extractor(stage: Stage) -> None:
    """The extractor takes its process with it, each time: that ends, and is to be seen."""
    life: Life | None = None

    async def kill() -> None:
        assert life is not None
        stage.die(life)
        await stage.world.wait(stage.world.event(), "dies")

    stage.extractor = kill

    async def nothing(store: SessionStore) -> None: ...

    client = _all(stage, "m1", commit=True)
    for _ in range(6):
        life = stage.live(client)
        await stage.world.quiet(within_s=1e6)
        client = nothing
    failure = _json(stage.disk, f"{HOME}/archives/1/failure.json")
    stage.world.check(
        failure is not None and failure["attempts"] == 3, "tasks-end", f"after {len(stage.handed)} attempts: {failure}"
    )


async def retried(stage: Stage) -> None:
    """An extraction fails, is tried again, and succeeds: that is what is to be seen from then on."""
    fails = [True]

    async def fail_once() -> None:
        if fails:
            fails.pop()
            raise RuntimeError("not yet")

    stage.extractor = fail_once
    statuses: list[str] = []

    async def client(store: SessionStore) -> None:
        await stage.create(store)
        await stage.add(store, "m1")
        task = await store.session("s").commit(wait=True)
        await task.retry()
        statuses.append(await task.wait())

    async def reader(store: SessionStore) -> None:
        statuses.append((await store.task("s:1")).status)

    for each in (client, reader):
        life = stage.live(each)
        await life.ended.wait()
        stage.die(life)
    stage.world.check(statuses == ["completed"] * 2, "tasks-end", f"seen: {statuses}")
    await stage.settle()


async def cancelled(stage: Stage) -> None:
    """A commit is cancelled at any moment, and nobody comes after it: what was claimed is extracted all the same."""
    scope = stage.world.scope()

    async def client(store: SessionStore) -> None:
        await stage.create(store)
        await stage.add(store, "m1")
        await scope.run(partial(stage.commit, store))

    stage.live(client)
    await stage.at_any_moment("cancel", scope.cancel)
    await stage.world.quiet(within_s=1e6)
    if stage.disk.names(f"{HOME}/archives"):
        stage.judge()


async def dead_beside_living(stage: Stage) -> None:
    """One of two stores dies at any moment of its commit; the other one sees to what it claimed."""

    async def nothing(store: SessionStore) -> None: ...

    with stage.world.serially():
        life = stage.live(_all(stage, "m1", commit=False))
        await life.ended.wait()
    stage.live(nothing, takeover_s=10.0)
    await stage.world.quiet()
    dying = stage.live(stage.commit)
    await stage.at_any_moment("crash", partial(stage.die, dying))
    await stage.world.quiet(within_s=15.0)
    if stage.disk.names(f"{HOME}/archives"):
        stage.judge()


DRILLS: dict[str, Drill] = {
    "power-loss": _power("lose-unsynced"),
    "power-loss-keep-all": _power("keep-all"),
    "power-loss-torn": _power("torn"),
    "dead-then-power": dead_then_power,
    "dead-then-asked": dead_then_asked,
    "dead-then-told": dead_then_told,
    "torn-then-power": torn_then_power,
    "failing-fsync": failing_fsync,
    "two-stores": two_stores,
    "deadly-extractor": deadly_extractor,
    "retried": retried,
    "cancelled": cancelled,
    "dead-beside-living": dead_beside_living,
}


def subject(drill: str, implementation: type[Reference]) -> Callable[[rw.World], Awaitable[None]]:
    """The drill on an implementation, as a subject."""

    async def subject(world: rw.World) -> None:
        await DRILLS[drill](Stage(world, implementation))

    return subject
