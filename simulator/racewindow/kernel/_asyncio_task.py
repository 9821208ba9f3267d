"""asyncio's own tasks, at the helm of which the kernel can sit from one point to the next.

What asyncio's task steps is not the subject's coroutine but :func:`_steered`, which steps that one and hands on to asyncio whatever it
awaits. At a point it parks: it gives up control with a bare ``yield``, upon which asyncio asks the loop to go on with the task soon. The
loop hands that request to the :class:`Park` instead of queueing it. While it is kept there, whoever owns the loop may step the coroutine
itself, past asyncio, as long as it comes to nothing but points. Everything else (a future, the end) it leaves in ``KernelTask.left`` and
makes the request: asyncio's task goes on, finds what was left and never learns that it was absent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from contextvars import Context
from functools import partial
from types import CoroutineType
from types import coroutine as awaitable_generator
from typing import Any, Protocol

from racewindow.kernel.task import Point, Task


class Steersman(Protocol):
    """Whoever runs the loop that a task is on."""

    def park(self, task: KernelTask, point: Point) -> None:
        """The task came to a point, and is about to give up control there."""

    def cancelled_itself(self, task: KernelTask) -> bool:
        """Whether the task is being stepped past asyncio, and will be seen to when the step is over."""


class KernelTask(asyncio.Task[Any]):
    """A task whose hash does not depend on its address, and that can be parked.

    Attributes:
        coroutine: the subject's.
        step_past_asyncio: resumes it in its context; only while it is parked.
        park: where it stands, or stood last; None: it was never parked.
        left: what the last step past asyncio came to, if that was no point: what it awaits or has returned, whether it has
            returned, and what it raised.
        begun: its first step is in the books.
        record: what the kernel calls it.
    """

    park: Park | None = None
    left: tuple[Any, bool, BaseException | None] | None = None
    begun: bool = False
    record: Task | None = None

    def __init__(self, number: int, steersman: Steersman, coroutine: Any, context: Context, **options: Any) -> None:
        if type(coroutine) is not CoroutineType and not asyncio.iscoroutine(coroutine):
            raise TypeError(f"a coroutine was expected, got {coroutine!r}")
        self._number = number  # first: the constructor puts the task into a set
        self._steersman = steersman
        self.coroutine = coroutine
        self.step_past_asyncio = partial(context.run, coroutine.send, None)
        steered = _steered(self, steersman, coroutine)
        steered.send(None)  # what is thrown into a coroutine that has not begun would not come to the subject's
        super().__init__(steered, context=context, **options)

    def __hash__(self) -> int:
        return self._number

    def get_coro(self) -> Any:
        return self.coroutine

    _coro = property(get_coro)  # where asyncio's own descriptions look

    def cancel(self, msg: Any | None = None) -> bool:
        """A parked task is woken for its cancellation, as one is that waits for a future."""
        asked = super().cancel(msg)
        if self.park is not None and self.park.step is not None and not self._steersman.cancelled_itself(self):
            self.park.cancel()
        return asked

    def stay_cancelled(self, error: BaseException) -> None:
        """It cancelled itself in a step past asyncio. What that step came to comes first, and asyncio sees to the cancellation then."""
        super().cancel(*error.args)
        self.uncancel()  # it counts once

    def close(self) -> None:
        """Let go of what steers a coroutine that has ended."""
        super().get_coro().close()


class Park:
    """Where one task is parked.

    Attributes:
        step: goes on with the task; None while it is not parked.
        context: what to call it in.
        cancelled: it was woken by a cancellation.
    """

    step: Callable[[], object] | None = None
    context: Any = None
    cancelled = False

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def cancel(self) -> None:
        """Go on with the task soon: it has a cancellation to raise."""
        self.cancelled = True
        self.release()

    def release(self) -> None:
        """Go on with the task when everything that is ready now has run."""
        step, self.step = self.step, None
        assert step is not None
        self._loop.call_soon(step, context=self.context)


async def _steered(task: KernelTask, steersman: Steersman, coroutine: Any) -> Any:
    """Step the coroutine, hand on to asyncio what it awaits, and back to it what comes of that."""
    message = error = left = failure = None
    try:
        while True:
            try:
                await _hand_on(message)
            except GeneratorExit:
                raise
            except BaseException as thrown:
                error = thrown
            left, task.left = task.left, None
            try:
                if left is not None:
                    if error is not None:
                        task.stay_cancelled(error)
                    message, ended, failure = left
                    if failure is not None:
                        raise failure
                    if ended:
                        return message
                elif error is not None:
                    message = coroutine.throw(error)
                else:
                    message = coroutine.send(None)
            except StopIteration as end:
                return end.value
            error = None
            if isinstance(message, Point):
                steersman.park(task, message)
                message = None
    finally:
        del error, left, failure  # they lead back to this frame


@awaitable_generator
def _hand_on(message: Any) -> Generator[Any, None, None]:
    """Await what a coroutine awaited."""
    yield message
