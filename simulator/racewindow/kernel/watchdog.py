"""A step that never ends: a subject that spins would take the kernel with it, for nothing else runs while it has control.

Nobody inside can help, so a thread looks on from outside. It looks at nothing but whether the schedule got any further; when it did not
for too long, it raises :class:`Interrupted` in the thread that runs the subject, wherever that is.
"""

from __future__ import annotations

import ctypes
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from racewindow.errors import Unsupported

if TYPE_CHECKING:
    from racewindow.kernel.engine import Engine

_POLL_S = 0.5  # between two looks at most


class Interrupted(BaseException):
    """Raised in the middle of a step that takes too long. No ``Exception``, or the subject might take it for one of its own."""


@contextmanager
def watched(engine: Engine) -> Iterator[None]:
    """Within the block, steps that ``engine`` executes in this thread may not take more processor time than ``limits.step_limit_s``."""
    stop = threading.Event()
    thread = threading.Thread(
        target=_watch, args=(engine, threading.get_ident(), stop), name="racewindow-watchdog", daemon=True
    )
    thread.start()
    try:
        yield
    except Interrupted as late:  # the step ended by itself in the very moment
        raise Unsupported(
            f"{engine.stuck}, and came to an end after all; allow more with Limits(step_limit_s=...)"
        ) from late
    finally:
        stop.set()
        thread.join()


def _watch(engine: Engine, ident: int, stop: threading.Event) -> None:
    used_s = _processor_clock(ident)
    schedule: object = None
    steps = 0
    since_s = 0.0
    while not stop.wait(min(_POLL_S, engine.limits.step_limit_s / 4)):
        points, now_s = engine.points, used_s()
        if not points or points is not schedule or len(points) != steps:
            schedule, steps, since_s = points, len(points), now_s
        frame = sys._current_frames().get(ident)
        if now_s - since_s >= engine.limits.step_limit_s and frame is not None:
            code = frame.f_code
            if engine.interrupt(f"{code.co_qualname} ({Path(code.co_filename).name}:{frame.f_lineno})"):
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(ident), ctypes.py_object(Interrupted))
            since_s = now_s  # and again, should somebody catch it


def _processor_clock(ident: int) -> Callable[[], float]:
    """What a thread has used of the processor: a machine that is busy, and a debugger that waits, are not the subject's fault."""
    if sys.platform == "win32" or not hasattr(time, "pthread_getcpuclockid"):
        return time.process_time
    return partial(time.clock_gettime, time.pthread_getcpuclockid(ident))
