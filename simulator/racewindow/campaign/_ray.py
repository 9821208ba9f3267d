"""A Ray cluster that exists, through Ray Client.

A driver that joins a cluster directly (``ray.init("host:6379")``) is no good here: it needs a node on its own machine, waits without an end
for a head that does not answer, and waits for its tasks, or is ended by Ray itself, when the head goes away. A client is told.
"""

from __future__ import annotations

import logging
import socket
import warnings
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from racewindow.errors import UsageError

if TYPE_CHECKING:
    from racewindow.campaign._part import Part
    from racewindow.campaign._pools import Work


class RayCluster:
    """The CPUs of a Ray cluster that runs already.

    Args:
        scheduler: address of the Ray Client server on its head: ``ray://host:port``, or ``host:port``.
        timeout_s: how long to wait for the port to answer, and for a first worker. Where something answers that is no Ray Client server,
            Ray itself goes on trying for another half a minute.

    Raises:
        UsageError: Ray is not installed, nobody answers there, there is no worker, or it cannot import what this process can.
    """

    far = True
    shared_fate = False

    def __init__(self, scheduler: str, *, timeout_s: float = 30.0) -> None:
        address = _knock(scheduler, timeout_s)
        try:
            import grpc  # noqa: F401  # without it Ray has no client
            import ray
            import ray.exceptions
        except ImportError as error:
            raise UsageError("a campaign on a Ray cluster needs ray: pip install 'racewindow[ray]'") from error
        try:
            with warnings.catch_warnings(action="ignore"):  # what Ray warns of is in the error
                # As one of several: a notebook's own connection stays what it is.
                self._context = ray.init(
                    f"ray://{address}", allow_multiple=True, log_to_driver=False, logging_level=logging.ERROR
                )
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise UsageError(
                f"no Ray Client server lets us in at {address} ({type(error).__name__}: {_brief(error)}); give the port that "
                "'ray start --head' names for clients (10001, not 6379), and run the same versions of Python and ray there"
            ) from error
        self._scheduler = f"ray://{address}"
        self._ray = ray
        self._gone = ""
        self._cpus = 0
        try:
            with self._context:
                self._do = ray.remote(max_retries=0)(_do)  # the campaign counts deaths itself, and tells of them
                ray.get(ray.remote(num_cpus=0)(_do).remote(_arrive), timeout=timeout_s)
            self._count()
        except Exception as error:  # whatever a machine may say that has something else installed
            self._context.disconnect()
            raise UsageError(
                f"the Ray cluster at {self._scheduler} cannot do ranges ({type(error).__name__}: {_brief(error)}); install racewindow and "
                "your store on all of its machines, the head among them, in the versions that are here"
            ) from error
        if not self._cpus:
            self._context.disconnect()
            raise UsageError(
                f"the Ray cluster at {self._scheduler} has no CPUs: add a machine with 'ray start --address=head:6379'"
            )

    @property
    def capacity(self) -> int:
        return 2 * self._cpus

    def submit(self, work: Work, *arguments: object) -> Future[Part]:
        future: Future[Part] = Future()

        def settle(done: Future[Any]) -> None:
            error = done.exception()
            if isinstance(error, ConnectionError):
                self._gone = _brief(error)  # until then it was a gap, which Ray tries to bridge for half a minute
                error = CancelledError()
            if error is None:
                future.set_result(done.result())
            else:
                future.set_exception(error)

        try:
            with self._asking():
                self._do.remote(work, *arguments).future().add_done_callback(settle)
        except CancelledError as error:
            future.set_exception(error)
        return future

    def died(self, error: BaseException) -> bool:
        told = self._ray.exceptions
        return isinstance(
            error, (told.WorkerCrashedError, told.NodeDiedError, told.OutOfMemoryError, told.ObjectLostError)
        )

    def news(self) -> list[str]:
        """None: a range says itself that its worker died."""
        with suppress(CancelledError):  # lost() will tell
            self._count()
        return []

    def _count(self) -> None:
        with self._asking():
            self._cpus = int(self._ray.cluster_resources().get("CPU", 0)) or self._cpus

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """With the cluster's client; when it goes away in the meantime, what Ray says of that (anything) is a ``CancelledError``."""
        with self._context:
            try:
                yield
            except Exception as error:
                if self._ray.util.client.ray.is_connected() and not isinstance(error, ConnectionError):
                    raise
                self._gone = self._gone or _brief(error)
                raise CancelledError from error

    def lost(self) -> str:
        return f"the Ray cluster at {self._scheduler} went away ({self._gone})" if self._gone else ""

    def close(self, *, at_once: bool) -> None:
        """The cluster ends what a client that has left was having done."""
        self._context.disconnect()


def _knock(scheduler: str, timeout_s: float) -> str:
    """Host and port; somebody answers there. Ray would try for more than half a minute before it says that nobody does."""
    where = urlsplit(scheduler if "://" in scheduler else f"ray://{scheduler}")
    try:
        host, port = where.hostname, where.port
    except ValueError:  # a port that is no number
        host = port = None
    if where.scheme != "ray" or not host or not port or where.path or where.query:
        raise UsageError(f"{scheduler!r} is no address of a Ray cluster: give --scheduler ray://host:port")
    try:
        socket.create_connection((host, port), timeout=timeout_s).close()
    except OSError as error:
        raise UsageError(
            f"no Ray cluster answers at {scheduler!r} ({error.strerror or error}); start one with 'ray start --head', and give the address "
            "of its Ray Client server as --scheduler ray://host:10001"
        ) from error
    return where.netloc


def _do(work: Work, *arguments: object) -> object:
    return work(*arguments)


def _arrive() -> None:
    """What fails where racewindow cannot be imported."""
    from racewindow.campaign import _part  # noqa: F401


def _brief(error: BaseException) -> str:
    """What it says, on one line, without the traceback on a machine far away."""
    lines = [line.strip() for line in str(error).strip().splitlines()]
    return lines[-1] if any("Traceback (most recent" in line for line in lines) else " ".join(lines)
