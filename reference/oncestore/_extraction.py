"""Background work: hand each archive to the extractor once, in order, and record what came of it.

What is known about an archive is what its files say. In memory there is only what no other process can undo: an archive
that has a durable result keeps one, and a claim that is durable stays so. Whatever a dead process may have left undone
between its last rename and its last fsync is done again before anything is built, or said, upon it.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING

import trio

from . import _layout as layout
from ._archive import Outcome, Status, attempts_of, has_result, read_claimed, status_of
from ._errors import Corrupt, ExtractionInterrupted, StoreError
from ._messages import Message
from ._task import Progress

if TYPE_CHECKING:
    from ._store import SessionStore

Extract = Callable[[Sequence[Message], str], Awaitable[str]]

_logger = logging.getLogger("oncestore")


class Extraction:
    """The archives of one session, as one store sees them. One worker at a time sees to all of them."""

    def __init__(self, store: SessionStore, session: str) -> None:
        self.session = session
        self.under_way: dict[int, Progress] = {}
        self._store = store
        self._storage = store.storage
        self._again: set[int] = set()  # failures that are to be tried again
        self._claimed = 0  # claims up to this one are durable
        self._settled = 0  # results up to this one exist and are durable
        self._working = False
        self._patient = False  # somebody waits for the result
        self._queueing: trio.CancelScope | None = None  # around the wait for the lease

    def claimed(self, number: int) -> Progress:
        """This store claimed an archive, durably: extract it."""
        self._claimed = max(self._claimed, number)
        return self.want(number)

    def want(self, number: int, *, again: bool = False) -> Progress:
        """Have archive ``number``, and those before it, extracted in the background, by whichever store is first."""
        if self._store.closed is not None:
            return Progress().end("accepted", self._store.closed)
        if again:
            self._again.add(number)
        self._patient = True
        return self._start(number)

    def look_after(self, number: int) -> None:
        """The same, unless another store is at it: that one will do it, or die and be noticed the next time."""
        if self._store.closed is None:  # else nothing is begun, and those who wait are about to be told
            self._start(number)

    def leave(self) -> None:
        """Finish what is under way; leave to the others what they are at."""
        if self._queueing is not None:
            self._queueing.cancel()

    def interrupt(self, reason: StoreError) -> None:
        """Wake those who wait for what will not be done here."""
        for progress in self.under_way.values():
            progress.end("accepted", reason)
        self.under_way.clear()
        self._again.clear()

    def _start(self, number: int) -> Progress:
        progress = self.under_way.setdefault(number, Progress())
        if not self._working:
            self._working = True
            self._store.nursery.start_soon(self._work, name=f"extract {self.session}")
        return progress

    async def observe(self, number: int) -> Sequence[str]:
        """The names in an archive, a result made durable before anybody relies on it. Calls: list, fsync_directory."""
        names = await self._storage.list(layout.archive(self.session, number))
        if has_result(names):
            # Its writer may have died between rename and fsync; a status that was reported must survive.
            await self._storage.fsync_directory(layout.archive(self.session, number))
        return names

    async def _work(self) -> None:
        try:
            while self.under_way and await self._round():
                pass
        except (OSError, StoreError) as error:
            # Storage refused. Nothing is recorded, so nothing is settled: tell those who wait. A later look retries.
            interruption = ExtractionInterrupted(
                f"the extraction of session {self.session!r} stopped at a storage error ({error}); "
                "the archives are safe: see to the storage, then retry()"
            )
            interruption.__cause__ = error
            _logger.warning("%s", interruption)
            self.interrupt(interruption)
        finally:
            self._working = self._patient = False

    async def _round(self) -> bool:
        """Settle what is wanted now; False when that is left to others. Calls: lock (lease), then as needed."""
        # The lease makes the hand-over exclusive among all living stores, and dies with its holder. It is not the
        # session's lock: adds and commits go on while an extractor takes its time.
        lease = self._storage.lock(layout.lease(self.session), wait=self._patient and self._store.closed is None)
        with trio.CancelScope() as self._queueing:
            try:
                async with lease:
                    self._queueing = None  # what is under way goes on
                    await self._settle(max(self.under_way))
                    return True
            except BlockingIOError:
                if self._queueing is None:  # that was not the lease
                    raise
                if not self._patient:
                    self.under_way.clear()
                return self._store.closed is None  # somebody may wait by now
        return False

    async def _settle(self, newest: int) -> None:
        """Give every archive up to ``newest`` a result, and another try to those that were asked for again."""
        for number, attempts in await self._pending(newest):
            if attempts < self._store.attempts_most:
                await self._attempt(number, attempts + 1)
            else:
                problem = (
                    f"{attempts} attempts were begun and none ended: each time the process was killed, perhaps by what "
                    "the extractor does with these messages, or storage refused the result; find out, then retry"
                )
                await self._record(number, Outcome(error=problem, attempts=attempts, time=self._store.clock()))
        for number in sorted(self.under_way):
            if number <= newest:  # settled before, or by somebody else; or to be tried again
                names = await self.observe(number)
                if layout.EXTRACTION not in names and number in self._again:
                    await self._attempt(number, attempts_of(names) + 1)
                else:
                    self._end(number, status_of(names))

    async def _pending(self, newest: int) -> list[tuple[int, int]]:
        """The archives up to ``newest`` without a result, ascending, and how often each was tried.

        Looking back as far as one with a result is enough: results are made in order, each durable before the next is
        begun.
        """
        pending: list[tuple[int, int]] = []
        settled = newest
        while settled > self._settled and not has_result(names := await self.observe(settled)):
            pending.insert(0, (settled, attempts_of(names)))
            settled -= 1
        self._settled = max(self._settled, settled)
        if pending and newest > self._claimed:
            # The claimer may have died between rename and fsync. A result in an archive that a loss of power turns
            # back into live messages would be a result for messages that are claimed, and extracted, again.
            await self._storage.fsync_directory(layout.archives(self.session))
            await self._storage.fsync_directory(layout.home(self.session))
            self._claimed = newest
        return pending

    async def _attempt(self, number: int, attempt: int) -> None:
        """Calls: write, fsync_directory, read, chunks, the extractor, those of put_durably."""
        store, directory = self._store, layout.archive(self.session, number)
        async with store.extractors:
            if number in self.under_way:
                self.under_way[number].status = "running"
            # Marked before the extractor runs: one that takes the process with it must not do so for ever.
            mark = f"{directory}/{layout.attempt(attempt)}"
            try:
                await self._storage.write(mark, layout.to_json({"time": store.clock()}))
                await self._storage.fsync_directory(directory)
                text, problem = await self._extract(number)
            except (trio.Cancelled, OSError, StoreError):
                # The store is being left, or storage refused before the extractor ran: that was no attempt of its.
                with trio.CancelScope(shield=True), suppress(OSError):
                    await self._storage.remove(mark)
                raise
            # No checkpoint here, and shielded: a store that is being left must not have the work done again.
            with trio.CancelScope(shield=True):
                await self._record(number, Outcome(text=text, error=problem, attempts=attempt, time=store.clock()))

    async def _extract(self, number: int) -> tuple[str | None, str | None]:
        """The text, or what went wrong. Calls: read, chunks, the extractor."""
        limit_s = self._store.extract_timeout_s
        try:
            messages, key = await read_claimed(self._storage, self.session, number)
        except Corrupt as error:
            return None, f"Corrupt: {error}"
        try:
            with trio.move_on_after(limit_s):
                text = await self._store.extract(messages, key)
                if not isinstance(text, str):
                    raise TypeError(f"the extractor returned a {type(text).__name__}; it has to return a str")
                return text, None
        except Exception as error:
            # Recorded, hence visible and retryable, and no obstacle to the archives that follow.
            return None, f"{type(error).__name__}: {error}"
        return None, f"TimeoutError: the extractor took longer than {limit_s:g} s and was cancelled"

    async def _record(self, number: int, outcome: Outcome) -> None:
        """The rename in here *is* completion, or failure. Calls: those of put_durably."""
        completed = outcome.error is None
        name = layout.EXTRACTION if completed else layout.FAILURE
        await layout.put_durably(
            self._storage, layout.archive(self.session, number), name, layout.to_json(asdict(outcome))
        )
        self._settled = max(self._settled, number)
        self._end(number, "completed" if completed else "failed")

    def _end(self, number: int, status: Status) -> None:
        self._again.discard(number)
        if (progress := self.under_way.pop(number, None)) is not None:
            progress.end(status)
