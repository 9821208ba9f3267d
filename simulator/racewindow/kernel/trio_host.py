"""The trio host: any trio code, one task at a time.

One ``trio.run`` serves many schedules. Its main task never gives control back while a schedule runs: it takes runnable tasks
out of trio's own queue and resumes them itself, in the order the strategy chooses. Blocking, waking, cancellation and
nurseries remain trio's. What trio's loop would treat as "runnable now, in any order" is exactly what the strategy chooses from.
"""

from __future__ import annotations

import threading
from bisect import insort
from collections.abc import Awaitable, Callable, Hashable, Iterator
from contextlib import ExitStack, closing, contextmanager
from contextvars import copy_context
from functools import cache, partial
from itertools import repeat
from math import inf
from operator import attrgetter
from pathlib import Path
from types import CodeType
from typing import Any, NoReturn, TypeVar

import trio
from outcome import Error, Outcome, Value, capture

from racewindow.errors import Unsupported
from racewindow.kernel._attributes import attributes_watched
from racewindow.kernel._memory import CLOCK, Memory, memory_of
from racewindow.kernel._trio_internals import (
    GLOBAL_PARKING_LOT_BREAKER,
    GLOBAL_RUN_CONTEXT,
    CancelShieldedCheckpoint,
    PermanentlyDetachCoroutineObject,
    Runner,
    WaitTaskRescheduled,
    armed_timers,
    cancel_at_point,
    clear_leftovers,
    current_runner,
    disarm,
    forget,
    scope_state,
    trio_path,
    trio_threads,
)
from racewindow.kernel._trio_observed import WAITS, Names, primitives_observed
from racewindow.kernel._unwind import Uncollected, async_generators_unwound, unwind
from racewindow.kernel.engine import Chooser, Engine, Event, Scope, Subject, function_name
from racewindow.kernel.footprint import WRITE
from racewindow.kernel.run import Limits, Run
from racewindow.kernel.task import DEFAULT, FREE, PREEMPTION, UNASKED, Point, Process, Task
from racewindow.kernel.world import World

T = TypeVar("T")

_TRIO_FOLDER = str(Path(trio.__file__).parent)


class VirtualClock(trio.abc.Clock):
    """Time that moves only when the kernel says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def start_clock(self) -> None:
        """Nothing to start."""

    def current_time(self) -> float:
        """Virtual seconds since the schedule began."""
        return self.now

    def deadline_to_sleep_time(self, deadline: float) -> float:
        """Never sleep for real: trio's own loop runs only between schedules."""
        return 0.0 if deadline < inf else inf


class TrioEngine(Engine):
    """Steps trio tasks. Made and used only inside :func:`run_on_trio`."""

    host = "trio"

    def __init__(self, nursery: trio.Nursery, clock: VirtualClock) -> None:
        self._nursery = nursery
        self._clock = clock
        self._runner = current_runner()
        self._observation = ExitStack()
        self._watched: set[type[Any]] = set()
        self._root_handle: Any = None  # trio's task of the subject, while it is free
        super().__init__()

    def reset(self, limits: Limits) -> None:
        super().reset(limits)
        self._clock.now = 0.0
        self._records: dict[Any, Task] = {}
        if self.observing:
            self.names = Names(self)

    # -- what its steps use --------------------------------------------------------------------------------------------

    def observe(self) -> None:
        if not self.observing:
            self.observing = True
            self.names = Names(self)
            self._observation.enter_context(primitives_observed(self))

    def look_away(self) -> None:
        super().look_away()
        self._watched.clear()
        self._observation.close()

    def use_primitive(self, primitive: Any, how: int) -> None:
        """The running step was seen to use one of trio's primitives; the nursery of the kernel's own tasks has no name."""
        if primitive is not self._nursery and not self.closed:
            self.use(self.names.of(primitive), how)

    def watch(self, kinds: tuple[type[Any], ...], trusted: tuple[type[Any], ...]) -> None:
        for kind in kinds if self.observing else ():
            if kind not in self._watched:
                self._watched.add(kind)
                self._observation.enter_context(attributes_watched(kind, trusted))

    def use_attribute(self, owner: Any, name: str, how: int) -> None:
        """The running step was seen to use an attribute of an object whose class is watched."""
        if not self.closed:
            self.use(f"{self.names.of_owner(owner)}.{name}", how)

    def close(self) -> None:
        """No further schedule will run."""
        if self._root_handle is not None:
            forget(self._root_handle, self._runner)
        self.look_away()

    # -- what a subject can use ----------------------------------------------------------------------------------------

    point = Point  # it needs no engine: awaiting it hands it to the loop below

    async def together(self, functions: tuple[Callable[[], Awaitable[Any]], ...]) -> None:
        async with trio.open_nursery() as nursery:
            for function in functions:
                nursery.start_soon(function)
                self.to_advance.append(self._adopt(self._runner.runq[-1], function_name(function)))

    def start(
        self,
        function: Callable[[], Awaitable[Any]],
        name: str,
        process: Process | None,
        operation: str | None,
        advance: bool,
    ) -> Task:
        task = self.new_task(name, process=process, operation=operation)
        if advance:
            self.to_advance.append(task)
        self._enlist(task, partial(self._guard, function))
        return task

    def event(self) -> Event:
        return trio.Event()

    def scope(self) -> Scope:
        return TrioScope()

    async def sleep(self, seconds: float) -> None:
        await trio.sleep(seconds)

    def now(self) -> float:
        return self._clock.now

    async def quiet(self, within_s: float) -> None:
        self.use("quiet", WRITE)  # only the first in the list is woken
        task = trio.lowlevel.current_task()
        entry = (partial(self._runner.reschedule, task), self._clock.now + within_s)
        self.quiet_waits.append(entry)

        def abort(_: Any) -> trio.lowlevel.Abort:
            self.quiet_waits.remove(entry)
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(abort)

    # -- tasks ---------------------------------------------------------------------------------------------------------

    def _enlist(self, task: Task, function: Callable[[], Awaitable[Any]]) -> None:
        self._keep_books(task, self._runner.spawn_impl(function, (), self._nursery, task.name))

    def _start_root(self, subject: Subject) -> None:
        """Start the task of the subject itself. One of trio's tasks serves schedule after schedule: making one is dear."""
        task, handle = self.new_task("main"), self._root_handle
        self._root_handle = None
        if handle is None:
            self._enlist(task, partial(self._root, subject))
            return
        handle.coro = self._root(subject)
        handle.context = copy_context()
        handle._next_send_fn = handle.coro.send
        self.enabled.append(task)
        self._keep_books(task, handle)

    def _root_ended(self, handle: Any) -> bool:
        """Keep the subject's task for the next schedule, unless it left something behind that trio has to look after."""
        left = handle._child_nurseries or handle._cancel_status is not self._nursery._cancel_status
        if left or handle in GLOBAL_PARKING_LOT_BREAKER:
            return False
        self._root_handle = handle
        return True

    def _keep_books(self, task: Task, handle: Any) -> None:
        task.handle = handle
        task.resume = partial(handle.context.run, handle.coro.send, None)
        self._records[handle] = task

    def _adopt(self, handle: Any, name: str = "") -> Task:
        """Open the books of a task that the subject spawned in a nursery; the running task is its parent."""
        name = name or _role_of(handle.name)
        parent = self.current
        task = self.new_task(f"{parent.name}/{name}" if parent and parent.parent else name)
        self._keep_books(task, handle)
        return task

    async def _guard(self, function: Callable[[], Awaitable[Any]]) -> None:
        try:
            await function()
        except BaseException as error:  # a task of ours reports to the schedule, not to trio's nursery
            self.task_failed(error)

    async def _root(self, subject: Subject) -> None:
        try:
            self.result = await subject(World(self))
        except BaseException as error:
            self.task_failed(error)
        self.stop()

    def _collect(self) -> None:
        """Move what the last step spawned or woke from trio's queue to ours.

        Trio wakes in the order of sets of objects, that is of memory addresses; the order of creation makes it repeatable.
        """
        runq, enabled = self._runner.runq, self.enabled
        if len(runq) > 1:
            woken = sorted(runq, key=_counter)
            runq.clear()
        else:
            woken = [runq.popleft()]
        for handle in woken:
            task = self._records.get(handle) or self._adopt(handle)
            if task.alive:
                task.woken = len(self.points) - 1
                if not enabled or enabled[-1].index < task.index:
                    enabled.append(task)  # just spawned, most of the time
                else:
                    insort(enabled, task, key=_index)

    # -- one schedule --------------------------------------------------------------------------------------------------

    def execute(self, subject: Subject, chooser: Chooser, limits: Limits) -> Run:
        self.reset(limits)
        context, host_task = GLOBAL_RUN_CONTEXT, GLOBAL_RUN_CONTEXT.task
        with Uncollected():
            self._start_root(subject)
            try:
                return self.finish(self._loop(chooser, context))
            finally:
                self.close_books()
                try:
                    self._dispose(context)
                finally:
                    context.task = host_task

    def _loop(self, chooser: Chooser, context: Any) -> str:
        runner, points = self._runner, self.points
        runq, deadlines, clock = runner.runq, runner.deadlines, self._clock
        max_steps, choose, every_step = self.limits.max_steps, chooser.choose, chooser.every_step
        while True:
            self.disturbed = False
            if runq:
                self._collect()
            if self.stopping:
                return "ended"
            if deadlines._heap and deadlines.next_deadline() <= clock.now:
                deadlines.expire(clock.now)  # set for a moment that is here already, for example move_on_after(0)
                continue
            enabled = self.enabled
            if not enabled:
                if self._idle():
                    continue
                return "deadlock"
            final: Outcome[Any] | None = None
            several = every_step or len(enabled) > 1
            ordinary = not (self.to_advance or self.serial or self.timers_left)
            current = self._index_of_last()
            if current >= 0:
                self.at_work = task = enabled[current]
                context.task = handle = task.handle
                resume = task.resume if handle._next_send_fn is None else None

            for _ in repeat(
                None, max_steps - len(points)
            ):  # steps, as long as all that happens is that tasks come to points
                if ordinary:
                    index = choose(enabled, current) if several else 0
                    if index == current:
                        points.append(task.point)
                    else:
                        point = enabled[index].point
                        if current < 0:
                            point.choice = FREE if index else DEFAULT
                        else:
                            point.choice = PREEMPTION
                            point.held = task.point.label
                            self.preemptions += 1
                        points.append(point)
                        current = index
                        self.at_work = self.last = task = enabled[index]
                        context.task = handle = task.handle
                        resume = task.resume if handle._next_send_fn is None else None
                else:
                    self.disturbed = True
                    current = self.decide(chooser, current, deadlines.next_deadline() if self.timers_left else inf)
                    if current < 0:
                        break
                    task = enabled[current]
                    context.task = handle = task.handle
                    resume = None

                try:
                    if resume is None or handle._cancel_status.effectively_cancelled:
                        message = self._send_next(handle)
                        resume = task.resume
                    else:
                        message = resume()
                except StopIteration:
                    message, final = None, _ENDED
                except BaseException as error:
                    message, final = None, Error(error)

                if type(message) is Point:
                    task.point = message
                    message.task = task
                    if task.operation:
                        message.label = f"{task.operation}/{message.label}"
                    if runq or self.disturbed or deadlines._heap:
                        break
                else:
                    self._settle(task, handle, message, final)
                    break
            else:
                return "max_steps"

    def _send_next(self, handle: Any) -> Any:
        """Resume a task with what trio has for it."""
        if handle._next_send_fn is None:
            if not handle._cancel_status.effectively_cancelled:
                return handle.context.run(handle.coro.send, None)
            cancel_at_point(handle, self._runner)
        send, value = handle._next_send_fn, handle._next_send
        handle._next_send_fn = handle._next_send = None
        return handle.context.run(send, value)

    def _index_of_last(self) -> int:
        return self.enabled.index(self.last) if self.last is not None and self.last in self.enabled else -1

    def _settle(self, task: Task, handle: Any, message: Any, final: Outcome[Any] | None) -> None:
        """A step ended in something else than a point: the end of the task, or one of trio's own traps."""
        runner = self._runner
        asked = task.point.choice != UNASKED
        if final is not None:
            if asked:
                self.last = None  # it ended: whoever comes next is nobody's preemption
            alive, task.alive = task.alive, False
            if alive:
                del self.enabled[self.enabled.index(task)]
            if task.index or not self._root_ended(handle):
                runner.task_exited(handle, final)
            return
        handle._schedule_points += 1
        label, observed = (task.waits_for, True) if task.waits_for else _await_label(handle.coro)
        task.point = point = Point(label)
        point.task = task
        point.observed = observed
        if not observed:
            self.use_anything()
        if task.operation:
            point.label = f"{task.operation}/{point.label}"
        if message is CancelShieldedCheckpoint:
            handle._next_send_fn, handle._next_send = handle.coro.send, _GO_ON
            return
        if task.alive:
            del self.enabled[self.enabled.index(task)]
        if type(message) is WaitTaskRescheduled:
            if "IOManager" in getattr(message.abort_func, "__qualname__", ""):
                message.abort_func(_never_raised)  # let go of the file descriptor
                raise Unsupported(
                    f"task {task.name} waits for real I/O ({point.label}), which the kernel cannot control; give the "
                    "subject a simulated transport instead of a socket or a pipe"
                )
            handle._cancel_points += 1
            handle._abort_func = message.abort_func
            handle._attempt_delivery_of_any_pending_cancel()
        elif type(message) is PermanentlyDetachCoroutineObject:
            task.alive = False
            runner.task_exited(handle, message.final_outcome)
        else:
            raise Unsupported(
                f"task {task.name} awaited something that trio does not know ({message!r}); it was probably written for "
                "asyncio: run it with host='asyncio'"
            )
        if asked and handle._next_send_fn is None:
            self.last = None  # it blocked: whoever comes next, and be it itself, is nobody's preemption

    def _idle(self) -> bool:
        """Nothing can run: wake who waits for that, or let time pass. False: deadlock."""
        runner = self._runner
        self.rests.append(len(self.points))
        due = runner.deadlines.next_deadline()
        waiting = runner.waiting_for_idle  # by cushion, then by memory address: all of one cushion have to wake at once
        if waiting and (cushion := waiting.keys()[0][0]) < due - self._clock.now:
            while waiting and waiting.keys()[0][0] == cushion:
                runner.reschedule(waiting.popitem(0)[1])
            return True
        return self.idle(due)

    def waits(self) -> Hashable:
        timers = [
            (self._from_now(deadline), sorted(self._name_of(task) for task in tasks))
            for deadline, tasks in sorted(armed_timers(self._runner), key=lambda timer: timer[0])
        ]
        tasks = [
            (task.name, task.point.label, task.operation, task.point.observed) for task in self.tasks if task.alive
        ]
        return repr((tasks, timers, self.timers_left, sorted(self._names.items())))

    def _from_now(self, deadline: float) -> float:
        return round(deadline - self._clock.now, 6)  # finer than that, the same wait is not always the same number

    def memory(self) -> Memory | None:
        around = copy_context()
        roots: list[Any] = []
        for task in self.tasks:
            if task.alive:
                mine = {
                    name.name: value for name, value in task.handle.context.items() if value is not around.get(name)
                }
                roots += [task.handle.coro, mine]
        return memory_of(roots, self._label_of)

    def _name_of(self, handle: Any) -> str:
        record = self._records.get(handle)
        return record.name if record is not None else handle.name

    def _label_of(self, one: Any) -> Hashable | None:
        """What a memory calls things of the kernel's and of trio's, whose insides are no business of the program's."""
        if isinstance(one, trio.lowlevel.Task):
            return "task", self._name_of(one)
        if isinstance(one, Task | Process):
            return type(one).__name__, one.name
        if isinstance(one, Point):
            return "point", one.label
        if isinstance(one, trio.CancelScope):
            relative, deadline, *flags = scope_state(one)
            return "scope", relative, self._from_now(deadline), *flags
        if one is CLOCK:
            return "now", self._clock.now
        if isinstance(one, World):
            return "world", one._cells
        return type(one).__name__ if isinstance(one, Engine | Runner) else None

    def kill(self, process: Process) -> list[Task]:
        killed = super().kill(process)
        disarm([task.handle for task in killed], [task.handle for task in self.tasks if task.alive])
        return killed

    def advance_clock(self, due: float) -> None:
        self.time_passes(max(0.0, due - self._clock.now))
        self._clock.now = max(self._clock.now, due)
        self._runner.deadlines.expire(self._clock.now)

    def _dispose(self, context: Any) -> None:
        """End what is left. The books are closed, so a ``finally`` block that runs now can change no verdict."""
        runner = self._runner
        interrupt: KeyboardInterrupt | None = None
        handles = [task.handle for task in reversed(self.tasks)]
        while handles:
            for handle in handles:
                if handle in runner.tasks and handle is not self._root_handle:
                    context.task = handle
                    try:
                        handle.context.run(unwind, handle.coro)
                    except (
                        KeyboardInterrupt
                    ) as error:  # but first the rest: what is left behind would keep trio.run from ending
                        interrupt = error
                    forget(handle, runner)
            handles = [handle for handle in runner.runq if handle in runner.tasks]  # started by the finally blocks
            runner.runq.clear()
        for task in self.tasks:
            task.handle = task.resume = None  # a record that is kept must not keep the coroutines
        self._records.clear()
        if runner.runq or self._nursery._cancel_status._children or runner.deadlines._heap:
            clear_leftovers(runner, self._nursery)
        if interrupt is not None:
            raise interrupt


class TrioScope(Scope):
    """A trio cancel scope around one stretch of a task."""

    def __init__(self) -> None:
        self._scope = trio.CancelScope()

    async def run(self, function: Callable[[], Awaitable[None]]) -> bool:
        finished = False
        with self._scope:
            await function()
            finished = True
        return finished  # noqa: RET504 - a cancelled scope ends its block early, and swallows why

    def cancel(self) -> None:
        self._scope.cancel()


def run_on_trio(driver: Callable[[TrioEngine], T]) -> T:
    """Call ``driver`` with an engine, inside one ``trio.run`` of its own."""
    clock = VirtualClock()

    async def main() -> Outcome[T]:
        async with trio.open_nursery() as nursery:
            engine = TrioEngine(nursery, clock)
            with _threads_inline(), async_generators_unwound(), closing(engine):
                return capture(driver, engine)  # an error of ours must not come out wrapped in a nursery's group

    return trio.run(main, clock=clock).unwrap()


# -- what trio is told -------------------------------------------------------------------------------------------------


class _GoOn:
    """What a task is sent that goes on from a checkpoint. Trio sends a ``Value(None)``, which can be used only once."""

    def unwrap(self) -> None:
        """Nothing to give, nothing to raise."""


_GO_ON = _GoOn()
_ENDED = Value(None)  # a task's result, at which trio does not look

# -- labels of trio's own waits ----------------------------------------------------------------------------------------

_Wait = tuple[str, bool]  # its label, and whether what a step that starts there does to trio's primitives is seen
_waits: dict[
    int, tuple[_Wait | None, CodeType]
] = {}  # by the address of the code, which is held on to: hashing it takes long
_NOT_A_LABEL = {"AsyncContextManagerMixin.__aenter__", "checkpoint", "cancel_shielded_checkpoint"}
_CHECKPOINT: _Wait = ("checkpoint", True)


def _await_label(awaitable: Any) -> _Wait:
    """The outermost call into trio that a suspended coroutine stands in, for example ``Lock.acquire``."""
    while awaitable is not None:
        try:
            code, awaitable = awaitable.cr_code, awaitable.cr_await
        except AttributeError:
            code, awaitable = getattr(awaitable, "gi_code", None), getattr(awaitable, "gi_yieldfrom", None)
            if code is None:
                continue
        known = _waits.get(id(code))
        if known is None:
            known = _waits[id(code)] = _wait_in(code), code
        if known[0] is not None:
            return known[0]
    return _CHECKPOINT


def _wait_in(code: CodeType) -> _Wait | None:
    if not code.co_filename.startswith(_TRIO_FOLDER) or code.co_qualname in _NOT_A_LABEL:
        return None
    if code.co_qualname == "NurseryManager.__aexit__":
        return "nursery.exit", True
    label = code.co_qualname.replace("Impl.", ".").replace(".<locals>", "").strip("_")
    return label, label.partition(".")[0] in WAITS


@cache
def _role_of(name: str) -> str:
    """A short role for a task that trio calls by the full name of its function."""
    return function_name(name.split()[0])


def _never_raised() -> NoReturn:
    raise AssertionError("an abort function ran what it was given to raise later")


_counter = attrgetter("_counter")
_index = attrgetter("index")


# -- threads -----------------------------------------------------------------------------------------------------------

_controlled = threading.local()
_patch_lock = threading.Lock()
_patches = 0
_to_thread: Any = trio.to_thread
_real_run_sync = _to_thread.run_sync
_real_start_thread_soon = trio_threads.start_thread_soon


async def _run_sync(function: Callable[..., T], *args: Any, **options: Any) -> T:
    """``trio.to_thread.run_sync`` under the kernel: the work is done inline at one point, its result arrives at another."""
    if not getattr(_controlled, "active", False):
        return await _real_run_sync(function, *args, **options)  # type: ignore[no-any-return]
    label = f"thread:{function_name(function)}"
    await Point(label)
    outcome: Outcome[T]
    try:
        outcome = Value(copy_context().run(function, *args))
    except BaseException as error:
        outcome = Error(error)
    # Trio waits for a thread that is at work, and hands over its result, even to a cancelled task that did not say otherwise.
    with trio.CancelScope(shield=not options.get("abandon_on_cancel", options.get("cancellable", False))):
        await Point(f"{label}/return")
    return outcome.unwrap()


def _start_thread_soon(*args: Any, **options: Any) -> None:
    """Where a worker thread would start: somebody kept trio's own ``run_sync`` from before it was replaced."""
    if not getattr(_controlled, "active", False):
        _real_start_thread_soon(*args, **options)
        return
    raise Unsupported(
        "the subject starts a real worker thread, which the kernel cannot control, through a reference to run_sync that it took "
        "beforehand; write 'trio.to_thread.run_sync(...)' in full where it is called, not 'from trio.to_thread import run_sync'"
    )


@contextmanager
def _threads_inline() -> Iterator[None]:
    """While a kernel runs in this thread, trio's worker threads are labelled points instead; other threads notice nothing."""
    global _patches
    with _patch_lock:
        _patches += 1
        _to_thread.run_sync = trio_path.run_sync = _run_sync
        trio_threads.start_thread_soon = _start_thread_soon
    _controlled.active = True
    try:
        yield
    finally:
        _controlled.active = False
        with _patch_lock:
            _patches -= 1
            if not _patches:
                _to_thread.run_sync = trio_path.run_sync = _real_run_sync
                trio_threads.start_thread_soon = _real_start_thread_soon
