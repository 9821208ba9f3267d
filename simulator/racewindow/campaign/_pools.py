"""Who does the work: this process, processes that joblib starts (loky), or a Dask cluster that exists.

Dask is asked through its own futures and not through ``joblib.Parallel``: there, nobody is told of a range that failed for good (a worker
that was killed again and again, a cluster that went away), and a campaign would wait for it forever.
"""

from __future__ import annotations

import importlib
import signal
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, CancelledError, Future
from typing import TYPE_CHECKING, Any, Protocol

from racewindow.errors import UsageError

if TYPE_CHECKING:
    from racewindow.campaign._part import Part

Work = Callable[..., "Part"]
BACKENDS = ("local", "dask")


class Pool(Protocol):
    """Somebody who does ranges.

    Attributes:
        far: on machines with clocks of their own.
    """

    far: bool

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

    def __init__(self, jobs: int) -> None:
        self._jobs = jobs
        self.capacity = jobs + 1  # one more than there are workers, so that none waits for the next
        for started in [self._executor().submit(_start) for _ in range(jobs)]:
            started.result()

    def submit(self, work: Work, *arguments: object) -> Future[Part]:
        future: Future[Part] = self._executor().submit(work, *arguments)
        return future

    def _executor(self) -> Any:
        from joblib.externals.loky import get_reusable_executor

        # After a worker died this is a new one.
        return get_reusable_executor(max_workers=self._jobs, timeout=300, initializer=_leave_interrupts_to_the_parent)

    def died(self, error: BaseException) -> bool:
        return isinstance(error, BrokenExecutor)

    def news(self) -> list[str]:
        return []

    def lost(self) -> str:
        return ""

    def close(self, *, at_once: bool) -> None:
        if at_once:
            self._executor().shutdown(wait=True, kill_workers=True)


def _start() -> None:
    """What takes a process long when it is new."""
    importlib.import_module("racewindow.campaign._part")


def _leave_interrupts_to_the_parent() -> None:
    """Ctrl-C goes to all processes of a terminal; the one that adds up decides."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


class DaskCluster:
    """The workers of a Dask cluster that runs already.

    Args:
        scheduler: its address, ``tcp://host:port``.
        timeout_s: how long to wait for it, and for a first worker.

    Raises:
        UsageError: Dask is not installed, nobody answers there, or there is no worker.
    """

    far = True

    def __init__(self, scheduler: str, *, timeout_s: float = 30.0) -> None:
        try:
            from distributed import Client
        except ImportError as error:
            raise UsageError(
                "a campaign on a Dask cluster needs distributed: pip install 'racewindow[cluster]'"
            ) from error
        self._scheduler = scheduler
        try:
            self._client = Client(scheduler, timeout=timeout_s, set_as_default=False)
        except (OSError, ValueError) as error:
            raise UsageError(
                f"no Dask scheduler answers at {scheduler!r} ({type(error).__name__}: {error}); start one with 'dask scheduler', and "
                "give its address as --scheduler tcp://host:port"
            ) from error
        try:
            self._client.wait_for_workers(1, timeout=timeout_s)
        except TimeoutError as error:
            self._client.close()
            raise UsageError(
                f"the Dask cluster at {scheduler} has no workers: start some with 'dask worker {scheduler}'"
            ) from error
        self._executor = self._client.get_executor(pure=False)
        self._workers: dict[str, int] = dict(self._client.nthreads())

    @property
    def capacity(self) -> int:
        return 2 * sum(self._workers.values())

    def submit(self, work: Work, *arguments: object) -> Future[Part]:
        future: Future[Part] = self._executor.submit(work, *arguments)
        return future

    def died(self, error: BaseException) -> bool:
        from distributed import KilledWorker

        return isinstance(error, KilledWorker)

    def news(self) -> list[str]:
        if self._client.status != "running":
            return []
        try:
            now = dict(self._client.nthreads())
        except (OSError, ValueError, CancelledError):  # it goes away while it is asked; lost() will tell
            return []
        before, self._workers = self._workers, now or self._workers
        return [f"the worker at {each} is gone; the others do its ranges again" for each in before if each not in now]

    def lost(self) -> str:
        if self._client.status == "running":
            return ""
        return f"the Dask cluster at {self._scheduler} went away (its client is {self._client.status})"

    def close(self, *, at_once: bool) -> None:
        self._executor.shutdown(wait=False)
        self._client.close(timeout=2)


def pool_of(jobs: int = 1, *, backend: str = "local", scheduler: str = "") -> Pool:
    """Whoever does the work.

    Args:
        jobs: processes of this machine; 1: this one.
        backend: ``local`` or ``dask``.
        scheduler: address of the Dask cluster.

    Raises:
        UsageError: the words make no sense together, or the cluster does not answer.
    """
    if backend not in BACKENDS:
        raise UsageError(f"unknown backend {backend!r}: use {' or '.join(BACKENDS)}")
    if backend == "dask":
        if not scheduler:
            raise UsageError("a Dask cluster has an address: give --scheduler tcp://host:port")
        return DaskCluster(scheduler)
    if scheduler:
        raise UsageError(f"--scheduler {scheduler} is for --backend dask")
    if jobs < 1:
        raise UsageError(f"jobs={jobs}: at least one process has to do the work")
    return ThisProcess() if jobs == 1 else Processes(jobs)
