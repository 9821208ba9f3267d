"""D10, ``durable-queue``: released as OpenViking 0.4.10 and 0.4.11 (2026-07-16 and 07-23).

The locked block of D9, and then a durable queue instead of a task in the background and a redo log: a consumer loads the session, creates
the task if its commit has not come to that yet, and extracts. A message that was not acknowledged when its consumer died is delivered
again, and ``.done`` tells that the work was done before.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import ClassVar

from racewindow.implementations.designs._queue import Message, Queue
from racewindow.implementations.designs._task import Task
from racewindow.implementations.designs.archive_then_clear import ArchiveThenClear, ArchivingHandle
from racewindow.sessions.capabilities import Capabilities


class DurableQueueHandle(ArchivingHandle):
    """Leaves the second phase to a consumer."""

    store: DurableQueue

    async def commit(self, *, wait: bool) -> Task | None:
        if not await self.claim():
            return None
        number, task_id = self.index, self.env.serial("task")
        await self.store.write_meta(number)
        await self.env.service(Queue).put({"task": task_id, "number": number})
        task = await self.store.create_task(task_id)
        if wait:
            await task.wait()
        return task

    async def resume(self, number: int, task: Task) -> None:
        """What the consumer does with one archive."""
        names = await self.store.marks(number)
        if ".done" in names:
            task.end("completed")
        elif ".failed.json" in names:
            task.end("failed")
        else:
            try:
                messages = await self.store.read_archive(number)
                await self.end_of_previous(number)
                task.begin()
                await self.env.extract(messages)
                await self.store.write_meta(number)
                await self.store.mark(number, ".done")
            except Exception:
                await self.store.mark(number, ".failed.json")
                task.end("failed")
            else:
                task.end("completed")


class DurableQueue(ArchiveThenClear):
    """D10 (0.4.10-0.4.11): archive and clear under the lock, then a durable queue extracts; no redo log."""

    name = "durable-queue"
    capabilities = Capabilities(durable=False, context=True, queue=True)
    handle_type: ClassVar[type[DurableQueueHandle]] = DurableQueueHandle

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        self.env.background(partial(self.env.service(Queue).consume, self._consume), "consumer", operation="consume")
        yield

    async def _consume(self, message: Message) -> None:
        handle = self.handle_type(self)
        await handle.reload()
        await handle.resume(message["number"], await self.create_task(message["task"]))
