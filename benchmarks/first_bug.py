"""Schedules to the first bug on two races, an easy and a narrow one, under every sampler.

    python benchmarks/first_bug.py --seeds 200 --output out/first_bug.png

Two clients share a session store. One adds a message and commits; the other thinks for a while, reloads and commits. A commit says
``completed`` before the live log was switched. A schedule in which the message is archived twice fails.

``easy``    both commits read the live log before either switch: most ways of drifting apart will do.
``narrow``  a commit looks up and enters what it archives in a list of claims; the two are one point apart, and both clients have to
            stand at that point at once: 1 of 40.
"""

from __future__ import annotations

import argparse
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import racewindow as rw
from racewindow import charts
from racewindow.experiments import first_bug

THINK = 11
SAMPLERS = ("random-walk", "burst", "pct:depth=2", "pct", "pos", "urw", "timed", "surw:claimed")


class Store:
    """The live log, the archive and the claims of one session; every access is a point."""

    def __init__(self, world: rw.World) -> None:
        self.world = world
        self.live: list[str] = []
        self.archive: list[str] = []
        self.claimed: list[str] = []

    async def idle(self, label: str) -> None:
        """An access to something that nobody else uses."""
        await self.world.point(label, reads=(label,))

    async def add(self, message: str) -> None:
        await self.idle("add/open")
        await self.world.point("add/append", reads=("live",), writes=("live",))
        self.live.append(message)
        await self.idle("add/sync")

    async def reload(self) -> None:
        await self.idle("reload/open")
        await self.world.point("reload/read", reads=("live",))

    async def commit(self, *, claims: bool) -> None:
        await self.idle("commit/open")
        await self.world.point("commit/read", reads=("live",))
        messages = list(self.live)
        for step in ("write", "empty", "sync"):
            await self.idle(f"commit/{step}")
        if claims:
            await self.world.point("commit/look-up", reads=("claimed", "live"))
            messages = [message for message in self.live if message not in self.claimed]
            await self.world.point("commit/claim", writes=("claimed",))
            self.claimed += messages
        await self.world.point("commit/archive", reads=("archive",), writes=("archive",))
        self.archive += messages
        await self.idle("commit/record")
        self.world.start(partial(self.switch, messages), name="switch")

    async def switch(self, messages: list[str]) -> None:
        for step in ("lock", "rename", "sync"):
            await self.idle(f"switch/{step}")
        await self.world.point("switch/drop", reads=("live",), writes=("live",))
        self.live = [message for message in self.live if message not in messages]


async def race(world: rw.World, *, claims: bool) -> None:
    store = Store(world)

    async def one() -> None:
        await store.add("m1")
        await store.commit(claims=claims)

    async def other() -> None:
        for _ in range(THINK):
            await store.idle("think")
        await store.reload()
        await store.commit(claims=claims)

    await world.together(one, other)
    await world.quiet()
    world.check(store.archive.count("m1") <= 1, "archived-twice")


SUBJECTS: dict[str, Callable[[rw.World], Awaitable[None]]] = {
    "easy": partial(race, claims=False),
    "narrow": partial(race, claims=True),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=200, help="searches for each sampler")
    parser.add_argument("--schedules", type=int, default=1000, help="where a search is cut off")
    parser.add_argument("--output", type=Path, help="draw the survival curves into this file (.png or .svg)")
    arguments = parser.parse_args()
    result = first_bug(SUBJECTS, strategies=SAMPLERS, seeds=range(arguments.seeds), schedules=arguments.schedules)
    rates = result.rates
    print(rates.round(2).to_string(index=False))
    for name in SUBJECTS:
        best = rates[rates["subject"] == name].iloc[0]
        print(
            f"{name}: best is {best['strategy']}, {best['mean']:.1f} schedules to the first violation "
            f"(95 % interval {best['mean_low']:.1f} to {best['mean_high']:.1f})"
        )
    print(result.logrank.round(4).to_string(index=False))
    if arguments.output:
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        charts.save(charts.first_bug(result.survival), arguments.output)


if __name__ == "__main__":
    main()
