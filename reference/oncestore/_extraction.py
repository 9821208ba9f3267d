"""Background work: hand each archive to the extractor once, in order, and record what came of it.

What is known about an archive is what its files say. In memory there is only what no other process can undo: an archive
that has a durable result keeps one, and a claim that is durable stays so. Whatever a dead process may have left undone
between its last rename and its last fsync is done again before anything is built, or said, upon it.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict

import trio

from . import _layout as layout
from ._archive import Outcome, Status, read_claimed, read_outcome, read_status
from ._errors import ExtractionInterrupted, StoreError
from ._messages import Message
from ._storage import Storage
from ._task import Progress

Extract = Callable[[Sequence[Message], str], Awaitable[str]]

_logger = logging.getLogger("oncestore")


class Extraction:
    """The archives of one session, as one store sees them."""

    def __init__(
        self, storage: Storage, session: str, extract: Extract, clock: Callable[[], float], nursery: trio.Nursery
    ) -> None:
        self.storage = storage
        self.session = session
        self.extract = extract
        self.clock = clock
        self.nursery = nursery
        self.under_way: dict[int, Progress] = {}
        self.claimed = 0  # claims up to this one are durable
        self.settled = 0  # results up to this one exist and are durable
        self.closed: StoreError | None = None  # why nothing can be started any more

    def start(self, number: int, *, again: bool = False) -> Progress:
        """Have archive ``number``, and those before it, extracted in the background."""
        if self.closed is not None:
            return Progress().end("accepted", self.closed)
        progress = self.under_way.get(number)
        if progress is None:
            progress = self.under_way[number] = Progress()
            self.nursery.start_soon(self._run, number, progress, again, name=f"extract {self.session}:{number}")
        return progress

    def close(self, reason: StoreError) -> None:
        """Wake those who wait for what this store will not do any more; the next one to open will."""
        self.closed = reason
        for number in list(self.under_way):
            self._end(number, "accepted", reason)

    async def observe(self, number: int) -> Status:
        """The status, made durable before anybody relies on it. Calls: list; and with a result, fsync_directory."""
        status = await read_status(self.storage, self.session, number)
        if status != "accepted":
            # Its writer may have died between rename and fsync; a status that was reported must survive.
            await self.storage.fsync_directory(layout.archive(self.session, number))
        return status

    async def _run(self, number: int, progress: Progress, again: bool) -> None:
        try:
            # The lease makes the hand-over exclusive among all living stores and dies with its holder. It is not the
            # session's lock: adds and commits go on while an extractor takes its time.
            async with self.storage.lock(f"leases/{self.session}"):
                for pending in await self._pending(number):
                    await self._attempt(pending, attempt=1)
                if not progress.ended.is_set():  # somebody else settled it, or it is to be tried again
                    status = await self.observe(number)
                    assert status != "accepted", "the lease holder has settled every archive up to this one"
                    if (
                        again
                        and status == "failed"
                        and (failure := await read_outcome(self.storage, self.session, number))
                    ):
                        await self._attempt(number, attempt=failure.attempts + 1)
                    else:
                        self._end(number, status)
        except (OSError, StoreError) as error:
            # Storage refused. Nothing is recorded, so nothing is settled: tell those who wait, go on with the rest.
            interruption = ExtractionInterrupted(
                f"the extraction of {self.session}:{number} stopped at a storage error ({error}); "
                "the archive is safe: see to the storage, then retry()"
            )
            interruption.__cause__ = error
            _logger.warning("%s", interruption)
            self._end(number, "accepted", interruption)

    async def _pending(self, number: int) -> list[int]:
        """The archives up to ``number`` without a result, ascending.

        Looking back from the newest as far as one with a result is enough: results are made in order, each durable
        before the next is begun.
        """
        pending: list[int] = []
        settled = number
        while settled > self.settled and await self.observe(settled) == "accepted":
            pending.insert(0, settled)
            settled -= 1
        self.settled = max(self.settled, settled)
        if pending and number > self.claimed:
            # The claimer may have died between rename and fsync. A result in an archive that a loss of power turns
            # back into live messages would be a result for messages that are claimed, and extracted, again.
            await self.storage.fsync_directory(layout.archives(self.session))
            await self.storage.fsync_directory(layout.home(self.session))
            self.claimed = number
        return pending

    async def _attempt(self, number: int, attempt: int) -> None:
        if number in self.under_way:
            self.under_way[number].status = "running"
        text = problem = None
        try:
            messages, key = await read_claimed(self.storage, self.session, number)
            text = await self.extract(messages, key)
            if not isinstance(text, str):
                raise TypeError(f"the extractor returned a {type(text).__name__}; it has to return a str")
        except Exception as error:
            # Recorded, hence visible and retryable, and no obstacle to the archives that follow.
            text, problem = None, f"{type(error).__name__}: {error}"
        # No checkpoint here, and shielded: a store that is being left must not have the work done again.
        with trio.CancelScope(shield=True):
            await self._record(number, Outcome(text=text, error=problem, attempts=attempt, time=self.clock()))

    async def _record(self, number: int, outcome: Outcome) -> None:
        """The rename in here *is* completion, or failure. Calls: open, write, fsync, close, rename, fsync_directory."""
        completed = outcome.error is None
        name = layout.EXTRACTION if completed else layout.FAILURE
        await layout.put_durably(self.storage, layout.archive(self.session, number), name, asdict(outcome))
        self.settled = max(self.settled, number)
        self._end(number, "completed" if completed else "failed")

    def _end(self, number: int, status: Status, interruption: StoreError | None = None) -> None:
        if (progress := self.under_way.pop(number, None)) is not None:
            progress.end(status, interruption)
