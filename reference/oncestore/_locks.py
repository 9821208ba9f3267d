"""Locks between processes: flock, which the kernel drops when its holder dies."""

import fcntl
import itertools
import os
import random
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from weakref import WeakValueDictionary

import trio

from ._descriptors import Descriptors
from ._turn import take

_POLL_FIRST_S = 0.001
_POLL_MOST_S = 0.05
_POLLS = 20
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
        await take(self._queue, wait=self._wait)
        try:
            self._descriptor, size = self._open(self._path)
            try:
                # A file that is longer than a note says that somebody waits.
                if (self._wait and size > _NOTE_MOST) or not _got(self._descriptor):
                    if not self._wait:
                        raise BlockingIOError(f"{self._path} is held by another process")
                    await self._queue_up()
            except BaseException:
                self._unlock(self._path, self._descriptor)
                raise
        except BaseException:
            self._queue.release()
            raise
        return FileLock(self._descriptor)

    async def __aexit__(self, *_: object) -> None:
        self._unlock(self._path, self._descriptor)
        self._queue.release()

    async def _queue_up(self) -> None:
        """Wait at the gate, one process at a time, with the file marked; whoever finds the mark comes to the gate, too.

        So a process that takes the lock again and again lets in the one that waits. A mark that was left by a dead one
        is taken away by the next one at the gate.
        """
        gate, _ = self._open(self._gate)
        try:
            await _wait_for(gate)
            os.ftruncate(self._descriptor, _NOTE_MOST + 1)
            await _wait_for(self._descriptor)
            os.ftruncate(self._descriptor, _NOTE_MOST)
        finally:
            self._unlock(self._gate, gate)

    def _open(self, path: str) -> tuple[int, int]:
        try:
            return self._files.take(path)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            return self._files.take(path)

    def _unlock(self, path: str, descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        self._files.give(path, descriptor)


def _got(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


async def _wait_for(descriptor: int) -> None:
    """Polled, for a thread that blocks in flock could not be cancelled: often at first, and seldom in the long run.

    The pauses differ, or processes that came at the same time would always come at the same time, in the same order.
    """
    began = trio.current_time()
    while not _got(descriptor):
        pause_s = _POLL_FIRST_S + (trio.current_time() - began) / _POLLS
        await trio.sleep(min(pause_s, _POLL_MOST_S) * random.uniform(0.5, 1.5))
