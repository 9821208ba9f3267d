"""Storage in a real directory: what is to be durable is fsynced, in one visit to a worker thread."""

import errno
import os
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path

from ._descriptors import Descriptors
from ._locks import FileLock, FileLocks
from ._storage import FsyncFailed, check_path
from ._threads import Threads

_CHUNK = 1 << 18


class DirectoryStorage:
    """A directory, possibly shared with other processes. The constructor touches nothing."""

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root)
        self._locks = FileLocks(self.root)
        self._logs = Descriptors(os.O_WRONLY | os.O_APPEND)
        self._threads = Threads()

    def __repr__(self) -> str:
        return f"<DirectoryStorage {str(self.root)!r}>"

    async def make_root(self) -> None:
        await self._threads.run(_make_durably, self.root.absolute())

    async def read(self, path: str) -> bytes:
        return await self._threads.run(_read, self._at(path))

    async def chunks(self, path: str, start: int = 0) -> AsyncGenerator[bytes]:
        descriptor, chunk = await self._threads.run(_open_and_read, self._at(path), start)
        try:
            while chunk:
                yield chunk
                start += len(chunk)
                # A short piece was the last one: whoever reads without a lock takes the file as it was.
                if len(chunk) < _CHUNK:
                    return
                chunk = await self._threads.run(os.pread, descriptor, _CHUNK, start)
        finally:
            os.close(descriptor)

    async def list(self, path: str) -> list[str]:
        return sorted(await self._threads.run(os.listdir, self._at(path)))

    async def append(self, path: str, data: bytes) -> None:
        await self._threads.run(_append, self._logs, self._at(path), data)

    async def write(self, path: str, data: bytes) -> None:
        await self._threads.run(_write, self._at(path), data)

    async def make_directory(self, path: str) -> None:
        await self._threads.run(os.mkdir, self._at(path))

    async def rename(self, source: str, target: str) -> None:
        await self._threads.run(_rename, self._at(source), self._at(target))

    async def remove(self, path: str) -> None:
        await self._threads.run(_remove, self._at(path))

    async def fsync_directory(self, path: str) -> None:
        await self._threads.run(_fsync_directory, self._at(path))

    def lock(self, path: str, *, wait: bool = True) -> AbstractAsyncContextManager[FileLock]:
        return self._locks.hold(check_path(path), wait=wait)

    def _at(self, path: str) -> str:
        return f"{self.root}/{check_path(path)}"


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _open_and_read(path: str, start: int) -> tuple[int, bytes]:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return descriptor, os.pread(descriptor, _CHUNK, start)
    except BaseException:
        os.close(descriptor)
        raise


def _append(logs: Descriptors, path: str, data: bytes) -> None:
    """When the disk is full, be as if nothing had happened."""
    descriptor, size = logs.take(path)
    try:
        try:
            _write_all(descriptor, data)
        except OSError as error:
            try:
                os.ftruncate(descriptor, size)
                os.fsync(descriptor)  # some of it may be on the disk already
            except OSError:
                raise FsyncFailed(*error.args) from error
            raise
        _fsync(descriptor)
    except BaseException:
        logs.close(descriptor)
        raise
    logs.give(path, descriptor)


def _write(path: str, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
    try:
        try:
            _write_all(descriptor, data)
        except OSError:
            with suppress(OSError):
                os.ftruncate(descriptor, 0)  # a part of it is no use, and would keep a full disk full
            raise
        _fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]


def _fsync(descriptor: int) -> None:
    try:
        os.fsync(descriptor)
    except OSError as error:
        raise FsyncFailed(*error.args) from error


def _rename(source: str, target: str) -> None:
    # POSIX lets a directory silently replace an empty one.
    if os.path.isdir(target):
        raise FileExistsError(errno.EEXIST, "there is a directory", target)
    os.rename(source, target)


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except (IsADirectoryError, PermissionError):  # which of them, for a directory, depends on the system
        os.rmdir(path)


def _fsync_directory(path: str | Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _fsync(descriptor)
    finally:
        os.close(descriptor)


def _make_durably(path: Path) -> None:
    there = path.is_dir()
    if not there:
        _make_durably(path.parent)
        path.mkdir(exist_ok=True)
    try:
        # Also when it is there: who made it may have died before this, and all that is acknowledged goes with it.
        _fsync_directory(path.parent)
    except PermissionError:
        if not there:  # else somebody else made it, whose place it is in
            raise
