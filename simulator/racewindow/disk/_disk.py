"""A simulated disk: what is written, what is durable, and who may be interrupted where.

Every call is a point when ``granularity="suspending"`` (several workers, a threaded client); with ``"atomic"`` storage calls do not
yield. Lock acquisitions are points in both. The disk keeps two states: the *volatile* one that running processes see (the page
cache), and the *durable* one that a loss of power leaves. File contents become durable by ``fsync`` of a handle; entries by
``fsync_directory``. A rename is one atomic operation on both parents: it becomes durable as a whole.

Beside files, directories and locks as a file system has them, the disk offers what simulations need: whole-file writes, peeking for
observers, and the faults.
"""

from __future__ import annotations

import errno
from collections.abc import AsyncGenerator, Hashable
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from racewindow.disk._persistence import (
    WAY_TO_THE_ROOT,
    Persistence,
    Settling,
    answer,
    send,
    settle_changes,
    settle_contents,
    settle_note,
)
from racewindow.disk._state import state_of
from racewindow.disk._tree import Change, Node
from racewindow.errors import UsageError
from racewindow.kernel.footprint import READ
from racewindow.kernel.world import World

if TYPE_CHECKING:
    from racewindow.kernel.engine import Event

Granularity = Literal["suspending", "atomic"]
GRANULARITIES: tuple[Granularity, ...] = ("suspending", "atomic")
Mode = Literal["append", "create", "replace"]
Names = list[str]  # inside Disk, "list" is the method


class LockBusy(BlockingIOError):
    """A lock that was asked for without waiting is held by somebody else."""


class DiskLock:
    """A lock; its note is what holders leave to those who come after them. A loss of power may bring an earlier one back."""

    __slots__ = ("_note", "earlier", "held", "waiters")

    def __init__(self) -> None:
        self.held = False
        self._note = self.earlier = ""
        self.waiters: list[Event] = []

    @property
    def note(self) -> str:
        """The last one that was left."""
        return self._note

    @note.setter
    def note(self, note: str) -> None:
        self.earlier, self._note = self._note, note

    def release(self) -> None:
        # Whoever waits may get it: real file locks promise no order.
        self.held = False
        waiters, self.waiters = self.waiters, []
        for event in waiters:
            event.set()


class Disk:
    """One schedule's storage, shared by all its stores.

    Args:
        world: whose points the calls are.
        granularity: ``suspending`` or ``atomic``; also an attribute, for stores that keep their data elsewhere.
        hide: prefix of paths that labels leave out, for example ``sessions/s/``.
        new_root: the way to the root is not durable until ``make_root`` made it so.

    Attributes:
        settled: what the last loss of power did to each unsynced thing, as (what, fate).

    Raises:
        UsageError: for another granularity.
    """

    def __init__(
        self, world: World, granularity: Granularity = "suspending", *, hide: str = "", new_root: bool = False
    ) -> None:
        if granularity not in GRANULARITIES:
            raise UsageError(f"unknown granularity {granularity!r}: use one of {', '.join(GRANULARITIES)}")
        self._world = world
        self.granularity = granularity
        self._suspending = granularity == "suspending"
        self._hide = hide
        self._nodes = 1
        self._root = Node(0, is_directory=True)
        self._new_root = new_root
        self._root_in_doubt = new_root
        self._pending: list[Change] = []
        self._locks: dict[str, DiskLock] = {}
        self._failing_fsyncs = 0
        self.settled: list[tuple[str, str]] = []

    # -- the Storage protocol ------------------------------------------------------------------------------------------

    async def make_root(self, *, label: str = "") -> None:
        """Make the way to the root durable; no step where it has been so from the beginning."""
        if self._new_root:
            await self._point(label or "root.make", writes=("durable:",))
            self._root_in_doubt = False

    async def read(self, path: str, *, label: str = "") -> bytes:
        """The bytes of a file. Raises FileNotFoundError."""
        await self._point(label or self._label(path, "read"), reads=_way_to(path))
        node = self._file(path)
        self._world.touch(f"file:{node.id}")
        return node.data

    async def list(self, path: str, *, label: str = "") -> Names:
        """The sorted names in a directory. Raises FileNotFoundError."""
        await self._point(label or self._label(path, "list"), reads=(*_way_to(path), f"entries:{path}"))
        return sorted(self._directory(path).entries)

    async def open(self, path: str, mode: Mode, *, label: str = "") -> DiskFile:
        """Open for writing. Raises FileExistsError with ``create``, FileNotFoundError where the parent is missing."""
        await self._point(label or self._label(path, "open"), reads=_way_to(path), writes=_entry_of(path))
        return DiskFile(self, self._opened(path, mode), path)

    async def make_directory(self, path: str, *, label: str = "") -> None:
        """Raises FileExistsError, and FileNotFoundError where the parent is missing."""
        await self._point(label or self._label(path, "mkdir"), reads=_way_to(path), writes=_entry_of(path))
        parent, name = self._parent(path)
        if name in parent.entries:
            raise FileExistsError(path)
        self._change(path, "mkdir", (parent, name, self._new(is_directory=True)))

    async def rename(self, source: str, target: str, *, label: str = "") -> None:
        """Move a file or directory atomically. Raises FileNotFoundError, and FileExistsError where the target is a directory."""
        await self._point(
            label or self._label(source, "rename"),
            reads=(*_way_to(source), *_way_to(target)),
            writes=(*_entry_of(source), *_entry_of(target)),
        )
        self._rename(source, target)

    async def remove(self, path: str, *, label: str = "") -> None:
        """Remove a file or an empty directory. Raises FileNotFoundError, and OSError where a directory is not empty."""
        await self._point(
            label or self._label(path, "remove"), reads=(*_way_to(path), f"entries:{path}"), writes=_entry_of(path)
        )
        if self._node(path).entries:
            raise OSError(errno.ENOTEMPTY, "the directory is not empty", path)
        parent, name = self._parent(path)
        self._change(path, "remove", (parent, name, None))

    async def fsync_directory(self, path: str, *, label: str = "") -> None:
        """Make the entries of a directory durable, and with them every operation that they depend on."""
        await self._point(
            label or self._label(path, "fsync"), reads=(*_way_to(path), f"entries:{path}"), writes=(f"durable:{path}",)
        )
        self._commit({self._directory(path)})

    @asynccontextmanager
    async def lock(self, path: str, *, wait: bool = True, label: str = "") -> AsyncGenerator[DiskLock]:
        """Exclude every other task of every store; released when its process dies.

        Args:
            path: name of the lock; no file is needed.
            wait: wait until it is free.
            label: of the point; default ``lock:path``.

        Raises:
            LockBusy: with ``wait=False``, when somebody holds it.
        """
        world = self._world
        label = label or f"lock:{path}"
        await world.point(label, reads=(), writes=(f"lock:{path}",))
        lock = self._locks.setdefault(path, DiskLock())
        while lock.held:
            if not wait:
                raise LockBusy(path)
            event = world.event()
            lock.waiters.append(event)
            await world.wait(event, label)
            world.touch(f"lock:{path}", write=True)  # it looks again, in a step of its own
        lock.held = True
        process = world.task.process
        process.on_crash.append(lock.release)
        try:
            yield lock
        finally:
            if not process.crashed:
                world.touch(f"lock:{path}", write=True)
                process.on_crash.remove(lock.release)
                lock.release()

    async def put(self, path: str, data: bytes, mode: Mode, *, label: str = "") -> DiskFile:
        """Open and write in one step; volatile until the file is fsynced. Raises as :meth:`open` does."""
        await self._point(label or self._label(path, mode), reads=_way_to(path), writes=_entry_of(path))
        file = DiskFile(self, self._opened(path, mode), path)
        self._world.touch(f"file:{file.node.id}", write=True)
        self._fill(file.node, file.node.data + data)
        return file

    # -- whole-file calls, for stores whose storage has no handles -----------------------------------------------------

    async def write(self, path: str, data: bytes, *, label: str = "") -> None:
        """Replace a file's content in one call, making the file and its directories where they are missing."""
        await self._point(label or self._label(path, "write"), reads=_way_to(path), writes=_entry_of(path))
        parent, name = self._make_parents(path)
        node = parent.entries.get(name)
        if node is not None and node.is_directory:
            raise IsADirectoryError(path)
        if node is None:
            node = self._new(is_directory=False)
            self._change(path, "create", (parent, name, node))
        self._world.touch(f"file:{node.id}", write=True)
        self._fill(node, data)

    async def move(self, source: str, target: str, *, label: str = "") -> None:
        """Move one file over another in one call, making the target's directories where they are missing."""
        await self._point(
            label or self._label(source, "move"),
            reads=(*_way_to(source), *_way_to(target)),
            writes=(*_entry_of(source), *_entry_of(target)),
        )
        self._node(source)
        self._make_parents(target)
        self._rename(source, target)

    # -- observers: no points, no effect -------------------------------------------------------------------------------

    def peek(self, path: str) -> bytes | None:
        """The volatile content of a file, or None."""
        node = self._find(path)
        self._looked(path, node)
        return None if node is None or node.is_directory else node.data

    def names(self, path: str) -> Names:
        """The sorted volatile names in a directory; none where there is no directory."""
        node = self._find(path)
        self._looked(path, node)
        return sorted(node.entries) if node is not None else []

    @property
    def state(self) -> Hashable:
        """Everything that can make a difference to those who use the disk later, and to what a loss of power leaves."""
        locks = ((path, (lock.held, len(lock.waiters), lock.note, lock.earlier)) for path, lock in self._locks.items())
        told = tuple(sorted((path, one) for path, one in locks if any(one)))
        return state_of(self._root, self._pending), told, self._failing_fsyncs, self._root_in_doubt

    # -- faults --------------------------------------------------------------------------------------------------------

    def power_loss(self, persistence: Persistence = "lose-unsynced") -> None:
        """All stores have died at one instant; decide what of their unsynced operations survives.

        Args:
            persistence: ``lose-unsynced`` keeps what was fsynced only; ``keep-all`` keeps everything; ``torn`` keeps all
                entries, and the first half of what was written to a file since its last fsync.

        Raises:
            UsageError: for another policy.
        """
        fate_of = answer(persistence)
        settling = self.losing_power()
        unsynced = next(settling, None)
        while unsynced is not None:
            unsynced = send(settling, fate_of(unsynced))

    def losing_power(self) -> Settling:
        """The same, asked of whoever drives the generator: each unsynced thing is given, an index of its fates is to be sent back.

        What is asked later depends on the answers: of a file whose name is lost nobody wants to know the content. When it ends, the
        disk has settled, and ``settled`` tells how.
        """
        self.settled = []
        settling = self._settling()
        unsynced = next(settling, None)
        while unsynced is not None:
            fate = yield unsynced
            self.settled.append((unsynced.what, unsynced.fates[fate]))
            unsynced = send(settling, fate)

    def _settling(self) -> Settling:
        pending, self._pending = self._pending, []
        yield from settle_changes(pending)
        if self._root_in_doubt and self._root.durable_entries and not (yield WAY_TO_THE_ROOT):
            self._root.durable_entries.clear()  # durable or not, there is no way to them
        yield from settle_contents(self._root, "", self._hide)
        for path, lock in sorted(self._locks.items()):
            # Held or waited for they are by nobody any more, so these are new ones.
            left = self._locks[path] = DiskLock()
            left.note = yield from settle_note(path, lock.earlier, lock.note)

    def fail_fsyncs(self, count: int = 1) -> None:
        """The next ``count`` fsyncs of files fail, and what they should have written never will be, whatever later ones say.

        That is what Linux does: the pages count as clean after the error was reported once, and everybody can still read them.
        """
        self._world.touch_anything()
        self._failing_fsyncs = count

    # -- insides -------------------------------------------------------------------------------------------------------

    async def _point(self, label: str, *, reads: tuple[str, ...] = (), writes: tuple[str, ...] = ()) -> None:
        if self._suspending:
            await self._world.point(label, reads=reads, writes=writes)
        else:
            self._world.touch(*reads)
            self._world.touch(*writes, write=True)

    def _looked(self, path: str, node: Node | None) -> None:
        for resource in (*_way_to(path), f"entries:{path}"):
            self._world.use(resource, READ)
        if node is not None:
            self._world.use(f"file:{node.id}", READ)

    def _label(self, path: str, verb: str) -> str:
        return f"{path.removeprefix(self._hide) or '/'}.{verb}"

    def _new(self, *, is_directory: bool) -> Node:
        self._nodes += 1
        return Node(self._nodes, is_directory=is_directory)

    def _find(self, path: str) -> Node | None:
        try:
            return self._node(path)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def _node(self, path: str) -> Node:
        node = self._root
        for part in path.split("/") if path else ():
            if not node.is_directory:
                raise NotADirectoryError(path)
            if part not in node.entries:
                raise FileNotFoundError(path)
            node = node.entries[part]
        return node

    def _file(self, path: str) -> Node:
        node = self._node(path)
        if node.is_directory:
            raise IsADirectoryError(path)
        return node

    def _directory(self, path: str) -> Node:
        node = self._node(path)
        if not node.is_directory:
            raise NotADirectoryError(path)
        return node

    def _parent(self, path: str) -> tuple[Node, str]:
        parent, _, name = path.rpartition("/")
        return self._directory(parent), name

    def _opened(self, path: str, mode: Mode) -> Node:
        parent, name = self._parent(path)
        node = parent.entries.get(name)
        if node is not None and mode == "create":
            raise FileExistsError(path)
        if node is not None and node.is_directory:
            raise IsADirectoryError(path)
        if node is None:
            node = self._new(is_directory=False)
            self._change(path, "create", (parent, name, node))
        elif mode == "replace":
            self._world.touch(f"file:{node.id}", write=True)
            self._fill(node, b"")
            node.given_up = 0
        return node

    def _make_parents(self, path: str) -> tuple[Node, str]:
        node = self._root
        *parents, name = path.split("/")
        for count, part in enumerate(parents, start=1):
            if part not in node.entries:
                # Beyond what the point declared: it could not know.
                way = "/".join(parents[:count])
                self._world.touch(*_entry_of(way), write=True)
                self._change(way, "mkdir", (node, part, self._new(is_directory=True)))
            node = node.entries[part]
            if not node.is_directory:
                raise NotADirectoryError(path)
        return node, name

    def _rename(self, source: str, target: str) -> None:
        parent, name = self._parent(source)
        node = self._node(source)
        new_parent, new_name = self._parent(target)
        replaced = new_parent.entries.get(new_name)
        if replaced is not None and replaced.is_directory:
            raise FileExistsError(target)
        if replaced is not None and node.is_directory:
            raise NotADirectoryError(target)
        if target.startswith(f"{source}/"):
            raise OSError(errno.EINVAL, "a directory cannot be moved into itself", target)
        self._change(source, "rename", (parent, name, None), (new_parent, new_name, node))

    def _change(self, path: str, verb: str, *entries: tuple[Node, str, Node | None]) -> None:
        change = Change(self._label(path, verb), entries)
        change.apply()
        self._pending.append(change)

    def _commit(self, directories: set[Node]) -> None:
        """Make the pending operations on these directories durable, with the earlier ones that share a directory with them."""
        chosen: list[Change] = []
        for change in reversed(self._pending):
            if change.directories & directories:
                directories |= change.directories
                chosen.append(change)
        for change in reversed(chosen):
            self._pending.remove(change)
            change.make_durable()

    def _fill(self, node: Node, data: bytes) -> None:
        node.fill(data)

    def _fsync(self, node: Node) -> None:
        if self._failing_fsyncs:
            self._world.touch_anything()  # whose fsync is the one to fail
            self._failing_fsyncs -= 1
            node.given_up = len(node.data)
            raise OSError(errno.EIO, "the disk failed")
        node.make_durable()


@lru_cache(maxsize=4096)
def _way_to(path: str) -> tuple[str, ...]:
    """The resources that ``path`` goes through: a rename of any entry on the way changes what the path means."""
    parts = path.split("/")
    return tuple(f"entry:{'/'.join(parts[: count + 1])}" for count in range(len(parts)))


@lru_cache(maxsize=4096)
def _entry_of(path: str) -> tuple[str, ...]:
    """The resources that making, replacing or removing ``path`` writes."""
    return (f"entry:{path}", f"entries:{path.rpartition('/')[0]}")


class DiskFile:
    """A handle: it holds the file, not the name, and follows it through renames."""

    __slots__ = ("_disk", "_path", "node")

    def __init__(self, disk: Disk, node: Node, path: str) -> None:
        self._disk = disk
        self.node = node
        self._path = path

    async def write(self, data: bytes) -> None:
        """Append; volatile until :meth:`fsync`."""
        resource = f"file:{self.node.id}"
        await self._disk._point(self._disk._label(self._path, "append"), reads=(resource,), writes=(resource,))
        self._disk._fill(self.node, self.node.data + data)

    async def fsync(self) -> None:
        """Make the content durable, whoever wrote it. The file's name is another matter. Raises OSError (EIO)."""
        resource = f"file:{self.node.id}"
        await self._disk._point(
            self._disk._label(self._path, "fsync"), reads=(resource,), writes=(f"durable:{self.node.id}",)
        )
        self._disk._fsync(self.node)

    async def close(self) -> None:
        """Let the file go; nothing else happens, so it is no point."""
