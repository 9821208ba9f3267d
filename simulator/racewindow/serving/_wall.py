"""Wall-clock life for a design: its points take the time that a latency model gives them, and nothing is chosen.

A design is written against :class:`~racewindow.kernel.world.World`. Here the world is real: tasks are trio's, a point sleeps, and how long
each label took is kept, so that the simulator can be given the very latencies of this server.
"""

from __future__ import annotations

import random
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from fnmatch import fnmatchcase
from math import isfinite

import trio

from racewindow.errors import UsageError
from racewindow.kernel.task import Process, Task

KEPT = 2_000  # the newest durations of a label


class PointTimes:
    """How long points take, and how long they took.

    Args:
        means: mean in seconds of an exponential distribution for each pattern of labels (``*`` and ``?`` are wild; the first that fits
            holds, and a label that nothing fits takes no time of its own).
        seed: of the draws.

    Raises:
        UsageError: a mean is no number of seconds.
    """

    def __init__(self, means: Mapping[str, float], *, seed: int = 0) -> None:
        for pattern, mean in means.items():
            if not (isfinite(mean) and mean >= 0):
                raise UsageError(f"latency {pattern}={mean!r}: give a mean in seconds, 0 or more")
        self._means = dict(means)
        self._rng = random.Random(seed)
        self.measured_s: defaultdict[str, deque[float]] = defaultdict(lambda: deque(maxlen=KEPT))

    def draw_s(self, label: str) -> float:
        """Seconds that a point with this label takes now."""
        mean = next((mean for pattern, mean in self._means.items() if fnmatchcase(label, pattern)), 0.0)
        return self._rng.expovariate(1.0 / mean) if mean else 0.0


class _Acting:
    """A task at work: who it is, and since when it has been at which point."""

    __slots__ = ("label", "since", "task")

    def __init__(self, task: Task) -> None:
        self.task = task
        self.label = ""
        self.since = 0.0


_ACTING: ContextVar[_Acting] = ContextVar("acting")


class WallEvent:
    """A trio event. Waiting for it is nobody's latency: the point before it has ended."""

    def __init__(self, engine: WallEngine) -> None:
        self._engine = engine
        self._event = trio.Event()

    def set(self) -> None:
        self._event.set()

    def is_set(self) -> bool:
        return self._event.is_set()

    async def wait(self) -> None:
        self._engine.leave()
        await self._event.wait()


class WallEngine:
    """What :class:`~racewindow.kernel.world.World` asks of a kernel, and a design asks of the world, in wall-clock time.

    Args:
        nursery: where the design's background work lives.
        times: of its points.
    """

    def __init__(self, nursery: trio.Nursery, times: PointTimes) -> None:
        self._nursery = nursery
        self._times = times
        self._tasks = 0
        self.root_process = Process("server")
        self.step = 0  # of everything that happened: a history needs an order, and nothing else of it

    @property
    def current(self) -> Task:
        return _ACTING.get().task

    async def point(self, label: str, reads: object = None, writes: object = None) -> None:
        """Sleep for as long as the latency model says."""
        acting = _ACTING.get()
        self.leave()
        operation = acting.task.operation
        acting.label = f"{operation}/{label}" if operation else label
        acting.since = trio.current_time()
        self.step += 1
        await trio.sleep(self._times.draw_s(acting.label))

    def leave(self) -> None:
        """The running task is done with the point that it came to last."""
        acting = _ACTING.get()
        if acting.label:
            self._times.measured_s[acting.label].append(trio.current_time() - acting.since)
            acting.label = ""

    @contextmanager
    def acting(self, name: str, operation: str) -> Iterator[None]:
        """Whoever runs the block acts as a task of this name, and its points carry the operation's name."""
        self._tasks += 1
        task = Task(name, self._tasks, parent=None, process=self.root_process, operation=operation)
        token = _ACTING.set(_Acting(task))
        try:
            yield
        finally:
            self.leave()
            _ACTING.reset(token)

    def start(
        self,
        function: Callable[[], Awaitable[object]],
        name: str,
        process: Process | None,
        operation: str | None,
        advance: bool,
    ) -> None:
        """Start background work."""
        inherited = self.current.operation if operation is None else operation

        async def work() -> None:
            with self.acting(name, inherited):
                await function()

        self._nursery.start_soon(work, name=name)

    def event(self) -> WallEvent:
        return WallEvent(self)

    async def wait(self, event: WallEvent, label: str) -> None:
        """Wait for an event. Labels of waits are for traces, of which there are none here."""
        await event.wait()

    def now(self) -> float:
        return trio.current_time()

    async def sleep(self, seconds: float) -> None:
        self.leave()
        await trio.sleep(seconds)

    def note(self, text: str) -> None:
        """Nobody draws a timeline of this."""

    def touch(self, resource: str, *, write: bool) -> None:
        """Nothing is reduced here."""

    def use(self, resource: str, how: int) -> None:
        """Nothing is reduced here."""

    def watch(self, kinds: object, trusted: object) -> None:
        """Nothing is reduced here."""

    def use_anything(self) -> None:
        """Nothing is reduced here."""
