"""The kernel's nouns: a point, a task, a process.

A *point* is where a task gives up control; the step that follows it carries its label. Points, tasks and processes live
for one schedule and are small on purpose: one point is made per step, and a laptop makes millions of them.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Set
from typing import Any

from racewindow.errors import UsageError

Resources = tuple[str, ...]

CLOCK_ROLE = "time"  # the role of time itself in traces and tokens

# How a step came to be chosen. FREE and PREEMPTION are decisions; they are what a token has to remember. UNASKED steps are not up to
# the strategy at all: time that passes because nothing else can, a task on its way to its first point.
FORCED, DEFAULT, FREE, PREEMPTION, UNASKED = range(5)


def resource_names(given: Iterable[str], what: str) -> tuple[str, ...]:
    """The resources that somebody declares, in the same order in every process.

    Raises:
        UsageError: they are no names.
    """
    if isinstance(given, Iterable) and not isinstance(given, str):
        names = tuple(given)
        if all(isinstance(name, str) for name in names):
            return tuple(sorted(names)) if isinstance(given, Set) else names
    raise UsageError(f"{what}={given!r}: give the names of resources, as in {what}=('cell', 'lock')")


class Seen:
    """What was seen of one step while it ran, beyond what its point declared.

    Attributes:
        touched: the resources that it was seen to touch, as ``(resource, is_write)`` pairs.
        uses: what the host saw it use, as ``(resource, how)`` pairs; see :mod:`racewindow.kernel.footprint`.
        anything: it did something that touches everything, for example a crash.
        notes: remarks for the timeline, for example ``accepted``.
    """

    __slots__ = ("anything", "notes", "touched", "uses")

    def __init__(self) -> None:
        self.touched: list[tuple[str, bool]] = []
        self.uses: list[tuple[str, int]] = []
        self.anything = False
        self.notes: list[str] = []


class Point:
    """A labelled place where a task gives up control, and the record of the step that starts there.

    Awaiting a point parks the running task until the strategy chooses it again. It is a checkpoint in trio's sense: a
    cancelled task gets its ``Cancelled`` here.

    Raises:
        UsageError: it has no label, or what is declared are no names.

    Attributes:
        label: what the task is about to do, for example ``commit/archive.write``.
        reads, writes: the resources that the step will touch; ``None`` when nobody declared them, which means *anything*. Declaring one
            says that the other is empty.
        observed: it starts in a wait of the host's own, and what it touches is seen: nobody has to declare it.
        seen: what was seen of the step; None: nothing, as of most.
        task: who takes the step.
        choice: FORCED (the last task goes on), DEFAULT (it cannot; the first of the others), FREE (another one of them), PREEMPTION or
            UNASKED.
        held: the label at which the other task was held back; set with PREEMPTION only.
    """

    __slots__ = ("choice", "held", "label", "observed", "reads", "seen", "task", "writes")
    held: str

    def __init__(self, label: str, reads: Iterable[str] | None = None, writes: Iterable[str] | None = None) -> None:
        if not label:
            raise UsageError("a point needs a label: it is how traces, charts and tokens name the place")
        if reads is not writes:  # not both None
            reads = () if reads is None else reads if type(reads) is tuple else resource_names(reads, "reads")
            writes = () if writes is None else writes if type(writes) is tuple else resource_names(writes, "writes")
        self.label = label
        self.reads: Resources | None = reads  # type: ignore[assignment]  # names, after this
        self.writes: Resources | None = writes  # type: ignore[assignment]
        self.task: Task | None = None
        self.seen: Seen | None = None
        self.observed = False
        self.choice = FORCED

    def look(self) -> Seen:
        """What was seen of the step, to be added to."""
        seen = self.seen
        if seen is None:
            seen = self.seen = Seen()
        return seen

    def check_fresh(self) -> None:
        """Raises UsageError when the point was awaited before."""
        if self.task is not None:
            raise UsageError(
                f"the point {self.label!r} was awaited twice; make a new one for every wait: await world.point(...)"
            )

    def __await__(self) -> Generator[Any, Any, None]:
        if self.task is not None:
            self.check_fresh()
        # The trio host resumes a point with None; anything else is an outcome that carries a cancellation.
        result = yield self
        if result is not None:
            result.unwrap()

    def __repr__(self) -> str:
        return f"<Point {self.label}>"


NOWHERE = Point("nowhere")
"""Where tasks of a schedule stand that is over."""


class Process:
    """A failure domain: the tasks that a ``process-crash`` kills together, and what has to be undone when they die.

    Attributes:
        memory: the resources that stand for its in-memory state, which every step of its tasks counts as touching. None: nobody
            said what its tasks share, so that a step may touch anything.
    """

    __slots__ = ("crashed", "memory", "name", "on_crash")

    def __init__(self, name: str, memory: Resources | None = None) -> None:
        self.name = name
        self.memory = memory
        self.crashed = False
        self.on_crash: list[Callable[[], None]] = []

    def __repr__(self) -> str:
        return f"<Process {self.name}{' crashed' if self.crashed else ''}>"


class Task:
    """A unit of concurrency: the subject itself, a client, or background work that one of them started.

    Attributes:
        name: its role, unique within a schedule and the same in every schedule: ``main``, ``a``, ``a/extract``, ``a/extract.2``.
        index: creation order; the kernel lists runnable tasks in this order.
        process: the failure domain it dies with.
        operation: prefix for the labels of its points; children inherit it.
        point: where it stands.
        parent: who started it.
        woken: index of the step that started it or woke it last; -1 for nobody.
        timer_s: of the clock's own task, where time is one of the things to choose from: virtual seconds until the next timer.
    """

    __slots__ = (
        "alive",
        "handle",
        "index",
        "name",
        "operation",
        "parent",
        "point",
        "process",
        "resume",
        "timer_s",
        "waits_for",
        "woken",
    )

    def __init__(self, name: str, index: int, parent: Task | None, process: Process, operation: str = "") -> None:
        self.name = name
        self.index = index
        self.parent = parent
        self.process = process
        self.operation = operation
        self.point = point = Point(f"{operation}/start" if operation else "start")
        point.task = self
        point.observed = True
        self.woken = -1
        self.alive = True
        self.handle: Any = None
        self.waits_for = ""  # label of the wait it is in, where trio's own name for it would say too little
        self.resume: Any = None  # a function that goes on with it from its point, in its context
        self.timer_s = 0.0

    def __repr__(self) -> str:
        return f"<Task {self.name} at {self.point.label}>"
