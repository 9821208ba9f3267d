"""The simulated disk as ``oncestore`` wants its storage: what has to be durable is written, then fsynced; a crash may come between."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager

from oncestore import FsyncFailed, Lock
from racewindow.disk import Disk, DiskFile

Names = list[str]  # inside the class, "list" is the method


class DiskStorage:
    """Implements ``oncestore.Storage``; mutants override what they break."""

    def __init__(self, disk: Disk) -> None:
        self.disk = disk

    async def make_root(self) -> None:
        """One step, on a disk whose root is new."""
        await self.disk.make_root()

    async def read(self, path: str) -> bytes:
        """The bytes of a file."""
        return await self.disk.read(path)

    async def chunks(self, path: str, start: int = 0) -> AsyncGenerator[bytes]:
        """The file from ``start`` on, in one piece."""
        yield (await self.disk.read(path))[start:]

    async def list(self, path: str) -> Names:
        """The names in a directory."""
        return await self.disk.list(path)

    async def append(self, path: str, data: bytes) -> None:
        """Two steps: append, fsync."""
        await fsync(await self.disk.put(path, data, "append"))

    async def write(self, path: str, data: bytes) -> None:
        """Two steps: replace, fsync."""
        await fsync(await self.disk.put(path, data, "replace"))

    async def make_directory(self, path: str) -> None:
        """One step."""
        await self.disk.make_directory(path)

    async def rename(self, source: str, target: str) -> None:
        """One step."""
        await self.disk.rename(source, target)

    async def remove(self, path: str) -> None:
        """One step."""
        await self.disk.remove(path)

    async def fsync_directory(self, path: str) -> None:
        """One step."""
        await self.disk.fsync_directory(path)

    def lock(self, path: str, *, wait: bool = True) -> AbstractAsyncContextManager[Lock]:
        """One step, and one more whenever it has to be waited for."""
        return self.disk.lock(path, wait=wait)


async def fsync(file: DiskFile) -> None:
    """Raises FsyncFailed."""
    try:
        await file.fsync()
    except OSError as error:
        raise FsyncFailed(*error.args) from error
