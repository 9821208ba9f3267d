"""Livelock: a poll that can never succeed is told from one that only takes its time."""

from __future__ import annotations

import itertools
import random
from collections import deque
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

import pytest
import trio

import racewindow as rw
from racewindow.kernel import Run

Subject = Callable[[rw.World], Awaitable[Any]]
TURNS = 60  # more than it takes to be found out
turns_of_module = 0
variable: ContextVar[int] = ContextVar("turns", default=0)


def one_run(subject: Subject, **options: Any) -> Run:
    runs: list[Run] = []
    rw.explore(subject, schedules=1, on_run=runs.append, **options)
    return runs[0]


async def event_never_set(world: rw.World) -> None:
    done = trio.Event()
    while not done.is_set():
        await trio.sleep(0.1)


async def under_a_lock(world: rw.World) -> None:
    lock, found = trio.Lock(), world.cell(False, name="found")
    while True:
        async with lock:
            if await found.read():
                return
        await world.sleep(0.1)


async def in_a_child(world: rw.World) -> None:
    """The parent waits for a nursery, and another child for what the poller never does."""
    done = trio.Event()

    async def poller() -> None:
        while True:
            with trio.move_on_after(0.5):
                await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(poller)
        nursery.start_soon(done.wait)


async def with_two_periods(world: rw.World) -> None:
    """Two pollers that are in step only every now and then."""

    async def poll(seconds: float) -> None:
        while True:
            await trio.sleep(seconds)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(poll, 0.2)
        nursery.start_soon(poll, 0.3)


async def retrying(world: rw.World) -> None:
    """Each gives way to the other, in step, for ever."""
    wanted = [False, False]

    async def insist(me: int) -> None:
        while True:
            wanted[me] = True
            await world.sleep(1)
            if not wanted[1 - me]:
                return
            wanted[me] = False
            await world.sleep(1)

    await world.together(lambda: insist(0), lambda: insist(1))


class TestAccused:
    @pytest.mark.parametrize("subject", [event_never_set, under_a_lock, in_a_child, with_two_periods, retrying])
    def test_what_stands_where_it_stood(self, subject: Subject) -> None:
        """Soon, and again in a replay of its token."""
        found = rw.explore(subject, schedules=3)
        assert (found.verdict, found.failures) == ("failed", 3)
        assert found.first is not None
        assert found.first.violation is not None
        assert found.first.violation.kind == "livelock"
        assert found.first.steps < 200
        assert rw.replay(subject, found.first.token).violations == found.first.violations

    def test_it_says_who_went_round_and_who_waits(self) -> None:
        violation = one_run(in_a_child).violation
        assert violation is not None
        assert violation.detail == (
            "nothing but time changes any more: poller went round and came to stand where it had stood; "
            "waiting: main at nursery.exit, poller at sleep_forever, wait at Event.wait"
        )
        assert violation.messages == ("poller",)

    def test_a_search_finds_the_schedule_that_leads_there(self) -> None:
        """Only where the flag is looked at before it is set does the poll never end: the setter waits for it."""

        async def subject(world: rw.World) -> None:
            flag = world.cell(False, name="flag")
            ended = world.event()

            async def setter() -> None:
                if await flag.read():
                    await ended.wait()
                    await flag.write(False)

            async def poller() -> None:
                await flag.write(True)
                while await flag.read():
                    await world.sleep(1)
                ended.set()

            await world.together(setter, poller)

        proof = rw.prove(subject, stop_at_first=False)
        assert {violation.kind for one in proof.found for violation in one.violations} == {"livelock"}

    def test_whoever_waits_for_quiet_need_not_wait_for_a_poller(self) -> None:
        """Nothing but time changes from here on: that is quiet."""

        async def subject(world: rw.World) -> None:
            async def janitor() -> None:
                while True:
                    await world.sleep(1)

            world.start(janitor, name="janitor")
            await world.quiet(within_s=1000)

        run = one_run(subject)
        assert run.verdict == "passed"
        assert run.steps < 100


class Store:
    """Counts in one way or another."""

    turns_of_all = 0
    __slots__ = ("turns",)

    def __init__(self) -> None:
        self.turns = 0


async def counts_in_a_variable(world: rw.World) -> None:
    turns = 0
    while turns < TURNS:
        turns += 1
        await world.sleep(1)


async def counts_in_an_iterator(world: rw.World) -> None:
    for _ in [None] * TURNS:
        await world.sleep(1)


async def counts_in_a_generator(world: rw.World) -> None:
    for _ in (None for _ in range(TURNS)):
        await world.sleep(1)


async def counts_in_a_closure(world: rw.World) -> None:
    turns = 0

    def more() -> bool:
        nonlocal turns
        turns += 1
        return turns < TURNS

    while more():
        await world.sleep(1)


async def counts_in_an_object(world: rw.World) -> None:
    store = Store()
    while store.turns < TURNS:
        store.turns += 1
        await world.sleep(1)


async def counts_in_a_class(world: rw.World) -> None:
    Store.turns_of_all = 0
    while Store.turns_of_all < TURNS:
        Store.turns_of_all += 1
        await world.sleep(1)


async def counts_in_a_function(world: rw.World) -> None:
    def more() -> None: ...

    more.turns = 0  # type: ignore[attr-defined]
    while more.turns < TURNS:  # type: ignore[attr-defined]
        more.turns += 1  # type: ignore[attr-defined]
        await world.sleep(1)


async def counts_in_a_module(world: rw.World) -> None:
    global turns_of_module
    turns_of_module = 0
    while turns_of_module < TURNS:
        turns_of_module += 1
        await world.sleep(1)


async def counts_in_the_context(world: rw.World) -> None:
    variable.set(0)
    while variable.get() < TURNS:
        variable.set(variable.get() + 1)
        await world.sleep(1)


async def counts_in_a_primitive(world: rw.World) -> None:
    semaphore = trio.Semaphore(0)
    while semaphore.value < TURNS:
        semaphore.release()
        await world.sleep(1)


async def counts_in_a_queue(world: rw.World) -> None:
    queue: deque[None] = deque([None] * TURNS)
    while queue:
        queue.popleft()
        await world.sleep(1)


async def counts_in_a_library(world: rw.World) -> None:
    turns = itertools.count()
    while next(turns) < TURNS:
        await world.sleep(1)


async def counts_in_a_cell(world: rw.World) -> None:
    turns = world.cell(0)
    while await turns.read() < TURNS:
        await turns.write(turns.value + 1)
        await world.sleep(1)


async def draws(world: rw.World) -> None:
    chance = random.Random(2)
    while chance.random() > 0.02:
        await world.sleep(1)


async def waits_longer_each_time(world: rw.World) -> None:
    delay = 0.001
    while delay < 1e9:
        await world.sleep(delay)
        delay *= 1.5


async def waits_for_a_moment(world: rw.World) -> None:
    end = trio.current_time() + TURNS
    while trio.current_time() < end:
        await trio.sleep(1)


async def waits_for_a_moment_of_the_world(world: rw.World) -> None:
    while world.now < TURNS:
        await world.sleep(1)


async def tries_until_a_moment(world: rw.World) -> None:
    while True:
        with trio.move_on_at(TURNS) as scope:
            await trio.lowlevel.checkpoint()
        if scope.cancelled_caught:
            return
        await trio.sleep(1)


async def is_given_so_long(world: rw.World) -> None:
    with trio.move_on_after(TURNS):
        while True:
            await trio.sleep(1)


PATIENT = [
    *(counts_in_a_variable, counts_in_an_iterator, counts_in_a_generator, counts_in_a_closure, counts_in_an_object),
    *(counts_in_a_class, counts_in_a_function, counts_in_a_module, counts_in_the_context, counts_in_a_primitive),
    *(counts_in_a_queue, counts_in_a_library, counts_in_a_cell, draws, waits_longer_each_time, waits_for_a_moment),
    *(waits_for_a_moment_of_the_world, tries_until_a_moment, is_given_so_long),
]


class TestNotAccused:
    @pytest.mark.parametrize("subject", PATIENT)
    def test_what_comes_to_an_end(self, subject: Subject) -> None:
        """Wherever it keeps what it will end by."""
        run = one_run(subject)
        assert (run.verdict, run.violations) == ("passed", ())
        assert run.steps > TURNS

    def test_what_never_ends_but_remembers_more_each_time_is_unknown(self) -> None:
        """Nobody can tell that it never ends."""

        async def subject(world: rw.World) -> None:
            turns = 0
            while turns >= 0:
                turns += 1
                await world.sleep(1)

        assert one_run(subject, limits=rw.Limits(max_steps=500)).reason == "max_steps=500 was reached"
