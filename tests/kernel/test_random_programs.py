"""Random small programs: a token does again what its schedule did, and a model that knows no kernel agrees."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
import trio
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import racewindow as rw
from racewindow.kernel import Run, token_of

Op = tuple[Any, ...]
Program = tuple[tuple[Op, ...], ...]

SETTINGS = settings(max_examples=120, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))

simple_ops: st.SearchStrategy[Op] = st.one_of(
    st.tuples(st.just("point"), st.sampled_from("xyz")),
    st.tuples(st.sampled_from(["with-lock", "set", "wait"]), st.integers(0, 1)),
    st.tuples(st.just("sleep"), st.integers(1, 3)),
)
model_programs = st.lists(st.lists(simple_ops, min_size=1, max_size=3).map(tuple), min_size=2, max_size=3).map(tuple)


# -- an interpreter: programs as trio code -----------------------------------------------------------------------------


@dataclass
class Shared:
    """What the tasks of one schedule share."""

    world: rw.World
    locks: list[trio.Lock] = field(default_factory=lambda: [trio.Lock(), trio.Lock()])
    events: list[trio.Event] = field(default_factory=lambda: [trio.Event(), trio.Event()])
    scopes: list[trio.CancelScope] = field(default_factory=list)
    shield: bool = False
    sum: int = 0


async def perform(shared: Shared, ops: tuple[Op, ...]) -> None:
    """Run the operations of one task."""
    world = shared.world
    for op in ops:
        match op:
            case ("point", label):
                await world.point(label)
            case ("with-lock", number, *inner):
                async with shared.locks[number]:
                    await perform(shared, tuple(inner))
            case ("set", number):
                shared.events[number].set()
            case ("wait", number):
                await shared.events[number].wait()
            case ("sleep", seconds):
                await trio.sleep(seconds)
            case ("spawn", *inner):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(perform, shared, tuple(inner))
                    await world.point("spawned")
            case ("start", *inner):
                world.start(partial(perform, shared, tuple(inner)), name="started", advance=bool(len(inner) % 2))
            case ("together", *inner):
                await world.together(*(partial(perform, shared, (one,)) for one in inner))
            case ("scope", seconds, shield, *inner):
                with trio.move_on_after(seconds) as scope:
                    shared.scopes.append(scope)
                    try:
                        await perform(shared, tuple(inner))
                    finally:
                        with trio.CancelScope(shield=shield):
                            await world.point("cleanup")
            case ("cancel",):
                if shared.scopes:
                    shared.scopes[-1].cancel()
            case ("add", value):
                before = shared.sum
                await world.point("add")
                shared.sum = before + value
            case ("quiet",):
                await world.quiet()
            case ("thread",):
                await trio.to_thread.run_sync(int)


def subject_of(program: Program) -> Callable[[rw.World], Awaitable[None]]:
    """The program as a subject."""

    async def subject(world: rw.World) -> None:
        shared = Shared(world)
        await world.together(*(partial(perform, shared, ops) for ops in program))
        expected = sum(op[1] for ops in program for op in ops if op[0] == "add")
        world.check(shared.sum == expected, "lost-update")

    return subject


def runs_of(subject: Callable[[rw.World], Awaitable[None]], **options: Any) -> list[Run]:
    """Explore the subject and keep every record."""
    runs: list[Run] = []
    rw.explore(subject, name="program", checksum="00000000", on_run=runs.append, **options)
    return runs


# -- a model that knows no kernel --------------------------------------------------------------------------------------


@dataclass
class Model:
    """The same programs as a state machine, after trio's documentation; plain recursion enumerates the schedules."""

    program: Program
    preemptions_max: int | None

    def __post_init__(self) -> None:
        self.traces: list[tuple[str, ...]] = []
        count = len(self.program)
        ops = [tuple(_flat(task)) for task in self.program]
        state = State(ops, [0] * count, ["start"] * count, [True] * count)
        for task in range(count):
            state.step(task)
        self._explore(state, -1, 0, ())

    def _explore(self, state: State, last: int, spent: int, trace: tuple[str, ...]) -> None:
        while not any(state.enabled) and state.time_passes():
            last = -1
        if not any(state.enabled):
            self.traces.append(trace)
            return
        for task, enabled in enumerate(state.enabled):
            preempts = last >= 0 and last != task
            if enabled and not (preempts and self.preemptions_max is not None and spent >= self.preemptions_max):
                after = state.copy()
                label = after.labels[task]
                after.step(task)
                still = task if after.enabled[task] else -1
                self._explore(after, still, spent + preempts, (*trace, f"{task}:{label}"))


@dataclass
class State:
    """Where the tasks of a model stand."""

    ops: list[tuple[Op, ...]]
    pc: list[int]
    labels: list[str]
    enabled: list[bool]
    owners: list[int] = field(default_factory=lambda: [-1, -1])
    queues: list[list[int]] = field(default_factory=lambda: [[], []])
    flags: list[bool] = field(default_factory=lambda: [False, False])
    sleepers: dict[int, int] = field(default_factory=dict)
    waiters: list[list[int]] = field(default_factory=lambda: [[], []])
    now: int = 0

    def copy(self) -> State:
        """A state that can go its own way."""
        return State(
            self.ops,
            list(self.pc),
            list(self.labels),
            list(self.enabled),
            list(self.owners),
            [list(queue) for queue in self.queues],
            list(self.flags),
            dict(self.sleepers),
            [list(queue) for queue in self.waiters],
            self.now,
        )

    def step(self, task: int) -> None:
        """Run one task until it gives up control."""
        while self.pc[task] < len(self.ops[task]):
            kind, value = self.ops[task][self.pc[task]]
            self.pc[task] += 1
            match kind:
                case "point":
                    self.labels[task] = value
                    return
                case "lock":
                    self.labels[task] = "Lock.acquire"
                    if self.owners[value] >= 0:
                        self.queues[value].append(task)
                        self.enabled[task] = False
                    else:
                        self.owners[value] = task
                    return
                case "unlock":
                    self.owners[value] = self.queues[value].pop(0) if self.queues[value] else -1
                    if self.owners[value] >= 0:
                        self.enabled[self.owners[value]] = True
                case "set":
                    self.flags[value] = True
                    for waiter in self.waiters[value]:
                        self.enabled[waiter] = True
                    self.waiters[value] = []
                case "wait":
                    self.labels[task] = "Event.wait"
                    if not self.flags[value]:
                        self.waiters[value].append(task)
                        self.enabled[task] = False
                    return
                case "sleep":
                    self.labels[task] = "sleep"
                    self.sleepers[task] = self.now + value
                    self.enabled[task] = False
                    return
        self.enabled[task] = False

    def time_passes(self) -> bool:
        """Wake who sleeps least; False: nobody sleeps."""
        if not self.sleepers:
            return False
        self.now = min(self.sleepers.values())
        for task in [task for task, due in self.sleepers.items() if due == self.now]:
            del self.sleepers[task]
            self.enabled[task] = True
        return True


def _flat(ops: tuple[Op, ...]) -> list[Op]:
    flat: list[Op] = []
    for op in ops:
        flat += [("lock", op[1]), ("point", "in"), ("unlock", op[1])] if op[0] == "with-lock" else [op]
    return flat


def seen(run: Run, count: int) -> tuple[str, ...]:
    """The steps of the program's own tasks, after each came to its first point."""
    names = ["perform" if number == 0 else f"perform.{number + 1}" for number in range(count)]
    steps = [f"{names.index(step.task)}:{step.label}" for step in run.trace if step.task in names]
    return tuple(steps[count:])


class TestAgainstAModel:
    @pytest.mark.parametrize("preemptions", [0, 1, 2])
    @SETTINGS
    @given(program=model_programs)
    @example(program=((("sleep", 1), ("point", "x")), (("sleep", 1), ("point", "y"))))
    @example(program=((("wait", 0), ("point", "x")), (("point", "y"), ("set", 0), ("point", "z"))))
    def test_a_bounded_search_runs_exactly_the_schedules_of_the_model(self, program: Program, preemptions: int) -> None:
        """Locks, events and sleeps: the same traces, each once, at every preemption bound."""
        inner = tuple(tuple((*op, ("point", "in")) if op[0] == "with-lock" else op for op in ops) for ops in program)
        expected = Model(program, preemptions).traces
        runs = runs_of(subject_of(inner), strategy=rw.Bounded(preemptions), schedules=None)
        assert sorted(seen(run, len(program)) for run in runs) == sorted(expected)
        assert max(run.preemptions for run in runs) <= preemptions

    @settings(SETTINGS, max_examples=60)
    @given(program=st.lists(st.lists(simple_ops, min_size=1, max_size=2).map(tuple), min_size=2, max_size=3).map(tuple))
    def test_an_unbounded_search_runs_exactly_the_schedules_of_the_model(self, program: Program) -> None:
        """The same without a bound, on smaller programs."""
        inner = tuple(tuple((*op, ("point", "in")) if op[0] == "with-lock" else op for op in ops) for ops in program)
        expected = Model(program, None).traces
        runs = runs_of(subject_of(inner), strategy=rw.Bounded(None), schedules=None)
        assert sorted(seen(run, len(program)) for run in runs) == sorted(expected)


# -- tokens of anything ------------------------------------------------------------------------------------------------

any_op: st.SearchStrategy[Op] = st.recursive(
    st.one_of(
        simple_ops.filter(lambda op: op[0] != "with-lock"),
        st.just(("cancel",)),
        st.just(("thread",)),
        st.just(("quiet",)),
        st.tuples(st.just("add"), st.integers(1, 2)),
    ),
    lambda inner: st.one_of(
        st.tuples(st.just("with-lock"), st.integers(0, 1), inner),
        st.tuples(st.sampled_from(["spawn", "start"]), inner, inner),
        st.tuples(st.just("start"), inner),
        st.tuples(st.just("together"), inner, inner),
        st.tuples(st.just("scope"), st.integers(0, 4), st.booleans(), inner),
    ),
    max_leaves=4,
)
any_programs = st.lists(st.lists(any_op, min_size=1, max_size=4).map(tuple), min_size=1, max_size=3).map(tuple)
limits = st.sampled_from(
    [
        rw.Limits(max_steps=200),
        rw.Limits(max_steps=200, time="adversarial", timers_max=1),
        rw.Limits(max_steps=200, time="adversarial", timers_max=3),
    ]
)


class TestTokensOfAnything:
    @pytest.mark.slow
    @settings(SETTINGS, max_examples=200)
    @given(program=any_programs, limits=limits, seed=st.integers(0, 9))
    def test_every_schedule_replays_to_the_identical_trace(
        self, program: Program, limits: rw.Limits, seed: int
    ) -> None:
        """Not only failing schedules: each trace, choice by choice, comes back from the text of its token."""
        subject = subject_of(program)
        for run in runs_of(subject, limits=limits, seed=seed, schedules=5):
            token = str(token_of(run, subject="program", checksum="00000000"))
            again = rw.replay(subject, token, limits=limits, name="program", checksum="00000000")
            assert again.trace == run.trace
            assert again.violations == run.violations
            assert again.verdict == run.verdict
            assert str(token_of(again, subject="program", checksum="00000000")) == token

    @settings(SETTINGS, max_examples=50)
    @given(program=any_programs, limits=limits)
    def test_a_depth_first_search_never_runs_a_schedule_twice(self, program: Program, limits: rw.Limits) -> None:
        """No two schedules of one search take the same choices."""
        runs = runs_of(subject_of(program), limits=limits, strategy=rw.Bounded(1), schedules=60)
        tokens = [str(token_of(run, subject="program", checksum="00000000")) for run in runs]
        assert len(set(tokens)) == len(tokens)
