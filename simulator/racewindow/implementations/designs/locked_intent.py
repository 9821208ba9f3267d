"""D11, ``locked-intent``: released as OpenViking 0.4.12 to 0.5.0 (from 2026-08-01), in outline.

Add and commit take the same lock and read everything again under it; nothing depends on what a handle remembers. Commit writes its
intent first (ids and queue message), and a consumer of a durable queue extracts; one that finds an intent that is not ready decides,
under the lock, whether the live log was switched.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from typing import Any

import trio

from racewindow.implementations.designs._model import Design, DesignHandle
from racewindow.implementations.designs._queue import Message, Queue
from racewindow.implementations.designs._task import Task
from racewindow.sessions.capabilities import Capabilities
from racewindow.sessions.history import ArchiveState
from racewindow.sessions.implementation import Environment, Refused

LOCK_S = 30.0

Intent = dict[str, Any]


class IntentHandle(DesignHandle):
    """Remembers nothing that matters."""

    store: LockedIntent

    async def add(self, message: str) -> None:
        async with self.store.locked():
            self.mem = [*await self.store.read_live(), message]
            await self.store.write_live(self.mem)
            await self.store.write_meta()

    async def commit(self, *, wait: bool) -> Task | None:
        store = self.store
        async with store.locked():
            if not (messages := await self.read_again()):
                return None
            number, task_id = self.index + 1, self.env.serial("task")
            intent = {"ids": messages, "task": task_id, "ready": False}
            try:
                await store.write_intent(number, intent, label="intent.write")
                await store.write_archive(number, messages)
                await self.env.service(Queue).put({"number": number})
                task = await store.create_task(task_id)
                await self.clear(number)
                await store.write_intent(number, intent | {"ready": True}, label="intent.ready")
            except Exception:
                await store.mark(number, ".failed.json")
                raise
        task.messages = tuple(messages)
        if wait:
            await task.wait()
        return task

    async def read_again(self) -> list[str]:
        """L, meta and the archive list: under the lock they are what they are."""
        messages = await self.store.read_live()
        with suppress(FileNotFoundError):
            await self.disk.read(f"{self.store.home}/meta", label="meta.read")
        self.index = await self.store.list_archives()
        return messages

    async def clear(self, number: int) -> None:
        """L, of which nothing is retained here, and meta."""
        await self.store.write_live((), label="live.clear")
        self.mem, self.index = [], number
        await self.store.write_meta(number)


class LockedIntent(Design):
    """D11 (0.4.12-0.5.0): add and commit share a lock and re-read under it; intent first, durable queue extracts."""

    name = "locked-intent"
    capabilities = Capabilities(durable=False, context=True, queue=True)
    handle_type = IntentHandle
    tasks_survive = True
    retryable = False

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        self.env.background(partial(self.env.service(Queue).consume, self._consume), "consumer", operation="consume")
        yield

    @asynccontextmanager
    async def locked(self) -> AsyncIterator[None]:
        """The session's lock; whoever does not get it in time is refused."""
        async with AsyncExitStack() as stack:
            try:
                with trio.fail_after(LOCK_S):
                    await stack.enter_async_context(self.env.disk.lock(self.home, label="lock.acquire"))
            except trio.TooSlowError as error:
                raise Refused(f"the session's lock was not free for {LOCK_S:g} s", busy=True) from error
            yield

    async def read_intent(self, number: int) -> Intent:
        return dict(json.loads(await self.env.disk.read(f"{self.archive(number)}/meta", label="intent.read")))

    async def write_intent(self, number: int, intent: Intent, *, label: str) -> None:
        await self.env.disk.write(f"{self.archive(number)}/meta", json.dumps(intent).encode(), label=label)

    async def _consume(self, message: Message) -> None:
        number = message["number"]
        intent = await self.read_intent(number)
        task = await self.create_task(intent["task"])
        if not intent["ready"] and not await self._decide(number, intent):
            task.end("failed")
            return
        task.begin()
        try:
            messages = await self.read_archive(number)
            if "extracted" not in intent:
                await self.env.extract(messages, key=self.archive(number))
                # The id of the step that is done, so that a redelivered message does not do it again.
                await self.write_intent(number, intent | {"ready": True, "extracted": True}, label="progress")
            await self.mark(number, ".done")
        except Exception:
            await self.mark(number, ".failed.json")
            task.end("failed")
        else:
            task.end("completed")

    async def _decide(self, number: int, intent: Intent) -> bool:
        """Under the lock: was L switched? If not, the commit died before, and its messages are still live."""
        async with self.locked():
            intent.update(await self.read_intent(number))
            if intent["ready"]:
                return True
            if set(intent["ids"]) & set(await self.read_live()):
                await self.mark(number, ".failed.json")
                return False
            await self.write_intent(number, intent | {"ready": True}, label="intent.ready")
            return True

    @classmethod
    def archive_state(cls, env: Environment, path: str, messages: Sequence[str]) -> ArchiveState:
        names = env.disk.names(path)
        return "extracted" if ".done" in names else "failed" if ".failed.json" in names else "pending"
