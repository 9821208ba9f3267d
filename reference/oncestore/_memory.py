"""Storage in memory: for tests and notebooks. Nothing outlives the object, so fsync has nothing to do."""

import errno
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import trio

from ._turn import take


class _File:
    def __init__(self) -> None:
        self.data = bytearray()


class _Lock:
    def __init__(self) -> None:
        self.held = trio.Lock()
        self.note = ""


class _Directory:
    def __init__(self) -> None:
        self.entries: dict[str, _File | _Directory] = {}


class MemoryStorage:
    """A tree of nodes. Share one object between stores to have several of them on one root."""

    def __init__(self) -> None:
        self._root = _Directory()
        self._locks: dict[str, _Lock] = {}

    def __repr__(self) -> str:
        return "<MemoryStorage>"

    # Every operation yields first and then acts at once, so that one that is cancelled has done nothing.

    async def make_root(self) -> None:
        await trio.lowlevel.checkpoint()

    async def read(self, path: str) -> bytes:
        await trio.lowlevel.checkpoint()
        node = self._find(path)
        if isinstance(node, _Directory):
            raise IsADirectoryError(path)
        return bytes(node.data)

    async def chunks(self, path: str, start: int = 0) -> AsyncGenerator[bytes]:
        yield (await self.read(path))[start:]

    async def list(self, path: str) -> list[str]:
        await trio.lowlevel.checkpoint()
        return sorted(self._directory(path).entries)

    async def append(self, path: str, data: bytes) -> None:
        await trio.lowlevel.checkpoint()
        self._file(path).data += data

    async def write(self, path: str, data: bytes) -> None:
        await trio.lowlevel.checkpoint()
        self._file(path).data[:] = data

    async def make_directory(self, path: str) -> None:
        await trio.lowlevel.checkpoint()
        parent, name = self._place(path)
        if name in parent.entries:
            raise FileExistsError(path)
        parent.entries[name] = _Directory()

    async def rename(self, source: str, target: str) -> None:
        await trio.lowlevel.checkpoint()
        node = self._find(source)
        old_parent, old_name = self._place(source)
        parent, name = self._place(target)
        there = parent.entries.get(name)
        if isinstance(there, _Directory):
            raise FileExistsError(target)
        if there is not None and isinstance(node, _Directory):
            raise NotADirectoryError(target)
        if target.startswith(f"{source}/"):
            raise OSError(errno.EINVAL, "a directory cannot be moved into itself", target)
        del old_parent.entries[old_name]
        parent.entries[name] = node

    async def remove(self, path: str) -> None:
        await trio.lowlevel.checkpoint()
        node = self._find(path)
        if isinstance(node, _Directory) and node.entries:
            raise OSError(errno.ENOTEMPTY, "the directory is not empty", path)
        parent, name = self._place(path)
        del parent.entries[name]

    async def fsync_directory(self, path: str) -> None:
        await trio.lowlevel.checkpoint()
        self._directory(path)

    @asynccontextmanager
    async def lock(self, path: str, *, wait: bool = True) -> AsyncGenerator[_Lock]:
        lock = self._locks.setdefault(path, _Lock())
        await trio.lowlevel.checkpoint()
        await take(lock.held, wait=wait)
        try:
            yield lock
        finally:
            lock.held.release()

    def _find(self, path: str) -> _File | _Directory:
        node: _File | _Directory | None = self._root
        for name in path.split("/") if path else ():
            if isinstance(node, _File):
                raise NotADirectoryError(path)
            node = node.entries.get(name) if node else None
        if node is None:
            raise FileNotFoundError(path)
        return node

    def _file(self, path: str) -> _File:
        """The file at a path, made when there is none."""
        parent, name = self._place(path)
        node = parent.entries.setdefault(name, _File())
        if isinstance(node, _Directory):
            raise IsADirectoryError(path)
        return node

    def _directory(self, path: str) -> _Directory:
        node = self._find(path)
        if isinstance(node, _File):
            raise NotADirectoryError(path)
        return node

    def _place(self, path: str) -> tuple[_Directory, str]:
        parent, _, name = path.rpartition("/")
        return self._directory(parent), name
