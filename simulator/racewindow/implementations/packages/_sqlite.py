"""A real SQLite file that serves many schedules, one after the other, and the calls that reach it.

Opening and creating a database takes longer than a whole schedule, so the file and its connections are kept, and the rows deleted.
Every connection is a real one; only ``close`` is different (it gives the connection back), and the time that a locked statement
waits: none, for nobody else can run while an inline call waits. The kernel calls it again when somebody else has done something, and
gives up after the five (virtual) seconds that the driver waits by default.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import sqlite3
import tempfile
import threading
from collections.abc import Callable, Coroutine, Sequence
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import Any

from racewindow.kernel.calls import Blocked, Call, controlled

PATIENCE_S = 5.0  # what sqlite3.connect waits for a lock by default


class _Connection(sqlite3.Connection):
    """A connection that goes back to its pool when it is closed."""

    pool: list[_Connection] | None = None

    def close(self) -> None:
        if self.pool is None:
            super().close()
        elif self not in self.pool:
            self.rollback()
            self.pool.append(self)


class Database:
    """One file, for the kernels of one thread.

    Attributes:
        path: of the file.
    """

    def __init__(self) -> None:
        memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        self._folder = tempfile.TemporaryDirectory(prefix="racewindow-", dir=memory)
        self.path = str(Path(self._folder.name, "session.db"))
        self._idle: list[_Connection] = []
        self._all: list[_Connection] = []
        self.thread = threading.current_thread()
        self.process = os.getpid()

    def connect(self) -> sqlite3.Connection:
        """A connection: one that was closed before, or a new one."""
        if self._idle:
            return self._idle.pop()
        connection = sqlite3.connect(self.path, timeout=0, factory=_Connection, check_same_thread=False)
        # A process crash loses nothing that was written, with or without a flush; what a loss of power does is not modelled here.
        connection.execute("PRAGMA synchronous=OFF")
        connection.pool = self._idle
        self._all.append(connection)
        return connection

    def empty(self, tables: Sequence[str]) -> None:
        """Delete all rows, and forget how many there have been."""
        with closing(self.connect()) as connection:
            known = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            for table in (*tables, "sqlite_sequence"):
                if table in known:  # not yet, before the first schedule
                    connection.execute(f"DELETE FROM {table}")
            connection.commit()

    def close(self) -> None:
        """Remove the file."""
        for connection in self._all:
            connection.pool = None
            connection.close()
        self._all.clear()
        self._idle.clear()
        self._folder.cleanup()


_databases: list[Database] = []
_guard = threading.Lock()


def database() -> Database:
    """The file of this thread; one that a thread left behind is taken over."""
    me = threading.current_thread()
    with _guard:
        mine = [each for each in _databases if each.process == os.getpid()]
        found = next((each for each in mine if each.thread is me), None)
        if found is None:
            found = next((each for each in mine if not each.thread.is_alive()), None)
        if found is None:
            found = Database()
            _databases.append(found)
        found.thread = me
    return found


@atexit.register
def _remove_all() -> None:
    for each in _databases:
        if each.process == os.getpid():  # a forked child leaves its parent's alone
            each.close()
    _databases.clear()


class _Shim:
    """A module with some names replaced, for one module that imported it."""

    def __init__(self, module: ModuleType, **replaced: Any) -> None:
        self._module = module
        self.__dict__.update(replaced)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


def control(module: Any, label: Callable[[str], str], *, split: Callable[[], bool]) -> None:
    """Bring a module that uses ``sqlite3`` in ``asyncio.to_thread`` under control, where a kernel runs; elsewhere nothing changes.

    Args:
        module: it must have said ``import asyncio`` and ``import sqlite3``.
        label: of the point, from the name of the function that the thread is to call.
        split: whether a call's result arrives at a point of its own.
    """
    if isinstance(module.sqlite3, _Shim):
        return

    def connect(path: Any, *args: Any, **options: Any) -> sqlite3.Connection:
        for each in _databases:
            if each.path == str(path):
                return each.connect()
        connection: sqlite3.Connection = sqlite3.connect(path, *args, **options)
        return connection

    # No coroutine function, so that the task made of it is one of asyncio's own plumbing: its point is its caller's.
    def to_thread(function: Callable[..., Any], /, *args: Any, **options: Any) -> Coroutine[Any, Any, Any]:
        if not controlled():
            return asyncio.to_thread(function, *args, **options)
        call = Call(label(function.__name__), _patient(function), split=split())
        return asyncio.to_thread(call, *args, **options)

    module.sqlite3 = _Shim(sqlite3, connect=connect)
    module.asyncio = _Shim(asyncio, to_thread=to_thread)


def _patient(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **options: Any) -> Any:
        try:
            return function(*args, **options)
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                raise Blocked(error, patience_s=PATIENCE_S) from error
            raise

    return call
