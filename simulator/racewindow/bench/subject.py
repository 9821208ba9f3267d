"""The program that speed is measured on: two clients, a background task, a lock, 40 points.

A session store of sixty lines. Client ``a`` adds a message and commits, client ``b`` thinks, reloads and commits. Every access to storage
is one point, then one atomic access. What it runs on is passed in (points, a lock, a way to start a background task), so that the same
text runs as bare coroutines, on trio, on asyncio, under this simulator and under others. It imports nothing but the standard library.

``correct``  a whole commit is under the lock; the extractor reads what was archived in the background.
``easy``     a commit says ``completed`` before the live log was switched, which is left to the background, and takes no lock: any schedule
             in which both commits read the live log before either switch archives the message twice.
``narrow``   the same, but commits look up and enter what they archive in a list of claims. The two are one point apart, and only a
             schedule in which both clients stand at that one point at the same time goes wrong.
"""

from __future__ import annotations

import json
import random
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextlib import AbstractAsyncContextManager
from types import TracebackType, coroutine
from typing import Any

VARIANTS = ("correct", "easy", "narrow")
THINK = 11

Point = Callable[[str], Awaitable[Any]]
Lock = AbstractAsyncContextManager[Any, Any]
Spawn = Callable[..., object]
"""``spawn(function, *args)`` starts a background task."""


class ArchivedTwice(AssertionError):
    """The store broke its one promise."""


class Store:
    """One session, kept in files of JSON."""

    def __init__(self, point: Point, lock: Lock, spawn: Spawn, variant: str, think: int = THINK) -> None:
        self.point, self.lock, self.spawn = point, lock, spawn
        self.variant, self.think = variant, think
        self.files = {"live": "[]", "copy": "[]", "archive": "[]", "claims": "[]"}
        self.extracted: list[str] = []

    # -- storage ---------------------------------------------------------------------------------------------------------

    async def read(self, name: str, label: str) -> list[str]:
        await self.point(label)
        return self.peek(name)

    async def write(self, name: str, messages: list[str], label: str) -> None:
        text = json.dumps(messages)
        await self.point(label)
        self.files[name] = text

    async def append(self, name: str, messages: list[str], label: str) -> None:
        await self.point(label)
        self.files[name] = json.dumps(self.peek(name) + messages)

    def peek(self, name: str) -> list[str]:
        return json.loads(self.files[name])  # type: ignore[no-any-return]

    # -- operations ------------------------------------------------------------------------------------------------------

    async def add(self, message: str) -> None:
        await self.point("add/open")
        await self.append("live", [message], "add/append")
        await self.point("add/sync")

    async def reload(self) -> list[str]:
        await self.point("reload/open")
        return await self.read("live", "reload/read")

    async def commit(self) -> None:
        if self.variant != "correct":
            self.spawn(self.switch, await self.archive())  # the bug: the commit ends before the switch
            return
        async with self.lock:
            messages = await self.archive()
            await self.switch(messages)
        if messages:
            self.spawn(self.extract, messages)

    async def archive(self) -> list[str]:
        await self.point("commit/open")
        messages = await self.read("live", "commit/read")
        await self.write("copy", messages, "commit/copy")
        await self.write("copy", [], "commit/empty")
        await self.point("commit/sync")
        if self.variant == "narrow":
            claims = self.peek("claims")
            messages = [message for message in self.peek("live") if message not in claims]
            await self.point("commit/claim")  # the one place where the other client may not stand
            self.files["claims"] = json.dumps(self.peek("claims") + messages)
        await self.append("archive", messages, "commit/archive")
        await self.point("commit/record")
        return messages

    async def switch(self, messages: list[str]) -> None:
        await self.point("switch/open")
        await self.point("switch/rename")
        await self.point("switch/sync")
        await self.point("switch/drop")
        self.files["live"] = json.dumps([message for message in self.peek("live") if message not in messages])

    async def extract(self, messages: list[str]) -> None:
        await self.point("extract")
        self.extracted += messages
        await self.point("extract/record")

    # -- clients ---------------------------------------------------------------------------------------------------------

    async def a(self) -> None:
        await self.add("m1")
        await self.commit()

    async def b(self) -> None:
        for _ in range(self.think):
            await self.point("think")
        await self.reload()
        await self.commit()

    def check(self) -> None:
        """Raises ArchivedTwice when a message was."""
        archived = self.peek("archive")
        if len(archived) != len(set(archived)):
            raise ArchivedTwice(f"archived twice: {archived}")


# -- the forms -----------------------------------------------------------------------------------------------------------


def on_trio(variant: str) -> Callable[[Any], Coroutine[Any, Any, None]]:
    """The subject as trio code, for a world with points."""
    import trio

    async def subject(world: Any) -> None:
        async with trio.open_nursery() as nursery:
            store = Store(world.point, trio.Lock(), nursery.start_soon, variant)
            nursery.start_soon(store.a)
            nursery.start_soon(store.b)
        store.check()

    return subject


def on_asyncio(variant: str) -> Callable[[Any], Coroutine[Any, Any, None]]:
    """The subject as asyncio code, for a world with points."""

    async def subject(world: Any) -> None:
        await plain_asyncio(variant, world.point)

    return subject


async def plain_asyncio(variant: str, point: Point) -> None:
    """The subject as asyncio code, wherever it runs."""
    import asyncio

    def spawn(function: Callable[..., Coroutine[Any, Any, None]], *args: Any) -> None:
        tasks.append(asyncio.create_task(function(*args)))

    tasks: list[asyncio.Task[None]] = []
    store = Store(point, asyncio.Lock(), spawn, variant)
    await asyncio.gather(store.a(), store.b())
    await asyncio.gather(*tasks)
    store.check()


async def yielding(_: str) -> None:
    """A point for event loops that know no points."""
    import asyncio

    await asyncio.sleep(0)


def bare_schedule(variant: str, rng: random.Random) -> int:
    """One schedule of the subject as bare coroutines, stepped by ``send(None)`` with one random choice a step: no kernel can do less.

    It takes the steps that the subject takes on trio, no more and no fewer: there is a main task, which starts the clients and waits until
    nothing else runs, and whoever takes the lock gives up control once.

    Returns:
        Its number of steps.
    """
    ready: list[Coroutine[Any, Any, None]] = []
    joining: _Waiters = []

    async def main() -> None:
        store = Store(_bare_point, _BareLock(ready), lambda function, *args: ready.append(function(*args)), variant)
        ready.extend((store.a(), store.b()))
        await _parked(joining)
        store.check()

    ready.append(main())
    draw = rng.random
    steps = 0
    while ready:
        index = int(draw() * len(ready))
        steps += 1
        try:
            waiting = ready[index].send(None)
        except StopIteration:
            del ready[index]
            if not ready and joining:
                ready.append(joining.pop())
        else:
            if waiting is not None:
                waiting.append(ready.pop(index))
    return steps


_Waiters = list[Coroutine[Any, Any, None]]


@coroutine
def _bare_point(_: str) -> Generator[None, None, None]:
    yield


@coroutine
def _parked(waiting: _Waiters) -> Generator[_Waiters, None, None]:
    yield waiting


class _BareLock:
    """First come, first served."""

    def __init__(self, ready: _Waiters) -> None:
        self.held = False
        self.waiting: _Waiters = []
        self.ready = ready

    async def __aenter__(self) -> None:
        if self.held:
            await _parked(self.waiting)
        else:
            self.held = True
            await _bare_point("lock")

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.waiting:
            self.ready.append(self.waiting.pop(0))  # handed over: it stays held
        else:
            self.held = False
