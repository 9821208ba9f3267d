"""Chooses: so many steps of the workload, then the fault with the fates it deals out, and after the last fault as a search says."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from racewindow.experiments._stricken import Stricken
from racewindow.kernel.engine import Chooser, Engine
from racewindow.kernel.task import Process, Task
from racewindow.sessions.history import ENDED, History
from racewindow.sessions.implementation import Environment
from racewindow.sessions.scenario import CrashFault


class Strike(NamedTuple):
    """When a fault strikes, and what it does.

    Attributes:
        gap: after how many steps of the workload (or of the recovery from the strike before).
        fates: for each thing that is left to chance which of its fates befalls it; the first one where this says nothing.
    """

    gap: int
    fates: tuple[int, ...] = ()


@dataclass(slots=True, kw_only=True)
class Blow:
    """What a strike turned out to be.

    Attributes:
        task, before, after: who would have stepped next, from which point; and the point of the step before.
        phase: how far the victim's commit was.
        last: nothing was left to be done, but for what waits for time to pass.
        fired: it happened.
        ways: how many fates each thing had that was left to chance.
        settled: what a loss of power did to each unsynced thing.
        at: index of the first step after it.
    """

    task: str = ""
    before: str = ""
    after: str = ""
    phase: str = "before-accepted"
    last: bool = False
    fired: bool = False
    ways: list[int] = field(default_factory=list)
    settled: tuple[tuple[str, str], ...] = ()
    at: int = 0

    @property
    def persisted(self) -> str:
        """What became of each unsynced thing, in words."""
        return ", ".join(f"{what} {fate}" for what, fate in self.settled)


class Strikes:
    """One schedule with a planned fault, or several.

    Args:
        engine: that runs it.
        story: who strikes whom.
        fault: what strikes.
        plan: the strikes; without any there is no fault.
        tail: chooses after the last one.
        on_blow: called after each strike with its number and the state that the world is in then (None: it cannot be told). It may raise
            to give up the schedule.
    """

    every_step = True

    def __init__(
        self,
        engine: Engine,
        story: Stricken,
        fault: CrashFault,
        plan: Sequence[Strike],
        tail: Chooser,
        on_blow: Callable[[int, Hashable | None, list[Blow]], None],
    ) -> None:
        self.blows: list[Blow] = []
        self._engine = engine
        self._story = story
        self._fault = fault
        self._plan = plan
        self._tail = tail
        self._on_blow = on_blow
        self._env: Environment | None = None
        self._striking = self._thrown = False
        self._before = 0  # how often it had struck before
        self._steps = 0
        self._last_label = ""
        self._seen_by: dict[Process, int] = {}

    def set_up(self, env: Environment) -> None:
        """Called when the schedule is set up."""
        self._env = env

    def choose(self, enabled: list[Task], current: int) -> int:
        if self._striking:
            place = self._strike(enabled)
            if place is not None:
                return place
            self._struck(enabled, current)
        if len(self.blows) == len(self._plan):
            return self._tail.choose(enabled, current)
        if enabled[0].parent is None:
            return 0  # the stage is still being set
        others = [place for place, task in enumerate(enabled) if task.name != self._story.striker]
        chosen = current if current in others else others[0] if others else -1
        if self._steps >= self._plan[len(self.blows)].gap or not others:
            return self._begin(enabled, enabled[chosen] if others else None)
        self._steps += 1
        self._last_label = enabled[chosen].point.label
        self._remember(enabled[chosen])
        return chosen

    # -- the strike ----------------------------------------------------------------------------------------------------

    def _begin(self, enabled: list[Task], next_task: Task | None) -> int:
        history = self._history
        self._before = self._count(history)
        self._striking, self._thrown = True, False
        self._blow = Blow(
            task=next_task.name if next_task else "",
            before=next_task.point.label if next_task else "",
            after=self._last_label,
            phase=_phase(history, self._story.victim),
            last=next_task is None,
        )
        place = self._strike(enabled)
        assert place is not None, "the striker stands at its operation, and can go on"
        return place

    def _strike(self, enabled: list[Task]) -> int | None:
        """Whose step brings the strike on; None: it is over, or came to nothing."""
        if self._count(self._history) > self._before:
            return None
        names = [task.process.name for task in enabled]
        if "fault" in names:
            return names.index("fault")
        if "fates" in names:
            blow = self._blow
            planned = self._plan[len(self.blows)].fates
            chosen = planned[len(blow.ways)] if len(blow.ways) < len(planned) else 0
            blow.ways.append(names.count("fates"))
            return names.index("fates") + chosen
        striker = next((place for place, task in enumerate(enabled) if task.name == self._story.striker), None)
        if striker is None or self._thrown:
            return None
        operation = self._story.scenario.client(self._story.striker).operations[0]
        self._thrown = enabled[striker].point.label == str(operation)
        return striker

    def _struck(self, enabled: list[Task], current: int) -> None:
        env, blow = self._environment, self._blow
        blow.fired = self._count(env.history) > self._before
        if self._fault == "power-loss":
            blow.settled = tuple(env.disk.settled)
        blow.at = len(self._engine.points)
        self.blows.append(blow)
        self._striking = False
        self._steps = 0
        self._last_label = ""
        self._on_blow(len(self.blows) - 1, self._state(enabled[current].name if current >= 0 else ""), self.blows)

    def _count(self, history: History) -> int:
        if self._fault == "cancel":
            return sum(fault.kind == "cancel" for fault in history.faults)
        return sum(when == "after-crash" for _, when, _ in history.observations)

    # -- the state -----------------------------------------------------------------------------------------------------

    def _remember(self, task: Task) -> None:
        """What the memory of a process may depend on that does not die: its steps, and all that there was to be seen in each."""
        process, env = task.process, self._environment
        if self._fault == "process-crash" and len(env.processes) > 1 and process in env.processes:
            seen = (self._seen_by.get(process), task.name, task.point.label, env.state, self._engine.now())
            self._seen_by[process] = hash(seen)

    def _state(self, current: str) -> Hashable | None:
        """Equal states have equal futures. A cancelled process lives on, and what is in its memory cannot be told."""
        shared = self._environment.state
        if self._fault == "cancel" or shared is None:
            return None
        tasks = tuple((task.name, task.alive, task.alive and task.point.label) for task in self._engine.tasks)
        alive = tuple(self._seen_by.get(each, 0) for each in self._environment.processes if not each.crashed)
        return shared, self._environment.history.state, tasks, alive, current, self._engine.now()

    @property
    def _environment(self) -> Environment:
        assert self._env is not None, "a schedule is set up before there is anything to choose"
        return self._env

    @property
    def _history(self) -> History:
        return self._environment.history


def _phase(history: History, victim: str) -> str:
    """How far the last commit of the victim is."""
    commits = [call for call in history.of_kind("commit") if call.client == victim and call.acknowledged]
    if not commits:
        return "before-accepted"
    ended = {seen.task for seen in history.seen if seen.status in ENDED and seen.client}
    done = commits[-1].operation.wait or commits[-1].task in ended
    return "completed" if done else "accepted"
