"""The durable queue that all stores of a storage share."""

from __future__ import annotations

from bisect import insort
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from racewindow.kernel.engine import Event
from racewindow.sessions.implementation import Environment

Message = dict[str, Any]
_Numbered = tuple[int, Message]


class Queue:
    """First in, first out. A message that its consumer did not acknowledge is delivered again, in its old place, after a crash."""

    def __init__(self, env: Environment) -> None:
        self._env = env
        self._sent = 0
        self._messages: list[_Numbered] = []
        self._waiters: list[Event] = []

    async def put(self, message: Message) -> None:
        """Enqueue durably."""
        await self._env.world.point("queue.put", reads=(), writes=("queue",))
        self._sent += 1
        self._deliver((self._sent, message))

    async def consume(self, handle: Callable[[Message], Awaitable[None]]) -> None:
        """Handle one message after the other, for ever. One that cannot be handled stays unacknowledged; the next has its turn."""
        while True:
            try:
                async with self.get() as message:
                    await handle(message)
            except Exception as error:
                self._env.world.note(f"message given up: {type(error).__name__}")

    @asynccontextmanager
    async def get(self) -> AsyncIterator[Message]:
        """The next message; leaving the block without an error acknowledges it."""
        numbered = await self._next()

        def redeliver() -> None:
            self._deliver(numbered)

        process = self._env.world.task.process
        process.on_crash.append(redeliver)
        yield numbered[1]
        process.on_crash.remove(redeliver)

    async def _next(self) -> _Numbered:
        world = self._env.world
        while True:
            while not self._messages:
                event = world.event()
                self._waiters.append(event)
                await world.wait(event, "queue.get")
            numbered = self._messages.pop(0)
            if self._env.strikes("queue repeats"):
                self._deliver(numbered)
            if not self._env.strikes("queue loses"):
                return numbered

    def _deliver(self, numbered: _Numbered) -> None:
        insort(self._messages, numbered, key=lambda each: each[0])
        waiters, self._waiters = self._waiters, []
        for event in waiters:
            event.set()
