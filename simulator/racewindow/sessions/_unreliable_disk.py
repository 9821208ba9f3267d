"""The simulated disk in scenarios in which the storage lets its users down."""

from __future__ import annotations

import errno
from collections.abc import Callable

from racewindow.disk import Disk, Granularity, Node
from racewindow.kernel.world import World


class UnreliableDisk(Disk):
    """A disk of which one call fails, or one write is forgotten by the next crash.

    Args:
        world, granularity, hide: as for every disk.

    Attributes:
        strikes: says, by the name of a fault, whether it is to happen now.
    """

    def __init__(self, world: World, granularity: Granularity = "suspending", *, hide: str = "") -> None:
        super().__init__(world, granularity, hide=hide)
        self.strikes: Callable[[str], bool] = lambda fault: False
        self._forgotten: dict[Node, tuple[bytes, bytes]] = {}

    def lose_forgotten(self) -> None:
        """Some store has crashed: undo the write that was acknowledged but not kept, unless it was synced or overwritten since."""
        for node, (before, written) in self._forgotten.items():
            if node.data == written:
                node.data = before
        self._forgotten.clear()

    async def _point(self, label: str, *, reads: tuple[str, ...] = (), writes: tuple[str, ...] = ()) -> None:
        await super()._point(label, reads=reads, writes=writes)
        if self.strikes("storage fails"):
            raise OSError(errno.EIO, "the storage failed", label)

    def _fill(self, node: Node, data: bytes) -> None:
        if self.strikes("storage forgets"):
            self._forgotten[node] = (node.data, data)
        super()._fill(node, data)

    def _fsync(self, node: Node) -> None:
        super()._fsync(node)
        self._forgotten.pop(node, None)
