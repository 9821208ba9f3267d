"""D6, ``two-phase``: released as OpenViking 0.2.11 to 0.2.13 (2026-03-25 to 03-26).

Every commit is accepted after a first phase without an LLM (the lock of D5, then the archive) and extracted in a second one, in the
background, under a redo log. ``.done`` in A_n says that all is over. The HTTP server refuses a commit while a task of the session runs
in its process; whoever embeds the store is not held up: that is ``two-phase-ungated``.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import ClassVar

from racewindow.implementations.designs._redo import Redoing
from racewindow.implementations.designs._task import Task
from racewindow.implementations.designs.path_lock import PathLockHandle
from racewindow.sessions.capabilities import Capabilities
from racewindow.sessions.implementation import Refused


class TwoPhaseHandle(PathLockHandle):
    """Phase 1 on this handle, phase 2 behind it."""

    store: TwoPhase

    async def commit(self, *, wait: bool) -> Task | None:
        await self.admit()
        if not (messages := await self.claim()):
            return None
        number = self.index
        await self.after_claim(number, messages)
        await self.store.write_meta(number)
        task = await self.store.create_task()
        self.env.background(partial(self.phase_two, number, messages, task), "commit")
        if wait:
            await task.wait()
        return task

    async def admit(self) -> None:
        """The gate before phase 1."""
        if self.store.gate and self.store.tasks.running:
            raise Refused("a commit of this session is running", busy=True)

    async def after_claim(self, number: int, messages: list[str]) -> None:
        """L is empty already, and the lock is free, when the archive is written."""
        await self.store.write_archive(number, messages)

    async def phase_two(self, number: int, messages: list[str], task: Task) -> None:
        """Summary and extraction, and the mark that they are done."""
        marker = ""
        try:
            await self.await_turn(number)
            task.begin()
            marker = await self.store.redo_pending(number, task)
            await self.read_overview(number - 1)
            await self.store.summarise()
            await self.store.write_summary(number)
            await self.env.extract(messages)
            await self.store.redo_done(marker)
            await self.store.write_meta(number)
            await self.store.mark(number, ".done")
        except Exception:
            await self.give_up(number, marker)
            task.end("failed")
        else:
            task.end("completed")

    async def await_turn(self, number: int) -> None:
        """Phase 2 waits for nobody."""

    async def give_up(self, number: int, marker: str) -> None:
        """Nothing: the marker stays where it is, for the next start."""

    async def read_overview(self, number: int) -> None:
        """The summary builds on the one before."""
        with suppress(FileNotFoundError):
            if number:
                await self.disk.read(f"{self.store.archive(number)}/overview", label="overview.read")

    async def recall(self, number: int) -> list[str]:
        # A reader is given the overview of archives that are done. What is still at work is in no overview.
        return await self.store.read_archive(number) if ".done" in await self.store.marks(number) else []


class TwoPhase(Redoing):
    """D6 (0.2.11-0.2.13): lock and archive, accept, extract behind; refused while one runs."""

    name = "two-phase"
    capabilities = Capabilities(durable=False, context=True)
    handle_type: ClassVar[type[TwoPhaseHandle]] = TwoPhaseHandle
    gate: ClassVar[bool] = True


class TwoPhaseUngated(TwoPhase):
    """D6 (0.2.11-0.2.13), embedded: as two-phase, without the server's refusal while a commit runs."""

    name = "two-phase-ungated"
    gate = False
