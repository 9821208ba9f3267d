"""An asyncio event loop without sockets, threads or a clock of its own.

It keeps what asyncio promises (``call_soon`` is first in, first out; timers in the order of their deadlines) and leaves to its owner
what a real run leaves to chance: when a thread's work takes effect, and when its result arrives.
"""

from __future__ import annotations

import asyncio
import contextvars
import heapq
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, NoReturn, Protocol, TypeVar, TypeVarTuple

from racewindow.errors import Unsupported
from racewindow.kernel._asyncio_task import KernelTask, Steersman

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
Context = contextvars.Context


class Owner(Steersman, Protocol):
    """Whoever runs the loop."""

    def adopt(self, task: asyncio.Task[Any], context: Context, shared: bool) -> None:
        """A task was made; ``shared`` when its context belongs to others too."""

    def submit(self, function: Callable[..., Any], args: tuple[Any, ...]) -> asyncio.Future[Any]:
        """Work for a thread."""

    def complain(self, context: dict[str, Any]) -> None:
        """Something failed, and nobody is there to be told."""


class NotHere(Unsupported, NotImplementedError):
    """The loop has no such thing. Also a ``NotImplementedError``, because that is what portable code catches."""


class _Future(asyncio.Future[Any]):
    """A future whose hash does not depend on its address.

    asyncio keeps futures and tasks in sets (``wait``, the children that a ``TaskGroup`` cancels), and the order of a set of addresses is
    another one in every process. Real runs may take any order; a schedule has to take the same one whenever it is run.
    """

    def __init__(self, number: int, loop: asyncio.AbstractEventLoop) -> None:
        self._number = number
        super().__init__(loop=loop)

    def __hash__(self) -> int:
        return self._number


class KernelLoop(asyncio.AbstractEventLoop):
    """The event loop of one schedule.

    Attributes:
        ready: callbacks that will run, in this order.
        now: virtual seconds since the schedule began.
        owner: who runs it.
        timers: a heap of deadlines, cancelled ones included.
        held: where the next callbacks go instead of ``ready``, while the first step of a task is to be held back.
        parking: the task that is about to be parked.
        async_generators: ids of those that were first iterated in this schedule (Python clears their weak references too early).
    """

    def __init__(self, owner: Owner) -> None:
        self.ready: deque[asyncio.Handle] = deque()
        self.now = 0.0
        self.held: list[asyncio.Handle] | None = None
        self.parking: KernelTask | None = None
        self.async_generators: set[int] = set()
        self.owner = owner
        self.timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._serial = self._tasks = 0
        self._handler: Callable[[asyncio.AbstractEventLoop, dict[str, Any]], object] | None = None
        self._thread = threading.get_ident()

    # -- callbacks and timers ------------------------------------------------------------------------------------------

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        if self.parking is not None and getattr(callback, "__self__", None) is self.parking:
            parking: Any = callback.__self__  # type: ignore[attr-defined]
            self.parking = None
            park = parking.park
            park.step, park.context = callback, context
            if parking._must_cancel:  # it cancelled itself before it came here
                park.cancel()
            return None  # type: ignore[return-value]  # asyncio's task, which asks, does not look at it
        handle = asyncio.Handle(callback, args, self, context)
        (self.ready if self.held is None else self.held).append(handle)
        return handle

    def call_soon_threadsafe(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        if threading.get_ident() != self._thread:
            raise NotHere(
                "a thread of the subject's own called back into the event loop; the kernel controls to_thread and run_in_executor, "
                "not threads that are started by hand: give the subject a simulated client instead"
            )
        return self.call_soon(callback, *args, context=context)

    def call_later(
        self, delay: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self.now + delay, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        self._serial += 1
        heapq.heappush(self.timers, (when, self._serial, timer))
        return timer

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Dropped when it comes up."""

    def time(self) -> float:
        return self.now

    def next_timer(self, dead: Callable[[asyncio.Handle], bool]) -> asyncio.TimerHandle | None:
        """The timer that is due next, without those that would ring for nobody."""
        timers = self.timers
        while timers:
            timer = timers[0][2]
            if not timer.cancelled() and not dead(timer):
                return timer
            heapq.heappop(timers)
        return None

    def expire(self) -> None:
        """Make ready what is due now, in the order of the deadlines, then of the calls."""
        while self.timers and self.timers[0][0] <= self.now:
            self.ready.append(heapq.heappop(self.timers)[2])

    # -- futures, tasks and threads ------------------------------------------------------------------------------------

    def create_future(self) -> asyncio.Future[Any]:
        self._serial += 1
        return _Future(self._serial, self)

    def create_task(
        self, coro: Any, *, name: Any = None, context: Context | None = None, **options: Any
    ) -> asyncio.Task[Any]:
        if options.get("eager_start"):
            raise NotHere("eager tasks run outside of the loop's order; create them without eager_start")
        own = contextvars.copy_context() if context is None else context
        task = self.make_task(coro, own, name)
        self.owner.adopt(task, own, context is not None)
        return task

    def make_task(self, coro: Any, context: Context, name: Any = None) -> asyncio.Task[Any]:
        """A task that the owner knows about already."""
        self._serial += 1
        self._tasks += 1
        if name is None:
            name = f"Task-{self._tasks}"  # asyncio numbers them through the life of the process
        return KernelTask(self._serial, self.owner, coro, context, loop=self, name=name)

    def run_in_executor(self, executor: Any, func: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
        return self.owner.submit(func, args)

    def set_default_executor(self, executor: Any) -> None:
        """There are no threads to run in."""

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """There is none."""

    async def shutdown_asyncgens(self) -> None:
        """They are taken apart when they are dropped."""

    def set_task_factory(self, factory: Any) -> None:
        if factory is not None:
            raise NotHere("the kernel makes the tasks of its loop itself; remove the task factory")

    def get_task_factory(self) -> None:
        return None

    # -- errors that nobody awaits -------------------------------------------------------------------------------------

    def set_exception_handler(self, handler: Any) -> None:
        self._handler = handler

    def get_exception_handler(self) -> Any:
        return self._handler

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        self.owner.complain(context)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if self._handler is None:
            self.owner.complain(context)
        else:
            self._handler(self, context)

    # -- life ----------------------------------------------------------------------------------------------------------

    def is_running(self) -> bool:
        return asyncio._get_running_loop() is self

    def is_closed(self) -> bool:
        return False

    def get_debug(self) -> bool:
        return False

    def set_debug(self, enabled: bool) -> None:
        """It would only be slower."""

    def close(self) -> None:
        self._in_use("close")

    def stop(self) -> None:
        self._in_use("stop")

    def run_forever(self) -> None:
        self._in_use("run")

    def run_until_complete(self, future: Any) -> Any:
        self._in_use("run")

    def _in_use(self, verb: str) -> NoReturn:
        raise RuntimeError(
            f"the subject cannot {verb} the event loop that it runs in; await what it should run instead"
        )


def _missing(name: str) -> Callable[..., NoReturn]:
    def method(self: KernelLoop, *args: Any, **options: Any) -> NoReturn:
        raise NotHere(
            f"loop.{name} would leave the kernel's control: there are no sockets, pipes, signals or subprocesses under it; give the "
            "subject a simulated transport or client instead"
        )

    method.__name__ = name
    return method


for _name in (
    "add_reader",
    "add_signal_handler",
    "add_writer",
    "connect_accepted_socket",
    "connect_read_pipe",
    "connect_write_pipe",
    "create_connection",
    "create_datagram_endpoint",
    "create_server",
    "create_unix_connection",
    "create_unix_server",
    "getaddrinfo",
    "getnameinfo",
    "remove_reader",
    "remove_signal_handler",
    "remove_writer",
    "sendfile",
    "sock_accept",
    "sock_connect",
    "sock_recv",
    "sock_recv_into",
    "sock_recvfrom",
    "sock_recvfrom_into",
    "sock_sendall",
    "sock_sendfile",
    "sock_sendto",
    "start_tls",
    "subprocess_exec",
    "subprocess_shell",
):
    setattr(KernelLoop, _name, _missing(_name))
