"""Reduced and unreduced search of random small programs come to the same end states, violations and classes.

The classes are counted without the search's help: every schedule is run (``Bounded(None)``), each record is turned into a dependence
graph step by step, pair by pair, and equal graphs are one Mazurkiewicz trace.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
import trio

import racewindow as rw
from racewindow.kernel import Engine, Point, Task
from racewindow.search.strategy import Account, Accountable, Attached, Search, Strategy

Op = tuple[Any, ...]
Program = list[list[Op]]
Subject = Callable[[rw.World], Awaitable[Any]]

IDLE = rw.Limits(max_steps=200)
ADVERSARIAL = rw.Limits(max_steps=200, time="adversarial", timers_max=1)
PLAIN = (
    "read",
    "write",
    "increment",
    "lock",
    "semaphore",
    "limiter",
    "send",
    "receive",
    "statistics",
    "set",
    "wait",
    "is_set",
)
TIMED = ("sleep", "timeout", "now", "cancel", "cancelled", "deadline")
NESTED = ("spawn", "start", "condition", "notify", "fail", "closed", "children")


class Shared:
    """What the tasks of a program share: everything here is a cell or a primitive of trio's."""

    def __init__(self, world: rw.World) -> None:
        self.world = world
        self.cells = [world.cell(0, name=f"c{number}") for number in range(2)]
        self.locks = [trio.Lock(), trio.Lock()]
        self.semaphore = trio.Semaphore(1)
        self.limiter = trio.CapacityLimiter(1)
        self.condition = trio.Condition()
        self.events = [trio.Event(), trio.Event()]
        self.channel = trio.open_memory_channel[int](1)
        self.scopes = [trio.CancelScope(), trio.CancelScope()]
        self.victim = world.process("victim")
        self.logs: dict[str, list[Any]] = {}

    def log(self, what: Any) -> None:
        """A task's own notes: no other task reads them before the end."""
        self.logs.setdefault(self.world.task.name, []).append(what)


async def perform(shared: Shared, nursery: trio.Nursery, ops: list[Op]) -> None:
    """The operations of one task."""
    world, cells = shared.world, shared.cells
    for kind, number in ops:
        cell = cells[number]
        match kind:
            case "read":
                shared.log(await cell.read())
            case "write":
                await cell.write(number + len(ops))
            case "increment":
                await cell.write(await cell.read() + 1)
            case "lock":
                async with shared.locks[number]:
                    cell.value += 1
            case "semaphore":
                async with shared.semaphore:
                    await cell.write(5)
            case "limiter":
                async with shared.limiter:
                    shared.log(cell.value)
            case "condition":
                with trio.move_on_after(1):
                    async with shared.condition:
                        await shared.condition.wait()
                        shared.log("notified")
            case "notify":
                async with shared.condition:
                    shared.condition.notify()
            case "send":
                with trio.move_on_after(3) as scope:
                    await shared.channel[0].send(number)
                shared.log(scope.cancelled_caught)
            case "receive":
                with trio.move_on_after(2):
                    shared.log(await shared.channel[1].receive())
            case "statistics":
                await trio.lowlevel.checkpoint()
                shared.log(shared.channel[0].statistics().tasks_waiting_receive)
                shared.log(shared.events[number].statistics().tasks_waiting)
            case "set":
                await trio.lowlevel.checkpoint()
                shared.events[number].set()
            case "wait":
                with trio.move_on_after(2):
                    await shared.events[number].wait()
                    shared.log("woken")
            case "is_set":
                await trio.lowlevel.checkpoint()
                shared.log(shared.events[number].is_set())
                shared.log(shared.locks[number].locked())
            case "sleep":
                await trio.sleep(1 + number)
            case "timeout":
                with trio.move_on_after(1 + number) as scope:
                    shared.scopes[number] = scope
                    world.touch(f"scope{number}", write=True)
                    await trio.sleep(2)
            case "cancel":
                await trio.lowlevel.checkpoint()
                world.touch(f"scope{number}")
                shared.scopes[number].cancel()
            case "deadline":
                await trio.lowlevel.checkpoint()
                world.touch(f"scope{number}")
                shared.scopes[number].deadline = trio.current_time() + 1
            case "cancelled":
                await trio.lowlevel.checkpoint()
                world.touch(f"scope{number}")
                shared.log(shared.scopes[number].cancel_called)
                shared.log(shared.scopes[number].cancelled_caught)
            case "now":
                await trio.lowlevel.checkpoint()
                shared.log(trio.current_time())
            case "spawn":
                nursery.start_soon(perform, shared, nursery, [("increment", number)], name="child")
            case "nursery":
                async with trio.open_nursery() as inner:
                    inner.start_soon(perform, shared, inner, [("write", number)], name="inner")
                    await shared.cells[1 - number].read()
            case "victim" if not shared.victim.crashed:
                world.start(
                    partial(perform, shared, nursery, [("write", 0), ("write", 1)]),
                    name="victim",
                    process=shared.victim,
                )
            case "crash":
                await trio.lowlevel.checkpoint()
                world.crash(shared.victim)
            case "start":
                world.start(partial(perform, shared, nursery, [("write", number)]), name="background")
            case "children":
                await trio.lowlevel.checkpoint()
                shared.log(len(nursery.child_tasks))
            case "closed":
                shared.channel[1].close()
            case "fail":
                value = await cell.read()
                world.check(value != 5, "five")


def subject_of(program: Program) -> Subject:
    async def subject(world: rw.World) -> Any:
        world.memory_declared()
        shared = Shared(world)
        async with trio.open_nursery() as nursery:
            for number, ops in enumerate(program):
                nursery.start_soon(perform, shared, nursery, ops, name=f"t{number}")
        return [cell.value for cell in shared.cells], sorted(shared.logs.items())

    return subject


def random_program(rng: random.Random) -> Program:
    kinds = [*PLAIN]
    if rng.random() < 0.5:
        kinds += TIMED * 2
    if rng.random() < 0.4:
        kinds += NESTED * 2
    tasks = rng.choice((2, 2, 3))
    most = 3 if tasks == 2 else 2
    return [[(rng.choice(kinds), rng.randrange(2)) for _ in range(rng.randint(1, most))] for _ in range(tasks)]


def outcome(run: rw.Run) -> str:
    """Everything that a schedule came to, without what depends on the order of independent steps."""
    kinds = sorted(
        (violation.kind, violation.messages if violation.kind == "deadlock" else ()) for violation in run.violations
    )
    return repr((run.verdict, kinds, run.result))


# -- every schedule of a search, and what it touched --------------------------------------------------------------------


@dataclass
class Enumerated:
    """What a search found."""

    complete: bool = False
    schedules: int = 0
    blocked: int = 0
    classes: int | None = None
    preemptions: int = 0
    outcomes: set[str] = field(default_factory=set)
    traces: set[frozenset[Any]] = field(default_factory=set)


class WatchingSearch:
    """Another search at work, while the host records what steps use."""

    every_step = True

    def __init__(self, search: Search) -> None:
        self._search = search
        self.begin, self.end = search.begin, search.end

    def attach(self, engine: Engine) -> None:
        engine.observe()
        self.engine = engine
        if isinstance(self._search, Attached):
            self._search.attach(engine)

    def choose(self, enabled: list[Task], current: int) -> int:
        if not self.engine.points:
            self.starts: list[int] = []
        self.starts.append(len(self.engine.points))
        return self._search.choose(enabled, current)

    def account(self) -> Account:
        return self._search.account() if isinstance(self._search, Accountable) else Account(sampled_from=None)


class Watching:
    """A strategy whose schedules are watched."""

    def __init__(self, strategy: Strategy) -> None:
        self._strategy = strategy
        self.name, self.exhaustive, self.bound = strategy.name, strategy.exhaustive, strategy.bound

    def search(self, seed: int) -> WatchingSearch:
        self.at_work = WatchingSearch(self._strategy.search(seed))
        return self.at_work


def enumerate_all(subject: Subject, limits: rw.Limits, most: int | None, strategy: Strategy) -> Enumerated:
    """Run the schedules of a strategy, ``most`` of them at most, and turn each into its trace."""
    watching = Watching(strategy)
    result = Enumerated()

    def record(run: rw.Run) -> None:
        result.outcomes.add(outcome(run))
        result.preemptions = max(result.preemptions, run.preemptions)
        search = watching.at_work
        result.traces.add(mazurkiewicz(run, search.starts, search.engine.rests))

    found = rw.explore(subject, strategy=watching, schedules=most, limits=limits, on_run=record)
    result.complete, result.schedules = found.complete, found.schedules
    result.blocked, result.classes = found.blocked, found.classes
    return result


def mazurkiewicz(run: rw.Run, starts: list[int], rests: list[int]) -> frozenset[Any]:
    """The trace of a schedule: its events, and for each two that depend on each other which one came first."""
    events: list[tuple[tuple[str, int], list[Point], int]] = []
    for start, stop in pairwise([*starts, len(run.points)]):
        points = list(run.points[start:stop])
        assert points[0].task is not None
        name = points[0].task.name
        events.append(((name, sum(event[0][0] == name for event in events)), points, start))
    facts: set[Any] = {(name, points[0].label) for name, points, _ in events}
    for at, (later, stretch, start) in enumerate(events):
        for earlier, before, began in events[:at]:
            last = at == len(events) - 1 and run.reason == "ended"
            rested = any(began < rest <= start for rest in rests)
            if last or rested or earlier[0] == later[0] or clash(before, stretch):
                facts.add((earlier, later))
    return frozenset(facts)


def clash(earlier: list[Point], later: list[Point]) -> bool:
    """Whether two stretches of steps depend on each other, by the definition: no table, no short cut."""
    first, second = touches(earlier), touches(later)
    if first is None or second is None:
        return True
    for resource, how in first:
        for other, also in second:
            harmless = (how, also) in ((1, 1), (2, 2))  # reads, and contributions to one count
            if resource == other and not harmless:
                return True
    return False


def touches(points: list[Point]) -> set[tuple[str, int]] | None:
    found: set[tuple[str, int]] = set()
    for number, point in enumerate(points):
        if point.label == "pass" and number:
            continue  # time that passes because nothing can run
        seen = point.look()
        if seen.anything or (point.reads is None and not point.observed):
            return None
        found |= {(name, 1) for name in point.reads or ()} | {(name, 4) for name in point.writes or ()}
        found |= {(name, 4 if write else 1) for name, write in seen.touched} | set(seen.uses)
    return found


def check(seed: int, limits: rw.Limits, most: int) -> bool:
    """Compare the two searches; False when the program has more than ``most`` schedules."""
    program = random_program(random.Random(seed))
    subject = subject_of(program)
    whole = enumerate_all(subject, limits, most, rw.Bounded(None))
    if not whole.complete:
        return False
    some: set[str] = set()
    reduced = rw.explore(
        subject, strategy=rw.DPOR(), schedules=None, limits=limits, on_run=lambda run: some.add(outcome(run))
    )
    assert reduced.complete
    assert some == whole.outcomes, program
    assert reduced.classes == len(whole.traces) == reduced.schedules, program
    if reduced.interleavings is not None:
        assert reduced.interleavings == whole.schedules, program
    merged: set[str] = set()
    states = rw.explore(
        subject, strategy=rw.States(), schedules=None, limits=limits, on_run=lambda run: merged.add(outcome(run))
    )
    assert states.complete
    assert merged == whole.outcomes, program
    assert states.schedules <= whole.schedules, program
    return True


class TestRandomPrograms:
    def test_reduction_changes_no_outcome_of_forty_programs(self) -> None:
        """And it runs one schedule per trace, no more and no fewer."""
        checked = seed = 0
        while checked < 40:
            checked += check(seed, (IDLE, ADVERSARIAL)[seed % 2], 80)
            seed += 1

    @pytest.mark.exhaustive
    @pytest.mark.parametrize("limits", [IDLE, ADVERSARIAL], ids=["idle", "adversarial"])
    @pytest.mark.parametrize("first", range(1000, 1700, 50))
    def test_reduction_changes_no_outcome_of_hundreds_of_programs(self, first: int, limits: rw.Limits) -> None:
        """Fifty seeds each; in all more than five hundred programs in both modes of time."""
        checked = sum(check(seed, limits, 3000) for seed in range(first, first + 50))
        assert checked >= 35
