"""``@pytest.mark.race``: what it may say, and on what it may stand. A mistake is an error while tests are collected."""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from racewindow.errors import RacewindowError

KEYWORDS = ("strategy", "schedules", "seed", "time_limit", "host", "time", "max_steps", "timers_max", "shrink")
MARKER = (
    "race(strategy='auto', schedules=1000, seed=0, time_limit=None, host='trio', time='idle', max_steps=10_000, timers_max=2, "
    "shrink=True): an async test that takes `world` is run in many schedules"
)
_LOOPS = ("trio", "asyncio", "anyio")


@dataclass(frozen=True, slots=True, kw_only=True)
class Marked:
    """A race test.

    Attributes:
        function: the async test function.
        options: what its markers say, the closest one first.
    """

    function: Callable[..., Any]
    options: dict[str, Any] = field(default_factory=dict)


def marked(item: pytest.Function) -> Marked | None:
    """Check a collected test; None: it has no marker of ours.

    Raises:
        pytest.Collector.CollectError: the marker makes no sense there.
    """
    markers = list(item.iter_markers("race"))
    if not markers:
        return None
    options: dict[str, Any] = {}
    for marker in markers:
        if marker.args:
            raise _error(item, f"race takes keywords only: {', '.join(KEYWORDS)}")
        for key, value in marker.kwargs.items():
            if key not in KEYWORDS:
                near = difflib.get_close_matches(key, KEYWORDS, n=1)
                hint = f" (did you mean {near[0]!r}?)" if near else ""
                raise _error(item, f"race has no keyword {key!r}{hint}; it has: {', '.join(KEYWORDS)}")
            options.setdefault(key, value)
    _check_function(item)
    _check_options(item, options)
    return Marked(function=item.obj, options=options)


def _check_function(item: pytest.Function) -> None:
    function = item.obj
    if getattr(function, "is_hypothesis_test", False):
        raise _error(
            item,
            "race and @given both want to run it many times: draw schedules with racewindow.strategies, and leave race out",
        )
    if not inspect.iscoroutinefunction(function):
        raise _error(item, "race is for async functions: write 'async def'")
    if "world" not in inspect.signature(function).parameters:
        raise _error(item, "a race test takes a world: write 'async def test(world): ...'")
    if hasattr(item, "callspec") and "world" in item.callspec.params:
        raise _error(item, "world is what the scheduler gives each schedule: it cannot be parametrized")
    rivals = [name for name in _LOOPS if item.get_closest_marker(name) is not None]
    if rivals:
        asyncio = "; for asyncio code say race(host='asyncio')" if "asyncio" in rivals or "anyio" in rivals else ""
        raise _error(
            item,
            f"race and {' and '.join(rivals)} both want to run it on a loop of their own: keep one of the markers{asyncio}",
        )


def _check_options(item: pytest.Function, options: dict[str, Any]) -> None:
    from racewindow.kernel import Limits
    from racewindow.kernel.hosts import HOSTS
    from racewindow.search import strategy_named

    try:
        if isinstance(options.get("strategy"), str):
            options["strategy"] = strategy_named(options["strategy"])
        Limits(**{key: options[key] for key in ("time", "max_steps", "timers_max") if key in options})
    except (RacewindowError, TypeError) as error:
        raise _error(item, str(error)) from error
    if "host" in options and options["host"] not in HOSTS:
        raise _error(item, f"unknown host {options['host']!r}: use {' or '.join(HOSTS)}")
    for key in ("schedules", "time_limit"):
        value = options.get(key)
        if value is not None and (not isinstance(value, int | float) or isinstance(value, bool) or value <= 0):
            raise _error(item, f"{key}={value!r}: give a number above zero")


def _error(item: pytest.Function, message: str) -> pytest.Collector.CollectError:
    return pytest.Collector.CollectError(f"{item.nodeid}: {message}")


def synchronous(function: Callable[..., Any], run: Callable[[dict[str, Any]], None]) -> Callable[..., None]:
    """What pytest calls instead of an async function. No other plugin takes it for one, so none wants to run it on its loop."""

    @functools.wraps(function)
    def call(**arguments: Any) -> None:
        __tracebackhide__ = True
        run(arguments)

    return call
