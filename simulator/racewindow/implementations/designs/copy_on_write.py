"""D2, ``copy-on-write``: on OpenViking's main branch only, and the subject of its issue 580.

Commit works on a copy of the trees, and hands the switch to a worker: by the time the task says ``completed``, L still holds what was
archived. Whoever reloads before the worker is done reads it again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import ClassVar

from racewindow.implementations.designs._model import Design, DesignHandle, encode
from racewindow.implementations.designs._queue import Message, Queue
from racewindow.sessions.capabilities import Capabilities


class _Handle(DesignHandle):
    store: CopyOnWrite

    async def archive(self) -> bool:
        if not self.mem:
            return False
        temp = f"temp/{self.env.serial('temp')}"
        await self.store.copy_tree(temp)
        self.index += 1
        messages = list(self.mem)
        archive = self.store.archive(self.index).removeprefix(self.store.home)
        await self.disk.write(f"{temp}{archive}/messages.jsonl", encode(messages), label="temp.archive.write")
        self.mem.clear()
        await self.env.extract(messages)
        await self.disk.write(f"{temp}/messages.jsonl", b"", label="temp.live.clear")
        await self.before_enqueue()
        await self.env.service(Queue).put({"temp": temp})
        return True

    async def before_enqueue(self) -> None:
        """Nothing: L is the worker's business."""


class CopyOnWrite(Design):
    """D2 (issue 580): commit on a copy; completed is said before a worker switches the live files."""

    name = "copy-on-write"
    capabilities = Capabilities(durable=False, context=True, queue=True)
    handle_type: ClassVar[type[DesignHandle]] = _Handle

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        self.env.background(partial(self.env.service(Queue).consume, self._work), "worker", operation="worker")
        yield

    async def copy_tree(self, temp: str) -> None:
        """Copy the session's files, one by one."""
        await self.env.world.point("temp.copy")
        for file in await self._files(self.home):
            data = await self.env.disk.read(f"{self.home}{file}", label="copy.read")
            await self.env.disk.write(f"{temp}{file}", data, label="copy.write")

    async def _work(self, message: Message) -> None:
        await self.summarise()
        await self._switch(message["temp"])

    async def _switch(self, temp: str) -> None:
        """Make the live tree like the temporary one, file by file."""
        disk = self.env.disk
        live, new = await self._files(self.home), await self._files(temp)
        for file in live:
            if file not in new:
                await disk.remove(f"{self.home}{file}", label="switch.delete")
        changed = [file for file in new if disk.peek(f"{self.home}{file}") != disk.peek(f"{temp}{file}")]
        for file in changed:
            if file in live:
                await disk.remove(f"{self.home}{file}", label="switch.remove")
        for file in changed:
            await disk.move(f"{temp}{file}", f"{self.home}{file}", label="switch.move")
        for file in new:
            if file not in changed:
                await disk.remove(f"{temp}{file}", label="temp.remove")

    async def _files(self, root: str) -> list[str]:
        """The files below ``root``, as paths relative to it, in one listing."""
        await self.env.world.point(f"{'temp' if root.startswith('temp') else 'live'}.list")
        return list(self._walk(root, ""))

    def _walk(self, root: str, path: str) -> list[str]:
        found = []
        for name in self.env.disk.names(f"{root}{path}"):
            inner = f"{path}/{name}"
            found += [inner] if self.env.disk.peek(f"{root}{inner}") is not None else self._walk(root, inner)
        return found
