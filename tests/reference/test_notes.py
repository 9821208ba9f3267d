"""The note of a lock saves work, and decides nothing."""

import errno
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import trio

from oncestore import Lock, MemoryStorage, Message, open_store


class _Unvouched(MemoryStorage):
    """Its disk is full whenever somebody wants to note that all is well."""

    @asynccontextmanager
    async def lock(self, path: str, *, wait: bool = True) -> AsyncGenerator[Any]:
        async with super().lock(path, wait=wait) as lock:
            yield _UnvouchedLock(lock)


class _UnvouchedLock:
    def __init__(self, lock: Lock) -> None:
        self._lock = lock

    @property
    def note(self) -> str:
        return self._lock.note

    @note.setter
    def note(self, note: str) -> None:
        if not note.endswith("?"):
            raise OSError(errno.ENOSPC, "no space left")
        self._lock.note = note


async def extract(messages: Sequence[Message], key: str) -> str:
    return key


def test_what_was_done_is_not_denied_when_it_cannot_be_vouched_for() -> None:
    """NotStored in its place would be believed: the message was there, and its client gave it up."""

    async def main() -> None:
        async with open_store(_Unvouched(), extract) as store:
            session = await store.create("s")
            for content in ("one", "two"):
                await session.add("user", content)
            assert [message.content for message in await session.reload()] == ["one", "two"]
            assert (await session.commit(wait=True)).status == "completed"
            await session.add("user", "three")
            assert [message.content for message in await session.reload()] == ["three"]
            assert [message.content for message in await session.archive(1)] == ["one", "two"]

    trio.run(main)
