"""D7, ``two-phase-chained``: released as OpenViking 0.2.15 to 0.3.14 (2026-03-30 to 04-30).

D6 without the refusal. Instead the second phases of a session wait for each other: each polls the archive before its own until that is
done or has failed, for ever. A failure is marked in the archive, fails the archives behind it, and keeps later commits out. The redo log
extracts again what died, but leaves no mark in the archive.
"""

from __future__ import annotations

from racewindow.implementations.designs.two_phase import TwoPhase, TwoPhaseHandle
from racewindow.sessions.capabilities import Capabilities
from racewindow.sessions.implementation import Refused

POLL_S = 0.1


class ChainedHandle(TwoPhaseHandle):
    """Waits for its turn."""

    async def admit(self) -> None:
        # A failed archive keeps everybody out, until a person has seen to it.
        if self.mem:
            for number in range(1, self.index + 1):
                names = await self.store.marks(number)
                if ".failed.json" in names and ".done" not in names:
                    raise Refused(f"archive {number} failed")

    async def await_turn(self, number: int) -> None:
        if await self.end_of_previous(number) == "failed":
            raise Refused(f"archive {number - 1} failed")

    async def end_of_previous(self, number: int) -> str:
        """Poll A_{n-1} until it says how it ended, for ever."""
        while number > 1:
            names = await self.store.marks(number - 1)
            if ".done" in names:
                return "done"
            if ".failed.json" in names:
                return "failed"
            await self.env.world.sleep(POLL_S)
        return "done"

    async def give_up(self, number: int, marker: str) -> None:
        # The failure is final: it is not for the redo log to try again.
        if marker:
            await self.store.redo_done(marker)
        await self.store.mark(number, ".failed.json")

    async def recall(self, number: int) -> list[str]:
        # The messages of an archive that is not done yet are told as they are.
        return await self.store.read_archive(number)


class TwoPhaseChained(TwoPhase):
    """D7 (0.2.15-0.3.14): as two-phase, not refused; each extraction polls for the one before it, for ever."""

    name = "two-phase-chained"
    capabilities = Capabilities(durable=False, context=True)
    handle_type = ChainedHandle
    retryable = False
