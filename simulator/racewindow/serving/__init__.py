"""A design as a real server: the file that the simulator explores, on the real disk, in wall-clock time, over HTTP.

So that what the simulator says of a design can be held against what happens. Needs the ``server`` extra.
"""

from __future__ import annotations

import logging
import signal
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import trio
from hypercorn.config import Config
from hypercorn.trio import serve as serve_hypercorn

from racewindow.errors import UsageError
from racewindow.serving._app import create_app
from racewindow.serving._sessions import Sessions, check_root
from racewindow.serving._wall import PointTimes
from racewindow.sessions.implementation import SessionStore


async def serve_design(
    design: type[SessionStore],
    root: Path,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    latency_s: Mapping[str, float] | None = None,
    seed: int = 0,
    ready: Callable[[str], None] = print,
) -> None:
    """Serve sessions with a design until SIGTERM or SIGINT.

    Args:
        design: which; it has to run on trio, and to keep its data with whole-file calls, as all designs do.
        root: folder of the sessions; made when it is missing.
        host, port: where to listen; 0 is any free port.
        latency_s: mean seconds for each pattern of points, as ``{"*/extract": 0.1, "*": 0.001}``.
        seed: of the latencies.
        ready: called with the URL, once requests are answered.

    Raises:
        UsageError: the design does not run on trio, a latency is no number of seconds, or root or port cannot be used.
    """
    if design.host != "trio":
        raise UsageError(f"{design.name!r} runs on {design.host}; only what runs on trio can be served")
    times = PointTimes(latency_s or {}, seed=seed)
    check_root(root)
    if not 0 <= port <= 65535:
        raise UsageError(f"--port {port}: a port is a number from 0 to 65535")
    try:
        listener = socket.create_server((host, port))
    except OSError as error:
        raise UsageError(f"cannot listen at {host}:{port}: {error}; choose another --port, or 0 for any") from error
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    config = Config()
    config.bind = [f"fd://{listener.detach()}"]
    config.errorlog = logging.getLogger("hypercorn")
    config.graceful_timeout = 0.5
    stop = trio.Event()
    async with trio.open_nursery() as nursery:
        await nursery.start(_heed_signals, stop)
        sessions = Sessions(design, root, nursery, times)
        await sessions.open_all()
        app = create_app(sessions)
        # Starlette and Hypercorn type the messages of ASGI differently.
        await serve_hypercorn(cast(Any, app), config, shutdown_trigger=stop.wait, task_status=_Ready(ready))
        nursery.cancel_scope.cancel()


async def _heed_signals(stop: trio.Event, *, task_status: trio.TaskStatus[None]) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        task_status.started()
        async for _ in signals:
            stop.set()


class _Ready:
    """Told by Hypercorn where it listens."""

    def __init__(self, ready: Callable[[str], None]) -> None:
        self._ready = ready

    def started(self, urls: list[str] | None = None) -> None:
        assert urls, "Hypercorn was given one socket"
        self._ready(urls[0])
