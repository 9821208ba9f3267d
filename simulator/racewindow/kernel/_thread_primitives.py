"""Locks that are the kernel's, and ``threading`` on top of them.

``Lock`` and ``RLock`` are replaced. Events, conditions, semaphores, barriers, queues and futures stay the standard library's: they are
written in Python on top of locks, so they work, and wake whom they really wake, once their locks do. Of each operation on one of them the
beginning is a point; what it does to its inner locks is none, because nobody can look in between. An operation that has to wait goes on
in a step of its own when it was woken.

What is replaced asks who calls: in a thread that no kernel controls everything is as ever.
"""

from __future__ import annotations

import _thread
import _threading_local
import concurrent.futures._base
import concurrent.futures.thread
import itertools
import queue
import re
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from functools import wraps
from math import inf
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from racewindow.errors import Unsupported
from racewindow.kernel._thread_workers import Operation, here
from racewindow.kernel.engine import function_name
from racewindow.kernel.footprint import READ, WRITE

if TYPE_CHECKING:
    from racewindow.kernel.task import Task
    from racewindow.kernel.thread_host import ThreadEngine

T = TypeVar("T")

EPOCH_S = 1_700_000_000.0
"""What ``time.time()`` says when a schedule begins; the clocks that only go forward begin at 0."""

_real_lock, _real_rlock = threading.Lock, threading.RLock
_real_start, _real_join, _real_is_alive = threading.Thread.start, threading.Thread.join, threading.Thread.is_alive
_threading: Any = threading


class Lock:
    """A ``threading.Lock`` that was made in a controlled thread.

    Attributes:
        held: whether somebody has it.
        waiters: the tasks that stand before it; they can run while nobody has it.
        name: the resource that it is.
    """

    __slots__ = ("__weakref__", "held", "kind", "name", "waiters")

    def __init__(self, kind: str = "Lock") -> None:
        self.kind = kind
        self.held = False
        self.waiters: list[Task] = []
        self.name = here.engine.name(kind)

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """As ``threading.Lock.acquire``; the point is before it takes effect."""
        if timeout != -1 and (not blocking or timeout < 0):
            raise ValueError(
                "can't specify a timeout for a non-blocking call"
                if not blocking
                else "timeout value must be a non-negative number"
            )
        return self._acquire(blocking and timeout != 0, inf if timeout == -1 else timeout)

    def _acquire(self, wait: bool, seconds: float) -> bool:
        if here.task is None:
            if self.held:
                raise Unsupported(f"{self!r} belongs to a schedule, where a task holds it; nobody else can wait for it")
        else:
            inside = here.inside
            label, resource = (inside.label, inside.resource) if inside else (self._label(), self.name)
            if wait and (self.held or not inside):
                if not here.engine.wait_for_lock(self, label, resource, seconds):
                    return False
            elif not inside:
                here.engine.stop_at(label, (), (resource,))
            if self.held:
                here.engine.use(self.name, READ)
                return False
            here.engine.use(self.name, WRITE)
            for task in self.waiters:
                here.engine.put_off(task)
        self.held = True
        return True

    def _label(self) -> str:
        return f"{self.kind}.acquire"

    def release(self) -> None:
        """As ``threading.Lock.release``; no point, for what comes after it has one."""
        if not self.held:
            if here.task is not None and here.engine.closed:
                return  # taken apart in the middle of a wait, where it had let the lock go
            raise RuntimeError("release unlocked lock")
        self.held = False
        if here.task is not None:
            here.engine.use(self.name, WRITE)
            for task in self.waiters:
                here.engine.wake(task)

    def locked(self) -> bool:
        """Whether somebody has it."""
        if here.task is not None and not here.inside:
            here.engine.stop_at(f"{self.kind}.locked", (self.name,), ())
        return self.held

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()

    def __repr__(self) -> str:
        return f"<{'locked' if self.held else 'unlocked'} {self.name}>"


class RLock(Lock):
    """A ``threading.RLock`` that was made in a controlled thread; the private methods are what ``threading.Condition`` asks for."""

    __slots__ = ("_count", "_owner")

    def __init__(self) -> None:
        super().__init__("RLock")
        self._owner: int | None = None
        self._count = 0

    def _acquire(self, wait: bool, seconds: float) -> bool:
        me = _thread.get_ident()
        if self._owner == me:
            if here.task is not None and not here.inside:
                here.engine.stop_at(f"{self.kind}.acquire", (), (self.name,))
        elif not super()._acquire(wait, seconds):
            return False
        self._owner = me
        self._count += 1
        return True

    def release(self) -> None:
        if self._owner != _thread.get_ident():
            if here.task is not None and here.engine.closed:
                return
            raise RuntimeError("cannot release un-acquired lock")
        self._count -= 1
        if not self._count:
            self._owner = None
            super().release()

    def _is_owned(self) -> bool:
        return self._owner == _thread.get_ident()

    def _recursion_count(self) -> int:
        return self._count if self._is_owned() else 0

    def _release_save(self) -> int:
        count, self._count = self._count, 1
        self.release()
        return count

    def _acquire_restore(self, count: int) -> None:
        self.acquire()
        self._count = count


class Ended(Generic[T]):
    """What a call gives back that has done its waiting already; awaiting it takes no time."""

    __slots__ = ("_value",)

    def __init__(self, value: T) -> None:
        self._value = value

    def __await__(self) -> Generator[Any, Any, T]:
        yield from ()
        return self._value


class FileLock(Lock):
    """A lock of the operating system's on a file; see :mod:`._thread_files`."""

    __slots__ = ()

    def __init__(self, file: str) -> None:
        super().__init__(file)
        self.name = f"flock:{file}"  # whoever came first

    def _label(self) -> str:
        return f"{self.kind}.flock"


class Event:
    """The world's own event: waiting for it can be awaited as well."""

    __slots__ = ("_engine", "_name", "_set", "_waiters")

    def __init__(self, engine: ThreadEngine) -> None:
        self._engine = engine
        self._name = engine.name("event")
        self._set = False
        self._waiters: list[Task] = []

    def set(self) -> None:
        self._engine.use(self._name, WRITE)
        self._set = True
        waiters, self._waiters = self._waiters, []
        for task in waiters:
            self._engine.wake(task)

    def is_set(self) -> bool:
        self._engine.use(self._name, READ)
        return self._set

    def wait(self, label: str = "Event.wait") -> Ended[None]:
        engine = self._engine
        engine.use(self._name, READ)
        if self._set:
            engine.stop_at(label, (self._name,), ())
        else:
            self._waiters.append(engine.running)
            engine.wait_here(label, (self._name,))
        return Ended(None)


# -- what the standard library builds on locks ---------------------------------------------------------------------------


def _resource_of(primitive: Any) -> str:
    """The lock at the heart of a primitive; one from before the schedule goes by its class."""
    inner = primitive
    for attribute in ("mutex", "_count", "_cond", "_condition", "_lock", "_shutdown_lock"):
        found = getattr(inner, attribute, None)
        inner = inner if found is None or isinstance(found, int) else found
    return inner.name if isinstance(inner, Lock) else type(primitive).__name__


def _operation(kind: type[Any], name: str) -> Callable[..., Any]:
    original = getattr(kind, name)
    label = f"{kind.__name__.removeprefix('_Py')}.{'acquire' if name == '__enter__' else name}"

    @wraps(original)
    def operate(self: Any, *args: Any, **options: Any) -> Any:
        if here.task is None or here.inside is not None:
            return original(self, *args, **options)
        resource = _resource_of(self)
        here.engine.stop_at(label, (), (resource,))
        here.inside = Operation(label, resource)
        try:
            return original(self, *args, **options)
        finally:
            here.inside = None

    return operate


_SimpleQueue: Any = queue._PySimpleQueue  # type: ignore[attr-defined]
_OPERATIONS: tuple[tuple[type[Any], tuple[str, ...]], ...] = (
    (threading.Event, ("set", "clear", "is_set", "wait")),
    (threading.Condition, ("wait", "notify", "notify_all")),
    (threading.Semaphore, ("acquire", "__enter__", "release")),
    (threading.BoundedSemaphore, ("release",)),
    (threading.Barrier, ("wait", "reset", "abort")),
    (queue.Queue, ("put", "get", "join", "task_done", "qsize", "empty", "full")),
    (_SimpleQueue, ("put", "get", "qsize", "empty")),
    (concurrent.futures.Future, ("result", "exception", "done", "running", "cancelled", "cancel")),
    (concurrent.futures.ThreadPoolExecutor, ("submit",)),
)

# -- threads -------------------------------------------------------------------------------------------------------------


def role_of(thread: threading.Thread) -> str:
    """What a thread is called in traces: the name it was given, or its function's."""
    if not re.match(r"Thread-\d+", thread.name):
        return thread.name
    return function_name(getattr(thread, "_target", None) or type(thread))


@wraps(_real_start)
def _start(self: threading.Thread) -> None:
    if here.task is None:
        _real_start(self)
        return
    inner: Any = self
    if not inner._initialized:
        raise RuntimeError("thread.__init__() not called")
    if self in here.engine.threads:
        raise RuntimeError("threads can only be started once")
    here.engine.start_thread(self, lambda: _run(self))
    before, here.inside = here.inside, Operation("start", "")
    inner._started.set()
    here.inside = before


def _run(thread: Any) -> None:
    """The life of a thread, in a worker."""
    thread._ident = _thread.get_ident()
    _threading._active[thread._ident] = thread
    try:
        thread.run()
    except SystemExit:
        return  # ends the thread, and nothing else


_stand_in = vars(threading.Thread(name="task", daemon=False))
_stand_in["_started"].set()


def introduce_thread(name: str) -> None:
    """Give the running worker a ``threading.current_thread()`` of its own, for a task that is no ``threading.Thread``.

    Without one, ``threading`` would make one up, a daemon, whose children are daemons, too.
    """
    thread: Any = threading.Thread.__new__(threading.Thread)
    vars(thread).update(_stand_in)
    thread._name = name
    thread._ident = _thread.get_ident()
    _threading._active[thread._ident] = thread


def forget_thread() -> None:
    """The worker's task has ended."""
    _threading._active.pop(_thread.get_ident(), None)


def settle_threads(threads: Iterable[Any]) -> None:
    """The schedule is over: whoever still asks is told that its threads have ended, and no pool waits for one when Python exits."""
    for thread in threads:
        if hasattr(thread, "_handle"):  # Python 3.13 on; what Python did not start has a handle that cannot be done
            thread._handle = _threading._make_thread_handle(thread.ident or _thread.get_ident())
            thread._handle._set_done()
        else:
            thread._is_stopped = True
        concurrent.futures.thread._threads_queues.pop(thread, None)  # type: ignore[attr-defined]


@contextmanager
def pools_quiet() -> Iterator[None]:
    """Within the block, the threads of pools that are taken apart log nothing of it."""
    logger: Any = concurrent.futures._base.LOGGER
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


_real_shutdown = concurrent.futures.ThreadPoolExecutor.shutdown


@wraps(_real_shutdown)
def _shutdown(self: Any, *args: Any, **options: Any) -> None:
    if here.task is not None:  # its threads are joined in the order of a set otherwise, that is of memory addresses
        tasks = here.engine.threads
        self._threads = sorted(self._threads, key=lambda thread: tasks[thread].index if thread in tasks else -1)
    _real_shutdown(self, *args, **options)


@wraps(_real_join)
def _join(self: threading.Thread, timeout: float | None = None) -> None:
    task = None if here.task is None else here.engine.threads.get(self)
    if task is None:
        _real_join(self, timeout)
    elif task is here.task:
        raise RuntimeError("cannot join current thread")
    else:
        here.engine.join(task, seconds=inf if timeout is None else max(0.0, timeout))


@wraps(_real_is_alive)
def _is_alive(self: threading.Thread) -> bool:
    task = None if here.task is None else here.engine.threads.get(self)
    if task is None:
        return _real_is_alive(self)
    if here.inside is None:
        here.engine.stop_at("Thread.is_alive", (f"end:{task.name}",), ())
    return task.alive


_real_raw_start = _thread.start_new_thread


@wraps(_real_raw_start)
def _raw_start(*args: Any, **options: Any) -> int:
    if here.task is None:
        return _real_raw_start(*args, **options)
    raise Unsupported("the subject starts a raw thread by _thread.start_new_thread; use threading.Thread")


def restart_numbers() -> None:
    """Numbers in the names of threads start again, or they would differ from schedule to schedule."""
    _threading._counter = itertools.count(1).__next__
    concurrent.futures.ThreadPoolExecutor._counter = itertools.count().__next__  # type: ignore[attr-defined]


# -- time ----------------------------------------------------------------------------------------------------------------


_real_sleep = time.sleep


@wraps(_real_sleep)
def _sleep(seconds: float, /) -> None:
    if here.task is None:
        _real_sleep(seconds)
    elif seconds < 0:
        raise ValueError("sleep length must be non-negative")
    else:
        here.engine.sleep_for(seconds)


def _clock(name: str, epoch_s: float, unit: Callable[[float], Any]) -> tuple[Callable[[], Any], Callable[[], Any]]:
    real = getattr(time, name)

    @wraps(real)
    def clock() -> Any:
        return real() if here.task is None else unit(epoch_s + here.engine.now())

    return real, clock


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1e9)


_CLOCKS = (
    _clock("time", EPOCH_S, float),
    _clock("time_ns", EPOCH_S, _nanoseconds),
    *(_clock(name, 0.0, float) for name in ("monotonic", "perf_counter")),
    *(_clock(f"{name}_ns", 0.0, _nanoseconds) for name in ("monotonic", "perf_counter")),
)

# -- all of it -----------------------------------------------------------------------------------------------------------


@wraps(_real_lock)
def _make_lock() -> Any:
    return _real_lock() if here.task is None else Lock()


@wraps(_real_rlock)
def _make_rlock() -> Any:
    return _real_rlock() if here.task is None else RLock()


def functions() -> Iterator[tuple[Any, Any]]:
    """``(real, ours)`` of what is replaced wherever somebody has it under a name of its own."""
    yield _real_lock, _make_lock
    yield _threading._allocate_lock, _make_lock
    yield _real_rlock, _make_rlock
    yield queue.SimpleQueue, _SimpleQueue
    yield threading.local, _threading_local.local
    yield _real_sleep, _sleep
    yield from _CLOCKS


def attributes() -> Iterator[tuple[Any, str, Any]]:
    """``(owner, name, ours)`` of what is replaced in one place."""
    for kind, names in _OPERATIONS:
        for name in names:
            yield kind, name, _operation(kind, name)
    yield concurrent.futures.ThreadPoolExecutor, "shutdown", _shutdown
    yield threading.Thread, "start", _start
    yield threading.Thread, "join", _join
    yield threading.Thread, "is_alive", _is_alive
    yield _thread, "start_new_thread", _raw_start
    yield concurrent.futures.thread, "_global_shutdown_lock", _ShutdownLock()
    yield threading, "_counter", _threading._counter
    yield concurrent.futures.ThreadPoolExecutor, "_counter", concurrent.futures.ThreadPoolExecutor._counter  # type: ignore[attr-defined]


class _ShutdownLock:
    """A lock of all pools of a process: held only inside an operation that nobody interrupts, or by threads that are not controlled."""

    def __init__(self) -> None:
        self._lock: Any = concurrent.futures.thread._global_shutdown_lock

    def __enter__(self) -> None:
        if here.task is None:
            self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        if here.task is None:
            self._lock.release()
