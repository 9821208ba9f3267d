"""Storage in a real directory: real fsync, and flock for locks, since the kernel drops it when its holder dies."""

import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from weakref import WeakValueDictionary

import trio

from ._errors import UsageError
from ._storage import Mode

_POLL_FIRST_S = 0.001
_POLL_MOST_S = 0.05
_FLAGS = {"append": os.O_CREAT, "create": os.O_CREAT | os.O_EXCL, "replace": os.O_CREAT | os.O_TRUNC}


class _File:
    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    async def write(self, data: bytes) -> None:
        await trio.to_thread.run_sync(_write_all, self._descriptor, data)

    async def fsync(self) -> None:
        await trio.to_thread.run_sync(os.fsync, self._descriptor)

    async def close(self) -> None:
        await trio.to_thread.run_sync(os.close, self._descriptor)


class DirectoryStorage:
    """A directory, possibly shared with other processes. The constructor touches nothing; ``make_root`` makes it."""

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root)
        # flock excludes processes, but asking the kernel in a loop is no way to queue the tasks of one process.
        self._queues: WeakValueDictionary[str, trio.Lock] = WeakValueDictionary()

    def __repr__(self) -> str:
        return f"<DirectoryStorage {str(self.root)!r}>"

    async def make_root(self) -> None:
        """Create the directory, and the missing ones above it, durably."""
        await trio.to_thread.run_sync(_make_durably, self.root.absolute())

    async def read(self, path: str) -> bytes:
        return await trio.to_thread.run_sync(self._at(path).read_bytes)

    async def list(self, path: str) -> list[str]:
        return sorted(await trio.to_thread.run_sync(os.listdir, self._at(path)))

    async def open(self, path: str, mode: Mode) -> _File:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | _FLAGS[mode]
        return _File(await trio.to_thread.run_sync(os.open, self._at(path), flags, 0o666))

    async def make_directory(self, path: str) -> None:
        await trio.to_thread.run_sync(self._at(path).mkdir)

    async def rename(self, source: str, target: str) -> None:
        await trio.to_thread.run_sync(_rename, self._at(source), self._at(target))

    async def remove(self, path: str) -> None:
        await trio.to_thread.run_sync(self._at(path).unlink)

    async def fsync_directory(self, path: str) -> None:
        await trio.to_thread.run_sync(_fsync_directory, self._at(path))

    @asynccontextmanager
    async def lock(self, path: str) -> AsyncIterator[None]:
        place = self._at(path)
        queue = self._queues.setdefault(path, trio.Lock())
        async with queue:
            pause_s = _POLL_FIRST_S
            # Polled, for a thread that blocks in flock could not be cancelled.
            while (descriptor := await trio.to_thread.run_sync(_try_flock, place)) is None:
                await trio.sleep(pause_s)
                pause_s = min(2 * pause_s, _POLL_MOST_S)
            try:
                yield
            finally:
                # The file stays: whoever removed it could let two holders in, one on the old file and one on the new.
                os.close(descriptor)

    def _at(self, path: str) -> Path:
        if path.startswith("/") or ".." in path.split("/"):
            raise UsageError(f"{path!r} leaves the root; storage paths are relative and hold no '..'")
        return self.root / path


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _rename(source: Path, target: Path) -> None:
    # POSIX lets a directory silently replace an empty one.
    if target.is_dir():
        raise FileExistsError(f"{target} is a directory")
    source.rename(target)


def _fsync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _make_durably(path: Path) -> None:
    if path.is_dir():
        return
    _make_durably(path.parent)
    path.mkdir(exist_ok=True)
    _fsync_directory(path.parent)


def _try_flock(path: Path) -> int | None:
    """A descriptor that holds the lock, or None while somebody else does."""
    try:
        descriptor = _open_lock(path)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = _open_lock(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _open_lock(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
