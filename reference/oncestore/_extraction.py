"""Background work: hand each archive to the extractor once, in order, and record what came of it.

What is known about an archive is what its files say. In memory there is only what no other process can undo: an archive
that has a durable result keeps one, and a claim that is durable stays so. Whatever a dead process may have left undone
between its last rename and its last fsync is done again before anything is built, or said, upon it.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import trio

from . import _layout as layout
from ._errors import Corrupt, ExtractionInterrupted, StoreError
from ._log import read_log
from ._messages import Message
from ._storage import Storage

Status = Literal["accepted", "running", "completed", "failed", "skipped"]
Extract = Callable[[Sequence[Message], str], Awaitable[str]]

_logger = logging.getLogger("oncestore")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Extracted:
    """What the extractor made of an archive; ``key`` is the idempotency key it was given."""

    key: str
    text: str
    time: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The last of ``attempts`` failed attempts to extract an archive."""

    error: str
    attempts: int
    time: float


class Progress:
    """One archive on its way to a result, shared by everybody in this store who waits for it."""

    def __init__(self, status: Status) -> None:
        self.status: Status = status
        self.interruption: Exception | None = None
        self.ended = trio.Event()

    def end(self, status: Status, interruption: Exception | None = None) -> "Progress":
        self.status, self.interruption = status, interruption
        self.ended.set()
        return self


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
        self.closed: Exception | None = None  # why nothing can be started any more

    def start(self, number: int, *, again: bool = False) -> Progress:
        """Have archive ``number``, and those before it, extracted in the background."""
        progress = self.under_way.get(number)
        if self.closed is not None:
            return Progress("accepted").end("accepted", self.closed)
        if progress is None:
            progress = self.under_way[number] = Progress("accepted")
            self.nursery.start_soon(self._run, number, progress, again, name=f"extract {self.session}:{number}")
        return progress

    async def status(self, number: int) -> Status | None:
        """What the files say; None without a result. One call: list. Raises FileNotFoundError without an archive."""
        names = await self.storage.list(layout.archive(self.session, number))
        # A success beats a failure: a retry that succeeded leaves the record of the failure where it is.
        return "completed" if layout.EXTRACTION in names else "failed" if layout.FAILURE in names else None

    async def observe(self, number: int) -> Status | None:
        """The status, made durable before anybody relies on it. Calls: list; and with a result, fsync_directory."""
        status = await self.status(number)
        if status is not None:
            # Its writer may have died between rename and fsync; a status that was reported must survive.
            await self.storage.fsync_directory(layout.archive(self.session, number))
        return status

    async def outcome(self, number: int) -> Extracted | Failed | None:
        """What was recorded. Calls: list, read."""
        match await self.status(number):
            case "completed":
                path = f"{layout.archive(self.session, number)}/{layout.EXTRACTION}"
                return _parse(Extracted, path, await layout.read_json(self.storage, path))
            case "failed":
                return await self._failure(number)
            case _:
                return None

    def close(self, reason: Exception) -> None:
        """Wake those who wait for what this store will not do any more; the next one to open will."""
        self.closed = reason
        for number in list(self.under_way):
            self._end(number, "accepted", reason)

    async def _run(self, number: int, progress: Progress, again: bool) -> None:
        try:
            # The lease makes the hand-over exclusive among all living stores and dies with its holder. It is not the
            # session's lock: adds and commits go on while an extractor takes its time.
            async with self.storage.lock(f"leases/{self.session}"):
                for pending in await self._pending(number):
                    await self._attempt(pending, attempts_before=0)
                if not progress.ended.is_set():  # somebody else settled it, or it is to be tried again
                    status = await self.observe(number)
                    if again and status == "failed":
                        await self._attempt(number, attempts_before=(await self._failure(number)).attempts)
                    else:
                        assert status is not None, "the lease holder has settled every archive up to this one"
                        self._end(number, status)
        except (OSError, StoreError) as error:
            # Storage refused. Nothing is recorded, so nothing is settled: tell those who wait, go on with the rest.
            _logger.warning("extraction of %s:%s interrupted: %s", self.session, number, error)
            self._end(number, "accepted", error)

    async def _pending(self, number: int) -> list[int]:
        """The archives up to ``number`` without a result, ascending.

        Looking back from the newest as far as one with a result is enough: results are made in order, each durable
        before the next is begun.
        """
        pending: list[int] = []
        settled = number
        while settled > self.settled and await self.observe(settled) is None:
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

    async def _attempt(self, number: int, attempts_before: int) -> None:
        if number in self.under_way:
            self.under_way[number].status = "running"
        try:
            messages, key = await self._claimed(number)
            text = await self.extract(messages, key)
            if not isinstance(text, str):
                raise TypeError(f"the extractor returned a {type(text).__name__}; it has to return a str")
        except Exception as error:
            # Recorded, hence visible and retryable, and no obstacle to the archives that follow.
            problem = f"{type(error).__name__}: {error}"
            await self._record(number, Failed(error=problem, attempts=attempts_before + 1, time=self.clock()))
        else:
            await self._record(number, Extracted(key=key, text=text, time=self.clock()))

    async def _claimed(self, number: int) -> tuple[Sequence[Message], str]:
        """What was claimed, and the key. Calls: read, read."""
        directory = layout.archive(self.session, number)
        claim = await layout.read_json(self.storage, f"{directory}/{layout.CLAIM}")
        log = await read_log(self.storage, f"{directory}/{layout.LOG}")
        if len(log.messages) != claim.get("messages"):
            raise Corrupt(
                f"{directory}/{layout.LOG}",
                len(log.messages) + 1,
                f"{claim.get('messages')} messages were claimed and {len(log.messages)} are here",
            )
        return log.messages, str(claim["key"])

    async def _record(self, number: int, result: Extracted | Failed) -> None:
        """Completion (or failure) is this rename. Calls: open, write, fsync, close, rename, fsync_directory."""
        directory = layout.archive(self.session, number)
        members = {name: getattr(result, name) for name in result.__slots__}
        success = isinstance(result, Extracted)
        # Shielded: the extractor has done its work, and a store that is being left must not have it done again.
        with trio.CancelScope(shield=True):
            await layout.put_durably(self.storage, directory, layout.EXTRACTION if success else layout.FAILURE, members)
        self.settled = max(self.settled, number)
        self._end(number, "completed" if success else "failed")

    async def _failure(self, number: int) -> Failed:
        path = f"{layout.archive(self.session, number)}/{layout.FAILURE}"
        return _parse(Failed, path, await layout.read_json(self.storage, path))

    def _end(self, number: int, status: Status, interruption: Exception | None = None) -> None:
        progress = self.under_way.pop(number, None)
        if progress is not None:
            progress.end(status, interruption)


class CommitTask:
    """A commit: what it claimed, and how far the extraction is. Its id is good in any store on the same root."""

    def __init__(self, extraction: Extraction, number: int, progress: Progress) -> None:
        self._extraction = extraction
        self._progress = progress
        self.archive = number  # 0: nothing was claimed

    def __repr__(self) -> str:
        return f"<CommitTask {self.id} {self.status}>"

    @property
    def id(self) -> str:
        """``<session>:<archive>``: nothing has to be stored for it to be found again."""
        return f"{self._extraction.session}:{self.archive}"

    @property
    def session_id(self) -> str:
        return self._extraction.session

    @property
    def status(self) -> Status:
        """As last seen by this store; ``store.task(id)`` looks again."""
        return self._progress.status

    async def wait(self) -> Status:
        """Wait for the end, whichever store brings it about. Giving up waiting changes nothing else.

        Raises ExtractionInterrupted when storage refused, and StoreClosed when the store was left first.
        """
        await self._progress.ended.wait()
        match self._progress.interruption:
            case None:
                return self._progress.status
            case StoreError() as error:
                raise error
            case error:
                raise ExtractionInterrupted(
                    f"the extraction of {self.id} stopped at a storage error ({error}); the archive is safe: "
                    "see to the storage, then retry()"
                ) from error

    async def retry(self) -> None:
        """Have a failed or interrupted extraction run again in the background; anything else is left alone."""
        await trio.lowlevel.checkpoint()
        if self.status == "failed" or self._progress.interruption is not None:
            self._progress = self._extraction.start(self.archive, again=True)

    async def outcome(self) -> Extracted | Failed | None:
        """What is recorded: None before the end, and for a commit that had nothing to claim."""
        return await self._extraction.outcome(self.archive) if self.archive else None


def _parse(kind: type[_T], path: str, members: dict[str, object]) -> _T:
    try:
        return kind(**members)
    except TypeError as error:
        raise Corrupt(path, 1, f"not the members of {kind.__name__}") from error
