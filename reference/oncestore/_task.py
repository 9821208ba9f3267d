"""A commit as its client sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from ._archive import Claim, Outcome, Status, read_claim, read_outcome
from ._errors import StoreError

if TYPE_CHECKING:
    from ._store import SessionStore


class Progress:
    """One archive on its way to an outcome, shared by everybody in this store who waits for it."""

    def __init__(self) -> None:
        self.status: Status = "accepted"
        self.interruption: StoreError | None = None
        self.ended = trio.Event()

    def end(self, status: Status, interruption: StoreError | None = None) -> Progress:
        self.status, self.interruption = status, interruption
        self.ended.set()
        return self


class CommitTask:
    """A commit: which archive it claimed, and how far the extraction is. Its id is good in any store on the root."""

    def __init__(self, store: SessionStore, session: str, archive: int, progress: Progress) -> None:
        self._store = store
        self._progress = progress
        self.session_id = session
        self.archive = archive  # 0: there was nothing to claim

    def __repr__(self) -> str:
        return f"<CommitTask {self.id} {self.status}>"

    @property
    def id(self) -> str:
        """``<session>:<archive>``: nothing has to be stored for it to be found again."""
        return f"{self.session_id}:{self.archive}"

    @property
    def status(self) -> Status:
        """As last seen by this store; ``await store.task(id)`` looks again."""
        return self._progress.status

    async def wait(self) -> Status:
        """Wait for the end, whichever store brings it about. Giving up waiting changes nothing else.

        Raises ExtractionInterrupted when storage refused, and StoreClosed when the store was left first.
        """
        await self._progress.ended.wait()
        if self._progress.interruption is not None:
            raise self._progress.interruption
        return self._progress.status

    async def retry(self) -> None:
        """Have a failed or interrupted extraction run again in the background; anything else is left alone."""
        await trio.lowlevel.checkpoint()
        if self.status == "failed" or self._progress.interruption is not None:
            self._progress = self._store.extraction(self.session_id).want(self.archive, again=True)

    async def claim(self) -> Claim | None:
        """What was claimed, and when; None where there was nothing. One call: read."""
        return await read_claim(self._store.storage, self.session_id, self.archive) if self.archive else None

    async def outcome(self) -> Outcome | None:
        """What is recorded: None before the end, and where there was nothing to claim.

        Calls: list, with a result fsync_directory, read. Raises Corrupt.
        """
        if not self.archive:
            return None
        # Made durable before it is told: it may be another one's, who died before his fsync.
        names = await self._store.extraction(self.session_id).observe(self.archive)
        return await read_outcome(self._store.storage, self.session_id, self.archive, names)
