"""A Dask cluster that exists."""

from __future__ import annotations

from concurrent.futures import CancelledError, Future
from typing import TYPE_CHECKING

from racewindow.errors import UsageError

if TYPE_CHECKING:
    from racewindow.campaign._part import Part
    from racewindow.campaign._pools import Work


class DaskCluster:
    """The workers of a Dask cluster that runs already.

    Args:
        scheduler: its address, ``tcp://host:port``.
        timeout_s: how long to wait for it, and for a first worker.

    Raises:
        UsageError: Dask is not installed, nobody answers there, or there is no worker.
    """

    far = True
    shared_fate = False

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
