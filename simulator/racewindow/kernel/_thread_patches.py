"""Putting what is cooperative in place of what is real, for as long as a kernel runs, and taking it away again."""

from __future__ import annotations

import sys
import threading
from collections.abc import Container, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any
from weakref import WeakKeyDictionary

from racewindow.kernel import _thread_files, _thread_primitives

_OURS = ("racewindow.kernel", "_thread", "_threading_local", "importlib._bootstrap", "_frozen_importlib")
_lock = threading.RLock()
_users = 0
_undo: list[tuple[Any, str, Any]] = []
_MISSING = object()
_seen: WeakKeyDictionary[ModuleType, tuple[int, list[str]]] = WeakKeyDictionary()


@contextmanager
def patched() -> Iterator[None]:
    """Within the block, primitives and files are cooperative in controlled threads; in all other threads they are as ever."""
    global _users
    with _lock:
        _users += 1
        if _users == 1:
            _install()
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if not _users:
                _restore()


def _install() -> None:
    for module in (_thread_primitives, _thread_files):
        for owner, name, ours in module.attributes():
            _replace(owner, name, ours)
    # Whoever wrote 'from threading import Lock', or 'from time import sleep', has a name of its own for it.
    ours_by_id = {
        id(real): (real, ours) for module in (_thread_primitives, _thread_files) for real, ours in module.functions()
    }
    for name, loaded in list(sys.modules.items()):
        # By its real type: what an extension puts there may only claim to be a module.
        if issubclass(type(loaded), ModuleType) and not name.startswith(_OURS):
            for attribute in _names_in(loaded, ours_by_id):
                found = ours_by_id.get(id(vars(loaded).get(attribute)))
                if found is not None:
                    _replace(loaded, attribute, found[1])


def _names_in(module: ModuleType, wanted: Container[int]) -> list[str]:
    """The names that a module has for what is wanted. Looking through all modules takes longer than a schedule, and they rarely change."""
    attributes = vars(module)
    seen = _seen.get(module)
    if seen is None or seen[0] != len(attributes):
        names = [name for name, value in list(attributes.items()) if id(value) in wanted and not name.startswith("__")]
        seen = _seen[module] = len(attributes), names
    return seen[1]


def _replace(owner: Any, name: str, ours: Any) -> None:
    _undo.append((owner, name, vars(owner).get(name, _MISSING)))
    setattr(owner, name, ours)


def _restore() -> None:
    while _undo:
        owner, name, before = _undo.pop()
        if before is _MISSING:
            delattr(owner, name)
        else:
            setattr(owner, name, before)
