"""D5, ``path-lock``: on OpenViking's main branch from 2026-03-23 (PR 783).

A lock that does not wait guards the step from mem to an empty L; the loser gets an error. What is archived is what the handle
remembers, under the lock too: mem is looked at again, L is not.
"""

from __future__ import annotations

from collections.abc import Sequence

from racewindow.disk import LockBusy
from racewindow.implementations.designs._model import DesignHandle
from racewindow.implementations.designs._redo import Redoing
from racewindow.sessions.capabilities import Capabilities
from racewindow.sessions.implementation import Refused


class PathLockHandle(DesignHandle):
    """Claims mem under the lock."""

    store: Redoing

    async def claim(self) -> list[str]:
        """The locked block: take what is in mem, and switch L; nothing where mem is empty."""
        if not self.mem:
            return []
        try:
            async with self.disk.lock(self.store.home, wait=False, label="lock.acquire"):
                if not self.mem:
                    return []
                self.index += 1
                messages = list(self.mem)
                try:
                    await self.switch(messages)
                except Exception:
                    self.mem[:0] = [message for message in messages if message not in self.mem]
                    self.index -= 1
                    raise
        except LockBusy as error:
            raise Refused("another commit of this session holds the lock", busy=True) from error
        return messages

    async def switch(self, messages: Sequence[str]) -> None:
        """From mem to an empty L; the archive is written later, without the lock."""
        self.mem.clear()
        await self.store.write_live((), label="live.clear")

    async def archive(self) -> bool:
        if not (messages := await self.claim()):
            return False
        number = self.index
        await self.store.summarise()
        await self.store.write_archive(number, messages)
        marker = await self.store.redo_pending(number)
        await self.env.extract(messages)
        await self.store.write_live(self.mem, label="live.rewrite")
        await self.store.redo_done(marker)
        return True


class PathLock(Redoing):
    """D5 (PR 783): a lock around the live clear, loser refused; archives what the handle remembers."""

    name = "path-lock"
    capabilities = Capabilities(durable=False, context=True)
    handle_type = PathLockHandle
