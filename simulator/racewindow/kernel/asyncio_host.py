"""The asyncio host: real asyncio code on an event loop of ours.

asyncio promises that ``call_soon`` callbacks run first in, first out, so nothing is reordered that a real loop would not reorder. What
a real run leaves open, and the strategy decides here, is when a thread's work takes effect, when its result (or the answer at any
other point) reaches the loop, and when a client of the world starts. A step is one such completion and all that the loop then runs
until it is idle. Where that resumes further tasks, the trace says so in steps of their own, which nobody was asked about.
"""

from __future__ import annotations

import asyncio
import contextvars
import sys
from collections.abc import Awaitable, Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import repeat
from math import inf
from operator import attrgetter
from typing import Any, TypeVar

from outcome import Error, Value

from racewindow.errors import InvariantViolation, RacewindowError
from racewindow.kernel._asyncio_labels import await_label, is_plumbing
from racewindow.kernel._asyncio_loop import Context, KernelLoop
from racewindow.kernel._asyncio_task import KernelTask, Park
from racewindow.kernel._unwind import Uncollected, unwind
from racewindow.kernel.calls import Blocked, Call, innermost
from racewindow.kernel.engine import Chooser, Engine, Event, Scope, Subject, function_name
from racewindow.kernel.run import Limits, Run
from racewindow.kernel.task import DEFAULT, FREE, PREEMPTION, UNASKED, Point, Process, Task
from racewindow.kernel.violation import Violation
from racewindow.kernel.world import World

T = TypeVar("T")

Completion = Value[Any] | Error

_BURST_MAX = 1_000  # callbacks after which a loop that is never idle is taken to spin
_running: contextvars.ContextVar[Task | None] = contextvars.ContextVar("racewindow_task", default=None)


class _Pending(Park):
    """Something that can happen next: an entry of ``enabled``."""

    start: Sequence[asyncio.Handle] = ()  # the first step of a task that was held back
    call: Callable[[], Any] | None = None  # a thread's work that did not take effect yet
    split = False
    outcome: Completion = Value(None)
    left = False  # who was cancelled there has gone on
    seen = -1  # blocked since this step
    give_up = inf

    def __init__(self, loop: KernelLoop, task: Task, future: asyncio.Future[Any] | None = None) -> None:
        self._loop = loop
        self.task = task
        self.future = future

    def was_cancelled(self) -> bool:
        """Whether nobody waits for it any more."""
        return self.cancelled or (self.future is not None and self.future.cancelled())


class _AsyncPoint(Point):
    """A point that a task of asyncio's can await. Each engine has a class of its own, so that a point need not carry its engine."""

    __slots__ = ()
    engine: AsyncioEngine

    def __await__(self) -> Generator[Any, Any, None]:
        if self.task is not None:
            self.check_fresh()
        engine = self.engine
        if engine.stepping is not None or type(asyncio.current_task(engine.loop)) is KernelTask:
            yield self
        else:
            yield from engine.wait_at(self)


class AsyncioEngine(Engine):
    """Runs asyncio code, one schedule on one :class:`KernelLoop` after the other. Made and used only inside :func:`run_on_asyncio`."""

    host = "asyncio"

    def __init__(self) -> None:
        self.point = type("PointOfEngine", (_AsyncPoint,), {"__slots__": (), "engine": self})
        super().__init__()

    def reset(self, limits: Limits) -> None:
        self.loop = KernelLoop(self)  # type: ignore[abstract]  # what is missing is set from a list
        self._made: list[tuple[asyncio.Task[Any], Task, Context]] = []
        self._foreign: dict[asyncio.Task[Any], Task] = {}  # those that were made without the loop's help
        self._living: list[Task] = []
        self._pending: dict[Task, _Pending] = {}
        self._name_of_next = ""
        self.stepping: Task | None = None  # what was chosen, while it is stepped past asyncio
        self._cancelled_itself = False  # whether it did, in that step
        self._crashed = False
        super().reset(limits)

    @property
    def current(self) -> Task | None:
        """On whose behalf the running code runs: a task, or whoever asked for the callback."""
        task = asyncio.current_task(self.loop)
        if task is not None:
            return self._record_of(task) or self.at_work
        return _running.get() or self.at_work

    # -- what a subject can use ----------------------------------------------------------------------------------------

    async def together(self, functions: tuple[Callable[[], Awaitable[Any]], ...]) -> None:
        async with asyncio.TaskGroup() as group:
            for function in functions:
                self._name_of_next = function_name(function)
                with self._held_back() as first_steps:
                    handle = group.create_task(_call(function))
                record = self._record_of(handle)
                assert record is not None, "the group made it by way of the loop"
                self._start_later(record, first_steps, advance=True)

    def start(
        self,
        function: Callable[[], Awaitable[Any]],
        name: str,
        process: Process | None,
        operation: str | None,
        advance: bool,
    ) -> Task:
        return self._launch(self.new_task(name, process=process, operation=operation), self._guard(function), advance)

    def event(self) -> Event:
        return asyncio.Event()

    def scope(self) -> Scope:
        return AsyncioScope()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def now(self) -> float:
        return self.loop.now

    async def quiet(self, within_s: float) -> None:
        future = self.loop.create_future()
        entry = (partial(_settle, future, Value(None)), self.loop.now + within_s)
        self.quiet_waits.append(entry)
        task = self.current
        assert task is not None
        task.waits_for = "quiet"
        try:
            await future
        finally:
            task.waits_for = ""
            if entry in self.quiet_waits:
                self.quiet_waits.remove(entry)

    # -- tasks ---------------------------------------------------------------------------------------------------------

    def adopt(self, task: asyncio.Task[Any], context: Context, shared: bool) -> None:
        """Open the books of a task that the subject made; the running task is its parent."""
        coroutine: Any = task.get_coro()
        parent = self.current
        if parent is not None and is_plumbing(coroutine):
            record = parent  # ensure_future(to_thread(f)) is a call of whoever asked for it, not a unit of concurrency
        else:
            name, self._name_of_next = self._name_of_next or function_name(coroutine), ""
            record = self.new_task(f"{parent.name}/{name}" if parent and parent.parent else name)
            record.handle = task
            self._living.append(record)
        self._enter(task, record, context)
        if not shared:
            context.run(_running.set, record)

    def _launch(self, record: Task, coroutine: Any, advance: bool) -> Task:
        """Make the task of a record of ours; when it starts is up to the strategy, or is now."""
        context = contextvars.copy_context()
        context.run(_running.set, record)
        with self._held_back() as first_steps:
            task = self.loop.make_task(coroutine, context)
        record.handle = task
        self._living.append(record)
        self._enter(task, record, context)
        self._start_later(record, first_steps, advance)
        return record

    def _enter(self, task: asyncio.Task[Any], record: Task, context: Context) -> None:
        self._made.append((task, record, context))
        if type(task) is KernelTask:
            task.record = record
        else:
            self._foreign[task] = record

    def _record_of(self, task: asyncio.Task[Any]) -> Task | None:
        return task.record if type(task) is KernelTask else self._foreign.get(task)

    @contextmanager
    def _held_back(self) -> Iterator[list[asyncio.Handle]]:
        first_steps: list[asyncio.Handle] = []
        self.loop.held = first_steps
        try:
            yield first_steps
        finally:
            self.loop.held = None

    def _start_later(self, record: Task, first_steps: list[asyncio.Handle], advance: bool) -> None:
        pending = _Pending(self.loop, record)
        pending.start = first_steps
        self._pending[record] = pending
        self.disturbed = True
        if advance:
            self.to_advance.append(record)

    async def _guard(self, function: Callable[[], Awaitable[Any]]) -> None:
        try:
            await function()
        except asyncio.CancelledError:
            return  # somebody asked for it
        except BaseException as error:
            self.task_failed(error)

    async def _root(self, subject: Subject) -> None:
        try:
            self.result = await subject(World(self))
        except asyncio.CancelledError as error:
            self.violations.append(
                Violation(kind="CancelledError", detail=str(error) or "the subject was cancelled", step=self.step)
            )
        except BaseException as error:
            self.task_failed(error)
        self.stop()

    def complain(self, context: dict[str, Any]) -> None:
        """What asyncio would log: a callback that failed, or an exception that nobody retrieved."""
        error = context.get("exception")
        if self.closed:
            return
        if isinstance(error, RacewindowError) and not isinstance(error, InvariantViolation):
            self.fatal = error
            self.stop()
        self.note(f"{context.get('message', 'error')}: {error!r}")

    # -- completions ---------------------------------------------------------------------------------------------------

    def park(self, task: KernelTask, point: Point) -> None:
        """Park the running task at a point until the strategy chooses it."""
        pending = task.park = self._park(point, None)
        record = pending.task
        if record.handle is task:  # and no helper of asyncio's that works for it
            record.resume = task.step_past_asyncio
        self.loop.parking = task

    def cancelled_itself(self, task: KernelTask) -> bool:
        """A task that is parked was cancelled: if it is the one that takes a step, that has to come to its end first."""
        if self.stepping is None or self.stepping.handle is not task:
            return False
        self._cancelled_itself = self.disturbed = True
        return True

    def wait_at(self, point: Point) -> Generator[Any, Any, None]:
        """Let a task wait at a point that the loop did not make itself."""
        future = self.loop.create_future()
        if not self.closed:
            self._park(point, future)
        yield from future

    def submit(self, function: Callable[..., Any], args: tuple[Any, ...]) -> asyncio.Future[Any]:
        """A thread's work: its effect is one choice, and its result reaching the loop another."""
        future = self.loop.create_future()
        if self.closed:
            return future
        work = innermost(function, args)
        point = (
            Point(work.label, work.reads, work.writes)
            if isinstance(work, Call)
            else Point(f"thread:{function_name(work)}")
        )
        pending = self._park(point, future)
        pending.call = partial(function, *args)
        pending.split = work.split if isinstance(work, Call) else True
        return future

    def _park(self, point: Point, future: asyncio.Future[Any] | None) -> _Pending:
        owner = self.current
        assert owner is not None, "a point was awaited outside of every task"
        held = self._pending.get(owner)
        if held is not None and held.was_cancelled():
            self._move_away(held)
            held = None
        leaving = owner is self.stepping and held is owner.handle.park  # the point from which it takes the running step
        if held is not None and not leaving:  # several at once: all but the first get a role of their own
            owner = self.new_task(f"{owner.name}/{point.label.removeprefix('thread:')}")
        return self._expect(owner, point, future)

    def _expect(self, record: Task, point: Point, future: asyncio.Future[Any] | None) -> _Pending:
        point.task = record
        if record.operation:
            point.label = f"{record.operation}/{point.label}"
        record.point = point
        record.resume = None
        pending = self._pending[record] = _Pending(self.loop, record, future)
        self.disturbed = True
        return pending

    def _move_away(self, pending: _Pending) -> None:
        """Its task was cancelled there. A thread at work does not notice, and goes on under a role of its own."""
        owner, point = pending.task, pending.task.point
        del self._pending[owner]
        if owner.handle is None:
            owner.alive = False
        if pending.call is None:
            return
        label = point.label.rpartition("/")[2].removeprefix("thread:")
        record = self.new_task(f"{owner.name}/{label}", process=owner.process, operation="")
        orphan = self._expect(record, Point(point.label, point.reads, point.writes), pending.future)
        orphan.call, orphan.seen, orphan.give_up = pending.call, pending.seen, pending.give_up

    def _refresh(self) -> None:
        """Bring ``enabled`` and the tasks' lives up to date after a step."""
        self._bury()
        self.enabled = enabled = []
        self.disturbed = False
        step = len(self.points)
        moved = []
        for task, pending in self._pending.items():
            if pending.seen >= 0:
                self.disturbed = True  # who blocked may try again
            if pending.seen != step and task.alive:
                enabled.append(task)
            waiting = pending.future is not None or pending.cancelled
            if waiting and pending.was_cancelled() and (pending.call is None or task.handle):
                moved.append(pending)
        if moved:
            for pending in moved:
                self._move_away(pending)
            self._refresh()
            return
        enabled.sort(key=_index)
        if self.last not in enabled:
            self.last = None  # it blocked or ended: whoever comes next, and be it itself, is nobody's preemption

    def _bury(self) -> None:
        ended = [record for record in self._living if record.handle.done()]
        for record in ended:
            record.alive = False
            self._living.remove(record)

    def _happen(self, pending: _Pending) -> None:
        """What was chosen happens, by way of asyncio."""
        if pending.step is not None:
            self._go_on(pending)
        else:
            self._complete(pending)

    def _complete(self, pending: _Pending) -> None:
        """The chosen completion happens."""
        self.disturbed = True
        record, future = pending.task, pending.future
        if pending.call is not None and not self._take_effect(pending):
            return
        split, pending.split = pending.split, False
        if split and future is not None and not future.done():
            record.point = _point(f"{record.point.label}/return", record)
            return
        del self._pending[record]
        if record.handle is None:
            record.alive = False
        if pending.start:
            record.handle.begun = True
            self.loop.ready.extend(pending.start)
        if future is not None:
            _settle(future, pending.outcome)

    def _go_on(self, pending: _Pending) -> None:
        """Resume a task that is parked at a point by way of asyncio, behind what is ready already."""
        self.disturbed = True
        record = pending.task
        del self._pending[record]
        if record.handle is None:
            record.alive = False
        pending.release()

    def _came_elsewhere(self, record: Task, point: Point) -> bool:
        """A step past asyncio came to a point, but more happened in it. True: its task does not stand where it stood before."""
        cancelled, self._cancelled_itself = self._cancelled_itself, False
        self.stepping = None
        task = record.handle
        before = task.park
        moved = record.alive and self._pending.get(record) is not before
        if moved:  # what it started meanwhile has taken its place
            self.park(task, point)
            self.loop.parking = None
            task.park.step, task.park.context = before.step, before.context
        if cancelled and record.alive:
            task.park.cancel()
        return moved

    def _leave_to_asyncio(self, record: Task, message: Any, ended: bool, error: BaseException | None) -> None:
        """A step past asyncio came to something else than a point."""
        self.disturbed = True
        self.stepping, self._cancelled_itself = None, False
        task = record.handle
        park = task.park
        if self._pending.get(record) is park:
            del self._pending[record]
        task.left = message, ended, error
        step, park.step = park.step, None
        park.context.run(step)

    def _take_effect(self, pending: _Pending) -> bool:
        """Do the thread's work; False when it would block."""
        call = pending.call
        assert call is not None
        asyncio._set_running_loop(None)  # as in a thread
        try:
            pending.outcome = Value(call())
        except (KeyboardInterrupt, SystemExit):
            raise
        except Blocked as blocked:
            now = self.loop.now
            if pending.give_up == inf and blocked.patience_s < inf:
                pending.give_up = now + blocked.patience_s
                self.loop.call_at(pending.give_up, setattr, pending, "seen", -1)
            if now < pending.give_up:
                pending.task.point = _point(pending.task.point.label, pending.task)
                pending.seen = len(self.points)
                self.note("blocked")
                return False
            pending.outcome = Error(blocked.error)
        except BaseException as error:
            pending.outcome = Error(error)
        finally:
            asyncio._set_running_loop(self.loop)
        pending.call = None
        return True

    def kill(self, process: Process) -> list[Task]:
        self._bury()
        killed = super().kill(process)
        self._crashed = True
        for task in killed:
            self._pending.pop(task, None)
        return killed

    def _is_dead(self, handle: Any) -> bool:
        """Whether a callback belongs to a process that crashed."""
        if not self._crashed:
            return False
        owner = getattr(handle._callback, "__self__", None)
        record = self._record_of(owner) if isinstance(owner, asyncio.Task) else None
        record = record or handle._context.get(_running)
        return record is not None and record.process.crashed

    # -- one schedule --------------------------------------------------------------------------------------------------

    def execute(self, subject: Subject, chooser: Chooser, limits: Limits) -> Run:
        self.reset(limits)
        asyncio._set_running_loop(self.loop)
        with Uncollected():
            try:
                self._launch(self.new_task("main"), self._root(subject), advance=False)
                reason = self._run(chooser)
                self._look_for_untold()
                return self.finish(reason)
            finally:
                self.close_books()
                try:
                    self._dispose()
                finally:
                    asyncio._set_running_loop(None)

    def _run(self, chooser: Chooser) -> str:
        loop, points, ready, max_steps = self.loop, self.points, self.loop.ready, self.limits.max_steps
        choose, every_step, kind = chooser.choose, chooser.every_step, self.point
        raised: BaseException | None
        spins = 0  # times that the loop was at work and nothing happened
        while True:
            self.stepping = None
            if ready:
                spins += self._drain()
                self.disturbed = True
            if self.stopping:
                return "ended"
            if loop.timers and self._due() <= loop.now and spins < max_steps:
                if len(points) >= max_steps:
                    return "max_steps"
                spins += 1
                loop.expire()
                continue
            if self.disturbed:
                self._refresh()
            if len(points) >= max_steps:
                return "max_steps"
            enabled = self.enabled
            if not enabled:
                self.disturbed = True
                if self.idle(self._due()):
                    spins = 0
                    continue
                if not ready:
                    return self._deadlocked()
            if spins >= max_steps:
                return "max_steps"
            if not enabled:
                continue
            spins = 0
            several = every_step or len(enabled) > 1
            ordinary = not (self.to_advance or self.serial or self.timers_left)
            current = -1
            if self.last is not None:
                current = enabled.index(self.last)
                self.at_work = record = self.last
                resume = record.resume

            entered = None  # the task that asyncio takes to be running
            try:
                for _ in repeat(
                    None, max_steps - len(points)
                ):  # steps, as long as all that happens is that tasks come to points
                    if ordinary:
                        index = choose(enabled, current) if several else 0
                        if index == current:
                            points.append(record.point)
                        else:
                            point = enabled[index].point
                            if current < 0:
                                point.choice = FREE if index else DEFAULT
                            else:
                                point.choice = PREEMPTION
                                point.held = record.point.label
                                self.preemptions += 1
                            points.append(point)
                            current = index
                            self.at_work = self.last = record = enabled[index]
                            resume = record.resume
                            if entered is not None:
                                asyncio._leave_task(loop, entered)
                                entered = None
                    else:
                        self.disturbed = True
                        current = self.decide(chooser, current, self._due() if self.timers_left else inf)
                        if current < 0:
                            break
                        record = enabled[current]
                        resume = record.resume
                    if resume is None or ready:
                        self._happen(self._pending[record])
                        break

                    if entered is None:
                        entered, self.stepping = record.handle, record
                        asyncio._enter_task(loop, entered)
                    try:
                        message = resume()
                    except StopIteration as end:
                        message, ended, raised = end.value, True, None
                    except BaseException as error:
                        message, ended, raised = None, True, error
                    else:
                        if type(message) is kind:
                            if self.disturbed and self._came_elsewhere(record, message):
                                break
                            record.point = message
                            message.task = record
                            if record.operation:
                                message.label = f"{record.operation}/{message.label}"
                            if ready or self.disturbed or loop.timers:
                                break
                            continue
                        ended, raised = False, None
                    asyncio._leave_task(loop, entered)
                    entered = None
                    self._leave_to_asyncio(record, message, ended, raised)
                    del raised  # it leads back to this frame
                    break
                else:
                    return "max_steps"
            finally:
                if entered is not None:
                    asyncio._leave_task(loop, entered)

    def _drain(self) -> bool:
        """Run what is ready, first in, first out. True when that does not come to an end by itself.

        A task that polls (``while not done: await asyncio.sleep(0)``) keeps the loop from ever being idle, so after many callbacks the
        completions get their chance, as they do in every iteration of a real loop.
        """
        ready = self.loop.ready
        for _ in range(_BURST_MAX):
            if not ready or self.stopping:
                return False
            handle: Any = ready.popleft()
            if handle._cancelled or (self._crashed and self._is_dead(handle)):
                continue
            task = getattr(handle._callback, "__self__", None)
            if isinstance(task, asyncio.Task):
                record = self._record_of(task)
                if record is None:  # made without the loop's help
                    self.at_work = handle._context.get(_running) or self.at_work
                    self.adopt(task, handle._context, True)
                    record = self._foreign[task]
                self._resumed(record, task)
            handle._run()
        return bool(ready)

    def _resumed(self, record: Task, task: asyncio.Task[Any]) -> None:
        """When a step brings along another task, nobody chose it, but it is a step of that task all the same."""
        pending = self._pending.get(record)
        cancelled = False
        if pending is not None and not pending.left and pending.was_cancelled():
            cancelled = pending.left = True
        if record is self.at_work:
            return
        if type(task) is KernelTask and not task.begun and record.handle is task:
            task.begun = True
            point = record.point
        else:
            point = _point(record.point.label if cancelled else self._stands_at(record, task), record)
        if cancelled:
            point.look().notes.append("cancelled")
        point.choice = UNASKED
        self.points.append(point)
        self.at_work = record

    def _stands_at(self, record: Task, task: asyncio.Task[Any]) -> str:
        label = record.waits_for or await_label(task.get_coro(), self._role_of)
        return f"{record.operation}/{label}" if record.operation else label

    def _role_of(self, task: asyncio.Task[Any]) -> str:
        record = self._record_of(task)
        return record.name if record is not None else "a task of another loop"

    def _due(self) -> float:
        timer = self.loop.next_timer(self._is_dead)
        return inf if timer is None else timer.when()

    def advance_clock(self, due: float) -> None:
        self.time_passes(max(0.0, due - self.loop.now))
        self.at_work = self.clock_task
        self.loop.now = max(self.loop.now, due)
        self.loop.expire()

    def _deadlocked(self) -> str:
        for record in self._living:
            if record.alive and record not in self._pending:
                record.point = _point(self._stands_at(record, record.handle), record)
        return "deadlock"

    def _look_for_untold(self) -> None:
        """Tasks that failed, and nobody asked. asyncio logs that; our own errors among them are the caller's business."""
        for task, record, _ in self._made:
            if task.done() and not task.cancelled() and task._log_traceback:
                self.complain({"message": f"{record.name} failed, and nobody asked", "exception": task.exception()})

    def _dispose(self) -> None:
        """End what is left. The books are closed, so a ``finally`` block that runs now can change no verdict."""
        interrupt: KeyboardInterrupt | None = None
        made, seen = self._made, 0
        while seen < len(made):
            begun, seen = made[seen:], len(made)
            for task, _, context in reversed(begun):
                if not task.done():
                    task._log_destroy_pending = False
                    try:
                        context.run(unwind, task.get_coro())
                    except KeyboardInterrupt as error:  # but first the rest
                        interrupt = error
                    if type(task) is KernelTask:
                        task.close()
        for record in self.tasks:
            record.handle = record.resume = None  # a record that is kept must not keep the coroutines
        self._made = []
        self._foreign = {}
        self._pending = {}
        self._living = []
        self.loop.ready.clear()
        if interrupt is not None:
            raise interrupt


class AsyncioScope(Scope):
    """Cancels the asyncio task that runs in it, and takes the cancellation back at its edge, as ``asyncio.timeout`` does."""

    def __init__(self) -> None:
        self._task: asyncio.Task[Any] | None = None
        self._asked = False

    async def run(self, function: Callable[[], Awaitable[None]]) -> bool:
        task = self._task = asyncio.current_task()
        assert task is not None
        before = task.cancelling()
        if self._asked:
            task.cancel()
        try:
            await function()
            finished = True
            if self._asked:
                await asyncio.sleep(0)  # a cancellation that came too late strikes here, and not whoever called us
        except asyncio.CancelledError:
            if not self._asked or task.uncancel() > before:
                raise
            finished = False
        else:
            if self._asked:
                task.uncancel()
        finally:
            self._task = None
        return finished

    def cancel(self) -> None:
        if not self._asked:
            self._asked = True
            if self._task is not None:
                self._task.cancel()


def run_on_asyncio(driver: Callable[[AsyncioEngine], T]) -> T:
    """Call ``driver`` with an engine in this thread, which must not run another event loop."""
    engine = AsyncioEngine()
    before = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(firstiter=partial(_first_iteration, engine), finalizer=partial(_dropped, engine))
    try:
        return contextvars.Context().run(driver, engine)
    finally:
        sys.set_asyncgen_hooks(*before)


def _first_iteration(engine: AsyncioEngine, generator: Any) -> None:
    engine.loop.async_generators.add(id(generator))


def _dropped(engine: AsyncioEngine, generator: Any) -> None:
    """An async generator was dropped unfinished: asyncio closes it in a task. One of an earlier schedule is taken apart on the spot."""
    loop = engine.loop
    if engine.closed or id(generator) not in loop.async_generators:
        unwind(generator.aclose())
    else:
        loop.call_soon(loop.create_task, generator.aclose())


# -- small things ------------------------------------------------------------------------------------------------------


async def _call(function: Callable[[], Awaitable[Any]]) -> None:
    await function()


def _point(label: str, record: Task) -> Point:
    point = Point(label)
    point.task = record
    return point


def _settle(future: asyncio.Future[Any], outcome: Completion) -> None:
    if future.done():
        return  # cancelled meanwhile
    if isinstance(outcome, Error):
        future.set_exception(outcome.error)
    else:
        future.set_result(outcome.value)


_index = attrgetter("index")
