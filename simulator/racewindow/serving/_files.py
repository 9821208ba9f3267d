"""Real files, offered as designs know a disk."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import trio

from racewindow.disk import Disk
from racewindow.kernel.world import World

T = TypeVar("T")
Names = list[str]  # inside the class, "list" is the method


class RealDisk:
    """A folder, with the whole-file calls of :class:`~racewindow.disk.Disk`: each is a point, and then a call in a worker thread.

    Nothing is synced: designs do not ask for it. Locks are those of the one process that serves the folder.

    Args:
        world: whose points the calls are.
        root: the folder.
    """

    granularity = "suspending"

    def __init__(self, world: World, root: Path) -> None:
        self._world = world
        self._root = root
        self.lock = Disk(world).lock

    async def read(self, path: str, *, label: str = "") -> bytes:
        """The bytes of a file. Raises FileNotFoundError."""
        return await self._call(label or f"{path}.read", self._root.joinpath(path).read_bytes)

    async def list(self, path: str, *, label: str = "") -> Names:
        """The sorted names in a directory. Raises FileNotFoundError."""
        return sorted(await self._call(label or f"{path}.list", partial(os.listdir, self._root / path)))

    async def write(self, path: str, data: bytes, *, label: str = "") -> None:
        """Replace a file's content, making the file and its directories where they are missing."""
        await self._call(label or f"{path}.write", partial(_write, self._root / path, data))

    async def move(self, source: str, target: str, *, label: str = "") -> None:
        """Move one file over another, making the target's directories where they are missing."""
        await self._call(label or f"{source}.move", partial(_move, self._root / source, self._root / target))

    async def remove(self, path: str, *, label: str = "") -> None:
        """Remove a file. Raises FileNotFoundError."""
        await self._call(label or f"{path}.remove", self._root.joinpath(path).unlink)

    def peek(self, path: str) -> bytes | None:
        """The content of a file, or None."""
        try:
            return self._root.joinpath(path).read_bytes()
        except OSError:
            return None

    def names(self, path: str) -> Names:
        """The sorted names in a directory; none where there is no directory."""
        try:
            return sorted(os.listdir(self._root / path))
        except OSError:
            return []

    async def _call(self, label: str, function: Callable[[], T]) -> T:
        await self._world.point(label)
        return await trio.to_thread.run_sync(function)


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _move(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    source.replace(target)
