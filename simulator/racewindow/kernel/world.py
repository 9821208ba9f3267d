"""What a subject sees of the kernel."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from racewindow.errors import InvariantViolation, UsageError
from racewindow.kernel.footprint import READ, WRITE
from racewindow.kernel.task import Process, Task, resource_names
from racewindow.kernel.violation import Violation

if TYPE_CHECKING:
    from racewindow.kernel.engine import Engine, Event, Scope

T = TypeVar("T")


class World:
    """One schedule's world: the only argument of a subject.

    Plain trio (or asyncio) code works in a subject too; the world adds labelled points, shared cells, checks and faults. On the thread
    host a subject is synchronous: there ``world.point(...)``, and whatever else is awaited elsewhere, waits when it is called.
    """

    __slots__ = {  # noqa: RUF023 - help() shows what is written here
        "point": """Give up control at a labelled place: ``await world.point("commit/after-snapshot")``.

        Args:
            label: what the task is about to do; the same name shows in traces, charts and tokens.
            reads, writes: names of resources that the following step touches. Leave both out when you do not know: the step then
                counts as touching everything. Giving one says that the other is empty.

        Raises:
            UsageError: there is no label, or what is declared are no names.
        """,
        "_cells": "how many were made without a name",
        "_engine": "who runs the schedule",
    }

    def __init__(self, engine: Engine) -> None:
        # No method: a point is made for every step, and a call takes time.
        self.point: Callable[..., Awaitable[None]] = engine.point
        self._engine = engine
        self._cells = 0

    # -- points --------------------------------------------------------------------------------------------------------

    def cell(self, value: T, *, name: str = "") -> Cell[T]:
        """A shared variable whose every read and write is a point."""
        self._engine.use("cells", WRITE)
        self._cells += 1
        return Cell(self._engine, value, name or f"cell{self._cells}")

    def together(self, *functions: Callable[[], Any]) -> Awaitable[None]:
        """Run async functions as tasks; each is advanced to its first point, then the choice is free. Waits for all."""
        if not functions:
            raise UsageError(
                "together() got no functions; pass the async functions themselves, not calls: together(f, g)"
            )
        for function in functions:
            if not callable(function):
                raise UsageError(
                    f"together() got {function!r}, which is not a function; pass the async functions themselves, "
                    "not calls: together(f, g) or together(functools.partial(f, 1))"
                )
        return self._engine.together(functions)

    def start(
        self,
        function: Callable[[], Any],
        *,
        name: str = "",
        process: Process | None = None,
        operation: str | None = None,
        advance: bool = False,
    ) -> Task:
        """Start a task that belongs to the world and not to a nursery. An exception that escapes it fails the schedule.

        Args:
            function: async function without arguments.
            name: its role in traces and tokens; default: the function's name.
            process: the failure domain it dies with; default: that of the running task.
            operation: prefix for the labels of its points; default: that of the running task.
            advance: run it to its first point before anything else may happen, as :meth:`together` does.
        """
        from racewindow.kernel.engine import function_name

        if process is not None and process.crashed:
            raise UsageError(
                f"process {process.name!r} has crashed; start the task in a new one: world.process({process.name!r})"
            )
        return self._engine.start(function, name or function_name(function), process, operation, advance)

    def event(self) -> Event:
        """An event of the host (``trio.Event``, ``asyncio.Event``, or one for threads)."""
        return self._engine.event()

    def wait(self, event: Event, label: str) -> Awaitable[object]:
        """``await event.wait()``, with a label of its own in traces and tokens."""
        return self._engine.wait(event, label)

    def scope(self) -> Scope:
        """A cancellable stretch: ``finished = await scope.run(f)``, and ``scope.cancel()`` from another task."""
        return self._engine.scope()

    @contextmanager
    def serially(self) -> Iterator[None]:
        """Until the block ends nothing is up to the strategy: the runnable task created first runs. For setting a stage."""
        engine = self._engine
        engine.serial = engine.disturbed = True
        try:
            yield
        finally:
            engine.serial, engine.disturbed = False, True

    # -- time ----------------------------------------------------------------------------------------------------------

    @property
    def now(self) -> float:
        """Virtual seconds since the schedule began."""
        return self._engine.now()

    def sleep(self, seconds: float) -> Awaitable[None]:
        """Let virtual time pass; costs nothing."""
        return self._engine.sleep(seconds)

    def quiet(self, *, within_s: float = 0.0) -> Awaitable[None]:
        """Wait until nothing else can run and no timer is due within ``within_s`` virtual seconds from now."""
        return self._engine.quiet(within_s)

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Until the block ends nothing is a point: for an observer, who looks at what others share and changes nothing."""
        with self._engine.aside():
            yield

    # -- files, on the thread host -------------------------------------------------------------------------------------

    def directory(self) -> Path:
        """A directory on the real disk that is empty when a schedule begins.

        Raises:
            UsageError: the host is not ``threads``: there, calls into the real file system are no points.
        """
        return self._engine.directory()

    # -- faults --------------------------------------------------------------------------------------------------------

    def process(self, name: str, *, memory: tuple[str, ...] | None = None) -> Process:
        """A failure domain, to be given to :meth:`start` and :meth:`crash`.

        Args:
            name: for a person.
            memory: the resources that stand for its in-memory state, which each of its steps counts as touching; None: as the subject
                says with :meth:`memory_declared`.
        """
        return Process(name, self._engine.root_process.memory if memory is None else memory)

    def crash(self, process: Process) -> list[Task]:
        """Process-crash: its tasks never run again, not even their ``finally`` blocks; locks and leases are released.

        Returns:
            The tasks that were killed, where they stood.
        """
        return self._engine.kill(process)

    # -- verdicts ------------------------------------------------------------------------------------------------------

    @property
    def step(self) -> int:
        """Index of the running step in the trace."""
        return self._engine.step

    @property
    def task(self) -> Task:
        """The running task."""
        task = self._engine.current
        assert task is not None, "the world was asked for its running task while no task ran"
        return task

    def note(self, text: str) -> None:
        """Remark on the running step; shown in the timeline."""
        self._engine.note(text)

    def touch(self, *resources: str, write: bool = False) -> None:
        """Say that the running step used these resources, beyond what its point declared."""
        for resource in resource_names(resources, "resources"):
            self._engine.touch(resource, write=write)

    def use(self, resource: str, how: int) -> None:
        """Like :meth:`touch`, in one of the ways of :mod:`racewindow.kernel.footprint`, and not shown in traces."""
        self._engine.use(resource, how)

    def touch_anything(self) -> None:
        """Say that the running step may have touched anything, whatever its point declared."""
        self._engine.use_anything()

    def watch(self, *kinds: type[Any], trusted: tuple[type[Any], ...] = ()) -> None:
        """See for a proof which attributes of the instances of these classes each step reads and writes.

        Args:
            kinds: classes that keep in attributes what tasks share. A list or dict in an attribute has to be fetched from there in every
                step that uses it: one that is held in a local variable across a point is not seen.
            trusted: classes whose instances tell by themselves what they do, as the simulated disk does.
        """
        self._engine.watch(kinds, trusted)

    def memory_declared(self) -> None:
        """Promise that tasks share nothing but what the simulator can see, so that a proof may leave out equivalent schedules.

        It sees cells, the primitives of trio, and the resources that points declare and :meth:`touch` names. Everything else that two
        tasks can reach (a variable of the enclosing function, a list, an attribute, a file) has to be declared as a resource at the
        point before it is used, or touched in the same step. A point without ``reads`` and ``writes`` still counts as touching anything.
        """
        self._engine.root_process.memory = ()

    def check(self, condition: bool, kind: str, detail: str = "") -> None:
        """Stop the schedule as failed when ``condition`` does not hold.

        Args:
            condition: what must be true.
            kind: name of the invariant, for example ``lost-update``.
            detail: one sentence for a person.

        Raises:
            InvariantViolation: when it does not hold.
        """
        if not condition:
            self.violate(Violation(kind=kind, detail=detail or f"{kind} does not hold", step=self._engine.step))
            self._engine.stop()
            raise InvariantViolation(f"{kind}: {detail or 'does not hold'}")

    def violate(self, violation: Violation) -> None:
        """Record a broken invariant; the schedule goes on."""
        self._engine.violations.append(violation)


class Cell(Generic[T]):
    """A shared variable. ``read`` and ``write`` are points, and so are ``get`` and ``set`` in synchronous code; ``value`` looks at it
    from outside of the schedule."""

    __slots__ = ("_engine", "_name", "_value")

    def __init__(self, engine: Engine, value: T, name: str) -> None:
        self._engine = engine
        self._name = name
        self._value = value

    @property
    def value(self) -> T:
        """What it holds now, without a point."""
        self._engine.use(self._name, READ)
        return self._value

    @value.setter
    def value(self, value: T) -> None:
        self._engine.use(self._name, WRITE)
        self._value = value

    async def read(self) -> T:
        """A point, then the read."""
        await self._engine.point(f"{self._name}.read", (self._name,), ())
        return self._value

    async def write(self, value: T) -> None:
        """A point, then the write."""
        await self._engine.point(f"{self._name}.write", (), (self._name,))
        self._value = value

    def get(self) -> T:
        """A point, then the read. Raises UsageError in async code, where that is ``await cell.read()``."""
        self._engine.stop_at(f"{self._name}.read", (self._name,), ())
        return self._value

    def set(self, value: T) -> None:
        """A point, then the write. Raises UsageError in async code, where that is ``await cell.write(value)``."""
        self._engine.stop_at(f"{self._name}.write", (), (self._name,))
        self._value = value

    def __repr__(self) -> str:
        return f"<Cell {self._name}={self._value!r}>"
