"""Files that stay open between uses: to open one for every record that is appended costs a tenth of what an fsync does."""

import os
import threading
from collections import OrderedDict
from weakref import WeakSet, finalize

_KEPT_MOST = 64


class Descriptors:
    """Descriptors by path, for any thread. One that is in use is not kept, so nobody else can close it."""

    def __init__(self, flags: int) -> None:
        self._flags = flags | os.O_CREAT | os.O_CLOEXEC
        self._kept: OrderedDict[str, int] = OrderedDict()
        self._used: set[int] = set()
        self._guard = threading.Lock()
        finalize(self, _close_all, self._kept)
        _everybody.add(self)

    def take(self, path: str) -> tuple[int, int]:
        """A descriptor of the file that has this path now, made when it is missing, and its size. Raises OSError."""
        with self._guard:
            descriptor = self._kept.pop(path, None)
        if descriptor is not None:
            try:
                here, kept = os.stat(path), os.fstat(descriptor)
                if (here.st_ino, here.st_dev) == (kept.st_ino, kept.st_dev):
                    self._used.add(descriptor)
                    return descriptor, here.st_size
            except FileNotFoundError:  # the file was renamed or removed: what follows says whether it can be made
                pass
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)
        descriptor = os.open(path, self._flags, 0o666)
        self._used.add(descriptor)
        return descriptor, os.fstat(descriptor).st_size

    def give(self, path: str, descriptor: int) -> None:
        """Keep it for the next time."""
        self._used.discard(descriptor)
        with self._guard:
            other = self._kept.pop(path, None)
            self._kept[path] = descriptor
            oldest = self._kept.popitem(last=False)[1] if len(self._kept) > _KEPT_MOST else None
        for surplus in (other, oldest):
            if surplus is not None:
                os.close(surplus)

    def close(self, descriptor: int) -> None:
        """Do not keep it."""
        self._used.discard(descriptor)
        os.close(descriptor)

    def leave_to_parent(self) -> None:
        """In a process that was forked: what is open is the parent's, locks and all."""
        self._guard = threading.Lock()  # somebody who was not forked may have held it
        _close_all(self._kept)
        while self._used:
            os.close(self._used.pop())


_everybody: WeakSet[Descriptors] = WeakSet()


def _leave_to_parent() -> None:
    # flock belongs to what both processes have open: each would get the lock that the other one holds, and a child that
    # lives on would keep the lock of a parent that died.
    for descriptors in tuple(_everybody):
        descriptors.leave_to_parent()


def _close_all(kept: OrderedDict[str, int]) -> None:
    while kept:
        os.close(kept.popitem()[1])


os.register_at_fork(after_in_child=_leave_to_parent)
