"""One implementation in one scenario: the subject that experiments explore."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

from racewindow.disk import GRANULARITIES, Disk, Granularity, Unsynced, answer, send
from racewindow.errors import RacewindowError, Unsupported, UsageError
from racewindow.kernel.engine import Event, Scope
from racewindow.kernel.footprint import READ, WRITE
from racewindow.kernel.run import Limits, TimeMode
from racewindow.kernel.task import Process, Task
from racewindow.kernel.world import World
from racewindow.sessions._unreliable_disk import UnreliableDisk
from racewindow.sessions.goals import reached
from racewindow.sessions.history import Call, History, Observation, Outcome
from racewindow.sessions.implementation import (
    HISTORY,
    Environment,
    Handle,
    ReadableHandle,
    Refused,
    RetryingHandle,
    SessionStore,
    Ticket,
)
from racewindow.sessions.invariants import judge
from racewindow.sessions.scenario import FAULTS, ON_A_STORE, TOPOLOGIES, Client, Operation, Scenario, Topology
from racewindow.sessions.stories import story

CHANCE = "any"  # the policy under which the schedule decides what survives a loss of power
CLOCK_S = 3600.0  # by which the wall clock is set
QUIET_S = 3600.0  # virtual seconds after which a store that still waits for a timer is taken as it is


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """An implementation, a scenario, and the granularity: all that a verdict depends on besides the schedule.

    Attributes:
        implementation: a :class:`SessionStore` class.
        scenario: the workload.
        topology: which clients share a handle or a store.
        disk: ``suspending`` or ``atomic``.
        time: ``idle`` or ``adversarial``.
        max_steps: of one schedule.

    Raises:
        UsageError: for a topology, granularity or time mode that does not exist.
    """

    implementation: type[SessionStore]
    scenario: Scenario
    topology: Topology = "same-store"
    disk: Granularity = "suspending"
    time: TimeMode = "idle"
    max_steps: int = 2_000

    def __post_init__(self) -> None:
        for value, known, what in (
            (self.topology, TOPOLOGIES, "topology"),
            (self.disk, GRANULARITIES, "disk granularity"),
            (self.time, ("idle", "adversarial"), "time mode"),
        ):
            if value not in known:
                raise UsageError(f"unknown {what} {value!r}: use one of {', '.join(known)}")

    @property
    def name(self) -> str:
        """Implementation, scenario, topology and granularity, as tokens carry them."""
        parts = [self.implementation.name, self.scenario.name, self.topology, self.disk]
        return "/".join(parts if self.time == "idle" else [*parts, self.time])

    @property
    def checksum(self) -> str:
        """Eight hex digits over the scenario's text and the granularity."""
        text = "|".join((self.scenario.text, self.topology, self.disk, self.time))
        return f"{zlib.crc32(text.encode()):08x}"

    @property
    def limits(self) -> Limits:
        """What one schedule may use up."""
        return Limits(max_steps=self.max_steps, time=self.time)

    @property
    def not_applicable(self) -> str:
        """Why the scenario says nothing about this implementation; empty when it does."""
        if self.topology not in self.scenario.topologies:
            return f"the story is about {' or '.join(self.scenario.topologies)}"
        return self.implementation.capabilities.lacks(self.scenario.kinds)

    def subject(self, on_step: Callable[[Environment], None] | None = None) -> Callable[[World], Any]:
        """The async function to explore; it returns the :class:`History` of its schedule.

        Args:
            on_step: called when the schedule is set up, with its environment (for timelines that look at the storage).
        """
        return partial(self._play, on_step)

    async def _play(self, on_step: Callable[[Environment], None] | None, world: World) -> History:
        world.memory_declared()  # of stores it is watched, or counts as touched by each of their steps
        disk_type = UnreliableDisk if "storage" in self.scenario.kinds else Disk
        disk = disk_type(world, self.disk, hide="sessions/s/")
        env = Environment(world, disk)
        if isinstance(disk, UnreliableDisk):
            disk.strikes = env.strikes
        if on_step is not None:
            on_step(env)
        play = _Play(self, env)
        with world.serially():
            await play.set_up()
        play.begin()
        await world.quiet(within_s=QUIET_S)
        await play.finish()
        for violation in judge(env.history, self.implementation.capabilities):
            world.violate(violation)
        return env.history

    def observe(self, env: Environment) -> Observation:
        """What is in storage now, as the implementation's observer reads it.

        Raises:
            Unsupported: the observer itself failed. It is no part of the store under test, so that is no violation.
        """
        try:
            with env.world.aside():
                return self.implementation.observe(env)
        except Exception as error:
            raise Unsupported(
                f"{self.implementation.name} could not say what is in its storage: {type(error).__name__}: {error}. "
                "Its observe(cls, env) has to cope with whatever a schedule leaves there"
            ) from error

    def reached(self, history: History) -> set[str]:
        """The goals of the scenario that this history reached."""
        return set(reached(history, self.scenario.goals))

    @classmethod
    def named(cls, name: str, resolve: Callable[[str], type[SessionStore]]) -> Case:
        """The case with this name, as a token carries it.

        Args:
            name: ``implementation/scenario/topology/disk``, perhaps with ``/adversarial``.
            resolve: finds an implementation by its name.

        Raises:
            UsageError: it is not the name of a case, or names something unknown.
        """
        parts = name.rsplit("/", 4)
        time: TimeMode = "idle"
        if parts[-1] == "adversarial":
            time = "adversarial"
            parts.pop()
        else:
            parts = name.rsplit("/", 3)
        if len(parts) != 4:
            raise UsageError(
                f"the token belongs to the subject {name!r}, which is no session case; replay it with racewindow.replay(subject, token)"
            )
        where, what, topology, disk = parts
        return cls(
            implementation=resolve(where),
            scenario=story(what),
            topology=topology,  # type: ignore[arg-type]
            disk=disk,  # type: ignore[arg-type]
            time=time,
        )

    def __repr__(self) -> str:
        return f"<Case {self.name}>"


@dataclass(slots=True, kw_only=True)
class _Running:
    """One store process."""

    number: int
    process: Process
    store: SessionStore
    ready: Event
    clients: list[_Actor] = field(default_factory=list)
    handle: Handle | None = None  # the shared one, in topology same-handle
    loaded: Event | None = None  # set when it is there; None while nobody loads it


@dataclass(slots=True, kw_only=True)
class _Actor:
    """One client: where it is in its list of operations. It outlives the store that serves it."""

    client: Client
    store: _Running | None
    ended: Event
    next: int = 0
    handle: Handle | None = None
    call: Call | None = None
    scope: Scope | None = None
    ticket: Ticket | None = None
    asks_for: str = ""  # the id of the last commit's task, which it still knows when its store has died
    task: Task | None = None


class _Play:
    """One schedule of a case."""

    def __init__(self, case: Case, env: Environment) -> None:
        self.case = case
        self.env = env
        self.world = env.world
        self.history = env.history
        self.actors: dict[str, _Actor] = {}
        self.stores: list[_Running] = []
        self.tickets: dict[str, tuple[_Running, Ticket]] = {}
        self.cancellable = any(op.kind == "cancel" for client in case.scenario.clients for op in client.operations)

    # -- before and after ----------------------------------------------------------------------------------------------

    async def set_up(self) -> None:
        """Open the stores and load the handles, one after the other: the race begins afterwards."""
        shared: _Running | None = None
        for client in self.case.scenario.clients:
            actor = _Actor(client=client, store=None, ended=self.world.event())
            self.actors[client.name] = actor
            if not any(operation.kind in ON_A_STORE for operation in client.operations):
                continue  # a bystander, who only makes faults happen
            if shared is None or self.case.topology == "separate-stores":
                shared = self._open()
                await shared.ready.wait()
                await self.world.quiet()
            actor.store = shared
            shared.clients.append(actor)
            await self._load(actor, shared)
        await self.world.quiet()

    def begin(self) -> None:
        """Start the clients, each advanced to its first operation."""
        for name, actor in self.actors.items():
            process = actor.store.process if actor.store else None
            actor.task = self.world.start(partial(self._client, actor), name=name, process=process, advance=True)

    async def finish(self) -> None:
        """Nothing moves any more: take a last look, as a new client would."""
        self.history.unfinished = tuple(name for name, actor in self.actors.items() if not actor.ended.is_set())
        for ticket, (running, _) in self.tickets.items():
            if not running.process.crashed:
                status = await self.tickets[ticket][1].status()
                self.history.see(ticket, status, self.world.step)
        self._observe("quiescence")

    def _observe(self, when: Any) -> None:
        self.history.observe(self.world.step, when, self.case.observe(self.env))

    # -- stores --------------------------------------------------------------------------------------------------------

    def _open(self) -> _Running:
        number = len(self.stores) + 1
        running = _Running(
            number=number,
            process=self.world.process(
                f"store{number}", memory=() if self.case.implementation.watched else (f"memory:store{number}",)
            ),
            store=self.case.implementation(self.env),
            ready=self.world.event(),
        )
        self.stores.append(running)
        self.env.processes.append(running.process)
        self.world.start(partial(self._keep, running), name=f"store{number}", process=running.process, operation="open")
        return running

    async def _keep(self, running: _Running) -> None:
        forever = self.world.event()
        async with running.store.running():
            running.ready.set()
            await self.world.wait(forever, "idle")

    async def _load(self, actor: _Actor, running: _Running) -> None:
        if self.case.topology == "same-handle":
            self.world.use(f"handle:{running.number}", WRITE)
            if running.loaded is None:
                running.loaded = self.world.event()
                running.handle = await running.store.load()
                running.loaded.set()
            else:
                await self.world.wait(running.loaded, "load")
            actor.handle = running.handle
        else:
            actor.handle = await running.store.load()

    # -- clients -------------------------------------------------------------------------------------------------------

    async def _client(self, actor: _Actor) -> None:
        running = actor.store
        if running is not None and actor.handle is None:  # its store died, and it comes back to the next one
            await self.world.wait(running.ready, "reconnect")
            await self._load(actor, running)
        operations = actor.client.operations
        while actor.next < len(operations):
            operation = operations[actor.next]
            if operation.kind == "after":
                await self.world.wait(self.actors[operation.argument].ended, f"after {operation.argument}")
            else:
                await self._operate(actor, operation)
            actor.next += 1
        self.world.touch(f"client:{actor.client.name}", write=True)
        actor.ended.set()

    async def _operate(self, actor: _Actor, operation: Operation) -> None:
        world, history = self.world, self.history
        number = actor.store.number if actor.store else 0
        process = world.task.process  # not to be asked for later: the dead are taken apart while another task runs
        world.use(HISTORY, READ)
        actor.call = call = history.invoke(actor.client.name, actor.next, operation, world.step, store=number)
        await world.point(str(operation), reads=(), writes=())
        world.task.operation = operation.kind
        try:
            if operation.kind in FAULTS:
                if (over := self._fault(actor, operation)) is not None:
                    await world.wait(over, "over")
                history.answer(call, world.step, "ok")
            elif not self.cancellable:
                await self._do(actor, operation, call)
            else:
                actor.scope = world.scope()
                finished = await actor.scope.run(partial(self._do, actor, operation, call))
                if not finished and call.returned is None:
                    history.answer(call, world.step, "cancelled")
        except Refused as refusal:
            history.answer(call, world.step, "busy" if refusal.busy else "refused", error=str(refusal))
            world.note(f"{operation} {call.outcome}")
        except (RacewindowError, AssertionError):
            raise  # our mistake, not the store's
        except Exception as error:
            if process.crashed:
                raise  # the dead answer nothing: trio's lock raises where one dead task leaves it to another
            history.answer(call, world.step, "error", error=f"{type(error).__name__}: {error}")
            world.note(f"{operation} failed: {type(error).__name__}")
        finally:
            if not process.crashed:
                world.task.operation = ""
                actor.call = actor.scope = None
                world.use(HISTORY, WRITE)

    async def _do(self, actor: _Actor, operation: Operation, call: Call) -> None:
        handle, world, history = actor.handle, self.world, self.history
        assert handle is not None, "a client with operations on the store has a handle"
        assert actor.store is not None
        if operation.kind in ("add", "retry"):
            if operation.argument in self.case.scenario.retried:
                await cast(RetryingHandle, handle).add_once(operation.argument)
            else:
                await handle.add(operation.argument)
            history.answer(call, world.step, "ok", messages=(operation.argument,))
            world.note(f"{operation.argument} acknowledged")
        elif operation.kind in ("reload", "context"):
            read = handle.reload if operation.kind == "reload" else cast(ReadableHandle, handle).context
            seen = tuple(await read())
            history.answer(call, world.step, "ok", messages=seen)
            world.note(f"sees {' '.join(seen) or 'nothing'}")
        elif operation.kind == "commit":
            ticket = await handle.commit(wait=operation.wait)
            if ticket is None:
                history.answer(call, world.step, "skipped")
                world.note("skipped")
                return
            actor.ticket, actor.asks_for = ticket, ticket.id
            self.tickets[ticket.id] = (actor.store, ticket)
            history.answer(call, world.step, "ok", messages=ticket.messages, task=ticket.id)
            world.note("committed" if operation.wait else "accepted")
        elif operation.kind == "wait":
            status = "completed"
            if actor.ticket is not None:
                status = await actor.ticket.wait()
                history.see(actor.ticket.id, status, world.step, actor.client.name)
                world.note(f"{status} seen")
            history.answer(call, world.step, "ok" if actor.ticket is not None else "skipped")
        elif operation.kind == "ask":
            known = await actor.store.store.task(actor.asks_for) if actor.asks_for else None
            if known is None:
                history.answer(call, world.step, "skipped")
                world.note("unknown")
                return
            self.tickets[known.id] = (actor.store, known)
            history.see(known.id, await known.status(), world.step, actor.client.name)
            status = await known.wait()
            history.see(known.id, status, world.step, actor.client.name)
            history.answer(call, world.step, "ok")
            world.note(f"{status} seen")

    # -- faults --------------------------------------------------------------------------------------------------------

    def _fault(self, actor: _Actor, operation: Operation) -> Event | None:
        """Make it happen; gives what ``actor`` has to wait for before it goes on, if anything."""
        target = self.actors.get(operation.argument, actor)
        self.world.touch_anything()  # what the others are at decides what it does
        if operation.kind in ("extractor", "storage", "queue"):
            self.env.arm(str(operation))
            return None
        if operation.kind == "clock":
            self.env.set_clock(CLOCK_S if operation.argument == "ahead" else -CLOCK_S)
            self.history.fault(str(operation), self.world.step)
            return None
        if operation.kind == "cancel":
            if target.scope is not None:
                self.history.fault("cancel", self.world.step, operation.argument)
                self.world.note(
                    f"cancels {target.call.operation if target.call else 'nothing'} of {target.client.name}"
                )
                target.scope.cancel()
            return None
        over = self.world.event()
        # Started apart, for a client may crash the store that it runs in itself.
        self.world.start(
            partial(self._crash, target, operation, over),
            name=operation.kind,
            process=self.world.process("fault"),
            operation="",
            advance=True,
        )
        if actor.store is not None and (operation.kind == "power-loss" or target.store is actor.store):
            return self.world.event()  # this very task dies, and must not get to the next operation first
        return over if operation.argument == CHANCE else None

    async def _crash(self, target: _Actor, operation: Operation, over: Event) -> None:
        world, history = self.world, self.history
        powerless = operation.kind == "power-loss"
        dying = [
            running for running in self.stores if not running.process.crashed and (powerless or running is target.store)
        ]
        if not dying:
            return
        history.fault(operation.kind, world.step, "" if powerless else target.client.name)
        world.note(f"{operation.kind} of {' and '.join(running.process.name for running in dying)}")
        for running in dying:
            world.crash(running.process)
        if isinstance(self.env.disk, UnreliableDisk):
            self.env.disk.lose_forgotten()
        if powerless:
            await self._settle(operation.argument)
        self._observe("after-crash")
        over.set()
        for running in dying:
            successor = self._open()
            for client in running.clients:
                self._come_back(client, successor)

    async def _settle(self, policy: str) -> None:
        """The power is gone: what was not synced survives or not, as the policy says, or as the schedule has it."""
        settling = self.env.disk.losing_power()
        unsynced = next(settling, None)
        while unsynced is not None:
            fate = await self._left_to_chance(unsynced) if policy == CHANCE else answer(policy)(unsynced)
            unsynced = send(settling, fate)

    async def _left_to_chance(self, unsynced: Unsynced) -> int:
        """One task for each fate; the first one that is chosen has it, and the others are no more."""
        world = self.world
        decided, fates = world.event(), world.process("fates")
        chosen: list[int] = []

        async def befall(fate: int) -> None:
            world.note(f"{unsynced.what} {unsynced.fates[fate]}")
            chosen.append(fate)
            decided.set()

        for index, fate in enumerate(unsynced.fates):
            world.start(partial(befall, index), name=f"disk/{fate.partition(' ')[0]}", process=fates, operation="")
        await world.wait(decided, "fate")
        world.crash(fates)
        return chosen[0]

    def _come_back(self, actor: _Actor, running: _Running) -> None:
        """The client outlives its store: the operation under way is lost, the next ones go to the successor."""
        actor.store = running
        running.clients.append(actor)
        actor.handle = actor.ticket = actor.scope = None
        if actor.ended.is_set():
            return
        if actor.call is not None:
            if actor.call.returned is None:
                outcome: Outcome = "ok" if actor.call.operation.kind in ("crash", "power-loss") else "lost"
                self.history.answer(actor.call, self.world.step, outcome)
            actor.next += 1
            actor.call = None
        actor.task = self.world.start(
            partial(self._client, actor), name=actor.client.name, process=running.process, operation=""
        )
