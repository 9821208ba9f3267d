"""What the hosts share: the books of one schedule, and how its verdict is reached.

A host (one module per concurrency style) subclasses :class:`Engine` and adds the only thing that differs: how a task is
resumed and how the kernel learns where it stands afterwards.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import cache, partial
from math import inf
from pathlib import Path
from typing import Any, Protocol, TypeVar

from racewindow.errors import InvariantViolation, RacewindowError, UsageError
from racewindow.kernel._memory import Memory
from racewindow.kernel._rounds import Rounds
from racewindow.kernel.footprint import WRITE
from racewindow.kernel.run import Limits, Run
from racewindow.kernel.task import CLOCK_ROLE, DEFAULT, FREE, NOWHERE, PREEMPTION, UNASKED, Point, Process, Task
from racewindow.kernel.violation import Violation
from racewindow.kernel.world import World

T = TypeVar("T")
Subject = Callable[[World], Any]
"""An async function; on the thread host, any function."""


class Chooser(Protocol):
    """Decides which runnable task steps next.

    Attributes:
        every_step: ask even when only one task can run (a replay has to follow every step).
    """

    every_step: bool

    def choose(self, enabled: list[Task], current: int) -> int:
        """Index into ``enabled`` of the task to step.

        Args:
            enabled: the tasks that can run, in creation order; never empty.
            current: index of the task that stepped last, or -1 when it cannot go on.
        """


class Scope(ABC):
    """A cancellable stretch of a task."""

    @abstractmethod
    async def run(self, function: Callable[[], Awaitable[None]]) -> bool:
        """Run ``function``; False when it was cancelled before it ended."""

    @abstractmethod
    def cancel(self) -> None:
        """Cancel what runs in the scope; its ``finally`` blocks run."""


class Event(Protocol):
    """The part of ``trio.Event`` that all hosts have."""

    def set(self) -> object: ...
    def wait(self) -> Awaitable[object]: ...
    def is_set(self) -> bool: ...


class Engine(ABC):
    """The books of the schedule that is being executed. One engine serves many schedules, one after the other."""

    host: str
    point: Callable[..., Awaitable[None]]
    """Makes a point, and refuses one without a label; on hosts of async code the class of points itself."""

    def __init__(self) -> None:
        self.observing = False  # whether the host watches what each step uses
        self.interrupted: Callable[[], bool] = bool  # says whether another thread wants no further schedule to begin
        self.reset(Limits())

    def reset(self, limits: Limits) -> None:
        if self.interrupted():
            raise KeyboardInterrupt
        self.limits = limits
        self.tasks: list[Task] = []
        self.enabled: list[Task] = []
        self.points: list[Point] = []
        self.violations: list[Violation] = []
        self.at_work: Task | None = None  # whose step it is
        self.disturbed = True  # whether something else happened than that a task went from one point to the next
        self.stopping = self.closed = self.serial = False
        self.fatal: BaseException | None = None
        self.stuck = ""  # why the schedule was given up in the middle of a step
        self.result: Any = None
        self.preemptions = 0
        self.timers_left = limits.timers_max if limits.time == "adversarial" else 0
        self.root_process = Process("main")
        self._names = {CLOCK_ROLE: 1}
        self._clock_task: Task | None = None
        self.last: Task | None = None  # whom the strategy chose last, while it can go on
        self.to_advance: deque[Task] = deque()
        self.quiet_waits: list[tuple[Callable[[], object], float]] = []
        self.rounds = Rounds()
        self.rests: list[
            int
        ] = []  # numbers of steps after which nothing could run, and waiting for that or for time ended

    @property
    def clock_task(self) -> Task:
        """Time itself, which takes a step when it passes."""
        if self._clock_task is None:
            self._clock_task = Task(CLOCK_ROLE, -1, None, self.root_process)
        return self._clock_task

    @property
    def current(self) -> Task | None:
        """On whose behalf the running code runs."""
        return self.at_work

    # -- names ---------------------------------------------------------------------------------------------------------

    def unique_name(self, wanted: str) -> str:
        """``wanted``, or ``wanted.2`` and so on: roles are unique within a schedule and the same in every replay."""
        names = self._names
        if wanted not in names:
            names[wanted] = 1
            return wanted
        count = names[wanted] + 1
        while (name := f"{wanted}.{count}") in names:  # somebody asked for just that name
            count += 1
        names[wanted], names[name] = count, 1
        return name

    def new_task(self, name: str, *, process: Process | None = None, operation: str | None = None) -> Task:
        """Open the books of a task; process and operation are inherited from the task that is running."""
        parent = self.current
        if self.observing:
            self.use(f"name:{name}", WRITE)
        if process is None:
            process = parent.process if parent else self.root_process
        if operation is None:
            operation = parent.operation if parent else ""
        task = Task(self.unique_name(name), len(self.tasks), parent, process, operation)
        task.alive = not process.crashed  # what a dying step still starts never runs
        self.tasks.append(task)
        return task

    # -- what a subject can say ----------------------------------------------------------------------------------------

    @property
    def step(self) -> int:
        """Index of the step that is running."""
        return len(self.points) - 1

    def note(self, text: str) -> None:
        """Remark on the running step, shown in the timeline."""
        if self.points:
            self.points[-1].look().notes.append(text)

    def touch(self, resource: str, *, write: bool) -> None:
        """The running step was seen to use ``resource``."""
        if self.points:
            touched = self.points[-1].look().touched
            if (resource, write) not in touched:
                touched.append((resource, write))

    def observe(self) -> None:
        """From now on, watch what each step uses. On a host that cannot see that, every step counts as touching anything."""
        self.observing = False

    def look_away(self) -> None:
        """Watch it no longer."""
        self.observing = False

    def watch(self, kinds: tuple[type[Any], ...], trusted: tuple[type[Any], ...]) -> None:
        """While steps are observed, watch the attributes of these classes as well."""
        del kinds, trusted

    def use(self, resource: str, how: int) -> None:
        """The host saw the running step use ``resource``; see :mod:`racewindow.kernel.footprint` for how."""
        if self.observing and self.points:
            self.points[-1].look().uses.append((resource, how))

    def use_anything(self) -> None:
        """The running step reaches so far that it may have touched anything."""
        if self.points:
            self.points[-1].look().anything = True

    def task_failed(self, error: BaseException) -> None:
        """A task of the kernel's own ended with an exception that nobody caught: the schedule is over."""
        if self.closed or self.stuck:
            return
        leaves = list(_leaves(error))
        for leaf in leaves:
            ours = isinstance(leaf, RacewindowError) and not isinstance(leaf, InvariantViolation)
            if ours or not isinstance(leaf, Exception):
                self.fatal = leaf  # our own errors and interrupts are the caller's business, never a verdict
        if self.fatal is None and not self.violations:
            leaf = leaves[0]
            self.violations.append(Violation(kind=type(leaf).__name__, detail=self.text_of(leaf), step=self.step))
        self.stop()

    def stop(self) -> None:
        """The schedule is over when the running step is."""
        self.stopping = self.disturbed = True

    def text_of(self, error: BaseException) -> str:
        """What a violation says of an exception: the same in every run."""
        return str(error) or repr(error)

    def interrupt(self, where: str) -> bool:
        """The running step takes too long, another thread says: the schedule is over with it. False: it ended meanwhile."""
        if not self.points:
            return False
        point = self.points[-1]
        name = point.task.name if point.task else ""
        self.stuck = (
            f"step_limit_s={self.limits.step_limit_s:g} was reached: step {self.step} ({name} at {point.label}) does not give up "
            f"control; it was in {where}"
        )
        self.stop()
        return True

    def kill(self, process: Process) -> list[Task]:
        """Abandon every task of ``process`` where it stands, without running its ``finally`` blocks."""
        process.crashed = self.disturbed = True
        self.use_anything()
        killed = [task for task in self.tasks if task.alive and task.process is process]
        for task in killed:
            task.alive = False
        self.enabled = [task for task in self.enabled if task.alive]
        for undo in process.on_crash:
            undo()
        process.on_crash.clear()
        return killed

    # -- choosing: the same on every host ------------------------------------------------------------------------------

    def decide(self, chooser: Chooser, current: int, due: float) -> int:
        """Settle who steps next, and enter the step in the books.

        Args:
            chooser: asked where there is something to choose.
            current: index of the task that stepped last among ``enabled``, or -1 when it cannot go on.
            due: when the next timer fires.

        Returns:
            Its index among ``enabled``, or -1: look again, for a timer fired early, or the task that was to be advanced is dead.
        """
        enabled = self.enabled
        if self.to_advance or self.serial or self.timers_left:
            index = self._decide_otherwise(chooser, current, due)
            if index < 0 or enabled[index].point.choice == UNASKED:
                return index
        else:
            index = chooser.choose(enabled, current) if len(enabled) > 1 or chooser.every_step else 0
        self.at_work = self.last = task = enabled[index]
        point = task.point
        self.points.append(point)
        if index != current:
            if current >= 0:
                point.choice = PREEMPTION
                point.held = enabled[current].point.label
                self.preemptions += 1
            else:
                point.choice = FREE if index else DEFAULT
        return index

    def _decide_otherwise(self, chooser: Chooser, current: int, due: float) -> int:
        """Where the strategy is not asked, or where time is one of the things to choose from."""
        enabled = self.enabled
        if self.to_advance or self.serial:
            index = 0
            if self.to_advance:
                task = self.to_advance.popleft()
                if not task.alive:
                    return -1
                index = enabled.index(task)
            self.at_work = task = enabled[index]
            task.point.choice = UNASKED
            self.points.append(task.point)
            return index
        if due < inf:
            # The armed timer is one more thing that can happen next; it belongs to no task.
            self.clock_task.timer_s = max(0.0, due - self.now())
            index = chooser.choose([*enabled, self.clock_task], current)
            if index < len(enabled):
                return index
            step = len(self.points)
            self.timers_left -= 1
            self.advance_clock(due)
            point = self.points[step]
            point.choice = FREE
            if current >= 0:
                point.choice = PREEMPTION
                point.held = enabled[current].point.label
            return -1
        return chooser.choose(enabled, current) if len(enabled) > 1 or chooser.every_step else 0

    def idle(self, due: float) -> bool:
        """Nothing can run: wake who waits for that, or let time pass until ``due``. False: deadlock."""
        for_ever = due < inf and self.rounds.closed(len(self.points), self.waits, self.memory)
        for entry in self.quiet_waits:
            if due > entry[1] or for_ever:
                self.quiet_waits.remove(entry)
                entry[0]()
                return True
        if for_ever:
            self._livelocked()
        elif due < inf:
            self.advance_clock(due)
        return due < inf

    def waits(self) -> Hashable:
        """Who waits where, and how long, in what can be told at once."""
        return None

    def memory(self) -> Memory | None:
        """All that the tasks of the schedule remember; None where the host cannot tell."""
        return None

    def _livelocked(self) -> None:
        if not self.violations:
            turning = dict.fromkeys(point.task.name for point in self.points[self.rounds.since :] if point.task)
            turning.pop(CLOCK_ROLE, None)
            detail = (
                f"nothing but time changes any more: {', '.join(turning)} went round and came to stand where "
                f"{'it' if len(turning) == 1 else 'they'} had stood; waiting: {self._waiting()}"
            )
            self.violations.append(Violation(kind="livelock", detail=detail, messages=tuple(turning), step=self.step))
        self.stop()

    def _waiting(self) -> str:
        return ", ".join(f"{task.name} at {task.point.label}" for task in self.tasks if task.alive)

    # -- what hosts provide --------------------------------------------------------------------------------------------

    @abstractmethod
    def together(self, functions: tuple[Callable[[], Any], ...]) -> Awaitable[None]: ...
    @abstractmethod
    def start(
        self,
        function: Callable[[], Any],
        name: str,
        process: Process | None,
        operation: str | None,
        advance: bool,
    ) -> Task: ...
    @abstractmethod
    def event(self) -> Event: ...
    @abstractmethod
    def scope(self) -> Scope: ...
    @abstractmethod
    def sleep(self, seconds: float) -> Awaitable[None]: ...
    @abstractmethod
    def now(self) -> float: ...
    @abstractmethod
    def quiet(self, within_s: float) -> Awaitable[None]: ...

    def wait(self, event: Event, label: str) -> Awaitable[object]:
        """Wait for an event under a label of one's own."""
        return self._wait(event, label)

    async def _wait(self, event: Event, label: str) -> object:
        task = self.current
        assert task is not None, "somebody waits, so a task runs"
        task.waits_for = label
        try:
            return await event.wait()
        finally:
            task.waits_for = ""

    def stop_at(self, label: str, reads: tuple[str, ...] | None, writes: tuple[str, ...] | None) -> None:
        """A point for synchronous code.

        Raises:
            UsageError: this host runs async code.
        """
        raise UsageError(
            f"{label!r} is a point in synchronous code, which needs host='threads'; in async code, 'await cell.read()' and "
            "'await cell.write(value)'"
        )

    def aside(self) -> AbstractContextManager[None]:
        """Until the block ends, synchronous code makes no points."""
        return nullcontext()

    def directory(self) -> Path:
        """An empty directory on the real disk.

        Raises:
            UsageError: calls into the real file system are no points on this host.
        """
        raise UsageError("world.directory() is for synchronous code, whose file operations are points: host='threads'")

    @abstractmethod
    def advance_clock(self, due: float) -> None:
        """Let time pass until ``due``, and the timers fire that are due then."""

    @abstractmethod
    def execute(self, subject: Subject, chooser: Chooser, limits: Limits) -> Run:
        """Run one schedule of ``subject`` to its end and give its record."""

    def close_books(self) -> None:
        """The verdict stands: what abandoned tasks still do while they are closed counts for nothing."""
        self.closed = True
        self.points, self.violations = [], []
        for task in self.tasks:
            task.point = NOWHERE  # it would lead back to the task: a record that nobody keeps goes at once, without the garbage collector

    # -- the verdict ---------------------------------------------------------------------------------------------------

    def time_passes(self, seconds: float) -> None:
        """Record that virtual time moved; it is a step of nobody, and no choice of the strategy's in ``time=idle``."""
        point = Point("pass", (), ("time",))
        point.task = self.clock_task
        point.choice = UNASKED
        seen = point.look()
        seen.anything = True
        seen.notes.append(f"+{seconds:g} s")
        self.points.append(point)

    def finish(self, reason: str) -> Run:
        if self.stuck:
            return Run(verdict="unknown", reason=self.stuck, preemptions=self.preemptions, points=self.points)
        if self.fatal is not None:
            raise self.fatal
        if reason == "deadlock" and not self.violations:
            blocked = tuple(task.name for task in self.tasks if task.alive)
            detail = f"nothing can run and no timer is armed; waiting: {self._waiting()}"
            self.violations.append(Violation(kind="deadlock", detail=detail, messages=blocked, step=self.step))
        verdict = "failed" if self.violations else "unknown" if reason == "max_steps" else "passed"
        if reason == "max_steps":
            reason = f"max_steps={self.limits.max_steps} was reached"
        return Run(
            verdict=verdict,  # type: ignore[arg-type]
            reason=reason,
            violations=tuple(self.violations),
            preemptions=self.preemptions,
            points=self.points,
            result=self.result,
        )


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


def function_name(function: Any) -> str:
    """A short role for a task that runs ``function``: its name without module, class, ``<locals>`` and leading underscores."""
    while isinstance(function, partial):
        function = function.func
    return _short(
        str(function if isinstance(function, str) else getattr(function, "__qualname__", type(function).__name__))
    )


@cache
def _short(qualified: str) -> str:
    return qualified.rpartition(".")[2].strip("_<>") or "task"
