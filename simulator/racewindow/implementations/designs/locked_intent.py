"""D11, ``locked-intent``: released as OpenViking 0.4.12 to 0.5.0, in outline.

Add and commit take the same lock and read everything again under it; nothing depends on what a handle remembers. Commit writes its
intent first (ids and queue message), and a consumer of a durable queue extracts; one that finds an intent that is not ready decides,
under the lock, whether the live log was switched.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from racewindow.implementations.designs._model import Design, DesignHandle, Queue, Task, decode, encode
from racewindow.sessions.capabilities import Capabilities
from racewindow.sessions.history import ArchiveState
from racewindow.sessions.implementation import Environment


class _Handle(DesignHandle):
    store: LockedIntent

    async def add(self, message: str) -> None:
        async with self.disk.lock(self.store.home, label="lock.acquire"):
            self.mem = [*await self.store.read_live(), message]
            await self.store.write_live(self.mem)
            await self.disk.write(f"{self.store.home}/meta", b"", label="meta.write")

    async def commit(self, *, wait: bool) -> Task | None:
        store, disk = self.store, self.disk
        async with disk.lock(store.home, label="lock.acquire"):
            messages = await store.read_live()
            with suppress(FileNotFoundError):
                await disk.read(f"{store.home}/meta", label="meta.read")
            self.index = await store.list_archives()
            if not messages:
                return None
            self.index += 1
            archive = store.archive(self.index)
            task = Task(self.env)
            task.messages = tuple(messages)
            intent = {"ids": messages, "task": task.id, "ready": False}
            try:
                await disk.write(f"{archive}/meta", json.dumps(intent).encode(), label="intent.write")
                await disk.write(f"{archive}/messages.jsonl", encode(messages), label="archive.write")
                store.tasks[task.id] = task
                await Queue.of(self.env).put({"archive": archive})
                await store.write_live((), label="live.clear")
                self.mem = []
                await disk.write(f"{store.home}/meta", b"", label="meta.write")
                await disk.write(f"{archive}/meta", json.dumps(intent | {"ready": True}).encode(), label="intent.ready")
            except Exception:
                await disk.write(f"{archive}/.failed.json", b"{}", label="failed.write")
                raise
        if wait:
            await task.wait()
        return task


class LockedIntent(Design):
    """D11 (0.4.12-0.5.0): add and commit share a lock and re-read under it; intent first, durable queue extracts."""

    name = "locked-intent"
    capabilities = Capabilities(durable=False)
    handle_type = _Handle

    def __init__(self, env: Environment) -> None:
        super().__init__(env)
        # The task service belongs to the storage: any store's consumer can end a task.
        self.tasks: dict[str, Task] = env.shared.setdefault("tasks", {})

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        self.env.background(self._consume, "consumer", operation="consume")
        yield

    async def _consume(self) -> None:
        queue = Queue.of(self.env)
        while True:
            async with queue.get() as message:
                await self._extract(message["archive"])

    async def _extract(self, archive: str) -> None:
        disk = self.env.disk
        meta = await self._intent(archive)
        task = self.tasks[meta["task"]]
        if not meta["ready"] and not await self._decide(archive, meta):
            task.end("failed")
            return
        task.begin()
        messages = decode(await disk.read(f"{archive}/messages.jsonl", label="archive.read"))
        if "extracted" not in meta:
            await self.env.extract(messages, key=archive)
            # The id of the step that is done, so that a redelivered message does not do it again.
            await disk.write(
                f"{archive}/meta", json.dumps(meta | {"ready": True, "extracted": True}).encode(), label="progress"
            )
        await disk.write(f"{archive}/.done", b"", label="done.write")
        task.end("completed")

    async def _decide(self, archive: str, meta: dict[str, Any]) -> bool:
        """Under the lock: was L switched? If not, the commit died before, and its messages are still live."""
        async with self.env.disk.lock(self.home, label="lock.acquire"):
            meta.update(await self._intent(archive))
            if meta["ready"]:
                return True
            live = await self.read_live()
            if set(meta["ids"]) & set(live):
                await self.env.disk.write(f"{archive}/.failed.json", b"{}", label="failed.write")
                return False
            await self.env.disk.write(
                f"{archive}/meta", json.dumps(meta | {"ready": True}).encode(), label="intent.ready"
            )
            return True

    async def _intent(self, archive: str) -> dict[str, Any]:
        return dict(json.loads(await self.env.disk.read(f"{archive}/meta", label="intent.read")))

    @classmethod
    def archive_state(cls, env: Environment, path: str, messages: Sequence[str]) -> ArchiveState:
        names = env.disk.names(path)
        return "extracted" if ".done" in names else "failed" if ".failed.json" in names else "pending"
