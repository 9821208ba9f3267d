"""Random small programs of threads: reduced and unreduced search come to the same ends, and every schedule replays."""

from __future__ import annotations

import queue
import random
import threading
import time
from functools import partial
from typing import Any

import pytest

import racewindow as rw
from racewindow.kernel import Run, token_of

Op = tuple[Any, ...]
Program = list[list[Op]]
IDLE = rw.Limits(max_steps=200)
ADVERSARIAL = rw.Limits(max_steps=200, time="adversarial", timers_max=1)
PLAIN = ("get", "set", "is-set", "event-set", "event-wait", "put", "take", "notify", "alive")
KINDS = (*PLAIN, "lock", "semaphore", "try", "timed", "wait", "sleep")


class Shared:
    """What the threads of a program share: everything here is a cell or a primitive, so all of it is seen."""

    def __init__(self, world: rw.World, count: int) -> None:
        self.cells = [world.cell(0, name=f"c{number}") for number in range(2)]
        self.locks = [threading.Lock(), threading.RLock()]
        self.semaphore = threading.Semaphore(1)
        self.condition = threading.Condition()
        self.event = threading.Event()
        self.queue: queue.Queue[int] = queue.Queue()
        self.threads: list[threading.Thread] = []
        self.logs: list[list[Any]] = [[] for _ in range(count)]

    def perform(self, who: int, ops: list[Op]) -> None:
        for kind, *arguments in ops:
            self.log(who, kind, self.do(who, kind, *arguments))

    def log(self, who: int, kind: str, seen: Any) -> None:
        if seen is not None:
            self.logs[who].append((kind, seen))

    def do(self, who: int, kind: str, *arguments: Any) -> Any:
        """One operation, and what the thread learns by it."""
        match kind, *arguments:
            case "get", number:
                return self.cells[number].get()
            case "set", number:
                self.cells[number].set(who + 1)
            case "lock", number, inner:
                with self.locks[number]:
                    self.perform(who, inner)
            case "semaphore", inner:
                with self.semaphore:
                    self.perform(who, inner)
            case (("try" | "timed"), number):
                lock = self.locks[number]
                got = lock.acquire(blocking=False) if kind == "try" else lock.acquire(timeout=1.0)
                if got:
                    lock.release()
                return got
            case ("is-set",):
                return self.event.is_set()
            case ("event-set",):
                self.event.set()
            case ("event-wait",):
                self.event.wait()
            case ("put",):
                self.queue.put(who)
            case ("take",):
                return self.queue.get()
            case ("notify",):
                with self.condition:
                    self.condition.notify()
            case "wait", seconds:
                with self.condition:
                    return self.condition.wait(seconds)
            case "sleep", seconds:
                time.sleep(seconds)
            case ("alive",):
                return self.threads[0].is_alive()
        return None


def subject(program: Program, spawn: bool, world: rw.World) -> Any:
    """The program; its threads are started one by one, or all at once."""
    world.memory_declared()
    shared = Shared(world, len(program))
    bodies = [partial(shared.perform, who, ops) for who, ops in enumerate(program)]
    if spawn:
        shared.threads = [threading.Thread(target=body, name=f"t{who}") for who, body in enumerate(bodies)]
        for thread in shared.threads:
            thread.start()
        for thread in shared.threads:
            thread.join()
    else:
        shared.threads = [threading.current_thread()]
        world.together(*bodies)
    return tuple(map(tuple, shared.logs)), tuple(cell.value for cell in shared.cells)


def program_of(draw: random.Random) -> tuple[Program, bool]:
    """Two short threads, or three of one operation each."""

    def op(depth: int) -> Op:
        kind = draw.choice(KINDS if depth == 0 else PLAIN)
        match kind:
            case "get" | "set" | "try" | "timed":
                return kind, draw.randrange(2)
            case "lock":
                return kind, draw.randrange(2), [op(1)]
            case "semaphore":
                return kind, [op(1)]
            case "wait":
                return kind, draw.choice([None, 1.0])
            case "sleep":
                return kind, draw.choice([0, 1.0])
        return (kind,)

    spawn = draw.random() < 0.3
    lengths = draw.choice([(1, 1), (1, 2)]) if spawn else draw.choice([(2, 2), (1, 2), (1, 1, 1)])
    return [[op(0) for _ in range(length)] for length in lengths], spawn


def ends_of(program: Program, spawn: bool, strategy: Any, limits: rw.Limits) -> tuple[bool, set[Any], list[Run]]:
    """Whether every schedule was run, and all that came out."""
    runs: list[Run] = []
    found = rw.explore(
        partial(subject, program, spawn),
        strategy=strategy,
        schedules=3_000,
        host="threads",
        limits=limits,
        stop_at_first=False,
        on_run=runs.append,
    )
    ends = {(run.result, run.verdict, run.violation and (run.violation.kind, run.violation.messages)) for run in runs}
    return found.complete, ends, runs


@pytest.mark.parametrize(
    ("first", "count"), [(0, 12), pytest.param(100, 150, marks=pytest.mark.exhaustive)], ids=["some", "many"]
)
def test_a_reduction_comes_to_the_same_ends(first: int, count: int) -> None:
    """Of every program that can be run in full; and with far fewer schedules."""
    compared, reduced, whole = 0, 0, 0
    for seed in range(first, first + count):
        program, spawn = program_of(random.Random(seed))
        limits = ADVERSARIAL if seed % 3 == 0 else IDLE
        complete, expected, runs = ends_of(program, spawn, rw.Bounded(None), limits)
        if not complete:
            continue
        done, ends, fewer = ends_of(program, spawn, rw.DPOR(), limits)
        assert done
        assert ends == expected, (seed, program)
        compared, reduced, whole = compared + 1, reduced + len(fewer), whole + len(runs)
    assert compared > count / 2
    assert reduced < whole / 2


@pytest.mark.parametrize("seed", range(8))
def test_every_schedule_replays_to_the_identical_trace(seed: int) -> None:
    """Not only failing ones, and in an engine of its own."""
    program, spawn = program_of(random.Random(seed))
    limits = ADVERSARIAL if seed % 2 else IDLE
    runs: list[Run] = []
    named = {"name": "program", "checksum": "0" * 8}
    tried = partial(subject, program, spawn)
    rw.explore(tried, schedules=4, host="threads", limits=limits, stop_at_first=False, on_run=runs.append, **named)  # type: ignore[arg-type]
    for run in runs:
        token = str(token_of(run, subject="program", checksum="0" * 8))
        again = rw.replay(tried, token, host="threads", limits=limits, **named)  # type: ignore[arg-type]
        assert (again.trace, again.violations, again.result) == (run.trace, run.violations, run.result)
