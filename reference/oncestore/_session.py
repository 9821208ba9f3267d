"""A session as its clients see it: a handle, of which any number of stores and processes may have any number."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import _layout as layout
from ._archive import archive_numbers, is_pending
from ._errors import UnknownTask
from ._log import LogReader, read_messages
from ._messages import Message
from ._task import CommitTask, Progress

if TYPE_CHECKING:
    from ._store import SessionStore


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionInfo:
    """How many live messages, archives, and archives without a result there were, each at a moment of its own."""

    messages: int
    archives: int
    pending: int


class Session:
    """A handle. It holds no messages: what it knew could be old, and no operation builds on it."""

    def __init__(self, store: SessionStore, id: str) -> None:
        self._store = store
        self._storage = store.storage
        self._live = store.live(id)
        self.id = id

    def __repr__(self) -> str:
        return f"<Session {self.id}>"

    async def add(self, role: str, content: str, message_id: str | None = None) -> Message:
        """Append one message; when this returns, it is durable.

        An add that was cancelled or raised may have happened or not, except that NotStored says that it has not. With
        a ``message_id`` it can be repeated until it returns: the message is written once, also when it has been
        archived since.

        Raises UnknownSession, Conflict, UsageError, NotStored, OutcomeUnknown, Corrupt.
        """
        message = Message(
            id=self._store.make_id() if message_id is None else message_id,
            role=role,
            content=content,
            time=self._store.clock(),
        )
        return await self._live.add(message, may_repeat=message_id is not None)

    async def commit(self, *, wait: bool = False) -> CommitTask:
        """Claim the live messages and have them extracted in the background; ``skipped`` when there are none.

        When this returns, live is switched durably: a reload that starts now sees none of the claimed messages, and no
        other commit can claim them. With ``wait``, return after the extraction ended; to be cancelled while waiting
        changes nothing else.

        Raises UnknownSession, NotStored, OutcomeUnknown, Corrupt; with ``wait`` also what CommitTask.wait raises.
        """
        extraction = self._store.extraction(self.id)
        # Claim first, then extract. The other way round, two commits can extract what only one of them claims.
        task = await self._live.claim(
            lambda number: CommitTask(self._store, self.id, number, extraction.claimed(number))
        )
        if task is None:
            return CommitTask(self._store, self.id, 0, Progress().end("skipped"))
        if wait:
            await task.wait()
        return task

    async def reload(self) -> tuple[Message, ...]:
        """The live messages. Calls: chunks; where there are none, list. Raises UnknownSession, Corrupt.

        Without a lock: a log only grows, and a claim takes it away as a whole, so any moment is a consistent one.
        """
        return tuple([message async for message in self.stream()])

    async def stream(self) -> AsyncGenerator[Message]:
        """What reload gives, one by one, for sessions larger than memory. Close it: ``contextlib.aclosing``."""
        log = LogReader(self._storage, layout.log(layout.live(self.id)))
        async with aclosing(log.messages()) as messages:
            async for message in messages:
                yield message
        if not log.count:
            await archive_numbers(self._storage, self.id)

    async def archive(self, number: int) -> tuple[Message, ...]:
        """What commit ``number`` claimed. Raises UnknownTask, Corrupt."""
        if number not in await archive_numbers(self._storage, self.id):
            raise UnknownTask(f"session {self.id!r} has no archive {number}")
        return await read_messages(self._storage, layout.log(layout.archive(self.id, number)))

    async def info(self) -> SessionInfo:
        """Calls: list, chunks, list for each archive without a result. Raises UnknownSession."""
        numbers = await archive_numbers(self._storage, self.id)
        log = LogReader(self._storage, layout.log(layout.live(self.id)))
        async for _ in log.lines():
            pass
        pending = 0
        # Results are made in order: before one with a result, all have theirs.
        for number in reversed(numbers):
            if not await is_pending(self._storage, self.id, number):
                break
            pending += 1
        return SessionInfo(messages=log.count, archives=len(numbers), pending=pending)
