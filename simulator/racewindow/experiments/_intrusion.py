"""One client intrudes on an operation of another: who they are, and the schedule in which it happens.

The victim's operation has gaps between its steps. The intruder starts in one of them, and runs to its end or is itself interrupted.
Everything else goes in run-to-block order: the running task while it can, then the victim's client, then background work in the order
in which it was created.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from racewindow.errors import Unsupported, UsageError
from racewindow.kernel.engine import Engine
from racewindow.kernel.run import Run
from racewindow.kernel.task import Point, Task
from racewindow.sessions.case import Case
from racewindow.sessions.history import Call
from racewindow.sessions.implementation import Environment
from racewindow.sessions.scenario import Client, Operation, Scenario

VICTIMS = ("add", "commit", "reload")
"""The kinds of operation that have gaps; a ``wait`` belongs to the commit before it."""

Place = tuple[str, int]
"""A step of an operation: its label, and which time (from 1) a step of the operation starts there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A victim's operation, and who comes in between.

    Attributes:
        victim, index: the client, and which of its operations.
        intruder: another client.
        intrusion: which of its operations; its earlier ones are done before the victim's operation begins, its later ones in the end. None:
            all of them.
    """

    victim: str
    index: int
    intruder: str
    intrusion: int | None = None

    def names(self, scenario: Scenario) -> dict[str, str]:
        """How frames name it."""
        return {
            "victim": self.victim,
            "operation": operation_name(scenario.client(self.victim), self.index),
            "intruder": self.intruder,
            "intrusion": ""
            if self.intrusion is None
            else operation_name(scenario.client(self.intruder), self.intrusion),
        }


@dataclass(frozen=True, slots=True)
class Section:
    """Steps between which nobody else may come: from the one at ``opens`` to the one at ``closes``, both included.

    It holds for the victim's operation, and for operations of the intruder of the same kind: a repair is made in the code of both.
    """

    opens: Place
    closes: Place


def operation_name(client: Client, index: int) -> str:
    """The text of an operation, with its number where the client does the same more than once."""
    texts = [str(operation) for operation in client.operations]
    number = texts[: index + 1].count(texts[index])
    return texts[index] if texts.count(texts[index]) == 1 else f"{texts[index]} #{number}"


def pair_of(case: Case) -> Pair:
    """The pair that says most: a commit, and a client that comes in between.

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


def pairs_of(case: Case) -> tuple[Pair, ...]:
    """Every operation of every client, against every other client: all its operations, and where it has several, each one of them.

    Raises:
        UsageError: nobody can come in between of anything.
    """
    pairs = tuple(_every_pair(case.scenario))
    if not pairs:
        raise UsageError(
            f"the scenario {case.scenario.name!r} has no victim and intruder: windows need a client that adds, commits or reloads, and "
            "another client that comes in between"
        )
    return pairs


def checked(case: Case, pair: Pair) -> Pair:
    """The pair, if the scenario has it.

    Raises:
        UsageError: there is no such client or operation, or nobody to come in between of it.
    """
    if pair not in _every_pair(case.scenario):
        raise UsageError(
            f"{pair} is no pair of the scenario {case.scenario.text!r}: the victim's operation has to be one of {', '.join(VICTIMS)}, and "
            "the intruder another client that does not end before; pairs_of(case) lists them all"
        )
    return pair


def _find_pair(scenario: Scenario) -> Pair | None:
    for client in scenario.clients:
        kinds = [operation.kind for operation in client.operations]
        index = kinds.index("commit") if "commit" in kinds else 0
        if {"add", "reload"} & set(kinds[:index]):
            others = _intruders(client, scenario)
            if others:
                return Pair(victim=client.name, index=index, intruder=others[0].name)
    return None


def _every_pair(scenario: Scenario) -> Iterator[Pair]:
    for client in scenario.clients:
        for index, operation in enumerate(client.operations):
            for other in _intruders(client, scenario) if operation.kind in VICTIMS else ():
                yield Pair(victim=client.name, index=index, intruder=other.name)
                units = [place for place, each in enumerate(other.operations) if each.kind not in ("after", "wait")]
                for unit in units if len(units) > 1 else ():
                    yield Pair(victim=client.name, index=index, intruder=other.name, intrusion=unit)


def _intruders(victim: Client, scenario: Scenario) -> list[Client]:
    """The other clients, those after it first, without those that end before it begins."""
    number = scenario.clients.index(victim)
    awaited: set[str] = set()
    client = victim
    while client.after is not None:
        awaited.add(client.after)
        client = scenario.client(client.after)
    others = (*scenario.clients[number + 1 :], *scenario.clients[:number])
    return [other for other in others if other.name not in awaited]


class Intrusion:
    """Chooses: the victim for ``gap`` steps of its operation, then the intruder, then the rest in run-to-block order.

    When the intruder blocks, the victim goes on until it can go on itself. An intruder that is interrupted after ``stop`` steps leaves the
    rest to the victim, and finishes when nothing else can run.

    Args:
        case: what is run.
        pair: who.
        gap: where the intruder starts; None: never, it comes when the victim has nothing left to do.
        stop: after how many of its steps it is interrupted; None: not at all.
        sections: steps that are atomic.

    Attributes:
        victim_steps: the very points that the trace will hold.
        intruder_steps: the points of the intrusion, without what the intruder does in the end.
        infeasible: the intruder could not start there.
        intruder_waited, victim_waited: who had to wait for the other.
        broken: a section could not be atomic, for who was in it had to wait for the other.
    """

    every_step = True

    def __init__(
        self, case: Case, pair: Pair, *, gap: int | None, stop: int | None = None, sections: Collection[Section] = ()
    ) -> None:
        scenario = case.scenario
        self._pair = pair
        self._gap = gap
        self._stop = stop
        self._clients = {client.name for client in scenario.clients}
        self._victim = _Unit(scenario.client(pair.victim), pair.index)
        self._intruder = None if pair.intrusion is None else _Unit(scenario.client(pair.intruder), pair.intrusion)
        self._sections = tuple(sections)
        self._holds = {
            pair.victim: _Hold(self._victim.operation.kind),
            pair.intruder: _Hold(self._victim.operation.kind),
        }
        self._sides: dict[Task, str] = {}
        self._env: Environment | None = None
        self._begun = self._over = self._intruding = self._staging = self._staged = False
        self._client: Task | None = None  # the intruder itself, once it was seen
        self._families: dict[str, list[Task]] = {
            pair.victim: [],
            pair.intruder: [],
        }  # the clients, and what they started
        self.victim_steps: list[Point] = []
        self.intruder_steps: list[Point] = []
        self.infeasible = self.intruder_waited = self.victim_waited = self.broken = False

    def set_up(self, env: Environment) -> None:
        """The environment of the schedule: what clients are at is read off its history."""
        self._env = env

    # -- choosing ------------------------------------------------------------------------------------------------------

    def choose(self, enabled: list[Task], current: int) -> int:
        for task in enabled:
            if task not in self._sides:
                self._meet(task)
        allowed = [place for place, task in enumerate(enabled) if not self._excluded(task)]
        if not allowed:
            self._release()
            allowed = list(range(len(enabled)))
        chosen = self._decide(enabled, allowed, current)
        self._enter(enabled[chosen])
        return chosen

    def _meet(self, task: Task) -> None:
        self._sides[task] = side = self._side(task)
        if side in self._families:
            self._families[side].append(task)
        if side == self._pair.intruder and "/" not in task.name and self._client is None:
            self._client = task

    def _side(self, task: Task) -> str:
        """The client that the task is (perhaps come back after a crash), or that started it, at whatever remove; a store's own: none."""
        ancestor: Task | None = task
        while ancestor is not None:
            root = ancestor.name.partition(".")[0]
            if root in self._clients:
                return root
            ancestor = ancestor.parent
        return ""

    def _decide(self, enabled: list[Task], allowed: list[int], current: int) -> int:
        theirs = [place for place in allowed if self._sides[enabled[place]] == self._pair.intruder]
        others = [place for place in allowed if self._sides[enabled[place]] != self._pair.intruder]
        if self._stage(enabled):
            return self._before(enabled, theirs)
        if not self._intruding and self._due(enabled):
            self._intruding = True
            alive = self._client is not None and self._client.alive
            self.infeasible = not alive or (self._intruder is not None and not self._at_unit())
        now = [place for place in theirs if not self._later(enabled[place])]
        interrupted = self._stop is not None and len(self.intruder_steps) >= self._stop
        if self._intruding and not self.infeasible and not interrupted:
            if now:
                chosen = current if current in now else now[0]
                self.intruder_steps.append(enabled[chosen].point)
                return chosen
            # Kept out by an atomic section, or waiting for something of the victim's.
            if others and self._unfinished() and not any(self._sides[task] == self._pair.intruder for task in enabled):
                self.intruder_waited = True
        if not others:
            if interrupted and now and self._lives(self._pair.victim):
                self.victim_waited = True
            return current if current in theirs else (now or theirs)[0]
        if current in others:
            return current
        return next((place for place in others if enabled[place].name == self._pair.victim), others[0])

    def _due(self, enabled: list[Task]) -> bool:
        if self._gap is None:
            return False
        if self._begun:
            return len(self.victim_steps) >= self._gap
        return self._gap == 0 and self._at_victim(enabled)

    def _unfinished(self) -> bool:
        """Whether the intruder is in the middle of what it came for."""
        if self._client is None or not self._client.alive:
            return False
        return self._intruder is None or not self._intruder.is_past(self._last_call(self._pair.intruder))

    def _later(self, task: Task) -> bool:
        """Whether the task is the intruder's client on its way to an operation that is not part of the intrusion."""
        return (
            self._intruder is not None
            and task is self._client
            and self._intruder.is_past(self._last_call(self._pair.intruder))
        )

    # -- before the victim's operation: the intruder gets to where it will intrude --------------------------------------

    def _stage(self, enabled: list[Task]) -> bool:
        """Whether it is the intruder's turn to do what comes before its operation."""
        if self._intruder is None or self._staged or self._gap is None:
            return False
        self._staging = self._staging or self._at_victim(enabled)
        if self._staging and (self._at_unit() or not any(self._sides[task] == self._pair.intruder for task in enabled)):
            self._staged = True
        return self._staging and not self._staged

    def _before(self, enabled: list[Task], theirs: list[int]) -> int:
        return next((place for place in theirs if enabled[place] is self._client), theirs[0])

    def _at_victim(self, enabled: list[Task]) -> bool:
        return any(self._begins(task, self._victim) for task in enabled)

    def _at_unit(self) -> bool:
        return self._intruder is not None and self._client is not None and self._begins(self._client, self._intruder)

    # -- keeping the books ---------------------------------------------------------------------------------------------

    def _last_call(self, client: str) -> Call | None:
        assert self._env is not None, "the subject is made with set_up"
        return next((call for call in reversed(self._env.history.calls) if call.client == client), None)

    def _begins(self, task: Task, unit: _Unit) -> bool:
        """Whether the task is a client about to take the first step of its operation."""
        if self._sides[task] != unit.client.name or task.point.label != str(unit.operation) or "/" in task.name:
            return False
        call = self._last_call(unit.client.name)
        return call is not None and call.index == unit.index and call.returned is None

    def _enter(self, task: Task) -> None:
        side = self._sides[task]
        if side == self._pair.victim and "/" not in task.name:
            call = self._last_call(side)
            if not self._begun and self._begins(task, self._victim):
                self._begun = True
            elif self._begun and self._victim.is_over(call):
                self._over = True
            mine = call is None or self._victim.has(call)
        else:
            # Bystanders are nobody's victim, and the subject's own task is no part of the race.
            mine = side in ("", self._pair.victim) and task.parent is not None
        if side == self._pair.intruder and not self._intruding and not self._lives(self._pair.victim):
            self._over = True  # what a store's own tasks do from now on is the intruder's business
        if self._begun and not self._over and mine:
            self.victim_steps.append(task.point)
        if self._sections:
            self._hold(task, side)

    def _hold(self, task: Task, side: str) -> None:
        """Enter and leave sections. What a store's own tasks do counts for whoever is in one."""
        for client, hold in self._holds.items():
            if side == client and "/" not in task.name:
                call = self._last_call(client)
                if call is not None and call.returned is None and task.point.label == str(call.operation):
                    hold.begin(call)
            if side in ("", client):
                hold.step(task.point.label, self._sections)

    def _lives(self, client: str) -> bool:
        return any(task.alive for task in self._families[client])

    def _release(self) -> None:
        """Nobody may go on: whoever is in a section waits there for somebody outside, or went another way and is gone."""
        for client, hold in self._holds.items():
            self.broken = self.broken or (bool(hold.inside) and self._lives(client))
            hold.inside.clear()

    def _excluded(self, task: Task) -> bool:
        """Whether somebody is in a section that the task would disturb."""
        side = self._sides[task]
        return any(hold.inside for client, hold in self._holds.items() if side in self._holds and side != client)


@dataclass(frozen=True, slots=True)
class _Unit:
    """An operation of a client with the waits that follow it."""

    client: Client
    index: int

    @property
    def operation(self) -> Operation:
        return self.client.operations[self.index]

    def has(self, call: Call) -> bool:
        return call.index == self.index or (call.index > self.index and call.kind == "wait")

    def is_past(self, call: Call | None) -> bool:
        """Whether the client has got to its next operation, or ended."""
        if call is None:
            return False
        return call.index > self.index and call.kind != "wait"

    def is_over(self, call: Call | None) -> bool:
        """Whether what the client does now has nothing to do with it any more: a commit's background work lasts until the next commit."""
        if not self.is_past(call):
            return False
        return self.operation.kind != "commit" or call is None or call.kind == "commit"


@dataclass(slots=True)
class _Hold:
    """Which sections a client is in.

    Attributes:
        kind: of the operations that have the sections.
    """

    kind: str
    counts: Counter[str] = field(default_factory=Counter)
    inside: set[Section] = field(default_factory=set)
    operating: bool = False

    def begin(self, call: Call) -> None:
        if call.kind == "wait":
            return
        self.operating = call.kind == self.kind
        self.counts.clear()
        self.inside.clear()

    def step(self, label: str, sections: Collection[Section]) -> None:
        if not self.operating:
            return
        self.counts[label] += 1
        place = label, self.counts[label]
        for section in sections:
            if place == section.opens:
                self.inside.add(section)
            if place == section.closes:
                self.inside.discard(section)


def play(engine: Engine, case: Case, chooser: Intrusion, where: str) -> Run:
    """Run one schedule.

    Raises:
        Unsupported: it was cut short.
    """
    run = engine.execute(case.subject(chooser.set_up), chooser, case.limits)
    if run.verdict == "unknown":
        raise Unsupported(
            f"{case.name} cannot be mapped: with the intruder in {where} {run.reason}, and what was cut short is no 'ok'. "
            "Usual cause: a poll that never ends; otherwise give the case more max_steps"
        )
    return run


def outcome_of(run: Run, chooser: Intrusion) -> str:
    """What a cell says."""
    if chooser.infeasible:
        return "infeasible"
    told = "failed" if run.verdict == "failed" else "ok"
    return f"blocked-then-{told}" if chooser.intruder_waited or chooser.victim_waited else told


def broken_by(run: Run, chooser: Intrusion) -> str:
    """The kinds of violation of a cell."""
    return "" if chooser.infeasible else "+".join(dict.fromkeys(each.kind for each in run.violations))


def places(points: Collection[Point]) -> list[Place]:
    """Label and occurrence of each step."""
    counts: Counter[str] = Counter()
    found = []
    for point in points:
        counts[point.label] += 1
        found.append((point.label, counts[point.label]))
    return found
