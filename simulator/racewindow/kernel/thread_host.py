"""The thread host: synchronous code in real threads, one at a time.

Each task is a real thread that runs until it comes to a point: an explicit one, an operation on one of ``threading``'s primitives or a
queue, a sleep, or a call into the file system. There it decides, in the strategy's name, who goes on, hands the baton to that thread, and
waits for its own; nothing is switched where a task goes on itself. Locks are the kernel's own (:mod:`._thread_primitives`): who waits
for one cannot run, and is no choice. What the standard library builds on locks remains the standard library's.

Points are where the operating system could switch, and then some it could not: the interpreter switches between bytecodes, which
``lines=`` of :class:`Threads` asks for. No point, no switch: a race that has none between its two halves is not found.
"""

from __future__ import annotations

import _thread
import ctypes
import heapq
import linecache
import sys
from bisect import insort
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from contextvars import Context
from functools import partial
from math import inf
from pathlib import Path
from threading import Thread
from types import CodeType, FrameType
from typing import Any, TypeVar

from racewindow.errors import Unsupported
from racewindow.kernel._thread_files import RESOURCE as FILES
from racewindow.kernel._thread_files import Directory
from racewindow.kernel._thread_lines import tracer
from racewindow.kernel._thread_options import Threads as Threads
from racewindow.kernel._thread_patches import patched
from racewindow.kernel._thread_primitives import (
    Ended,
    FileLock,
    Lock,
    forget_thread,
    introduce_thread,
    pools_quiet,
    restart_numbers,
    role_of,
    settle_threads,
)
from racewindow.kernel._thread_primitives import Event as ThreadEvent
from racewindow.kernel._thread_workers import THROWS_MAX, Abandoned, Worker, here
from racewindow.kernel.engine import Chooser, Engine, Event, Scope, Subject, function_name
from racewindow.kernel.footprint import ADD, READ, WRITE
from racewindow.kernel.footprint import JOIN as JOIN_ALL
from racewindow.kernel.run import Limits, Run
from racewindow.kernel.task import UNASKED, Point, Process, Task
from racewindow.kernel.world import World

T = TypeVar("T")

JOIN = "join"
"""Label of every wait for the end of another task."""


_DONE = Ended(None)


def finished(awaited: Coroutine[Any, Any, T]) -> T:
    """Run async code to its end in this thread: on this host nothing in it suspends.

    Raises:
        Unsupported: it awaits something of trio's or asyncio's.
    """
    try:
        got = awaited.send(None)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]
    awaited.close()
    raise Unsupported(
        f"async code under host='threads' awaited {got!r}, which needs an event loop; there is none: call synchronous code, or use "
        "host='trio' or host='asyncio'"
    )


class _Joining:
    """A task that waits for the end of others: how many of them are left."""

    __slots__ = ("left", "task")

    def __init__(self, task: Task) -> None:
        self.task: Task | None = task
        self.left = 0


class ThreadEngine(Engine):
    """Runs threads, one schedule after the other. Made and used only inside :func:`run_on_threads`."""

    host = "threads"

    def __init__(self, options: Threads) -> None:
        self._pool: list[Worker] = []
        self._over = _thread.allocate_lock()  # released when the driver is to go on
        self._over.acquire()
        self._interrupted = self._away = False  # away: somebody else than the driver has the baton
        self._broken: BaseException | None = None
        self._step_limit_s = options.step_limit_s
        self._trace = tracer(options.lines, self.line) if options.lines else None  # type: ignore[arg-type]
        self._directory = Directory()
        super().__init__()

    def reset(self, limits: Limits) -> None:
        self._now = 0.0
        self._timers: list[list[Any]] = []  # heap of [due, number, task or None]
        self._armed = 0
        self._counts: dict[str, int] = {}
        self._joiners: dict[Task, list[_Joining]] = {}
        self._rang: set[Task] = set()  # whose time was up
        self.file_locks: dict[tuple[int, int], FileLock] = {}
        self.file_locked: dict[int, tuple[FileLock, Process]] = {}  # by descriptor
        self._reason = ""
        self.threads: dict[Thread, Task] = {}
        self._directory.empty()
        restart_numbers()
        super().reset(limits)

    def observe(self) -> None:
        self.observing = True

    def watch(self, kinds: tuple[type[Any], ...], trusted: tuple[type[Any], ...]) -> None:
        raise Unsupported(
            "attributes cannot be watched on the thread host: leave world.watch(...) and watched = True out"
        )

    def name(self, kind: str) -> str:
        """A name for a primitive that the running task makes: the same in every schedule."""
        task = self.at_work
        key = f"{kind}:{task.name if task else ''}"
        self._counts[key] = count = self._counts.get(key, 0) + 1
        return f"{key}:{count}"

    # -- what a subject can use: the call itself is the wait, and what it gives back can be awaited as well --------------

    def point(
        self, label: str, reads: Iterable[str] | None = None, writes: Iterable[str] | None = None
    ) -> Awaitable[None]:
        self.stop_at(label, reads, writes)
        return _DONE

    def together(self, functions: tuple[Callable[[], Awaitable[Any]], ...]) -> Awaitable[None]:
        tasks = [self.start(function, function_name(function), None, None, True) for function in functions]
        self.join(*tasks)
        return _DONE

    def start(
        self,
        function: Callable[[], Any],
        name: str,
        process: Process | None,
        operation: str | None,
        advance: bool,
    ) -> Task:
        if self.closed:
            raise Abandoned
        task = self.new_task(name, process=process, operation=operation)
        task.resume = partial(_call, function)
        task.woken = len(self.points) - 1
        if task.alive:
            insort(self.enabled, task, key=_index)
            if advance:
                self.to_advance.append(task)
        return task

    def event(self) -> Event:
        return ThreadEvent(self)

    def wait(self, event: Event, label: str) -> Awaitable[object]:
        assert isinstance(event, ThreadEvent)
        return event.wait(label)

    def scope(self) -> Scope:
        return ThreadScope()

    def sleep(self, seconds: float) -> Awaitable[None]:
        self.sleep_for(seconds)
        return _DONE

    def sleep_for(self, seconds: float) -> None:
        """Let virtual time pass for the running task."""
        if seconds > 0:
            self.wait_here("sleep", (), seconds)
        else:
            self.stop_at("sleep", (), ())

    def now(self) -> float:
        return self._now

    @contextmanager
    def aside(self) -> Iterator[None]:
        self.use(FILES, READ)
        task, here.task = here.task, None
        try:
            yield
        finally:
            here.task = task

    def directory(self) -> Path:
        return self._directory.path()

    def quiet(self, within_s: float) -> Awaitable[None]:
        self.use("quiet", WRITE)  # only the first in the list is woken
        task = self.running
        self.quiet_waits.append((partial(self.wake, task), self._now + within_s))
        self.wait_here("quiet", ())
        return _DONE

    # -- giving up control ---------------------------------------------------------------------------------------------

    @property
    def running(self) -> Task:
        """The task of this thread."""
        task = here.task
        if task is None:
            raise Unsupported(
                "a thread that the kernel does not control used the world of a schedule; start threads inside the subject, with "
                "threading.Thread or world.start"
            )
        return task

    def stop_at(self, label: str, reads: Iterable[str] | None, writes: Iterable[str] | None) -> None:
        """Give up control at a point of the running task; it can be chosen again at once."""
        self._stand_at(self.running, label, reads, writes)
        self._switch(blocked=False)

    def line(self, label: str) -> None:
        """Give up control before a line, or within one. Nothing is known of what it touches."""
        if here.task is not None and here.inside is None and here.engine is self:
            self.stop_at(label, None, None)

    def wait_here(self, label: str, resources: tuple[str, ...], seconds: float = inf) -> bool:
        """Block the running task until :meth:`wake`, or for so many virtual seconds. False: the time was up."""
        task = self.running
        self._stand_at(task, label, (), resources)
        timer = self._arm(task, seconds)
        self._switch(blocked=True)
        return self._disarm(timer)

    def wait_for_lock(self, lock: Lock, label: str, resource: str, seconds: float) -> bool:
        """Stand before a lock: the running task can be chosen while nobody holds it. False: the time was up."""
        task = self.running
        self._stand_at(task, label, (), (resource,))
        if lock.held:
            self.use(lock.name, READ)  # that it cannot go on is seen in this step
        timer = self._arm(task, seconds)
        lock.waiters.append(task)
        try:
            self._switch(blocked=lock.held)
        finally:
            lock.waiters.remove(task)
            in_time = self._disarm(timer)
        return in_time or not lock.held

    def wake(self, task: Task) -> None:
        """It can run again."""
        if task.alive and task not in self.enabled:
            task.woken = len(self.points) - 1
            insort(self.enabled, task, key=_index)

    def put_off(self, task: Task) -> None:
        """It cannot run any more: what it stands before was taken by somebody else."""
        if task in self.enabled and task not in self._rang:
            self.enabled.remove(task)

    def join(self, *tasks: Task, seconds: float = inf) -> bool:
        """Wait for the end of tasks, in one step of its own, also when that end was long ago. False: the time was up."""
        waiting = _Joining(self.running)
        for task in tasks:
            if seconds < inf:
                self.use(_end_of(task), READ)  # who came first decides what it answers
            if task.alive or task.process.crashed:
                waiting.left += 1
                self._joiners.setdefault(task, []).append(waiting)
        if waiting.left:
            in_time = self.wait_here(JOIN, (), seconds)
        else:
            self.stop_at(JOIN, (), ())
            in_time = True
        for task in tasks:
            self.use(_end_of(task), JOIN_ALL if in_time else READ)
        waiting.task = None
        return in_time

    def _stand_at(self, task: Task, label: str, reads: Iterable[str] | None, writes: Iterable[str] | None) -> None:
        if self.closed:
            self._throw()
        point = Point(label, reads, writes)
        if task.operation:
            point.label = f"{task.operation}/{label}"
        point.task = task
        task.point = point

    def _switch(self, *, blocked: bool) -> None:
        """Let the strategy choose, hand the baton on, and wait for it."""
        task = self.running
        worker: Worker = task.handle
        if blocked:
            if task in self.enabled:
                self.enabled.remove(task)
            self._cannot_go_on(task)
        chosen = self._next(worker)
        if chosen is not task:
            self._hand_to(chosen)
            worker.baton.acquire()
            if worker.unwinding:
                self._throw()

    def _throw(self) -> None:
        """End the running task. One that catches even this, again and again, is left behind."""
        worker: Worker = self.running.handle
        worker.throws += 1
        if worker.throws > THROWS_MAX and not worker.lost:
            worker.lost = True
            self._over.release()
            while True:  # nobody ever releases it again
                worker.baton.acquire()
        raise Abandoned

    def _cannot_go_on(self, task: Task) -> None:
        """It blocked or ended: whoever comes next, and be it itself, is nobody's preemption."""
        if self.last is task and self.points and self.points[-1].choice != UNASKED:
            self.last = None

    # -- choosing ------------------------------------------------------------------------------------------------------

    def _next(self, worker: Worker) -> Task | None:
        """Who goes on; None: the schedule is over. Choosing is the kernel's work, so its thread is not controlled meanwhile."""
        task, here.task = here.task, None
        try:
            return self._choose()
        except BaseException as error:
            self._broken = error
            return None
        finally:
            here.task = task
            if worker.lost:
                raise Abandoned

    def _choose(self) -> Task | None:
        points, limits = self.points, self.limits
        while True:
            if self.stopping or self._interrupted:
                self._reason = "ended"
                return None
            due = self._due()
            enabled = self.enabled
            if not enabled:
                self.rests.append(len(points))
                if self.idle(due):
                    continue
                self._reason = "deadlock"
                return None
            if len(points) >= limits.max_steps:
                self._reason = "max_steps"
                return None
            current = enabled.index(self.last) if self.last in enabled else -1
            index = self.decide(self._chooser, current, due if self.timers_left else inf)
            if index >= 0:
                return enabled[index]

    def _hand_to(self, task: Task | None) -> None:
        if task is None:
            self._over.release()
            return
        self._away = True
        worker: Worker | None = task.handle
        if worker is None:  # its first step
            worker = task.handle = self._pool.pop() if self._pool else Worker(self._perform)
            worker.task = task
        worker.baton.release()

    # -- the life of a task, in its thread -----------------------------------------------------------------------------

    def _perform(self, worker: Worker) -> None:
        task = worker.task
        assert task is not None
        assert task.resume is not None
        here.engine, here.task, here.inside = self, task, None
        introduce_thread(task.name)
        before = sys.gettrace()
        error: BaseException | None = None
        try:
            if self._trace is not None:
                sys.settrace(self._trace)
            Context().run(task.resume)
        except BaseException as raised:
            error = raised
        finally:
            if self._trace is not None:
                sys.settrace(before)
            forget_thread()
        self._ended(worker, task, error)

    def _ended(self, worker: Worker, task: Task, error: BaseException | None) -> None:
        if worker.lost:
            worker.task = None
            worker.baton.release()  # it has come to its end after all
            return
        task.handle = task.resume = None
        here.task = None
        unwound, worker.unwinding, worker.throws = worker.unwinding, False, 0
        if unwound or isinstance(error, Abandoned):
            self._pool.append(worker)
            self._over.release()
            return
        if error is not None:
            self.task_failed(error)
        task.alive = False
        if task in self.enabled:
            self.enabled.remove(task)
        self._cannot_go_on(task)
        self.use(_end_of(task), ADD)
        for waiting in self._joiners.pop(task, ()):
            waiting.left -= 1
            if not waiting.left and waiting.task is not None:
                self.wake(waiting.task)
        chosen = self._next(worker)
        self._pool.append(worker)
        self._hand_to(chosen)

    def _root(self, subject: Subject) -> None:
        """The subject itself. Its end is that of a program: threads that are no daemons come to theirs first."""
        self.result = _call(partial(subject, World(self)))
        for thread, task in list(self.threads.items()):
            if not thread.daemon and task.alive and task.process is self.root_process:
                self.join(task)
        self.stop()

    def start_thread(self, thread: Thread, run: Callable[[], None]) -> None:
        """Start a ``threading.Thread`` of the subject's as a task."""
        parent, name = self.running, role_of(thread)
        self.threads[thread] = self.start(
            run, f"{parent.name}/{name}" if parent.parent else name, None, None, advance=False
        )

    # -- one schedule --------------------------------------------------------------------------------------------------

    def execute(self, subject: Subject, chooser: Chooser, limits: Limits) -> Run:
        self.reset(limits)
        self._chooser, self._broken = chooser, None
        self.start(partial(self._root, subject), "main", None, None, advance=False)
        try:
            self._hand_to(self._choose())
            self._wait_for_the_end()
            if self._broken is not None:
                raise self._broken
            return self.finish(self._reason)
        finally:
            if self._away:  # an interrupt struck just before the driver began to wait
                self._interrupted = True
                with suppress(KeyboardInterrupt):
                    self._wait_for_the_end()
            self.close_books()
            self._dispose()

    def _wait_for_the_end(self) -> None:
        """Wait until the baton is back, and look now and then whether whoever has it still moves."""
        before, waited_s, turn_s = (-1, 0), 0.0, min(1.0, self._step_limit_s / 2)
        while True:
            try:
                if self._over.acquire(timeout=turn_s):
                    self._away = False
                    break
            except KeyboardInterrupt:  # only this thread hears it; the others stop at their next point
                self._interrupted = True
                continue
            now = len(self.points), id(self.at_work)
            waited_s = waited_s + turn_s if now == before else 0.0
            before = now
            if waited_s >= self._step_limit_s:
                self._give_up()
        if self._interrupted:
            self._interrupted = False
            raise KeyboardInterrupt

    def _give_up(self) -> None:
        """The running thread waits for something that is not the kernel's.

        Raises:
            Unsupported: always; it says where the thread is.
        """
        task = self.at_work
        assert task is not None, "somebody has the baton"
        self._away = False
        worker: Worker | None = task.handle
        where = ""
        if worker is not None:
            worker.lost = True
            where = _where(sys._current_frames().get(worker.ident))
            task.handle = None
            # Should it ever come back to Python, it is to end: nobody waits for it.
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(worker.ident), ctypes.py_object(Abandoned))
        raise Unsupported(
            f"task {task.name} did not get from {task.point.label} to its next point within {self._step_limit_s:g} s{where}. It waits for "
            "something that the kernel does not control: a lock, event or queue that was made before the schedule began (make it in the "
            "subject), a lock of the operating system's, a socket, a process, a real thread; or it runs in a loop without a point"
        )

    def _dispose(self) -> None:
        """End what is left. The books are closed, so a ``finally`` block that runs now can change no verdict."""
        problem: BaseException | None = None
        with pools_quiet():
            for task in reversed(self.tasks):
                worker: Worker | None = task.handle
                if worker is not None and not worker.lost:
                    self.at_work, worker.unwinding = task, True
                    worker.baton.release()
                    try:
                        self._wait_for_the_end()
                    except (KeyboardInterrupt, Unsupported) as error:  # but first the rest
                        problem = error
                task.handle = task.resume = None
        settle_threads(self.threads)
        self.threads = {}
        self._joiners = {}
        if problem is not None:
            raise problem

    def close(self) -> None:
        """No further schedule will run: the threads end."""
        for worker in self._pool:
            worker.end()
        self._pool.clear()
        self._directory.remove()

    def text_of(self, error: BaseException) -> str:
        return self._directory.without(super().text_of(error))

    def kill(self, process: Process) -> list[Task]:
        killed = super().kill(process)
        for timer in self._timers:
            if timer[2] is not None and not timer[2].alive:
                timer[2] = None
        return killed

    # -- time ----------------------------------------------------------------------------------------------------------

    def _arm(self, task: Task, seconds: float) -> list[Any] | None:
        self._rang.discard(task)
        if seconds == inf:
            return None
        self._armed += 1
        timer = [self._now + max(0.0, seconds), self._armed, task]
        heapq.heappush(self._timers, timer)
        return timer

    def _disarm(self, timer: list[Any] | None) -> bool:
        """Whether it did not ring."""
        if timer is None:
            return True
        rang, timer[2] = timer[2] is None, None
        return not rang

    def _due(self) -> float:
        while self._timers and self._timers[0][2] is None:
            heapq.heappop(self._timers)
        return float(self._timers[0][0]) if self._timers else inf

    def advance_clock(self, due: float) -> None:
        self.time_passes(max(0.0, due - self._now))
        self._now = max(self._now, due)
        while self._due() <= self._now:
            timer = heapq.heappop(self._timers)
            task, timer[2] = timer[2], None
            self._rang.add(task)
            self.wake(task)


class ThreadScope(Scope):
    """A stretch of a thread. There is no way to cancel one, in real life either."""

    async def run(self, function: Callable[[], Awaitable[None]]) -> bool:
        await function()
        return True

    def cancel(self) -> None:
        raise Unsupported("a thread cannot be cancelled: leave 'cancel' out, or use host='trio' or host='asyncio'")


def run_on_threads(driver: Callable[[ThreadEngine], T], options: Threads | None = None) -> T:
    """Call ``driver`` with an engine; while it runs, ``threading`` and the file system are cooperative in the engine's threads."""
    with ExitStack() as stack:
        stack.enter_context(patched())
        engine = ThreadEngine(options or Threads())
        stack.callback(engine.close)
        return driver(engine)


# -- small things ------------------------------------------------------------------------------------------------------


def _call(function: Callable[[], Any]) -> Any:
    result = function()
    return finished(result) if isinstance(result, Coroutine) else result


def _end_of(task: Task) -> str:
    return f"end:{task.name}"


def _index(task: Task) -> int:
    return task.index


def _where(frame: FrameType | None) -> str:
    """Where a thread is, for a person: the innermost call, and the line of the subject's that led there."""
    if frame is None:
        return ""
    inner = _place(frame.f_code, frame.f_lineno)
    library = str(Path(linecache.__file__).parent)
    outer: FrameType | None = frame
    while outer is not None and outer.f_code.co_filename.startswith((library, "<frozen")):
        outer = outer.f_back
    if outer is None or outer is frame:
        return f"; it is in {inner}"
    return f"; it is in {inner}, called from {_place(outer.f_code, outer.f_lineno)}"


def _place(code: CodeType, line: int) -> str:
    text = linecache.getline(code.co_filename, line).strip()
    return f"{code.co_qualname} ({Path(code.co_filename).name}:{line}{': ' + text if text else ''})"
