"""D1, ``commit-in-place``: released as OpenViking 0.2.6 (2026-03-11).

Commit works on the handle's own list and on the live files: archive, forget, extract, and only then clear L. In the background it
does the same with a handle of its own. The HTTP server has a register that keeps a second commit of the session out while one runs in
the background; it knows of one process only, and whoever embeds the store has none: that is ``commit-in-place-ungated``.
"""

from __future__ import annotations

from typing import ClassVar

from racewindow.implementations.designs._model import Design, DesignHandle
from racewindow.implementations.designs._task import Task
from racewindow.sessions.capabilities import Capabilities
from racewindow.sessions.implementation import Environment, Refused


class _Handle(DesignHandle):
    store: CommitInPlace

    async def commit(self, *, wait: bool) -> Task | None:
        if self.store.gate and self.store.running_commit:
            raise Refused("a commit of this session is running", busy=True)
        # A commit that waits looks at the register, but does not enter itself.
        self.store.running_commit = self.store.running_commit or not wait
        return await super().commit(wait=wait)

    async def behind(self, task: Task) -> None:
        try:
            await super().behind(task)
        finally:
            self.store.running_commit = False

    async def archive(self) -> bool:
        if not self.mem:
            return False
        self.index += 1
        messages = list(self.mem)
        await self.store.summarise()
        await self.store.write_archive(self.index, messages)
        await self.store.write_summary(self.index)
        self.mem.clear()
        await self.env.extract(messages)
        await self.store.write_live((), label="live.clear")
        await self.disk.write(f"{self.store.home}/relations", b"", label="relations.write")
        await self.disk.write(f"{self.store.home}/counts", b"", label="counts.write")
        return True


class CommitInPlace(Design):
    """D1 (0.2.6): archive from the handle's memory, extract, then clear the live log."""

    name = "commit-in-place"
    capabilities = Capabilities(durable=False, context=True)
    handle_type = _Handle
    gate: ClassVar[bool] = True

    def __init__(self, env: Environment) -> None:
        super().__init__(env)
        self.running_commit = False


class CommitInPlaceUngated(CommitInPlace):
    """D1 (0.2.6), embedded: as commit-in-place, without the server's register of running commits."""

    name = "commit-in-place-ungated"
    gate = False
