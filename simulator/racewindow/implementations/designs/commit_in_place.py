"""D1, ``commit-in-place``: released as OpenViking 0.2.6.

Commit works on the handle's own list and on the live files: archive, forget, extract, and only then clear L. In the background it
does the same with a handle of its own; a register keeps a second background commit of the session out, in one process only.
"""

from __future__ import annotations

from typing import ClassVar

from racewindow.implementations.designs._model import Design, DesignHandle, Task, encode
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
        archive = self.store.archive(self.index)
        await self.disk.write(f"{archive}/messages.jsonl", encode(messages), label="archive.write")
        await self.disk.write(f"{archive}/abstract", b"abstract", label="archive.abstract")
        await self.disk.write(f"{archive}/overview", b"overview", label="archive.overview")
        self.mem.clear()
        await self.env.extract(messages)
        await self.store.write_live((), label="live.clear")
        await self.disk.write(f"{self.store.home}/relations", b"", label="relations.write")
        await self.disk.write(f"{self.store.home}/counts", b"", label="counts.write")
        return True


class CommitInPlace(Design):
    """D1 (0.2.6): archive from the handle's memory, extract, then clear the live log."""

    name = "commit-in-place"
    capabilities = Capabilities(durable=False)
    handle_type = _Handle
    gate: ClassVar[bool] = True

    def __init__(self, env: Environment) -> None:
        super().__init__(env)
        self.running_commit = False
