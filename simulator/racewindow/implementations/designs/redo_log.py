"""D4, ``redo-log``: released as OpenViking 0.2.8 and 0.2.9 (both 2026-03-19).

L is cleared before the extraction, so that a reload no longer sees what is being extracted; a redo log makes up for what a crash would
leave unextracted. There is no lock: two commits at once take the same messages, and the L that is written at the end is what the
handle remembers.
"""

from __future__ import annotations

from racewindow.implementations.designs._model import DesignHandle
from racewindow.implementations.designs._redo import Redoing
from racewindow.sessions.capabilities import Capabilities


class RedoLogHandle(DesignHandle):
    """Archives what it remembers."""

    store: RedoLog

    async def archive(self) -> bool:
        if not self.mem:
            return False
        self.index += 1
        messages = list(self.mem)
        await self.store.summarise()
        await self.store.write_archive(self.index, messages)
        await self.store.write_summary(self.index)
        await self.store.write_live((), label="live.clear")
        self.mem.clear()
        marker = await self.store.redo_pending(self.index)
        await self.env.extract(messages)
        await self.store.write_live(self.mem, label="live.rewrite")
        await self.env.world.point(
            "semantic.put", reads=(), writes=("semantic",)
        )  # for an index that nothing here reads
        await self.store.redo_done(marker)
        return True


class RedoLog(Redoing):
    """D4 (0.2.8-0.2.9): archive, clear the live log, then extract under a redo log; no lock."""

    name = "redo-log"
    capabilities = Capabilities(durable=False, context=True)
    handle_type = RedoLogHandle
