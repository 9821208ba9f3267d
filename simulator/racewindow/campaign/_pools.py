"""Who does the work: this process, processes that joblib starts (loky), or a Dask or Ray cluster that exists.

Clusters are asked through their own futures and not through ``joblib.Parallel``: there, nobody is told of a range that failed for good (a
worker that was killed again and again, a cluster that went away), and a campaign would wait for it forever.
"""

from __future__ import annotations

import atexit
import importlib
import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Future
from typing import TYPE_CHECKING, Any, Protocol

from racewindow.errors import UsageError

if TYPE_CHECKING:
    from racewindow.campaign._part import Part

Work = Callable[..., "Part"]
_CLUSTERS = {  # where it is, and what its addresses look like; imported when asked for, for it may not be installed
    "dask": ("racewindow.campaign._dask", "DaskCluster", "tcp://host:port"),
    "ray": ("racewindow.campaign._ray", "RayCluster", "ray://host:port"),
}
BACKENDS = ("local", *_CLUSTERS)


class Pool(Protocol):
    """Somebody who does ranges.

    Attributes:
        far: on machines with clocks of their own.
        shared_fate: a worker that dies takes all that was handed out with it, and nobody can tell whose range it died of.
    """

    far: bool
    shared_fate: bool

    @property
    def capacity(self) -> int:
        """How many ranges to hand over at a time."""

    def submit(self, work: Work, *arguments: object) -> Future[Part]:
        """Have a range done."""

    def died(self, error: BaseException) -> bool:
        """Whether this error means that a worker died, so that its range has to be done again."""

    def news(self) -> list[str]:
        """What happened to workers since this was last asked, for a person."""

    def lost(self) -> str:
        """Why there is nobody left to do anything; empty: there is."""

    def close(self, *, at_once: bool) -> None:
        """Let the workers go; at once: also in the midst of a range."""


class ThisProcess:
    """Does a range when it is submitted."""

    capacity = 1
    far = False
    shared_fate = False

    def submit(self, work: Work, *arguments: object) -> Future[Part]:
        future: Future[Part] = Future()
        future.set_result(work(*arguments))
        return future

    def died(self, error: BaseException) -> bool:
        return False

    def news(self) -> list[str]:
        return []

    def lost(self) -> str:
        return ""

    def close(self, *, at_once: bool) -> None:
        """There is nobody to let go."""


class Processes:
    """Processes of this machine. They are there when this returns: their start is not taken from anybody's time limit.

    Args:
        jobs: how many.
    """

    far = False
    shared_fate = True  # loky gives up all of its processes with one

    def __init__(self, jobs: int) -> None:
        self._jobs = jobs
        self.capacity = jobs + 1  # one more than there are workers, so that none waits for the next
        for started in [self._submit(_start) for _ in range(jobs)]:
            started.result()

    def submit(self, work: Work, *arguments: object) -> Future[Part]:
        future: Future[Part] = self._submit(work, *arguments)
        return future

    def _submit(self, work: Callable[..., object], *arguments: object) -> Any:
        try:
            return self._executor().submit(work, *arguments)
        except BrokenExecutor:  # a worker died
            del _executors[self._jobs]
            return self._executor().submit(work, *arguments)

    def _executor(self) -> Any:
        # Not the one that loky has for everybody: joblib.Parallel takes that one for its own.
        from joblib.externals.loky import ProcessPoolExecutor

        if self._jobs not in _executors:
            _executors[self._jobs] = ProcessPoolExecutor(
                max_workers=self._jobs, timeout=300, initializer=_depend_on, initargs=(os.getpid(),)
            )
        return _executors[self._jobs]

    def died(self, error: BaseException) -> bool:
        return isinstance(error, BrokenExecutor)

    def news(self) -> list[str]:
        return []

    def lost(self) -> str:
        return ""

    def close(self, *, at_once: bool) -> None:
        if at_once:
            self._executor().shutdown(wait=True, kill_workers=True)
            del _executors[self._jobs]


_executors: dict[int, Any] = {}
"""Processes by their number, kept for the next campaign; idle ones end after a while."""
atexit.register(_executors.clear)  # while what they need to end is still there


def _start() -> None:
    """What takes a process long when it is new."""
    importlib.import_module("racewindow.campaign._part")


def _depend_on(parent: int) -> None:
    """Ctrl-C goes to all processes of a terminal: the one that adds up decides. When that one is killed, its workers end, too."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    """Otherwise a worker would wait forever for somebody to take what it found: loky's workers hold both ends of that pipe."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def pool_of(jobs: int = 1, *, backend: str = "local", scheduler: str = "") -> Pool:
    """Whoever does the work.

    Args:
        jobs: processes of this machine; 1: this one.
        backend: ``local``, ``dask`` or ``ray``.
        scheduler: address of the cluster.

    Raises:
        UsageError: the words make no sense together, or the cluster does not answer.
    """
    if backend not in BACKENDS:
        raise UsageError(f"unknown backend {backend!r}: use {', '.join(BACKENDS[:-1])} or {BACKENDS[-1]}")
    if backend in _CLUSTERS:
        module, kind, address = _CLUSTERS[backend]
        if not scheduler:
            raise UsageError(f"a cluster has an address: give --scheduler {address}")
        pool: Pool = getattr(importlib.import_module(module), kind)(scheduler)
        return pool
    if scheduler:
        raise UsageError(f"--scheduler {scheduler} is for --backend dask or ray")
    if jobs < 1:
        raise UsageError(f"jobs={jobs}: at least one process has to do the work")
    return ThisProcess() if jobs == 1 else Processes(jobs)
