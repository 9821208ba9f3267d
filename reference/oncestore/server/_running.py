"""Starting and stopping the server."""

import ipaddress
import logging
import os
import signal
import socket
from collections.abc import Callable
from typing import Any, NoReturn, cast

import trio
from hypercorn.config import Config
from hypercorn.trio import serve as serve_hypercorn

from oncestore._extraction import Extract
from oncestore._storage import Storage
from oncestore._store import open_store

from ._app import create_app
from ._gate import Limits

_logger = logging.getLogger("oncestore.server")
_ANSWER_S = 1.0  # for answers that are on their way when everything else was given up


async def serve(
    root: str | os.PathLike[str] | Storage,
    extract: Extract,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    token: str | None = None,
    limits: Limits | None = None,
    grace_s: float = 30.0,
    ready: Callable[[str], None] = print,
    **options: Any,
) -> None:
    """Serve the store on a root until SIGTERM or SIGINT: then accept nothing more, and finish what is under way.

    A second signal ends the process at once. No signal loses anything: what was not extracted is, by the next server on
    this root or by one that runs already.

    Parameters
    ----------
    root, extract, options
        As for ``open_store``.
    host, port
        Where to listen; 0 is any free port.
    token
        See ``create_app``, also for ``limits``.
    grace_s
        How long requests and extractions may go on after the signal, in seconds.
    ready
        Called with the URL, once requests are answered.

    Raises
    ------
    OSError
        When there is no listening at that address.
    UsageError, NotStored
        When the store cannot be opened.
    """
    limits = limits or Limits()
    listener = _listen(host, port)
    address = listener.getsockname()[0]
    if token is None and not ipaddress.ip_address(address).is_loopback:
        _logger.warning("everybody who reaches %s can read and write this store; give the server a token", address)
    config = Config()
    config.bind = [f"fd://{listener.detach()}"]
    config.errorlog = logging.getLogger("hypercorn")
    config.include_server_header = False
    # Counts from the connection to the end of the headers, and between requests: whoever sends nothing is let go.
    config.keep_alive_timeout = limits.read_timeout_s
    config.graceful_timeout = grace_s + _ANSWER_S
    stop, hurry, extracting = trio.Event(), trio.Event(), trio.CancelScope()
    problem: Exception | None = None
    async with trio.open_nursery() as nursery:
        await nursery.start(_heed_signals, stop, hurry, extracting, grace_s)
        try:
            # Leaving the store waits for the extractions under way.
            with extracting:
                async with open_store(root, extract, **options) as store:
                    app = create_app(store, token=token, limits=limits, hurry=hurry)
                    # Starlette and Hypercorn type the messages of ASGI differently.
                    await serve_hypercorn(cast(Any, app), config, shutdown_trigger=stop.wait, task_status=_Ready(ready))
        except Exception as error:
            problem = error  # raised again outside the nursery, which would wrap it
        nursery.cancel_scope.cancel()
    if problem is not None:
        raise problem


class _Ready:
    """Told by Hypercorn where it listens."""

    def __init__(self, ready: Callable[[str], None]) -> None:
        self._ready = ready

    def started(self, urls: list[str] | None = None) -> None:
        assert urls, "Hypercorn was given one socket"
        self._ready(urls[0])


def _listen(host: str, port: int) -> socket.socket:
    """A listening socket. Ours and not Hypercorn's, so that an address in use is told before the store is opened."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family, backlog=Config.backlog)
    # Inherited by every connection. Without it, an answer in two pieces waits for the client's acknowledgement.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


async def _heed_signals(
    stop: trio.Event,
    hurry: trio.Event,
    extracting: trio.CancelScope,
    grace_s: float,
    *,
    task_status: trio.TaskStatus[None],
) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        task_status.started()
        number = await anext(signals)
        _logger.info("%s: no more is accepted; what is under way has %g s", signal.Signals(number).name, grace_s)
        extracting.deadline = trio.current_time() + grace_s + 2 * _ANSWER_S
        stop.set()
        with trio.move_on_after(grace_s):
            _die(await anext(signals))
        hurry.set()  # those who wait get an answer, while there is time for one
        with trio.move_on_after(3 * _ANSWER_S):
            _die(await anext(signals))
    # A client that does not read its answer holds Hypercorn for ever. What is stored is stored.
    _logger.warning("a connection did not end, and was cut")
    os._exit(0)


def _die(number: int) -> NoReturn:
    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)
    raise AssertionError("a signal without a handler ends the process")
