"""Parameters of strategies: what makes no sense is said before anything runs."""

from __future__ import annotations

from math import isfinite

from racewindow.errors import UsageError


def check_whole(name: str, value: object, *, least: int, why: str) -> None:
    """Raises UsageError when ``value`` is no whole number of at least ``least``."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise UsageError(f"{name}={value!r}: give a whole number of at least {least}; {why}")


def check_number(name: str, value: object, *, least: float, why: str) -> None:
    """Raises UsageError when ``value`` is no finite number of at least ``least``."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not isfinite(value) or value < least:
        raise UsageError(f"{name}={value!r}: give a finite number of at least {least:g}; {why}")
