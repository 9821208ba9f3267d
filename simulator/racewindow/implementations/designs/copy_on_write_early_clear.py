"""D2b, ``copy-on-write-early-clear``: a fix that was proposed for the issue (OpenViking PR 585) and never released.

D2, and L is cleared in the live tree as well, after the extraction and before the switch is handed to the worker.
"""

from __future__ import annotations

from racewindow.implementations.designs.copy_on_write import CopyOnWrite
from racewindow.implementations.designs.copy_on_write import _Handle as _CopyOnWriteHandle


class _Handle(_CopyOnWriteHandle):
    async def before_enqueue(self) -> None:
        await self.store.write_live((), label="live.clear")


class CopyOnWriteEarlyClear(CopyOnWrite):
    """D2b (PR 585, proposed): as copy-on-write, but the live log is cleared before completed is said."""

    name = "copy-on-write-early-clear"
    handle_type = _Handle
