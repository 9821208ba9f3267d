"""Trio's own primitives, seen at work: which step used which lock, event, channel, nursery or scope, and how.

While an engine observes, the methods of these classes tell it what they are called on. A call counts as a write unless it is known to
do less. Whatever cancels, moves a deadline or takes a scope apart counts as touching anything: it reaches into the waits of other tasks,
and it is rare. Of that, nothing has to be known about who *reads* the state of a scope: it depends on the writer either way. Time needs
no watching: it moves only when nothing else can run, or as a step that depends on every other one.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any

import trio
from outcome import Error

from racewindow.kernel._trio_internals import MemoryChannelState, Runner, TaskStatus
from racewindow.kernel.footprint import ADD, JOIN, READ, WRITE

if TYPE_CHECKING:
    from racewindow.kernel.trio_host import TrioEngine

_Method = Callable[..., Any]

# How a method uses its object, where it is less than a write. Waiting for an event is a contribution: two waits commute, but
# ``statistics()`` can tell whether one has begun.
_GENTLE = {
    "is_set": READ,
    "locked": READ,
    "statistics": READ,
    "value": READ,
    "max_value": READ,
    "borrowed_tokens": READ,
    "available_tokens": READ,
    "child_tasks": READ,
    "cancel_called": READ,
    "is_relative": READ,
    "get": READ,
    "__len__": READ,
    "__bool__": READ,
    (trio.Event, "wait"): ADD,
}
CLASSES: tuple[type[Any], ...] = (
    trio.Event,
    trio.Lock,
    trio.StrictFIFOLock,
    trio.Semaphore,
    trio.Condition,
    trio.CapacityLimiter,
    trio.MemorySendChannel,
    trio.MemoryReceiveChannel,
    trio.CancelScope,
    trio.Nursery,
    trio.lowlevel.ParkingLot,
    trio.lowlevel.RunVar,
)
_CHANNELS = (trio.MemorySendChannel, trio.MemoryReceiveChannel)
_DUNDERS = ("__enter__", "__len__", "__bool__")
_ANYTHING: tuple[tuple[type[Any], str], ...] = (
    (trio.CancelScope, "cancel"),
    (trio.CancelScope, "_cancel"),
    (TaskStatus, "started"),
    (Runner, "current_statistics"),
)

WAITS = frozenset(
    {kind.__name__ for kind in CLASSES} | {"nursery", "ReceiveChannel", "wait_task_rescheduled", "checkpoint", "real_async_yield"}
    | {"sleep", "sleep_until", "sleep_forever", "wait_all_tasks_blocked"}
)  # fmt: skip
"""First words of the labels of waits whose primitives are watched; a step that waits in another part of trio touches anything."""


class _Here(threading.local):
    """Who is told, in this thread."""

    engine: TrioEngine | None = None


here = _Here()
_lock = threading.Lock()
_observers = 0
_originals: list[tuple[type[Any], str, Any]] = []


class Names:
    """Names of the primitives of one schedule: by the task that made them, so that they are the same in every schedule.

    A primitive from before the schedule goes by its class.
    """

    def __init__(self, engine: TrioEngine) -> None:
        self._engine = engine
        self._names: dict[int, tuple[Any, str]] = {}  # holds on to the objects, for an address must not be used twice
        self._counts: dict[str, int] = {}

    def give(self, made: Any) -> None:
        """Name a primitive that the running task just made; the parking lot in it, and a condition and its lock, are one resource."""
        if type(made) is trio.Condition:
            name = self.of(made._lock)
        else:
            task = self._engine.current
            kind = f"{type(made).__name__}:{task.name if task else ''}"
            self._counts[kind] = self._counts.get(kind, 0) + 1
            name = f"{kind}:{self._counts[kind]}"
        self._names[id(made)] = made, name
        if type(made) in CLASSES and hasattr(made, "_lot"):
            self._names[id(made._lot)] = made._lot, name

    def of(self, used: Any) -> str:
        """Its name; the two ends of a channel are one resource."""
        if type(used) in _CHANNELS:
            used = used._state
        named = self._names.get(id(used))
        return named[1] if named else type(used).__name__

    def of_owner(self, owner: Any) -> str:
        """The name of an object whose attributes are watched; it gets one with its first attribute."""
        named = self._names.get(id(owner))
        if named is None:
            self.give(owner)
            named = self._names[id(owner)]
        return named[1]


def _using(original: _Method, how: int) -> _Method:
    if inspect.iscoroutinefunction(original):

        @wraps(original)
        async def wait(self: Any, *args: Any, **options: Any) -> Any:
            engine = here.engine
            if engine is None:
                return await original(self, *args, **options)
            engine.use_primitive(self, how)
            try:
                result = await original(self, *args, **options)
            except BaseException:
                engine.use_primitive(self, WRITE)  # it takes back what it began, in a later step
                raise
            if original.__name__ == "start":
                engine.use_primitive(self, WRITE)  # the nursery has waited for this, too
            return result

        return wait

    @wraps(original)
    def call(self: Any, *args: Any, **options: Any) -> Any:
        engine = here.engine
        if engine is not None:
            engine.use_primitive(self, how)
        return original(self, *args, **options)

    return call


def _making(original: _Method) -> _Method:
    @wraps(original)
    def make(self: Any, *args: Any, **options: Any) -> None:
        original(self, *args, **options)
        engine = here.engine
        if engine is not None:
            engine.names.give(self)

    return make


def _touching_anything(original: _Method) -> _Method:
    @wraps(original)
    def call(self: Any, *args: Any, **options: Any) -> Any:
        engine = here.engine
        if engine is not None:
            engine.use_anything()
        return original(self, *args, **options)

    return call


def _closing(original: _Method) -> _Method:
    @wraps(original)
    def close(self: trio.CancelScope, error: BaseException | None) -> BaseException | None:
        engine = here.engine
        if engine is not None:
            if error is None:
                engine.use_primitive(self, WRITE)
            else:
                engine.use_anything()  # it may set cancelled_caught, which anybody can look at
        return original(self, error)  # type: ignore[no-any-return]

    return close


def _child_exit(original: _Method) -> _Method:
    @wraps(original)
    def child_finished(self: trio.Nursery, task: Any, outcome: Any) -> None:
        engine = here.engine
        if engine is not None:
            engine.use_primitive(self, WRITE if isinstance(outcome, Error) else ADD)
        original(self, task, outcome)

    return child_finished


def _nursery_exit(original: _Method) -> _Method:
    @wraps(original)
    async def nested_child_finished(self: trio.Nursery, error: BaseException | None) -> Any:
        engine = here.engine
        if engine is None:
            return await original(self, error)
        # The body's end counts like a child's: whoever is last lets the parent go on.
        engine.use_primitive(self, ADD if error is None else WRITE)
        result = await original(self, error)
        engine.use_primitive(self, JOIN)
        return result

    return nested_child_finished


def _replacements() -> Iterator[tuple[type[Any], str, Any]]:
    for kind in (*CLASSES, MemoryChannelState):
        if kind not in _CHANNELS:  # known by the state they share
            yield kind, "__init__", _making(kind.__init__)  # type: ignore[misc]
    for kind in CLASSES:
        for name in dir(kind):
            if name.startswith("_") and name not in _DUNDERS:
                continue
            original = inspect.getattr_static(kind, name)
            how = _GENTLE.get((kind, name), _GENTLE.get(name, WRITE))
            if isinstance(original, property):
                setter = original.fset
                if setter is not None:
                    setter = _touching_anything(setter) if kind is trio.CancelScope else _using(setter, WRITE)
                yield kind, name, property(_using(original.fget, READ), setter, doc=original.__doc__)  # type: ignore[arg-type]
            elif inspect.isfunction(original) and (kind, name) not in _ANYTHING:
                yield kind, name, _using(original, how)
    for kind, name in _ANYTHING:
        if hasattr(kind, name):
            yield kind, name, _touching_anything(getattr(kind, name))
    yield trio.CancelScope, "_close", _closing(trio.CancelScope._close)
    yield trio.Nursery, "_child_finished", _child_exit(trio.Nursery._child_finished)
    yield trio.Nursery, "_nested_child_finished", _nursery_exit(trio.Nursery._nested_child_finished)


@contextmanager
def primitives_observed(engine: TrioEngine) -> Iterator[None]:
    """Within the block, this thread's primitives report to ``engine``; trio in other threads notices nothing."""
    global _observers
    with _lock:
        _observers += 1
        if _observers == 1:
            for kind, name, replacement in list(_replacements()):
                _originals.append((kind, name, vars(kind).get(name)))
                setattr(kind, name, replacement)
    here.engine = engine
    try:
        yield
    finally:
        here.engine = None
        with _lock:
            _observers -= 1
            if not _observers:
                for kind, name, original in reversed(_originals):
                    if original is None:  # it was inherited
                        delattr(kind, name)
                    else:
                        setattr(kind, name, original)
                _originals.clear()
