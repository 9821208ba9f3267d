"""What a store asks of its storage: a directory, memory, a database file, or a simulated disk.

Paths are relative and have forward slashes; ``""`` is the root. Beyond the signatures, the store relies on four
promises:

- a rename is one atomic operation: after a crash it has happened in both parents or in neither;
- the content that ``append`` or ``write`` returned for, and the entries that ``fsync_directory`` returned for, survive
  the loss of power; anything else may not;
- a call that raises an OSError has changed nothing, but FsyncFailed, and a failed ``write``, promise nothing at all;
- a process that dies releases its locks, and keeps nothing else of what it wrote from its successors.
"""

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from ._errors import UsageError


class FsyncFailed(OSError):
    """The change was made and may be lost again: later calls can see it, and a loss of power can take it back."""


class Lock(Protocol):
    """A lock that is held.

    Its note is a few words to whoever holds it next. It survives the death of its writer and is there at once for every
    process; it need not survive a loss of power, after which it may be any earlier one.
    """

    note: str  # "" at first


class Storage(Protocol):
    """Files and directories, durability on request, and locks that die with their holder."""

    async def make_root(self) -> None:
        """Make the root where it is missing, and the way to it durable, for who made it may have died before that."""

    async def read(self, path: str) -> bytes:
        """The bytes of a file. Raises FileNotFoundError."""
        ...

    def chunks(self, path: str, start: int = 0) -> AsyncGenerator[bytes]:
        """The bytes from ``start`` on, in pieces, of the file that was there at the first. Raises FileNotFoundError."""
        ...

    async def list(self, path: str) -> list[str]:
        """The sorted names in a directory. Raises FileNotFoundError."""
        ...

    async def append(self, path: str, data: bytes) -> None:
        """Put ``data`` at the end of a file, made when it is missing, and return once the content is durable."""

    async def write(self, path: str, data: bytes) -> None:
        """Replace what is in a file, made when it is missing, and return once the content is durable.

        Not atomic, and when it raises, the file may hold anything.
        """

    async def make_directory(self, path: str) -> None:
        """Raises FileExistsError, and FileNotFoundError where the parent is missing."""

    async def rename(self, source: str, target: str) -> None:
        """Move, atomically, replacing a target file. Raises FileExistsError where the target is a directory."""

    async def remove(self, path: str) -> None:
        """Remove a file or an empty directory. Raises FileNotFoundError."""

    async def fsync_directory(self, path: str) -> None:
        """Return once the entries of the directory are durable. Raises FileNotFoundError."""

    def lock(self, path: str, *, wait: bool = True) -> AbstractAsyncContextManager[Lock]:
        """Exclude every other task and process that asks for the same path. Needs no file or directory to exist.

        Nobody waits for ever while others come and go. With ``wait=False``, BlockingIOError when it is held.
        """
        ...


def check_path(path: str) -> str:
    """The path itself, fit for a storage. Raises UsageError."""
    if path and not {"", ".", ".."}.isdisjoint(path.split("/")):
        raise UsageError(f"{path!r} may leave the root; storage paths are relative, and hold no '..', '.' or '//'")
    return path
