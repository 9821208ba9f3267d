"""Many tries of a scenario against real servers: how often does it go wrong?"""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import trio

from racewindow.errors import Unsupported, UsageError
from racewindow.frames import matrix_frame, tries_frame
from racewindow.kernel.violation import Violation
from racewindow.servers._client import Failed, Lost
from racewindow.servers._fleet import Fleet
from racewindow.servers._trial import Pace, Trial
from racewindow.sessions.capabilities import Capabilities
from racewindow.sessions.goals import GOALS, reached
from racewindow.sessions.invariants import judge
from racewindow.sessions.scenario import Scenario
from racewindow.statistics import interval, upper_bound

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd


@dataclass(frozen=True, slots=True, kw_only=True)
class Try:
    """One try.

    Attributes:
        number: from 0.
        violations: what was broken.
        seconds: from its first request to rest.
        accepted: whether the store said yes to the first commit that was asked for.
        delay_s: when the delayed client was to begin, in seconds after the first commit was accepted; NaN where none was delayed.
    """

    number: int
    violations: tuple[Violation, ...]
    seconds: float
    accepted: bool = False
    delay_s: float = float("nan")

    @property
    def row(self) -> dict[str, object]:
        return {
            "try": self.number,
            "verdict": "failed" if self.violations else "passed",
            "violation": "+".join(dict.fromkeys(violation.kind for violation in self.violations)),
            "delay_s": self.delay_s,
            "seconds": self.seconds,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerResult:
    """What the tries showed.

    Attributes:
        name: what was tried.
        scenario: in which story.
        topology: ``same-store`` with one server, ``separate-stores`` with several.
        tries: one by one.
        missed: goals of the scenario that no try reached.
        reason: why the verdict is ``unknown`` or ``not-applicable``.
        interrupted: stopped before the end.
        seconds: wall-clock time taken.
    """

    name: str
    scenario: Scenario
    topology: str
    tries: tuple[Try, ...] = field(repr=False)
    missed: tuple[str, ...] = ()
    reason: str = ""
    interrupted: bool = False
    seconds: float = 0.0

    @property
    def failures(self) -> int:
        """Tries with a violation."""
        return sum(bool(each.violations) for each in self.tries)

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of violation, in order of appearance."""
        return tuple(dict.fromkeys(violation.kind for each in self.tries for violation in each.violations))

    @property
    def verdict(self) -> str:
        """``failed``, ``sampled`` (no violation in so many tries), ``unknown`` or ``not-applicable``."""
        if not self.tries:
            return "not-applicable" if self.reason else "unknown"
        if self.failures:
            return "failed"
        return "unknown" if self.missed or self.reason else "sampled"

    @property
    def interval(self) -> tuple[float, float]:
        """The share of failing tries, 95 % Clopper-Pearson."""
        return interval(len(self.tries), self.failures)

    @property
    def says(self) -> str:
        """The verdict in one line."""
        count = len(self.tries)
        if self.failures:
            low, high = self.interval
            return f"{'+'.join(self.kinds)} in {self.failures} of {count} tries, {low:.2%} to {high:.2%} of them (95 %)"
        if self.verdict == "sampled":
            return f"no violation in {count} tries, so at most {upper_bound(count):.3%} of them (95 %) with these pauses on this machine"
        missed = "; ".join(f"no try reached the goal {goal}: {GOALS[goal].says}" for goal in self.missed)
        return self.reason or missed or "nothing was tried"

    @property
    def runs(self) -> pd.DataFrame:
        """One row per try, with the columns :data:`racewindow.frames.TRIES`."""
        return tries_frame(each.row for each in self.tries)

    @property
    def frame(self) -> pd.DataFrame:
        """One row, with the columns :data:`racewindow.frames.MATRIX`."""
        return matrix_frame(
            [
                {
                    "scenario": self.scenario.name,
                    "topology": self.topology,
                    "disk": "real",
                    "implementation": self.name,
                    "verdict": self.verdict,
                    "violation": "+".join(self.kinds),
                    "schedules": len(self.tries),
                    "failures": self.failures,
                    "strategy": "wall-clock",
                    "reason": "" if self.failures or self.verdict == "sampled" else self.says,
                }
            ]
        )

    def __repr__(self) -> str:
        return f"<ServerResult {self.name}/{self.scenario.name} {self.verdict} tries={len(self.tries)} failures={self.failures}>"


async def sample(
    fleet: Fleet,
    scenario: Scenario,
    *,
    name: str = "server",
    tries: int = 200,
    seed: int = 0,
    pace: Pace | None = None,
    at_once: int = 4,
    delays_s: Mapping[str, tuple[float, ...]] | None = None,
    time_limit_s: float | None = None,
    progress: Callable[[int], None] | None = None,
) -> ServerResult:
    """Try a scenario many times, each time with a session of its own.

    Args:
        fleet: the servers; client ``i`` of the scenario talks to server ``i``.
        scenario: who does what.
        name: of the server, for tables and charts.
        tries: how many.
        seed: of the pauses. What comes of them is up to the machine.
        pace: their timing.
        at_once: tries under way at a time; those of a scenario that kills the server are made one after the other.
        delays_s: client: seconds after the first commit was answered at which it begins, one after the other through the tries.
        time_limit_s: wall-clock seconds.
        progress: called after each try with the number of those made.

    Raises:
        UsageError: a number makes no sense.
        Unsupported: the server answers something else than the session API has, or went away.
    """
    for value, what in ((tries, "tries"), (at_once, "at_once")):
        if value < 1:
            raise UsageError(f"{what}={value}: at least one")
    if time_limit_s is not None and time_limit_s <= 0:
        raise UsageError(f"time_limit_s={time_limit_s}: give a positive number of seconds")
    topology = "same-store" if len(fleet) == 1 else "separate-stores"
    kinds = {operation.kind for client in scenario.clients for operation in client.operations}
    reason = _not_applicable(kinds, fleet)
    if reason:
        return ServerResult(name=name, scenario=scenario, topology=topology, tries=(), reason=reason)
    run = secrets.token_hex(4)  # sessions of an earlier call may be there still
    pace = pace or Pace()
    began = time.monotonic()
    done: list[Try] = []
    hit: set[str] = set()
    numbers = iter(range(tries))

    async def one(number: int) -> None:
        rng = random.Random(f"{seed}:{number}")
        delays = {client: choices[number % len(choices)] for client, choices in (delays_s or {}).items()}
        session = f"rw-{run}-{number}"
        started = time.monotonic()
        history = await Trial(fleet, scenario, session, pace=pace, rng=rng, delays_s=delays).play()
        hit.update(reached(history, scenario.goals))
        violations = judge(history, Capabilities())
        delay_s = next(iter(delays.values()), float("nan"))
        commits = sorted(history.of_kind("commit"), key=lambda call: call.invoked)
        done.append(
            Try(
                number=number,
                violations=violations,
                seconds=time.monotonic() - started,
                accepted=bool(commits) and commits[0].acknowledged,
                delay_s=delay_s,
            )
        )
        if not violations:
            await fleet.client(0).delete(session)
        if progress is not None:
            progress(len(done))

    async def worker() -> None:
        for number in numbers:
            if time_limit_s is not None and time.monotonic() - began > time_limit_s:
                return
            await one(number)

    interrupted, problem = False, ""
    try:
        async with trio.open_nursery() as nursery:
            for _ in range(1 if "crash" in kinds else at_once):
                nursery.start_soon(worker)
    except* KeyboardInterrupt:
        interrupted = True
    except* Lost as lost:
        problem = f"the server went away ({_first(lost)})"
    except* Failed as failed:
        problem = f"the server failed ({_first(failed)})"
    except* (UsageError, Unsupported) as group:
        raise _first(group) from None
    if problem and not done:
        raise Unsupported(f"{problem}: is it still running?")
    return ServerResult(
        name=name,
        scenario=scenario,
        topology=topology,
        tries=tuple(sorted(done, key=lambda each: each.number)),
        missed=tuple(goal for goal in scenario.goals if goal not in hit),
        reason=f"{problem} after {len(done)} of {tries} tries" if problem else "",
        interrupted=interrupted or len(done) < tries,
        seconds=time.monotonic() - began,
    )


def _not_applicable(kinds: set[str], fleet: Fleet) -> str:
    if "power-loss" in kinds:
        return "a real machine is not switched off"
    if "crash" in kinds and not fleet.can_kill:
        return "a server that was not started here is not killed"
    return ""


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
