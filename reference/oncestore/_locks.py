"""Locks between processes: flock, which the kernel drops when its holder dies."""

import fcntl
import itertools
import os
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from weakref import WeakValueDictionary

import trio

from ._descriptors import Descriptors

_POLL_FIRST_S = 0.001
_POLL_MOST_S = 0.05
_NOTE_MOST = 256
_TURNS = 32


class FileLock:
    """A lock that is held, as a descriptor; its note is what the file contains."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @property
    def note(self) -> str:
        return os.pread(self._descriptor, _NOTE_MOST, 0).rstrip(b"\0").decode(errors="replace")

    @note.setter
    def note(self, note: str) -> None:
        data = note.encode()
        # Padded, so that one write replaces whatever was there: a process may die between two.
        os.pwrite(self._descriptor, data.ljust(_NOTE_MOST, b"\0"), 0)


class FileLocks:
    """The locks in a directory. Nothing is ever removed from it: whoever removed the file of a lock could let two
    holders in, one on the old file and one on the new.

    System calls on locks are made in place. They neither read nor write a disk, and a thread costs ten times as much.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._files = Descriptors(os.O_RDWR)
        # flock excludes processes, but asking the kernel in a loop is no way to queue the tasks of one process.
        self._queues: WeakValueDictionary[str, trio.Lock] = WeakValueDictionary()
        self._asked = itertools.count(1)

    def hold(self, path: str, *, wait: bool) -> AbstractAsyncContextManager[FileLock]:
        """Entering raises BlockingIOError with ``wait=False``, when somebody holds the lock."""
        queue = self._queues.get(path)
        if queue is None:
            queue = self._queues[path] = trio.Lock()
        # Where nobody else is, nothing on the way in or out waits: whoever comes in a loop must let others run, and be
        # cancelled. At every time, it would cost an add as much as opening its log.
        yields = not next(self._asked) % _TURNS
        return _Hold(self._files, queue, f"{self._root}/{path}", f"{self._root}/gates/{path}", wait=wait, yields=yields)


class _Hold:
    """The way into a lock and out of it. No generator, for every add goes this way."""

    def __init__(self, files: Descriptors, queue: trio.Lock, path: str, gate: str, *, wait: bool, yields: bool) -> None:
        self._files = files
        self._queue = queue
        self._path = path
        self._gate = gate
        self._wait = wait
        self._yields = yields
        self._descriptor = -1

    async def __aenter__(self) -> FileLock:
        if self._yields:
            await trio.lowlevel.checkpoint()
        try:
            self._queue.acquire_nowait()
        except trio.WouldBlock:
            if not self._wait:
                raise BlockingIOError(f"{self._path} is held by another task") from None
            await self._queue.acquire()
        try:
            # Everybody goes through the gate, one at a time, and only its holder asks for the lock. So a process that
            # takes the lock again and again finds the gate shut by the one that waits.
            gate = await self._flock(self._gate)
            try:
                self._descriptor = await self._flock(self._path)
            finally:
                self._unlock(self._gate, gate)
        except BaseException:
            self._queue.release()
            raise
        return FileLock(self._descriptor)

    async def __aexit__(self, *_: object) -> None:
        self._unlock(self._path, self._descriptor)
        self._queue.release()

    async def _flock(self, path: str) -> int:
        """A descriptor that holds the lock. Polled, for a thread that blocks in flock could not be cancelled."""
        try:
            descriptor, _ = self._files.take(path)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            descriptor, _ = self._files.take(path)
        try:
            pause_s = _POLL_FIRST_S
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    return descriptor
                except BlockingIOError:
                    if not self._wait:
                        raise
                await trio.sleep(pause_s)
                pause_s = min(2 * pause_s, _POLL_MOST_S)
        except BaseException:
            self._files.give(path, descriptor)
            raise

    def _unlock(self, path: str, descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        self._files.give(path, descriptor)
