"""What a store asks of its storage: a directory, memory, or a simulated disk.

Paths are relative and have forward slashes; ``""`` is the root. Beyond the signatures, the store relies on three
promises:

- a rename is one atomic operation: after a crash it has happened in both parents or in neither;
- what ``fsync`` and ``fsync_directory`` returned for survives the loss of power; anything else may not;
- a process that dies releases its locks, and keeps nothing else of what it wrote from its successors.
"""

from contextlib import AbstractAsyncContextManager
from typing import Literal, Protocol

Mode = Literal["append", "create", "replace"]


class File(Protocol):
    """A file opened for writing; it follows its directory through renames."""

    async def write(self, data: bytes) -> None:
        """Put all of ``data`` at the end of the file."""

    async def fsync(self) -> None:
        """Return once everything in the file is durable, whoever wrote it."""

    async def close(self) -> None:
        """Let the file go, promising nothing."""


class Storage(Protocol):
    """Files and directories, durability on request, and locks that die with their holder."""

    async def read(self, path: str) -> bytes:
        """The bytes of a file. Raises FileNotFoundError."""
        ...

    async def list(self, path: str) -> list[str]:
        """The sorted names in a directory. Raises FileNotFoundError."""
        ...

    async def open(self, path: str, mode: Mode) -> File:
        """``append`` creates when missing; ``create`` raises FileExistsError; ``replace`` truncates."""
        ...

    async def make_directory(self, path: str) -> None:
        """Raises FileExistsError, and FileNotFoundError where the parent is missing."""

    async def rename(self, source: str, target: str) -> None:
        """Move, atomically, replacing a target file. Raises FileExistsError where the target is a directory."""

    async def remove(self, path: str) -> None:
        """Remove a file. Raises FileNotFoundError."""

    async def fsync_directory(self, path: str) -> None:
        """Return once the entries of the directory are durable."""

    def lock(self, path: str) -> AbstractAsyncContextManager[None]:
        """Exclude every other task and process that asks for the same path. Needs no file or directory to exist."""
        ...
