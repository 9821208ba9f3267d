"""Small races that several tests look for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import racewindow as rw

Subject = Callable[[rw.World], Awaitable[Any]]

# -- golden tokens name these two by a checksum of their text: a change breaks tokens that somebody has ----------------


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


# -- races of any size -------------------------------------------------------------------------------------------------


def independent(*steps: int) -> Subject:
    """Tasks that never block, with so many steps each."""

    async def subject(world: rw.World) -> None:
        async def task(count: int) -> None:
            for number in range(count):
                await world.point(f"p{number}")

        await world.together(*(partial(task, count) for count in steps))

    return subject


def lost_updates(tasks: int) -> Subject:
    """``tasks`` tasks each read and write one counter."""

    async def subject(world: rw.World) -> None:
        value = world.cell(0, name="v")

        async def increment() -> None:
            await value.write(await value.read() + 1)

        await world.together(*[increment] * tasks)
        world.check(value.value == tasks, "lost-update")

    return subject


def intruder(steps: int, broken: int = -1) -> Subject:
    """A victim of ``steps`` steps and an intruder of one; gives the gap in which that came, and fails in the gap ``broken``."""

    async def subject(world: rw.World) -> int:
        done = gap = 0

        async def victim() -> None:
            nonlocal done
            for number in range(steps):
                await world.point(f"v{number}")
                done += 1

        async def intrude() -> None:
            nonlocal gap
            await world.point("intrude")
            gap = done
            world.check(done != broken, "intruded")

        await world.together(victim, intrude)
        return gap

    return subject
