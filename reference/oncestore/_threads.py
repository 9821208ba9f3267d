"""Visits to worker threads.

``trio.to_thread.run_sync`` can be abandoned, carries context along, and shares its limit with whoever else uses
threads. A storage wants none of this, and would pay for it with a sixth of every add.
"""

from collections.abc import Callable
from functools import partial
from typing import TypeVar, TypeVarTuple

import trio

from ._turn import take

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Threads:
    """So many visits at once. None is cancelled once it began, so that no system call is left half done."""

    def __init__(self, most: int = 40) -> None:
        self._free = trio.Semaphore(most)

    async def run(self, call: Callable[[*Ts], T], *arguments: *Ts) -> T:
        """What the call returns, or raises, in another thread."""
        await take(self._free)
        try:
            task, token = trio.lowlevel.current_task(), trio.lowlevel.current_trio_token()
            trio.lowlevel.start_thread_soon(
                partial(call, *arguments),
                lambda result: token.run_sync_soon(trio.lowlevel.reschedule, task, result),
            )
            result: T = await trio.lowlevel.wait_task_rescheduled(lambda _: trio.lowlevel.Abort.FAILED)
            return result
        finally:
            self._free.release()
