"""Attributes, seen at work: which step read or wrote which attribute of objects whose classes are watched.

For code that knows nothing of the simulator, and keeps what its tasks share in the attributes of its objects. Reading an attribute that
holds something which can be changed without another look at an attribute (a list, a dict, an object nobody watches) counts as a write.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import is_dataclass
from enum import Enum
from functools import partial
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType, NoneType
from typing import Any

from racewindow.kernel._trio_observed import CLASSES, here
from racewindow.kernel.footprint import READ, WRITE

_UNCHANGING: tuple[type[Any], ...] = (
    *(bool, int, float, complex, str, bytes, NoneType, frozenset, type, Enum, BaseException),
    *(FunctionType, BuiltinFunctionType, MethodType, ModuleType, partial, *CLASSES),
)
_lock = threading.Lock()
_watchers: dict[type[Any], int] = {}
_trusted: set[type[Any]] = set()


_ways: dict[type[Any], int] = {}  # how it counts to get hold of an instance


def _how(value: Any) -> int:
    """Whether getting hold of a value is no more than a read."""
    kind = type(value)
    how = _ways.get(kind)
    if how is None:
        if kind is tuple:
            return max(map(_how, value), default=READ)
        how = _ways[kind] = _how_of(kind)
    return how


def _how_of(kind: type[Any]) -> int:
    if (
        issubclass(kind, _UNCHANGING)
        or not _trusted.isdisjoint(kind.__mro__)
        or not _watchers.keys().isdisjoint(kind.__mro__)
    ):
        return READ
    frozen = is_dataclass(kind) and kind.__dataclass_params__.frozen  # type: ignore[attr-defined]
    return READ if frozen else WRITE


@contextmanager
def attributes_watched(kind: type[Any], trusted: tuple[type[Any], ...]) -> Iterator[None]:
    """Within the block, the attributes of all instances of ``kind`` and its subclasses report to this thread's engine.

    Args:
        trusted: classes whose instances tell by themselves what they do.
    """
    with _lock:
        _trusted.update(trusted)
        _ways.clear()
        _watchers[kind] = _watchers.get(kind, 0) + 1
        if _watchers[kind] == 1:
            _watch(kind)
    try:
        yield
    finally:
        with _lock:
            _watchers[kind] -= 1
            if not _watchers[kind]:
                del _watchers[kind]
                _ways.clear()
                for name in ("__getattribute__", "__setattr__", "__delattr__"):
                    delattr(kind, name)


def _watch(kind: Any) -> None:
    get, put, delete = kind.__getattribute__, kind.__setattr__, kind.__delattr__

    def getattribute(self: Any, name: str) -> Any:
        value = get(self, name)
        engine = here.engine
        if engine is not None and (type(value) is not MethodType or value.__self__ is not self) and name[:2] != "__":
            engine.use_attribute(self, name, _how(value))
        return value

    def setattribute(self: Any, name: str, value: Any) -> None:
        engine = here.engine
        if engine is not None:
            engine.use_attribute(self, name, WRITE)
        put(self, name, value)

    def delattribute(self: Any, name: str) -> None:
        engine = here.engine
        if engine is not None:
            engine.use_attribute(self, name, WRITE)
        delete(self, name)

    kind.__getattribute__, kind.__setattr__, kind.__delattr__ = getattribute, setattribute, delattribute
