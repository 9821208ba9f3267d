"""A session: messages are added to its live log, and a commit claims them all by renaming the directory they are in."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

import trio

from . import _layout as layout
from ._archive import archive_numbers
from ._errors import Conflict
from ._extraction import Extraction
from ._log import Log, read_log
from ._messages import Message, encode
from ._task import CommitTask, Progress

if TYPE_CHECKING:
    from ._store import SessionStore


class Session:
    """A handle: a view of one session. Any number of handles, stores and processes may have the same session open."""

    def __init__(self, store: SessionStore, id: str) -> None:
        self._store = store
        self._storage = store.storage
        self._known: tuple[Message, ...] = ()
        self.id = id

    def __repr__(self) -> str:
        return f"<Session {self.id} known={len(self._known)}>"

    def messages(self) -> tuple[Message, ...]:
        """The live messages as this handle last saw them. Only a view: no operation builds on it."""
        return self._known

    async def reload(self) -> tuple[Message, ...]:
        """Read the live messages again. Calls: read.

        Without a lock: a log only grows, and a claim takes it away as a whole, so any moment is a consistent one.
        """
        self._known = (await self._read_live()).messages
        return self._known

    async def add(self, role: str, content: str, message_id: str | None = None) -> Message:
        """Append one message; when this returns, it is durable.

        An add that was cancelled or raised may have happened or not. With a ``message_id`` it can be repeated until it
        returns: the message is written once, also when it has been archived since.

        Calls: lock, read, open, write, fsync, close. First in a log: make_directory before the open, fsync_directory
        three times after it. With a message_id: list, and read for each archive, before all that.

        Raises Conflict, UsageError, Corrupt.
        """
        self._store.check_open()
        message = Message(
            id=self._store.make_id() if message_id is None else message_id,
            role=role,
            content=content,
            time=self._store.clock(),
        )
        record = encode(message)
        # The lock is held from the read to the fsync. Without it a commit can rename the log away from under the open
        # descriptor, and the record lands in an archive that was extracted already: acknowledged, and stranded.
        async with self._lock():
            log = await self._read_live()
            # Only a client's id can have been used before.
            original = None if message_id is None else log.find(message_id)
            if original is not None:
                self._check_same(original, message)
                # Whoever wrote it may have died before its fsync: the answer has to wait for one.
                await self._append(log, b"")
                self._known = log.messages
                return original
            if message_id is not None and (original := await self._find_archived(message_id)) is not None:
                self._check_same(original, message)
                self._known = log.messages
                return original  # durable: a log is fsynced before it is claimed
            await self._append(log, record)
            self._known = (*log.messages, message)
            return message

    async def commit(self, *, wait: bool = False) -> CommitTask:
        """Claim the live messages and have them extracted in the background; ``skipped`` when there are none.

        When this returns, live is switched durably: a reload that starts now sees none of the claimed messages, and no
        other commit can claim them. With ``wait``, return after the extraction ended; to be cancelled while waiting
        changes nothing else.

        Calls: lock, read, then open, fsync, close (log), list, open, write, fsync, close (claim), fsync_directory,
        rename, fsync_directory, fsync_directory. First in a session: make_directory, fsync_directory after the list.
        """
        self._store.check_open()
        async with self._lock():
            # Read now, under the lock: what this handle knows may have been claimed through another one.
            log = await self._read_live()
            if log.messages:
                task = await self._switch(log)
            else:
                task = CommitTask(self._extraction, 0, Progress().end("skipped"))
            self._known = ()
        if wait:
            await task.wait()
        return task

    async def _switch(self, log: Log) -> CommitTask:
        """Claim first, then extract. The other way round, two commits can extract what only one of them claims."""
        # What is claimed must be durable, for an extraction of it will be: a record whose writer died before its fsync
        # could be lost from the archive, be added again by its client, and be extracted twice.
        await self._append(log, b"")
        number = await self._next_number()
        await self._claim(number, log)
        return self._start_extraction(number)  # no checkpoint since the claim: nothing can come between

    async def _claim(self, number: int, log: Log) -> None:
        """One rename moves live away and creates the archive: no moment exists in which a message is in both."""
        live, target = layout.live(self.id), layout.archive(self.id, number)
        claim = {"key": self._store.make_id(), "messages": len(log.messages), "time": self._store.clock()}
        # Shielded: a client that goes away in the middle must not leave a claim that nobody extracts.
        with trio.CancelScope(shield=True):
            # Replaces one that is there already: its writer died before the rename, and it means nothing.
            await layout.write_durably(self._storage, f"{live}/{layout.CLAIM}", layout.to_json(claim))
            # An archive must never be without its key, or a second attempt would come under another one.
            await self._storage.fsync_directory(live)
            await self._storage.rename(live, target)
            # Both parents, before anything is said or done about it: else the claim can come undone after "accepted".
            await self._storage.fsync_directory(layout.archives(self.id))
            await self._storage.fsync_directory(layout.home(self.id))

    def _start_extraction(self, number: int) -> CommitTask:
        extraction = self._extraction
        extraction.claimed = max(extraction.claimed, number)
        return CommitTask(extraction, number, extraction.start(number))

    async def _next_number(self) -> int:
        numbers = await archive_numbers(self._storage, self.id)
        if not numbers:
            await layout.ensure_directory(self._storage, layout.archives(self.id))
            # Before the rename into it: a durable entry in a directory that is not reachable would be a loss.
            await self._storage.fsync_directory(layout.home(self.id))
        return max(numbers, default=0) + 1

    async def _append(self, log: Log, record: bytes) -> None:
        """Make the log, with this record, durable. Calls: open, write (when there is something), fsync, close."""
        directory = layout.live(self.id)
        if log.blank:
            await self._make_live()
        async with layout.opened(self._storage, layout.log(directory), "append") as file:
            if log.blank:
                # Every entry on the way, whoever made it, for that one may have died before its fsync. And before the
                # first byte, so that a log with anything in it proves to later writers that this was done.
                for parent in (directory, layout.home(self.id), layout.SESSIONS):
                    await self._storage.fsync_directory(parent)
            # Behind a torn line a record would be lost in it: that line is struck out first, in the same write.
            if data := log.repair + record:
                await file.write(data)
            await file.fsync()

    async def _make_live(self) -> None:
        """Calls: make_directory; in a new session: make_directory three times, the first of which fails."""
        try:
            await layout.ensure_directory(self._storage, layout.live(self.id))
        except FileNotFoundError:
            await layout.ensure_directory(self._storage, layout.home(self.id))
            await layout.ensure_directory(self._storage, layout.live(self.id))

    async def _find_archived(self, message_id: str) -> Message | None:
        # Newest first: a retry looks for what was sent a moment ago.
        for number in reversed(await archive_numbers(self._storage, self.id)):
            log = await read_log(self._storage, layout.log(layout.archive(self.id, number)))
            if (message := log.find(message_id)) is not None:
                return message
        return None

    def _check_same(self, original: Message, message: Message) -> None:
        if not original.says_the_same_as(message):
            raise Conflict(
                f"message id {message.id!r} is taken in session {self.id!r} by {original!r}; "
                "an id belongs to one message: repeat that one unchanged, or choose a new id"
            )

    async def _read_live(self) -> Log:
        return await read_log(self._storage, layout.log(layout.live(self.id)))

    def _lock(self) -> AbstractAsyncContextManager[None]:
        return self._storage.lock(f"locks/{self.id}")

    @property
    def _extraction(self) -> Extraction:
        return self._store.extraction(self.id)
