"""The live log of a session: adds append to it, and a commit claims it by renaming the directory it is in.

What a store knows about a log stays true while nobody else changes it, and the lock's note tells: it names the last
one to have left the log whole and durable. Who is at work puts a question mark behind the name. When he fails or dies
it stays there, and the next one trusts nothing that was not known to be durable before.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import trio

from . import _layout as layout
from ._archive import archive_numbers, is_pending, read_ids
from ._errors import AlreadyExists, CommitPending, Conflict, NotStored, OutcomeUnknown, StoreError
from ._ids import Ids
from ._log import LogReader, copy_lines
from ._messages import Message, encode
from ._storage import FsyncFailed, Lock
from ._turn import take

if TYPE_CHECKING:
    from ._store import SessionStore

T = TypeVar("T")

_UNSURE = "?"
_BATCH_MOST = 1000


@dataclass(slots=True, kw_only=True)
class _State:
    """A log that is whole, durable, and found again after a loss of power."""

    number: int  # of the archive that it will be
    size: int = 0  # bytes
    count: int = 0  # lines
    ids: Ids | None = None  # of all messages of the session, once somebody may have repeated one


class _Entry:
    """One add on its way into the log."""

    def __init__(self, message: Message, *, may_repeat: bool) -> None:
        self.message = message
        self.record = encode(message)
        self.may_repeat = may_repeat  # the id is the client's, who may have used it before
        self.stored: Message | None = None
        self.problem: StoreError | None = None

    @property
    def answered(self) -> bool:
        return self.stored is not None or self.problem is not None

    def answer(self, original: Message, session: str) -> None:
        """The session holds a message with this id, durably: this one, or what it has to repeat."""
        if original.says_the_same_as(self.message):
            self.stored = original
        else:
            self.problem = Conflict(
                f"message id {original.id!r} is taken in session {session!r} by {original!r}; "
                "an id belongs to one message: repeat that one unchanged, or choose a new id"
            )


class Live:
    """The live log as one store sees it, shared by all its handles of the session."""

    def __init__(self, store: SessionStore, session: str) -> None:
        self._store = store
        self._storage = store.storage
        self._session = session
        self._path = layout.log(layout.live(session))
        self._name = store.make_id()  # in notes: no other object has it, in any process
        self._state: _State | None = None
        self._waiting: list[_Entry] = []
        self._turn = trio.Lock()

    async def create(self) -> None:
        """Calls: lock, list, list, make_directory, make_directory, fsync_directory, rename, fsync_directory."""
        home, new = layout.home(self._session), f"{layout.NEW}/{self._session}"
        with Plainly("created"):
            async with self._lock() as lock:
                for place in (home, layout.deleted(self._session)):
                    with suppress(FileNotFoundError):
                        await self._storage.list(place)
                        # Who made it may have died before this; an answer has to survive.
                        await self._storage.fsync_directory(layout.SESSIONS)
                        raise AlreadyExists(
                            f"session id {self._session!r} is in use, or was used by a session that was deleted; "
                            "ids are used once: choose another one"
                        )
                lock.note = _UNSURE
                # A session appears whole: one without a place for archives would be no use, and in the way.
                await layout.ensure_directory(self._storage, new)
                await layout.ensure_directory(self._storage, f"{new}/archives")
                await self._storage.fsync_directory(new)
                await self._storage.rename(new, home)
                with unsure():
                    await self._storage.fsync_directory(layout.SESSIONS)
                self._state = _State(number=1)
                self._vouch(lock)

    async def add(self, message: Message, *, may_repeat: bool) -> Message:
        """Append, together with all who wait for it; nobody is answered before the whole batch is durable.

        Calls: lock, those of _look, those of _write.
        """
        entry = _Entry(message, may_repeat=may_repeat)
        self._waiting.append(entry)
        try:
            # While one of us writes, the others gather here; the first one then writes for all.
            await take(self._turn)
            try:
                while not entry.answered:
                    await self._lead()
            finally:
                self._turn.release()
        finally:
            if entry in self._waiting:  # cancelled, or there was no way to begin: nobody took it along
                self._waiting.remove(entry)
        if entry.problem is not None:
            raise copy(entry.problem) from entry.problem  # others of the batch raise theirs
        assert entry.stored is not None, "whoever had the turn has answered"
        return entry.stored

    async def claim(self, then: Callable[[int], T]) -> T | None:
        """Make an archive of the live messages, and call ``then`` with its number; None when there are none.

        Calls: lock, those of _look, those of _claim.
        """
        async with self._exclusive("committed") as state:
            if not state.size:
                return None
            number = state.number
            # Shielded: a client that goes away in the middle must not leave a claim that nobody extracts.
            with trio.CancelScope(shield=True):
                await self._claim(state)
                claimed = then(number)
        return claimed

    async def delete(self) -> None:
        """Calls: list, lock (lease), lock, those of _look, list, rename, fsync_directory twice, those of erase."""
        pending = CommitPending(
            f"a commit of session {self._session!r} is pending; wait for its extraction to end, then delete"
        )
        deleted = layout.deleted(self._session)
        with Plainly("deleted"):
            await archive_numbers(self._storage, self._session)  # as in _exclusive, but for the lease
            try:
                lease = self._storage.lock(layout.lease(self._session), wait=False)
                async with lease, self._exclusive("deleted") as state:
                    newest = state.number - 1
                    if newest and await is_pending(self._storage, self._session, newest):
                        raise pending
                    with trio.CancelScope(shield=True):
                        await self._storage.rename(layout.home(self._session), deleted)
                        self._state = None
                        with unsure():
                            await self._storage.fsync_directory(layout.DELETED)
                            await self._storage.fsync_directory(layout.SESSIONS)
            except BlockingIOError:
                raise pending from None
        # What is left over when this process dies here, or storage refuses, nobody can see.
        with suppress(OSError):
            await layout.erase(self._storage, deleted)

    # -- under the lock --------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _exclusive(self, done: str) -> AsyncGenerator[_State]:
        """The lock, and what is known about the log.

        It is held from the look to the last fsync. Without it a commit can rename the log away from under an append,
        and the record lands in an archive that was extracted already: acknowledged, and stranded.
        """
        self._store.check_open()
        with Plainly(done):
            if self._state is None:
                # An unknown session is refused before a lock is made for it, which would stay for ever.
                await archive_numbers(self._storage, self._session)
            async with self._lock() as lock:
                state = self._state
                if state is None or lock.note != self._name:
                    state = self._state = await self._look(lock)
                lock.note = self._name + _UNSURE
                try:
                    yield state
                except FsyncFailed:
                    raise
                except (OSError, StoreError):  # nothing was changed
                    self._vouch(lock)
                    raise
                self._vouch(lock)

    def _vouch(self, lock: Lock) -> None:
        with suppress(OSError):  # what was done is done; without the note, the next one looks closely
            lock.note = self._name if self._state else _UNSURE

    async def _look(self, lock: Lock) -> _State:
        """Find out what others did since this store last held the lock.

        Calls: list, chunks, and with ids those of read_ids for each new archive; where nobody vouches, those of _repair.
        """
        number = max(await archive_numbers(self._storage, self._session), default=0) + 1
        # What was known to be durable has stayed, or has been claimed as a whole.
        known = self._state or _State(number=number)
        state = _State(number=number, ids=known.ids)
        if known.number == number:
            state.size, state.count = known.size, known.count
        elif state.ids is not None:
            await self._read_ids(state.ids, range(known.number, number))
        log = LogReader(self._storage, self._path, state.size, state.count)
        if lock.note == self._name + _UNSURE:
            # This store failed, and nobody was here since: what came after may be gone at the next loss of power,
            # whatever an fsync says now. Its clients were told that the outcome is unknown, and this decides it.
            await self._repair(state)
        else:
            async for message in log.messages():
                if state.ids is not None:
                    state.ids.add(message.id)
            state.size, state.count = log.size, log.count
            if log.torn or not lock.note or lock.note.endswith(_UNSURE):
                lock.note = _UNSURE
                await self._repair(state)
        return state

    async def _repair(self, state: _State) -> None:
        """Make what is known of the log true: cut what comes after, and make all of it, and the way to it, durable.

        By a copy that replaces the log, for an fsync after one that failed may promise what it does not do; and a record
        behind a line without an end would be lost in it.
        Calls: fsync_directory three times; with a log: remove, copy_lines, rename, fsync_directory.
        """
        storage, home = self._storage, layout.home(self._session)
        for directory in (layout.SESSIONS, home, layout.archives(self._session)):
            await storage.fsync_directory(directory)
        with suppress(FileNotFoundError):
            await storage.remove(f"{self._path}.new")
        with suppress(FileNotFoundError):  # there is no log yet
            await copy_lines(storage, self._path, f"{self._path}.new", state.size)
            await storage.rename(f"{self._path}.new", self._path)
            await storage.fsync_directory(layout.live(self._session))

    # -- adding ----------------------------------------------------------------------------------------------------

    async def _lead(self) -> None:
        batch: list[_Entry] = []
        try:
            async with self._exclusive("stored") as state:
                most = _BATCH_MOST if self._store.group_commit else 1
                batch, self._waiting = self._waiting[:most], self._waiting[most:]
                # Shielded: others depend on what the leader does, and its client may go away.
                with trio.CancelScope(shield=True):
                    await self._write(state, batch)
        except BaseException as error:
            # Nobody else will answer those who were taken along.
            problem: StoreError = OutcomeUnknown(f"the batch was given up ({error!r}); repeat with the same id")
            if isinstance(error, StoreError):
                problem = error
            for entry in batch:
                if not entry.answered:
                    entry.problem = problem
            if problem is not error or not batch:
                raise

    async def _write(self, state: _State, batch: Sequence[_Entry]) -> None:
        """Calls: those of _find for each id that may have been used before, those of _append."""
        fresh: dict[str, _Entry] = {}
        for entry in batch:
            id = entry.message.id
            if id not in fresh and entry.may_repeat and (original := await self._find(state, id)):
                entry.answer(original, self._session)  # whatever becomes of the others
            else:
                fresh.setdefault(id, entry)
        if fresh:
            await self._append(state, b"".join(entry.record for entry in fresh.values()))
            state.count += len(fresh)
            if state.ids is not None:
                for id in fresh:
                    state.ids.add(id)
        for entry in batch:
            if not entry.answered:
                entry.answer(fresh[entry.message.id].message, self._session)

    async def _append(self, state: _State, data: bytes) -> None:
        """Calls: append; the first in a log: make_directory and fsync_directory before it, fsync_directory after it."""
        live = layout.live(self._session)
        if not state.size:
            # Whoever makes an entry makes it durable, and what is there may have been made by one who died before that.
            await layout.ensure_directory(self._storage, live)
            await self._storage.fsync_directory(layout.home(self._session))
        await self._storage.append(self._path, data)
        if not state.size:
            with unsure():
                await self._storage.fsync_directory(live)
        state.size += len(data)

    async def _find(self, state: _State, id: str) -> Message | None:
        """Calls: the first time, chunks, and those of read_ids for each archive; for a used id, chunks until found."""
        archived = range(1, state.number)
        if state.ids is None:
            ids = Ids()
            await self._read_ids(ids, archived)
            async for message in LogReader(self._storage, self._path).messages():
                ids.add(message.id)
            state.ids = ids
        if id in state.ids:
            # Newest first: a retry looks for what was sent a moment ago.
            archives = (layout.archive(self._session, number) for number in reversed(archived))
            for directory in (layout.live(self._session), *archives):
                if found := await LogReader(self._storage, layout.log(directory)).find(id):
                    return found
        return None

    async def _read_ids(self, ids: Ids, archives: Iterable[int]) -> None:
        """Add those of these archives. Calls: those of read_ids for each."""
        for number in archives:
            ids.update(await read_ids(self._storage, self._session, number))

    # -- claiming --------------------------------------------------------------------------------------------------

    async def _claim(self, state: _State) -> None:
        """One rename moves live away and makes the archive: no moment exists in which a message is in both.

        Calls: write, fsync_directory, rename, fsync_directory, fsync_directory.
        """
        storage, live = self._storage, layout.live(self._session)
        claim = {"key": self._store.make_id(), "bytes": state.size, "time": self._store.clock()}
        # Replaces one that is there already: its writer died before the rename, and it means nothing.
        await storage.write(f"{live}/{layout.CLAIM}", layout.to_json(claim))
        # An archive must never be without its key, or a second attempt would come under another one.
        await storage.fsync_directory(live)
        await storage.rename(live, layout.archive(self._session, state.number))
        with unsure():
            # Both parents, before anything is said or done about it: else the claim can come undone after "accepted".
            await storage.fsync_directory(layout.archives(self._session))
            await storage.fsync_directory(layout.home(self._session))
        state.number += 1
        state.size = state.count = 0

    def _lock(self) -> AbstractAsyncContextManager[Lock]:
        return self._storage.lock(layout.lock(self._session))


class Plainly:
    """Say what an error of the storage means for the client. No generator, for every add goes this way."""

    def __init__(self, done: str) -> None:
        self._done = done

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, FsyncFailed):
            raise OutcomeUnknown(
                f"storage failed ({error}), and it may have been {self._done} or not; an add with a message id can be "
                "repeated until it succeeds, a commit that happened will be extracted"
            ) from error
        if isinstance(error, OSError):
            raise NotStored(
                f"storage refused ({error}), and nothing was {self._done}; see to its space and permissions, then repeat"
            ) from error


@contextmanager
def unsure() -> Iterator[None]:
    """An error in here comes after a change that others can see already."""
    try:
        yield
    except OSError as error:
        raise FsyncFailed(*error.args) from error
