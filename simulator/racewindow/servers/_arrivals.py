"""Arrivals at a real server: how likely is harm when a second client comes a while after the first one's commit was answered?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import isfinite, nan
from typing import TYPE_CHECKING

from racewindow.errors import UsageError
from racewindow.frames import arrivals_frame
from racewindow.servers._fleet import Fleet
from racewindow.servers._sample import ServerResult, Try, sample
from racewindow.servers._trial import Pace
from racewindow.sessions.scenario import Scenario
from racewindow.statistics import interval

if TYPE_CHECKING:
    import pandas as pd

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerArrivals:
    """How likely harm is at a real server, by delay.

    Attributes:
        result: the tries of all delays.
        frame: one row per delay, with the columns :data:`racewindow.frames.ARRIVALS`; delays in wall-clock seconds, intervals Wilson's.
    """

    result: ServerResult
    frame: pd.DataFrame = field(repr=False)

    def __repr__(self) -> str:
        return f"<ServerArrivals {self.result.name} delays={len(self.frame)} failures={self.result.failures}>"


async def arrivals(
    fleet: Fleet,
    scenario: Scenario,
    *,
    second: str,
    delays_s: Sequence[float],
    name: str = "server",
    tries: int = 100,
    seed: int = 0,
    pace: Pace | None = None,
    at_once: int = 4,
    time_limit_s: float | None = None,
    progress: Callable[[int], None] | None = None,
) -> ServerArrivals:
    """Measure P(violation | the second client comes d after the first commit was answered).

    Delays take turns from try to try, so that a machine that gets slower meanwhile is slower for all of them.

    Args:
        fleet: the servers.
        scenario: of two clients, or more.
        second: the client that is held back.
        delays_s: wall-clock seconds, 0 or more, from when the first client sees the answer of its commit.
        name: of the server, for tables and charts.
        tries: for each delay.
        seed, pace, at_once, time_limit_s, progress: as for :func:`sample`.

    Raises:
        UsageError: there is no such client or no commit that it could come after, or a number makes no sense.
        Unsupported: as for :func:`sample`.
    """
    clients = {client.name: client for client in scenario.clients}
    if second not in clients:
        raise UsageError(f"there is no client {second!r} in {scenario.text!r}; it has {', '.join(clients)}")
    if not any(op.kind == "commit" for client in scenario.clients if client.name != second for op in client.operations):
        raise UsageError(
            f"nobody but {second!r} commits in {scenario.text!r}: there is nothing that it could come after"
        )
    chosen = tuple(sorted({float(delay) for delay in delays_s}))
    if not chosen or not all(isfinite(delay) and delay >= 0 for delay in chosen):
        raise UsageError(f"delays_s={list(delays_s)!r}: give wall-clock seconds, 0 or more, at least one")
    result = await sample(
        fleet,
        scenario,
        name=name,
        tries=tries * len(chosen),
        seed=seed,
        pace=pace,
        at_once=at_once,
        delays_s={second: chosen},
        time_limit_s=time_limit_s,
        progress=progress,
    )
    by_delay: defaultdict[float, list[Try]] = defaultdict(list)
    for each in result.tries:
        by_delay[each.delay_s].append(each)
    return ServerArrivals(
        result=result, frame=arrivals_frame(_row(result, seed, delay, by_delay[delay]) for delay in chosen)
    )


def _row(result: ServerResult, seed: int, delay_s: float, tries: list[Try]) -> dict[str, object]:
    accepted = [each for each in tries if each.accepted]
    failing = [each for each in accepted if each.violations]
    low, high = (
        interval(len(accepted), len(failing), confidence=CONFIDENCE, method="wilson") if accepted else (nan, nan)
    )
    return {
        "implementation": result.name,
        "scenario": result.scenario.name,
        "topology": result.topology,
        "disk": "real",
        "load": 0,
        "delay_s": delay_s,
        "schedules": len(accepted),
        "failures": len(failing),
        "probability": len(failing) / len(accepted) if accepted else nan,
        "low": low,
        "high": high,
        "confidence": CONFIDENCE,
        "exact": False,
        "not_accepted": len(tries) - len(accepted),
        "latency": "wall-clock",
        "seed": seed,
        "violation": "+".join(dict.fromkeys(violation.kind for each in failing for violation in each.violations)),
    }
