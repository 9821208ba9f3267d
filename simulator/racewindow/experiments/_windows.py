"""Windows: the race-window atlas. The intruder runs to completion in every gap of the victim's commit."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING

from racewindow.errors import Unsupported, UsageError
from racewindow.frames import FAILING, Timeline, widths, windows_frame
from racewindow.kernel.engine import Engine
from racewindow.kernel.hosts import run_on
from racewindow.kernel.run import Run
from racewindow.kernel.task import Point, Task
from racewindow.kernel.token import token_of
from racewindow.sessions.case import Case
from racewindow.sessions.history import ENDED, History
from racewindow.sessions.scenario import Client, Operation, Scenario

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowsResult:
    """The map of one case.

    Attributes:
        case: what was mapped.
        victim, operation: whose commit, and which.
        intruder: the client that is run in the gaps.
        frame: one row per gap, with the columns :data:`racewindow.frames.WINDOWS`.
    """

    case: Case
    victim: str
    operation: str
    intruder: str
    frame: pd.DataFrame = field(repr=False)

    @property
    def widths(self) -> pd.DataFrame:
        """One row: how wide the windows are, with the columns :data:`racewindow.frames.WIDTHS`."""
        return widths(self.frame)

    def timeline(self, token: str) -> Timeline:
        """The story of one cell."""
        from racewindow.experiments._timeline import timeline

        return timeline(self.case, token)

    def __repr__(self) -> str:
        failing = int(self.frame["outcome"].isin(FAILING).sum())
        return f"<WindowsResult {self.case.name} {failing} of {len(self.frame)} gaps>"


def pair_of(case: Case) -> tuple[str, int, str]:
    """The victim, the index of its commit, and the intruder.

    The victim is the first client that has something to commit (it added or reloaded before) and somebody to come in between: another
    client that it does not itself wait for.

    Raises:
        UsageError: the scenario has no such pair.
    """
    pair = _find_pair(case.scenario)
    if pair is None:
        raise UsageError(
            f"the scenario {case.scenario.name!r} has no victim and intruder: windows need a client that adds (or reloads) and commits, "
            "and another client that comes in between"
        )
    return pair


def has_pair(case: Case) -> bool:
    """Whether the scenario has a commit for another client to come in between."""
    return _find_pair(case.scenario) is not None


def _find_pair(scenario: Scenario) -> tuple[str, int, str] | None:
    clients = scenario.clients
    for number, client in enumerate(clients):
        kinds = [operation.kind for operation in client.operations]
        index = kinds.index("commit") if "commit" in kinds else 0
        if {"add", "reload"} & set(kinds[:index]):
            awaited = _awaited(client, scenario)
            others = [other.name for other in (*clients[number + 1 :], *clients[:number]) if other.name not in awaited]
            if others:
                return client.name, index, others[0]
    return None


def _awaited(client: Client, scenario: Scenario) -> set[str]:
    """The clients that end before this one begins."""
    awaited: set[str] = set()
    while client.after is not None:
        awaited.add(client.after)
        client = scenario.client(client.after)
    return awaited


def windows(case: Case) -> WindowsResult:
    """Map the race windows of ``case``, exactly: one schedule for each gap of the victim's commit.

    The victim's steps are those of its commit and of all that it leads to, background work included, in run-to-block order: client,
    then background work in order of creation. When the intruder blocks, the victim goes on until it can go on itself, and the cell says so.

    Raises:
        UsageError: the scenario has no victim or no intruder.
        Unsupported: the implementation cannot do what the scenario asks, or a schedule hit ``max_steps``.
    """
    victim, index, intruder = pair_of(case)
    operation = next(client for client in case.scenario.clients if client.name == victim).operations[index]
    frame = windows_frame([])
    if not case.not_applicable:
        rows = run_on(case.implementation.host, lambda engine: _map(engine, case, victim, index, operation, intruder))
        frame = windows_frame(rows)
    return WindowsResult(case=case, victim=victim, operation=str(operation), intruder=intruder, frame=frame)


class _Intrusion:
    """Chooses: the victim for ``gap`` steps of its commit, then the intruder to its end, then the rest in default order."""

    every_step = True

    def __init__(self, victim: str, operation: str, intruder: str, bystanders: set[str], gap: int | None) -> None:
        self._victim = victim
        self._bystanders = bystanders
        self._operation = operation
        self._intruder = intruder
        self._gap = gap  # None: never; the intruder comes when the victim has nothing left to do
        self._committing = False
        self._intruding = False
        self._client: Task | None = None  # the intruder itself, once it was seen
        self.victim_steps: list[Point] = []  # the very points that the trace will hold
        self.blocked = False
        self.infeasible = False

    def choose(self, enabled: list[Task], current: int) -> int:
        chosen = self._decide(enabled, current)
        task = enabled[chosen]
        if task.parent is not None and not _descends(task, {self._intruder, *self._bystanders}):
            if task.name == self._victim and task.point.label == self._operation:
                self._committing = True
            if self._committing:
                self.victim_steps.append(task.point)
        return chosen

    def _decide(self, enabled: list[Task], current: int) -> int:
        for task in enabled:
            if task.name == self._intruder:
                self._client = task
        if not self._intruding and self._due(enabled):
            self._intruding = True
            self.infeasible = self._client is None or not self._client.alive
        intruders = [place for place, task in enumerate(enabled) if self._intrudes(task)]
        others = [place for place, task in enumerate(enabled) if not self._intrudes(task)]
        if self._intruding and not self.infeasible:
            if intruders:
                return current if current in intruders else intruders[0]
            if self._client is not None and self._client.alive:
                self.blocked = True
        elif not others:
            return intruders[0]
        if current in others:
            return current
        # Run to block; then the client, if it can go on, and background work in the order in which it was created.
        return next((place for place in others if enabled[place].name == self._victim), others[0])

    def _due(self, enabled: list[Task]) -> bool:
        if self._gap is None:
            return False
        if self._committing:
            return len(self.victim_steps) >= self._gap
        return self._gap == 0 and any(
            task.name == self._victim and task.point.label == self._operation for task in enabled
        )

    def _intrudes(self, task: Task) -> bool:
        return _descends(task, {self._intruder})


def _descends(task: Task, clients: set[str]) -> bool:
    """Whether one of these clients (or the same one, come back after a crash) started the task, at whatever remove."""
    ancestor: Task | None = task
    while ancestor is not None:
        if ancestor.name.partition(".")[0] in clients:
            return True
        ancestor = ancestor.parent
    return False


def _map(
    engine: Engine, case: Case, victim: str, index: int, operation: Operation, intruder: str
) -> list[dict[str, object]]:
    bystanders = {client.name for client in case.scenario.clients} - {victim, intruder}

    def play(gap: int | None) -> tuple[Run, _Intrusion]:
        chooser = _Intrusion(victim, str(operation), intruder, bystanders, gap)
        run = engine.execute(case.subject(), chooser, case.limits)
        if run.verdict == "unknown":
            raise Unsupported(
                f"{case.name} cannot be mapped: with the intruder in gap {'m' if gap is None else gap} {run.reason}, and what was cut "
                "short is no 'ok'. Usual cause: a poll that never ends; otherwise give the case more max_steps"
            )
        return run, chooser

    alone, victim_only = play(None)
    labels = [point.label for point in victim_only.victim_steps]
    roles = [point.task.name for point in victim_only.victim_steps if point.task is not None]
    accepted, completed = _milestones(alone, victim_only.victim_steps, victim, index)
    rows: list[dict[str, object]] = []
    for gap in range(len(labels) + 1):
        run, chooser = play(gap)
        failed = run.verdict == "failed"
        if chooser.infeasible:
            outcome = "infeasible"
        elif chooser.blocked:
            outcome = "blocked-then-failed" if failed else "blocked-then-ok"
        else:
            outcome = "failed" if failed else "ok"
        rows.append(
            {
                "implementation": case.implementation.name,
                "scenario": case.scenario.name,
                "topology": case.topology,
                "disk": case.disk,
                "gap": gap,
                "after_step": labels[gap - 1] if gap else "",
                "before_step": labels[gap] if gap < len(labels) else "",
                "task": roles[gap] if gap < len(roles) else roles[-1] if roles else victim,
                "phase": "completed" if gap >= completed else "accepted" if gap >= accepted else "before-accepted",
                "outcome": outcome,
                "violation": "" if chooser.infeasible else "+".join(dict.fromkeys(v.kind for v in run.violations)),
                "token": str(token_of(run, subject=case.name, checksum=case.checksum)),
            }
        )
    return rows


def _milestones(run: Run, victim_steps: list[Point], victim: str, index: int) -> tuple[float, float]:
    """After how many victim steps the commit was accepted, and after how many it was seen to have ended."""
    history = run.result
    never = float("inf")
    if not isinstance(history, History):
        return never, never
    mine = set(victim_steps)
    position = list(accumulate(point in mine for point in run.points))
    call = next((call for call in history.calls if call.client == victim and call.index == index), None)
    if call is None or call.returned is None:
        return never, never
    returned = position[call.returned]
    if call.operation.wait:
        return returned, returned
    ends = [seen.step for seen in history.seen if seen.task == call.task and seen.status in ENDED and seen.client]
    return returned, position[min(ends)] if ends else never
