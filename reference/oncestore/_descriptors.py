"""Files that stay open between uses: to open one for every record that is appended costs a tenth of what an fsync does."""

import os
import threading
from collections import OrderedDict
from weakref import WeakSet, finalize

_KEPT_MOST = 64

_Open = tuple[int, tuple[int, int]]  # a descriptor, and which file that is: its number stays its own while it is open


class Descriptors:
    """Descriptors by path, for any thread. One that is in use is not kept, so nobody else can close it."""

    def __init__(self, flags: int) -> None:
        self._flags = flags | os.O_CREAT | os.O_CLOEXEC
        self._kept: OrderedDict[str, _Open] = OrderedDict()
        self._used: dict[int, tuple[int, int]] = {}  # what they are descriptors of
        self._guard = threading.Lock()
        finalize(self, _close_all, self._kept)
        _everybody.add(self)

    def take(self, path: str) -> tuple[int, int]:
        """A descriptor of the file that has this path now, made when it is missing, and its size. Raises OSError."""
        with self._guard:
            kept = self._kept.pop(path, None)
        if kept is not None:
            descriptor, file = kept
            try:
                here = os.stat(path)
                if (here.st_ino, here.st_dev) == file:
                    self._used[descriptor] = file
                    return descriptor, here.st_size
            except FileNotFoundError:  # the file was renamed or removed: what follows says whether it can be made
                pass
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)
        descriptor = os.open(path, self._flags, 0o666)
        here = os.fstat(descriptor)
        self._used[descriptor] = (here.st_ino, here.st_dev)
        return descriptor, here.st_size

    def give(self, path: str, descriptor: int) -> None:
        """Keep it for the next time."""
        with self._guard:
            other = self._kept.pop(path, None)
            self._kept[path] = descriptor, self._used.pop(descriptor)
            oldest = self._kept.popitem(last=False)[1] if len(self._kept) > _KEPT_MOST else None
        for surplus in (other, oldest):
            if surplus is not None:
                os.close(surplus[0])

    def close(self, descriptor: int) -> None:
        """Do not keep it."""
        del self._used[descriptor]
        os.close(descriptor)

    def leave_to_parent(self) -> None:
        """In a process that was forked: what is open is the parent's, locks and all."""
        self._guard = threading.Lock()  # somebody who was not forked may have held it
        _close_all(self._kept)
        while self._used:
            os.close(self._used.popitem()[0])


_everybody: WeakSet[Descriptors] = WeakSet()


def _leave_to_parent() -> None:
    # flock belongs to what both processes have open: each would get the lock that the other one holds, and a child that
    # lives on would keep the lock of a parent that died.
    for descriptors in tuple(_everybody):
        descriptors.leave_to_parent()


def _close_all(kept: OrderedDict[str, _Open]) -> None:
    while kept:
        os.close(kept.popitem()[1][0])


os.register_at_fork(after_in_child=_leave_to_parent)
