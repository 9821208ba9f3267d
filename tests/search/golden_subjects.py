"""The subjects of the golden tokens. A change here breaks tokens that somebody has: make a new subject instead."""

from __future__ import annotations

import asyncio

import trio

import racewindow as rw
from racewindow.kernel import Subject

LIMITS = rw.Limits(time="adversarial")


async def lost_update(world: rw.World) -> None:
    """Two increments of one cell."""
    value = world.cell(0, name="v")

    async def increment() -> None:
        await value.write(await value.read() + 1)

    await world.together(increment, increment)
    world.check(value.value == 2, "lost-update")


async def third_turn(world: rw.World) -> None:
    """A loop that has to be stopped at its third turn."""
    turns = 0

    async def loop() -> None:
        nonlocal turns
        for _ in range(5):
            await world.point("turn")
            turns += 1

    async def look() -> None:
        await world.point("look")
        world.check(turns != 2, "seen-after-two")

    await world.together(loop, look)


async def lock_order(world: rw.World) -> None:
    """Two locks taken in two orders: a deadlock of plain trio."""
    one, two = trio.Lock(), trio.Lock()

    async def forth() -> None:
        async with one, two:
            pass

    async def back() -> None:
        async with two, one:
            pass

    async with trio.open_nursery() as nursery:
        nursery.start_soon(forth)
        nursery.start_soon(back)


async def late_timer(world: rw.World) -> None:
    """Fails when a timer fires while work is under way."""
    slept = False

    async def sleeper() -> None:
        nonlocal slept
        await world.sleep(1)
        slept = True

    async def worker() -> None:
        for number in range(3):
            await world.point(f"work {number}, done")  # a label with a blank and a comma
            world.check(not slept, "too-late")

    await world.together(sleeper, worker)


async def asyncio_event(world: rw.World) -> None:
    """A result that is read before it is there, in plain asyncio."""
    box: list[int] = []
    ready = asyncio.Event()

    async def produce() -> None:
        await world.point("announce")
        ready.set()
        await world.point("put")
        box.append(1)

    async def consume() -> None:
        await ready.wait()
        await world.point("take")
        world.check(bool(box), "empty")

    await world.together(produce, consume)


SUBJECTS: dict[str, Subject] = {
    each.__name__: each for each in (lost_update, third_turn, lock_order, late_timer, asyncio_event)
}
HOSTS = {"asyncio_event": "asyncio"}
