"""The few private names of trio that stepping its tasks ourselves takes, in one place.

Tried with trio 0.29 to 0.35. Trio promises no order among runnable tasks, so any order the kernel chooses is a legal execution; what
is private is only how a runnable task is found and resumed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import inf
from typing import TYPE_CHECKING, Any

import trio
from trio.lowlevel import Abort

from racewindow.errors import Unsupported

try:
    from trio import _path, _threads
    from trio._channel import MemoryChannelState
    from trio._core._parking_lot import GLOBAL_PARKING_LOT_BREAKER
    from trio._core._run import GLOBAL_RUN_CONTEXT, Runner
    from trio._core._run import _TaskStatus as TaskStatus
    from trio._core._traps import CancelShieldedCheckpoint, PermanentlyDetachCoroutineObject, WaitTaskRescheduled
except ImportError as error:  # pragma: no cover - needs a trio that does not exist yet
    raise Unsupported(
        f"racewindow steps trio's tasks itself and does not know the insides of trio {trio.__version__} ({error}); "
        "install a version it was tested with: pip install 'trio>=0.29,<0.36'"
    ) from error

if TYPE_CHECKING:
    from trio.lowlevel import Task as TrioTask

trio_path: Any = _path
trio_threads: Any = _threads

_RUNNER_NAMES = ("runq", "deadlines", "tasks", "task_exited", "waiting_for_idle", "spawn_impl")


def current_runner() -> Any:
    """The runner of the ``trio.run`` we are in, checked for the names that the kernel relies on."""
    runner = GLOBAL_RUN_CONTEXT.runner
    missing = [name for name in _RUNNER_NAMES if not hasattr(runner, name)]
    if missing:  # pragma: no cover - needs a trio that does not exist yet
        raise Unsupported(
            f"trio {trio.__version__} has no runner.{', runner.'.join(missing)}, which racewindow's trio host needs; "
            "install a version it was tested with: pip install 'trio>=0.29,<0.36'"
        )
    return runner


def _abort_succeeds(_: Any) -> Abort:
    return Abort.SUCCEEDED


def cancel_at_point(task: TrioTask, runner: Any) -> None:
    """Schedule a task that stands at one of our points with the ``Cancelled`` that trio would give it at a checkpoint."""
    task._abort_func = _abort_succeeds
    task._attempt_delivery_of_any_pending_cancel()
    scheduled = runner.runq.pop()
    assert scheduled is task


def disarm(dead: Iterable[TrioTask], alive: Iterable[TrioTask]) -> None:
    """Stop the timers that would ring for dead tasks only."""
    shared = {id(status) for task in alive for status in _cancel_statuses(task)}
    for task in dead:
        for status in _cancel_statuses(task):
            if id(status) not in shared:
                status._scope.deadline = inf


def _cancel_statuses(task: TrioTask) -> Iterator[Any]:
    status: Any = task._cancel_status
    while status is not None:
        yield status
        status = status._parent


def forget(task: TrioTask, runner: Any) -> None:
    """Take a task that will never run again out of trio's books, without telling its nursery or anybody else."""
    runner.tasks.discard(task)
    if task._parent_nursery is not None:
        task._parent_nursery._children.discard(task)
    if task._cancel_status is not None:
        task._cancel_status._tasks.discard(task)
    GLOBAL_PARKING_LOT_BREAKER.pop(task, None)


def armed_timers(runner: Any) -> list[tuple[float, list[TrioTask]]]:
    """The deadlines that are still to come, each with the tasks it is about."""
    return [
        (deadline, list(scope._cancel_status._tasks))
        for deadline, _, scope in runner.deadlines._heap
        if scope._registered_deadline == deadline and scope._cancel_status is not None
    ]


def scope_state(scope: trio.CancelScope) -> tuple[float, float, bool, bool, bool, bool]:
    """Its time relative to a beginning that is still to come, its deadline, and its flags; one that is over has no time left to tell of."""
    over = scope._has_been_entered and scope._cancel_status is None
    relative = getattr(scope, "_relative_deadline", inf)  # newer than the oldest supported trio
    flags = scope._has_been_entered, scope._cancel_called, scope.cancelled_caught, scope._shield
    return (inf, inf, *flags) if over else (relative, scope._deadline, *flags)


def clear_leftovers(runner: Any, nursery: trio.Nursery) -> None:
    """Drop the wake-ups, deadlines and cancel scopes that abandoned tasks left behind in a long-lived nursery."""
    runner.runq.clear()
    runner.deadlines._heap.clear()
    runner.deadlines._active = 0
    runner.waiting_for_idle.clear()
    nursery._cancel_status._children.clear()


__all__ = [
    "GLOBAL_PARKING_LOT_BREAKER",
    "GLOBAL_RUN_CONTEXT",
    "CancelShieldedCheckpoint",
    "MemoryChannelState",
    "PermanentlyDetachCoroutineObject",
    "Runner",
    "TaskStatus",
    "WaitTaskRescheduled",
    "armed_timers",
    "cancel_at_point",
    "clear_leftovers",
    "current_runner",
    "disarm",
    "forget",
    "scope_state",
    "trio_path",
    "trio_threads",
]
