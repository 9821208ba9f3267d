"""The hosts by name. One line here and one module beside it make another."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import sniffio

from racewindow.errors import UsageError
from racewindow.kernel.asyncio_host import run_on_asyncio
from racewindow.kernel.engine import Engine
from racewindow.kernel.trio_host import run_on_trio
from racewindow.kernel.watchdog import watched

T = TypeVar("T")


HOSTS: dict[str, Callable[[Callable[[Engine], Any]], Any]] = {
    "trio": run_on_trio,
    "asyncio": run_on_asyncio,
}


def run_on(host: str, driver: Callable[[Engine], T]) -> T:
    """Call ``driver`` with an engine of that host, in a thread of its own when this one already runs an event loop.

    Raises:
        UsageError: there is no such host.
    """
    if host not in HOSTS:
        raise UsageError(f"unknown host {host!r}; known hosts: {', '.join(HOSTS)}")

    def guarded(engine: Engine) -> T:
        with watched(engine):
            return driver(engine)

    if not _loop_runs_here():
        return HOSTS[host](guarded)  # type: ignore[no-any-return]
    box: list[Any] = []
    stop, ended = threading.Event(), threading.Event()

    def drive(engine: Engine) -> T:
        engine.interrupted = stop.is_set
        return guarded(engine)

    def work() -> None:
        try:
            box.extend([True, HOSTS[host](drive)])
        except BaseException as error:
            box.extend([False, error])
        finally:
            ended.set()

    thread = threading.Thread(target=work, name=f"racewindow-{host}")
    try:
        thread.start()
        ended.wait()  # not join(): interrupted, that one takes a thread at work for ended
    except KeyboardInterrupt:  # only this thread hears it, for example in a notebook
        stop.set()
        ended.wait()
    thread.join()
    succeeded, value = box
    if not succeeded:
        raise value
    return value  # type: ignore[no-any-return]


def _loop_runs_here() -> bool:
    try:
        sniffio.current_async_library()
    except sniffio.AsyncLibraryNotFoundError:
        return asyncio._get_running_loop() is not None
    return True
