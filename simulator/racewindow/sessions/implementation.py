"""What a session store under test has to offer, and what it is given.

An implementation is a class: its instances are *stores* (one process's view of the storage), which load *handles*. Thirty lines are
enough; :mod:`racewindow.implementations.designs` has examples.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, TypeVar

from racewindow.disk import Disk
from racewindow.kernel.footprint import WRITE
from racewindow.kernel.hosts import Host
from racewindow.kernel.task import Process, Task
from racewindow.kernel.world import World
from racewindow.sessions.capabilities import Capabilities
from racewindow.sessions.history import History, Observation

S = TypeVar("S")

HISTORY = "history"
"""The resource that stands for the record of a schedule: who was answered before whom is what invariants judge."""


SLOW_S = 60.0
"""Virtual seconds that a slow extractor takes longer."""


class Refused(Exception):
    """Raised by a handle that does nothing, and says so: stale, busy, in conflict. A correct outcome.

    Args:
        reason: for a person.
        busy: somebody else is at work; trying later may succeed.
    """

    def __init__(self, reason: str, *, busy: bool = False) -> None:
        super().__init__(reason)
        self.busy = busy


class ExtractorFailed(Exception):
    """Raised by the extractor where the scenario says that it fails."""


class Ticket(Protocol):
    """A commit that was accepted.

    Attributes:
        id: of its task.
        messages: ids that it claimed, where the store says so; else empty.
    """

    @property
    def id(self) -> str: ...
    @property
    def messages(self) -> Sequence[str]: ...

    async def wait(self) -> str:
        """Wait for the task's end, and give its status: ``completed`` or ``failed``."""

    async def status(self) -> str:
        """Its status now: ``accepted``, ``running``, ``completed`` or ``failed``."""


@dataclass(frozen=True, slots=True)
class EndedTicket:
    """The ticket of a commit that has ended already, for stores whose commits are no tasks.

    Args:
        id: unique within the schedule.
        messages: ids that it claimed, where the store says so.
        result: ``completed`` or ``failed``.
    """

    id: str
    messages: Sequence[str] = ()
    result: str = "completed"

    async def wait(self) -> str:
        """Nothing to wait for."""
        return self.result

    async def status(self) -> str:
        """Its status, which will not change."""
        return self.result


class Handle(Protocol):
    """One loaded session object."""

    async def add(self, message: str) -> None:
        """Add a message whose text is its id; returning acknowledges it."""

    async def commit(self, *, wait: bool) -> Ticket | None:
        """Archive the live messages and have them extracted; None when there was nothing to commit.

        With ``wait``, return after the extraction. Raises Refused when nothing was done.
        """

    async def reload(self) -> Sequence[str]:
        """Load again from storage, and give the ids that are live."""


class ReadableHandle(Handle, Protocol):
    """A handle that tells what the next prompt would be made of: needs the capability ``context``."""

    async def context(self) -> Sequence[str]:
        """Everything that is remembered of the session, archives included: ids, or summaries of them."""


class RetryingHandle(Handle, Protocol):
    """A handle whose adds can be repeated: needs the capability ``retries``."""

    async def add_once(self, message: str) -> None:
        """Add a message under an id of the caller's; to do so again changes nothing."""


class SessionStore:
    """Base of the implementations: subclass it, give it a name and a ``load``.

    Attributes:
        name: on the command line, in charts and tokens.
        host: ``trio``, ``asyncio`` or ``threads`` (see :class:`~racewindow.SynchronousStore`), or :class:`~racewindow.Threads`.
        capabilities: what it promises; only that is judged.
        watched: whether it has the world watch the attributes in which it keeps its in-memory state. If not, every step of a store
            counts for a proof as touching all of the store's memory.
        mutant: it is broken on purpose, to show that the simulator notices.
        env: what it is given.
    """

    name: ClassVar[str] = ""
    host: ClassVar[Host] = "trio"
    capabilities: ClassVar[Capabilities] = Capabilities()
    watched: ClassVar[bool] = False
    mutant: ClassVar[bool] = False

    def __init__(self, env: Environment) -> None:
        self.env = env

    @classmethod
    def summary(cls) -> str:
        """One line for a person: the first line of the docstring."""
        return (cls.__doc__ or "").strip().partition("\n")[0]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """The life of the store's process. What stands before ``yield`` is its start, with recovery; override where needed."""
        yield

    async def load(self) -> Handle:
        """A new handle on the session, loaded from storage."""
        raise NotImplementedError(f"{type(self).__name__} has to say how a handle is loaded: async def load(self)")

    async def task(self, id: str) -> Ticket | None:
        """The commit of that id, as this store knows it; None: it knows of none. Tasks that die with their process need no override."""
        del id
        return None

    @classmethod
    def observe(cls, env: Environment) -> Observation:
        """What is in storage now, read by somebody who is not the store: no points, no effect."""
        raise NotImplementedError(f"{cls.__name__} has to say what is in its storage: def observe(cls, env)")


class Environment:
    """What the stores of one schedule share: their storage, their extractor, and the world they live in.

    Attributes:
        world: the schedule's world.
        disk: simulated storage, shared by all stores.
        processes: those that stores live in.
        session: id of the session under test.
        history: where the extractor's ledger is kept.
    """

    def __init__(self, world: World, disk: Disk, *, session: str = "s") -> None:
        self.world = world
        self.disk = disk
        self.processes: list[Process] = []
        self._shared: dict[str, Any] = {}
        self._services: dict[Any, Any] = {}
        self.session = session
        self.history = History()
        self._serials: dict[str, int] = {}
        self._armed: list[str] = []
        self._clock_s = 0.0

    # -- faults --------------------------------------------------------------------------------------------------------

    def arm(self, fault: str) -> None:
        """Let a fault strike at the next occasion.

        Args:
            fault: as the scenario says it, for example ``extractor fails``.
        """
        self.world.touch_anything()  # the occasion may be anybody's
        self._armed.append(fault)

    def strikes(self, fault: str) -> bool:
        """Whether this is the occasion for an armed fault; if so it is over, and the history has it."""
        if fault not in self._armed:
            return False
        self.world.touch_anything()
        self._armed.remove(fault)
        self.history.fault(fault, self.world.step)
        self.world.note(fault)
        return True

    def set_clock(self, by_s: float) -> None:
        """Somebody sets the wall clock, by so many seconds; virtual time, and with it every timer, goes on as before."""
        self.world.touch_anything()
        self._clock_s += by_s

    @property
    def clock(self) -> float:
        """What the wall clock says, in seconds."""
        return self.world.now + self._clock_s

    @property
    def shared(self) -> dict[str, Any]:
        """Anything else that is storage-wide (a durable queue, a service), by name.

        What is in it connects the memory of all stores: from now on each step of one counts as touching that of the others.
        """
        self.world.touch_anything()
        for process in self.processes:
            process.memory = ("memory",)
        return self._shared

    @property
    def state(self) -> Hashable | None:
        """Storage and whatever else stores share, as a value; None: something is in ``shared`` or is a service, and cannot be told."""
        return None if self._shared or self._services else (self.disk.state, tuple(sorted(self._serials.items())))

    def service(self, kind: type[S]) -> S:
        """The one object of this class that all stores share, a durable queue, say: made when it is first asked for.

        Which of its attributes a step reads and writes is seen, as with :meth:`~racewindow.kernel.World.watch`, so that stores are no
        more connected by it than they are.

        Args:
            kind: made with the environment as its only argument.
        """
        if kind not in self._services:
            self.world.watch(kind)
            self._services[kind] = kind(self)  # type: ignore[call-arg]
        found: S = self._services[kind]
        return found

    def serial(self, kind: str) -> str:
        """A fresh id, ``kind-1`` and so on: ids must not differ from run to run."""
        self.world.use(f"serial:{kind}", WRITE)
        self._serials[kind] = self._serials.get(kind, 0) + 1
        return f"{kind}-{self._serials[kind]}"

    def point(self, label: str) -> Awaitable[None]:
        """A point that touches anything."""
        return self.world.point(label)

    def background(self, function: Callable[[], Awaitable[Any]], name: str, *, operation: str | None = None) -> Task:
        """Start background work that lives and dies with the store that runs now.

        Args:
            function: async function without arguments.
            name: short role; the task is called ``<who started it>/<name>``.
            operation: prefix for the labels of its points; default: the operation that started it.
        """
        return self.world.start(function, name=f"{self.world.task.name}/{name}", operation=operation)

    async def extract(self, messages: Sequence[str], *, key: str = "", label: str = "extract") -> str:
        """The slow extractor: takes messages, gives ``SUM(ids)``, and keeps a ledger of what it was handed.

        It is one point before it gets the messages and one before it answers, so that others may come in between. Where the scenario
        says so, its answer is late, or never comes, or is a failure.

        Args:
            messages: ids, or summaries of them.
            key: idempotency key, where the store has one.
            label: of its points.

        Raises:
            ExtractorFailed: the scenario wants it to.
        """
        world, history = self.world, self.history
        await world.point(label, reads=(), writes=("extractor",))
        world.use(HISTORY, WRITE)
        handover = history.hand_over(messages, world.step, caller=world.task.name, key=key)
        world.note(f"extract {' '.join(messages)}")

        def lost() -> None:
            history.end_handover(handover, world.step, "lost")

        process = world.task.process
        process.on_crash.append(lost)
        try:
            await world.point(f"{label}/answer", reads=(), writes=("extractor",))
            if self._armed:
                await self._misbehave(label)
        except BaseException as error:
            if not process.crashed:
                world.use(HISTORY, WRITE)
                history.end_handover(handover, world.step, "failed" if isinstance(error, ExtractorFailed) else "lost")
            raise
        finally:
            if not process.crashed:
                process.on_crash.remove(lost)
        world.use(HISTORY, WRITE)
        history.end_handover(handover, world.step, "succeeded")
        return f"SUM({', '.join(messages)})"

    async def _misbehave(self, label: str) -> None:
        """What the scenario wants the extractor to do instead of answering."""
        if self.strikes("extractor slows"):
            await self.world.sleep(SLOW_S)
        if self.strikes("extractor hangs"):
            await self.world.wait(self.world.event(), f"{label}/hangs")
        if self.strikes("extractor fails"):
            raise ExtractorFailed("the extractor failed")
