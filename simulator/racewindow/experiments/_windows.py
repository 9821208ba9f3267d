"""Windows: the race-window atlas. The intruder runs to completion in every gap of the victim's commit."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from racewindow.errors import UsageError
from racewindow.frames import Timeline, widths, windows_frame
from racewindow.kernel.engine import Engine
from racewindow.kernel.hosts import run_on
from racewindow.kernel.run import Run
from racewindow.kernel.task import Task
from racewindow.kernel.token import token_of
from racewindow.sessions.case import Case
from racewindow.sessions.history import ENDED, History
from racewindow.sessions.scenario import Operation

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
        failing = int(self.frame["outcome"].isin(["failed", "blocked-then-failed"]).sum())
        return f"<WindowsResult {self.case.name} {failing} of {len(self.frame)} gaps>"


def pair_of(case: Case) -> tuple[str, int, str]:
    """The victim (the first client with a commit), the index of that commit, and the intruder (the first other client).

    Raises:
        UsageError: the scenario has no commit, or no second client.
    """
    clients = case.scenario.clients
    for client in clients:
        for index, operation in enumerate(client.operations):
            if operation.kind == "commit":
                others = [other.name for other in clients if other.name != client.name]
                if others:
                    return client.name, index, others[0]
    raise UsageError(
        f"the scenario {case.scenario.name!r} has no victim and intruder: windows need a client that commits and another client "
        "that comes in between"
    )


def has_pair(case: Case) -> bool:
    """Whether the scenario has a commit for another client to come in between."""
    clients = case.scenario.clients
    return len(clients) > 1 and any(op.kind == "commit" for client in clients for op in client.operations)


def windows(case: Case) -> WindowsResult:
    """Map the race windows of ``case``, exactly: one schedule for each gap of the victim's commit.

    The victim's steps are those of its commit and of all that it leads to, background work included, in run-to-block order: client,
    then background work in order of creation. When the intruder blocks, the victim goes on until it can go on itself, and the cell says so.

    Raises:
        UsageError: the scenario has no victim or no intruder.
        Unsupported: the implementation cannot do what the scenario asks.
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

    def __init__(self, victim: str, operation: str, intruder: str, gap: int | None) -> None:
        self._victim = victim
        self._operation = operation
        self._intruder = intruder
        self._gap = gap  # None: never; the intruder comes when the victim has nothing left to do
        self._committing = False
        self._intruding = False
        self._family: dict[Task, None] = {}
        self.victim_steps: list[Task] = []
        self.labels: list[str] = []
        self.roles: list[str] = []
        self.blocked = False
        self.infeasible = False

    def choose(self, enabled: list[Task], current: int) -> int:
        chosen = self._decide(enabled, current)
        task = enabled[chosen]
        if not self._intrudes(task) and task.parent is not None:
            if task.name == self._victim and task.point.label == self._operation:
                self._committing = True
            if self._committing:
                self.victim_steps.append(task)
                self.labels.append(task.point.label)
                self.roles.append(task.name)
        return chosen

    def _decide(self, enabled: list[Task], current: int) -> int:
        for task in enabled:
            if self._intrudes(task):
                self._family[task] = None
        if not self._intruding and self._due(enabled):
            self._intruding = True
            intruder = next((task for task in self._family if task.name == self._intruder), None)
            self.infeasible = intruder is None or not intruder.alive
        intruders = [place for place, task in enumerate(enabled) if self._intrudes(task)]
        others = [place for place, task in enumerate(enabled) if not self._intrudes(task)]
        if self._intruding and not self.infeasible:
            if intruders:
                return current if current in intruders else intruders[0]
            if any(task.alive for task in self._family):
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
        ancestor: Task | None = task
        while ancestor is not None:
            if ancestor.name.partition(".")[0] == self._intruder:
                return True
            ancestor = ancestor.parent
        return False


def _map(
    engine: Engine, case: Case, victim: str, index: int, operation: Operation, intruder: str
) -> list[dict[str, object]]:
    def play(gap: int | None) -> tuple[Run, _Intrusion]:
        chooser = _Intrusion(victim, str(operation), intruder, gap)
        return engine.execute(case.subject(), chooser, case.limits), chooser

    alone, victim_only = play(None)
    labels, roles = victim_only.labels, victim_only.roles
    accepted, completed = _milestones(alone, victim_only, victim, index)
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


def _milestones(run: Run, chooser: _Intrusion, victim: str, index: int) -> tuple[float, float]:
    """After how many victim steps the commit was accepted, and after how many it was seen to have ended."""
    history = run.result
    never = float("inf")
    if not isinstance(history, History):
        return never, never
    mine = iter(chooser.victim_steps)
    expected = next(mine, None)
    position: dict[int, int] = {}
    count = 0
    # The victim's steps, in order, at the end of the trace's steps of those tasks: count them along the trace.
    begun = False
    for step, point in enumerate(run.points):
        begun = begun or (point.task is not None and point.task.name == victim and point.label == chooser.labels[0])
        if begun and expected is not None and point.task is expected:
            count += 1
            expected = next(mine, None)
        position[step] = count
    call = next((call for call in history.calls if call.client == victim and call.index == index), None)
    if call is None or call.returned is None:
        return never, never
    returned = position[call.returned]
    if call.operation.wait:
        return returned, returned
    ends = [seen.step for seen in history.seen if seen.task == call.task and seen.status in ENDED and seen.client]
    return returned, position[min(ends)] if ends else never
