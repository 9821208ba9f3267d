"""D14, ``enqueue-after-unlock``: released as OpenViking 0.5.1 and 0.5.2.

D11, but nothing is enqueued before it can be worked on: under the lock the commit is made ready, with a lease on its archive, and only
when the lock is free again come the task and the queue message, and the lease ends. The consumer is that of D11.
"""

from __future__ import annotations

from contextlib import AsyncExitStack

from racewindow.implementations.designs._queue import Queue
from racewindow.implementations.designs._task import Task
from racewindow.implementations.designs.locked_intent import IntentHandle, LockedIntent


class EnqueueAfterUnlockHandle(IntentHandle):
    """Enqueues when the lock is free again."""

    async def commit(self, *, wait: bool) -> Task | None:
        store = self.store
        async with AsyncExitStack() as lease:
            async with store.locked():
                if not (messages := await self.read_again()):
                    return None
                number, task_id = self.index + 1, self.env.serial("task")
                intent = {"ids": messages, "task": task_id, "ready": False}
                try:
                    await store.write_intent(number, intent, label="intent.write")
                    await store.write_archive(number, messages)
                    await self.clear(number)
                    await lease.enter_async_context(self.disk.lock(store.archive(number), label="lease.acquire"))
                    await store.write_intent(number, intent | {"ready": True}, label="intent.ready")
                except Exception:
                    await store.mark(number, ".failed.json")
                    raise
            task = await store.create_task(task_id)
            await self.env.service(Queue).put({"number": number})
        task.messages = tuple(messages)
        if wait:
            await task.wait()
        return task


class EnqueueAfterUnlock(LockedIntent):
    """D14 (0.5.1-0.5.2): as locked-intent, but task and queue message come after the lock, under a lease."""

    name = "enqueue-after-unlock"
    handle_type = EnqueueAfterUnlockHandle
