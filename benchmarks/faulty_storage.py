"""A storage that fails now and then, as a full or a failing disk does: equipment for tests and tortures."""

import errno
import random
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, asynccontextmanager
from functools import partial

from oncestore import FsyncFailed, Lock, Storage


class FaultyStorage:
    """Passes calls on, and makes a share of them fail in the ways that ``Storage`` allows for.

    Parameters
    ----------
    storage
        Where the calls go.
    random
        Decides which calls fail, and how.
    share
        Of the calls that fail, from 0 to 1. Can be changed at any time.
    on_fault
        Told the call and its path, before it fails.
    """

    def __init__(
        self,
        storage: Storage,
        random: random.Random,
        *,
        share: float,
        on_fault: Callable[[str, str], None] = lambda call, path: None,
    ) -> None:
        self._storage = storage
        self._random = random
        self._on_fault = on_fault
        self.share = share

    def __repr__(self) -> str:
        return f"<FaultyStorage {self._storage!r}>"

    async def make_root(self) -> None:
        self._refuse("make_root", "")
        await self._storage.make_root()

    async def read(self, path: str) -> bytes:
        self._refuse("read", path)
        return await self._storage.read(path)

    async def chunks(self, path: str, start: int = 0) -> AsyncGenerator[bytes]:
        async with aclosing(self._storage.chunks(path, start)) as chunks:
            self._refuse("chunks", path)
            async for chunk in chunks:
                yield chunk
                self._refuse("chunks", path)

    async def list(self, path: str) -> list[str]:
        self._refuse("list", path)
        return await self._storage.list(path)

    async def append(self, path: str, data: bytes) -> None:
        self._refuse("append", path)
        if self._fails("append", path):
            await self._storage.append(path, self._part(data))
            raise _not_durable(path)
        await self._storage.append(path, data)

    async def write(self, path: str, data: bytes) -> None:
        if self._fails("write", path):
            await self._storage.write(path, self._part(data))
            raise self._random.choice((_not_durable, _full))(path)
        await self._storage.write(path, data)

    async def make_directory(self, path: str) -> None:
        self._refuse("make_directory", path)
        await self._storage.make_directory(path)

    async def rename(self, source: str, target: str) -> None:
        self._refuse("rename", target)
        await self._storage.rename(source, target)

    async def remove(self, path: str) -> None:
        self._refuse("remove", path)
        await self._storage.remove(path)

    async def fsync_directory(self, path: str) -> None:
        self._refuse("fsync_directory", path)
        await self._storage.fsync_directory(path)
        if self._fails("fsync_directory", path):
            raise _not_durable(path)

    @asynccontextmanager
    async def lock(self, path: str, *, wait: bool = True) -> AsyncGenerator[Lock]:
        self._refuse("lock", path)
        async with self._storage.lock(path, wait=wait) as lock:
            yield _FaultyLock(lock, partial(self._refuse, "note", path))

    def _fails(self, call: str, path: str) -> bool:
        if fails := self._random.random() < self.share:
            self._on_fault(call, path)
        return fails

    def _refuse(self, call: str, path: str) -> None:
        """Perhaps fail before anything was changed."""
        if self._fails(call, path):
            raise self._random.choice((_full, _unreadable))(path)

    def _part(self, data: bytes) -> bytes:
        """As much as got to the disk: nothing, something or all."""
        return data[: self._random.choice((0, self._random.randrange(len(data) + 1), len(data)))]


class _FaultyLock:
    """A lock whose note is on the faulty device as well."""

    def __init__(self, lock: Lock, refuse: Callable[[], None]) -> None:
        self._lock = lock
        self._refuse = refuse

    @property
    def note(self) -> str:
        self._refuse()
        return self._lock.note

    @note.setter
    def note(self, note: str) -> None:
        self._refuse()
        self._lock.note = note


def _full(path: str) -> OSError:
    return OSError(errno.ENOSPC, "no space left on this faulty device", path)


def _unreadable(path: str) -> OSError:
    return OSError(errno.EIO, "this faulty device did not answer", path)


def _not_durable(path: str) -> OSError:
    return FsyncFailed(errno.EIO, "this faulty device could not make it durable", path)
