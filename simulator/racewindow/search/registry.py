"""The strategies by name, as on the command line. One line here makes another.

``pct`` has the defaults, ``pct:depth=5`` a parameter, ``bounded:preemptions=1,delays=2`` two; ``pct:5`` gives the first one.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable
from typing import Any

from racewindow.errors import UsageError
from racewindow.kernel.token import Token
from racewindow.search.auto import Auto
from racewindow.search.bounded import Bounded
from racewindow.search.burst import Burst
from racewindow.search.dpor import DPOR
from racewindow.search.pct import PCT
from racewindow.search.pos import POS
from racewindow.search.random_walk import RandomWalk
from racewindow.search.replay import Replay
from racewindow.search.states import States
from racewindow.search.strategy import Strategy
from racewindow.search.surw import SURW
from racewindow.search.timed import Timed
from racewindow.search.urw import URW


def _delays(delays: int | None = 2) -> Bounded:
    return Bounded(delays=delays) if delays is not None else Bounded(None)


def _auto() -> Auto:
    return Auto()


def _replay(token: str, strict: bool = True) -> Replay:
    return Replay(Token.parse(token).segments, strict)


STRATEGIES: dict[str, Callable[..., Strategy]] = {
    "random-walk": RandomWalk,
    "burst": Burst,
    "pct": PCT,
    "pos": POS,
    "urw": URW,
    "surw": SURW,
    "timed": Timed,
    "bounded": Bounded,
    "delays": _delays,
    "dpor": DPOR,
    "states": States,
    "auto": _auto,
    "replay": _replay,
}


def strategy_named(text: str) -> Strategy:
    """The strategy that a text names.

    Args:
        text: a name of :data:`STRATEGIES`, and after a colon its parameters: ``name=value`` joined by commas, or the first one's value.

    Raises:
        UsageError: there is no such strategy or parameter, or a value makes no sense.

    >>> strategy_named("pct:depth=5")
    PCT(depth=5)
    >>> strategy_named("burst:8")
    Burst(mean=8)
    """
    name, colon, rest = text.partition(":")
    if name not in STRATEGIES:
        raise UsageError(
            f"unknown strategy {name!r}{_near(name, list(STRATEGIES))}; there are: {', '.join(STRATEGIES)}"
        )
    make = STRATEGIES[name]
    parameters = inspect.signature(make).parameters
    if not colon:
        given: dict[str, Any] = {}
    elif parameters and not ("=" in rest and rest.partition("=")[0].isidentifier()):  # a token holds "=", too
        given = {next(iter(parameters)): _value(rest)}
    else:
        given = {}
        for part in rest.split(","):
            key, equals, value = part.partition("=")
            if key not in parameters or not equals:
                known = f"it has: {', '.join(parameters)}" if parameters else "it has none"
                raise UsageError(
                    f"{name} has no parameter {part!r}{_near(key, list(parameters))}; {known}, as in name=value"
                )
            given[key] = _value(value)
    missing = [key for key, each in parameters.items() if each.default is each.empty and key not in given]
    if missing:
        raise UsageError(f"{name} needs {missing[0]}: write {name}:{missing[0]}=...")
    return make(**given)


def label_of(strategy: Strategy) -> str:
    """How a table tells a strategy from others of its kind: its name, and the parameters that are not the default ones.

    >>> label_of(PCT(depth=5)), label_of(URW()), label_of(Bounded(delays=1)), label_of(Bounded(None))
    ('pct:depth=5', 'urw', 'bounded:delays=1', 'bounded:preemptions=None')
    """
    usual = STRATEGIES[strategy.name]() if strategy.name in STRATEGIES and strategy.name != Replay.name else None
    other = {
        key: value
        for key in getattr(strategy, "__dataclass_fields__", ())
        if (value := getattr(strategy, key)) != getattr(usual, key, None)
    }
    # What is switched off goes without saying where something else is switched on.
    told = {key: value for key, value in other.items() if value is not None} or other
    text = ",".join(f"{key}={getattr(value, '__name__', value)}" for key, value in told.items())
    return f"{strategy.name}:{text}" if text else strategy.name


def _value(text: str) -> object:
    if text.lower() in ("none", "true", "false"):
        return {"none": None, "true": True, "false": False}[text.lower()]
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return text


def _near(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""
