"""D5, ``path-lock``: on OpenViking's main branch from 2026-03-23 (PR 783).

A lock that does not wait guards the step from mem to an empty L; the loser gets an error. What is archived is what the handle
remembers, so a handle that was loaded before somebody else's commit archives the same messages again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from racewindow.disk import LockBusy
from racewindow.implementations.designs._model import Design, DesignHandle, decode, encode
from racewindow.sessions.capabilities import Capabilities
from racewindow.sessions.implementation import Refused


class _Handle(DesignHandle):
    async def archive(self) -> bool:
        if not self.mem:
            return False
        try:
            async with self.disk.lock(self.store.home, wait=False, label="lock.acquire"):
                if not self.mem:
                    return False
                messages = list(self.mem)
                self.index += 1
                self.mem.clear()
                try:
                    await self.store.write_live((), label="live.clear")
                except Exception:
                    self.mem[:0] = messages
                    self.index -= 1
                    raise
        except LockBusy as error:
            raise Refused("another commit of this session holds the lock", busy=True) from error
        await self.store.summarise()
        archive = self.store.archive(self.index)
        await self.disk.write(f"{archive}/messages.jsonl", encode(messages), label="archive.write")
        redo = f"redo/{self.env.serial('redo')}"
        await self.disk.write(redo, archive.encode(), label="redo.pending")
        await self.env.extract(messages)
        await self.store.write_live(self.mem, label="live.rewrite")
        await self.disk.remove(redo, label="redo.done")
        return True


class PathLock(Design):
    """D5 (PR 783): a lock around the live clear, loser refused; archives what the handle remembers."""

    name = "path-lock"
    capabilities = Capabilities(durable=False)
    handle_type = _Handle

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        # Each redo marker: extract again, swallow errors, forget the marker.
        for name in self.env.disk.names("redo"):
            archive = (await self.env.disk.read(f"redo/{name}", label="redo.read")).decode()
            with suppress(FileNotFoundError):
                log = await self.env.disk.read(f"{archive}/messages.jsonl", label="archive.read")
                await self.env.extract(decode(log))
            await self.env.disk.remove(f"redo/{name}", label="redo.done")
        yield
