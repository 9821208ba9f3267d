"""The hosts by name. One line here and one module beside it make another."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import sniffio

from racewindow.errors import UsageError
from racewindow.kernel.asyncio_host import run_on_asyncio
from racewindow.kernel.engine import Engine
from racewindow.kernel.thread_host import Threads, run_on_threads
from racewindow.kernel.trio_host import run_on_trio
from racewindow.kernel.watchdog import watched

T = TypeVar("T")
Host = str | Threads
"""A host by its name, or the thread host with options."""

HOSTS: dict[str, Callable[[Callable[[Engine], Any]], Any]] = {
    "trio": run_on_trio,
    "asyncio": run_on_asyncio,
    "threads": run_on_threads,
}


def name_of(host: Host) -> str:
    """The name of a host, however it was given."""
    return "threads" if isinstance(host, Threads) else host


def run_on(host: Host, driver: Callable[[Engine], T]) -> T:
    """Call ``driver`` with an engine of that host, in a thread of its own when this one already runs an event loop.

    Raises:
        UsageError: there is no such host.
    """
    name = name_of(host)
    if name not in HOSTS:
        raise UsageError(f"unknown host {host!r}; known hosts: {', '.join(HOSTS)}")

    def guarded(engine: Engine) -> T:
        if engine.host == "threads":  # it watches its own threads, and where they wait
            return driver(engine)
        with watched(engine):
            return driver(engine)

    run: Callable[..., Any] = partial(run_on_threads, options=host) if isinstance(host, Threads) else HOSTS[name]
    if not _loop_runs_here():
        return run(guarded)  # type: ignore[no-any-return]
    box: list[Any] = []
    stop, ended = threading.Event(), threading.Event()

    def drive(engine: Engine) -> T:
        engine.interrupted = stop.is_set
        return guarded(engine)

    def work() -> None:
        try:
            box.extend([True, run(drive)])
        except BaseException as error:
            box.extend([False, error])
        finally:
            ended.set()

    thread = threading.Thread(target=work, name=f"racewindow-{name}")
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
