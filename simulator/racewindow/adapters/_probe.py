"""Running an adapter in a small scenario, to look at what it did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from racewindow.kernel import Point, Run, token_of
from racewindow.kernel.world import World
from racewindow.search import RandomWalk, explore, replay
from racewindow.sessions.case import Case
from racewindow.sessions.history import Call, History, Observation
from racewindow.sessions.implementation import Environment, SessionStore
from racewindow.sessions.stories import story


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One schedule.

    Attributes:
        history: what happened; None when the schedule did not come to its end.
        points: the steps.
        kinds: the broken invariants.
        failure: the first of them in words.
        again: what the observer saw when it was asked a second time.
        on_disk: names at the top of the simulated disk in the end.
    """

    history: History | None
    points: Sequence[Point]
    kinds: tuple[str, ...]
    failure: str
    again: Observation | None
    on_disk: tuple[str, ...]

    def calls(self, kind: str) -> list[Call]:
        return self.history.of_kind(kind) if self.history is not None else []


def case_of(adapter: type[SessionStore], text: str) -> Case:
    """The adapter in a scenario, every storage call a point."""
    return Case(implementation=adapter, scenario=story(text))


def probe(adapter: type[SessionStore], text: str, schedules: int) -> list[Seen]:
    """Random schedules of a scenario.

    Raises:
        Unsupported: the adapter does something that cannot be controlled, or cannot be observed.
        ReplayDiverged: it does not repeat itself.
    """
    case = case_of(adapter, text)
    seen: list[Seen] = []
    environments: list[Environment] = []

    async def subject(world: World) -> tuple[History, Observation, tuple[str, ...]]:
        environments.clear()
        history: History = await case.subject(environments.append)(world)
        (environment,) = environments
        return history, case.observe(environment), tuple(environment.disk.names(""))

    def keep(run: Run) -> None:
        history, again, on_disk = run.result or (None, None, ())
        failure = f"{run.violations[0].kind}: {run.violations[0].detail}" if run.violations else run.reason
        kinds = tuple(violation.kind for violation in run.violations)
        seen.append(
            Seen(history=history, points=run.points, kinds=kinds, failure=failure, again=again, on_disk=on_disk)
        )

    explore(
        subject,
        strategy=RandomWalk(),
        schedules=schedules,
        host=adapter.host,
        limits=case.limits,
        stop_at_first=False,
        name=case.name,
        checksum=case.checksum,
        on_run=keep,
    )
    return seen


def repeat(adapter: type[SessionStore], text: str, schedules: int) -> None:
    """Run a scenario, and each of its schedules again in an engine of its own.

    Raises:
        ReplayDiverged: one of them came out differently.
    """
    case = case_of(adapter, text)
    runs: list[Run] = []
    explore(
        case.subject(),
        strategy=RandomWalk(),
        schedules=schedules,
        host=adapter.host,
        limits=case.limits,
        stop_at_first=False,
        name=case.name,
        checksum=case.checksum,
        on_run=runs.append,
    )
    for run in runs:
        token = token_of(run, subject=case.name, checksum=case.checksum)
        replay(case.subject(), token, host=adapter.host, limits=case.limits, name=case.name, checksum=case.checksum)
