"""D9, ``archive-then-clear``: released as OpenViking 0.4.5 to 0.4.9 (2026-06-24 to 07-13).

D7, with the archive written inside of the lock, before L is switched: no moment is left in which a message is in neither. A failed
archive is skipped by those behind it. Tasks are kept in storage now; the redo log still knows nothing of them. A reader of the context is
not told what is being extracted, once the session's metadata count its commit (OpenViking issue 3129).
"""

from __future__ import annotations

from collections.abc import Sequence

from racewindow.implementations.designs.two_phase_chained import ChainedHandle, TwoPhaseChained


class ArchivingHandle(ChainedHandle):
    """Archives under the lock, and skips what failed."""

    async def admit(self) -> None:
        """Failed archives keep nobody out."""

    async def switch(self, messages: Sequence[str]) -> None:
        # Nothing is retained here: what a commit keeps live is a choice of its caller, and none by default.
        await self.store.write_archive(self.index, messages)
        self.mem.clear()
        await self.store.write_live(self.mem, label="live.clear")

    async def after_claim(self, number: int, messages: list[str]) -> None:
        """The archive is there already."""

    async def await_turn(self, number: int) -> None:
        await self.end_of_previous(number)

    async def recall(self, number: int) -> list[str]:
        names = await self.store.marks(number)
        counted = number <= await self.count_commits()
        return [] if counted and ".done" not in names else await self.store.read_archive(number)

    async def count_commits(self) -> int:
        """What the session's metadata say."""
        try:
            return int(await self.disk.read(f"{self.store.home}/meta", label="meta.read") or 0)
        except FileNotFoundError:
            return 0


class ArchiveThenClear(TwoPhaseChained):
    """D9 (0.4.5-0.4.9): as two-phase-chained, but archived under the lock before the clear; failures skipped."""

    name = "archive-then-clear"
    handle_type = ArchivingHandle
    tasks_survive = True
