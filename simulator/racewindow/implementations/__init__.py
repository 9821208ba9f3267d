"""The implementations by name. One file and one line here make another."""

from __future__ import annotations

import difflib
import importlib
import inspect
import runpy
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from racewindow.errors import UsageError
from racewindow.implementations.designs import DESIGNS as DESIGNS
from racewindow.implementations.mutants import MUTANTS as MUTANTS
from racewindow.implementations.packages import PACKAGES as PACKAGES
from racewindow.implementations.reference import Reference as Reference
from racewindow.sessions.implementation import SessionStore

BUILT_IN: Mapping[str, type[SessionStore]] = MappingProxyType(
    {implementation.name: implementation for implementation in (Reference, *DESIGNS, *MUTANTS)}
)


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
    found: Any
    try:
        if where.endswith(".py"):
            found = runpy.run_path(where).get(attribute)
        else:
            found = getattr(importlib.import_module(where), attribute, None)
    except (ImportError, OSError, ValueError) as error:
        raise UsageError(
            f"{name!r} could not be imported ({error}); give module:Class or path/to/file.py:Class"
        ) from error
    if not (inspect.isclass(found) and issubclass(found, SessionStore)):
        raise UsageError(
            f"{attribute!r} in {where} is not a racewindow.SessionStore class; subclass it, and give its name"
        )
    if not found.name or found.name in names():
        found.name = name  # tokens have to find it again
    return found
