"""The implementations by name. One file and one line here make another."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType, ModuleType

import cloudpickle

from racewindow.errors import UsageError
from racewindow.implementations.designs import DESIGNS as DESIGNS
from racewindow.implementations.mutants import MUTANTS as MUTANTS
from racewindow.implementations.packages import PACKAGES as PACKAGES
from racewindow.implementations.reference import Reference as Reference
from racewindow.sessions.implementation import SessionStore

_BUILT_IN: tuple[type[SessionStore], ...] = (Reference, *DESIGNS, *MUTANTS)
BUILT_IN: Mapping[str, type[SessionStore]] = MappingProxyType({each.name: each for each in _BUILT_IN})


def names() -> tuple[str, ...]:
    """The names of all implementations that come with racewindow, packages included."""
    return (*BUILT_IN, *PACKAGES)


def implementation(name: str) -> type[SessionStore]:
    """Look an implementation up.

    Args:
        name: of one that comes with racewindow; or ``module:Class``, or ``path/to/file.py:Class``, for one of your own.

    Raises:
        UsageError: there is none of that name; the message names the nearest.
        Unsupported: its package is not installed; the message says the install line.
    """
    if name in BUILT_IN:
        return BUILT_IN[name]
    if name in PACKAGES:
        return PACKAGES[name].load()
    where, separator, attribute = name.rpartition(":")
    if separator:
        return _own(where, attribute, name)
    near = difflib.get_close_matches(name, names(), n=1, cutoff=0.4)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise UsageError(
        f"there is no implementation {name!r}{hint} 'racewindow list' shows them all; your own is given as module:Class or "
        "path/to/file.py:Class"
    )


def _own(where: str, attribute: str, name: str) -> type[SessionStore]:
    try:
        module = _load_file(Path(where)) if where.endswith(".py") else importlib.import_module(where)
    except Exception as error:  # it is the caller's file: whatever it does wrong is said in one line
        raise UsageError(
            f"{name!r} could not be imported ({error}); give module:Class or path/to/file.py:Class"
        ) from error
    found = getattr(module, attribute, None)
    if not (inspect.isclass(found) and issubclass(found, SessionStore)):
        raise UsageError(
            f"{attribute!r} in {where} is not a racewindow.SessionStore class; subclass it, and give its name"
        )
    found.name = name  # tokens have to find it again
    return found


def _load_file(path: Path) -> ModuleType:
    """Import a file that is not on the path; worker processes get its classes by value, for they could not find it."""
    spec = importlib.util.spec_from_file_location(f"racewindow_own_{path.stem}", path)
    assert spec is not None, "a name that ends in .py has a loader"
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    cloudpickle.register_pickle_by_value(module)
    return module
