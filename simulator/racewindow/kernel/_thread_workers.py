"""Threads that wait to be told what to run, and who is whose.

A worker is a real thread with a *baton*, a raw lock: whoever holds none waits. Making a thread is dear, so one worker serves task after
task and schedule after schedule.
"""

from __future__ import annotations

import _thread
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from racewindow.kernel.task import Task
    from racewindow.kernel.thread_host import ThreadEngine

_start_new_thread = _thread.start_new_thread  # what a kernel puts in its place refuses
THROWS_MAX = 100
"""How often a task that is taken apart may catch what ends it."""


class Abandoned(BaseException):
    """Raised in a thread whose schedule is over: it has to come to its end."""


class Operation:
    """An operation of a primitive while it runs: its inner locks are no points, and a wait in it goes by this label."""

    __slots__ = ("label", "resource")

    def __init__(self, label: str, resource: str) -> None:
        self.label = label
        self.resource = resource


class _Here(threading.local):
    """What this thread runs; ``task`` is None in every thread that no kernel controls."""

    engine: ThreadEngine
    task: Task | None = None
    inside: Operation | None = None


here = _Here()


class Worker:
    """One thread of the pool.

    Attributes:
        baton: released to let it go on.
        task: what it runs; None: it is to end.
        unwinding: its task is being taken apart.
        throws: how often that was thrown.
        lost: it does not come back by itself: nobody waits for it any more.
        ident: of the thread.
    """

    __slots__ = ("_gone", "baton", "ident", "lost", "task", "throws", "unwinding")

    def __init__(self, perform: Callable[[Worker], None]) -> None:
        self.baton = _locked()
        self._gone = _locked()
        self.task: Task | None = None
        self.unwinding = self.lost = False
        self.throws = 0
        self.ident = _start_new_thread(self._serve, (perform,))

    def _serve(self, perform: Callable[[Worker], None]) -> None:
        trace = threading.gettrace()  # a debugger or a coverage tool wants to see every thread
        if trace is not None:
            sys.settrace(trace)
        try:
            while True:
                self.baton.acquire()
                if self.task is None:
                    return
                perform(self)
        except Abandoned:
            return  # it was lost, and came back
        finally:
            self._gone.release()

    def end(self) -> None:
        """Let the thread end, and wait until it did. A lost one is left to itself."""
        if not self.lost:
            self.task = None
            self.baton.release()
            self._gone.acquire()


def _locked() -> _thread.LockType:
    lock = _thread.allocate_lock()
    lock.acquire()
    return lock
