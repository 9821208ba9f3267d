"""A step that never ends: a subject that spins would take the kernel with it, for nothing else runs while it has control.

Nobody inside can help, so a thread looks on from outside. It looks at nothing but whether the schedule got any further; when it did not
for too long, it raises :class:`Interrupted` in the thread that runs the subject, wherever that is.
"""

from __future__ import annotations

import ctypes
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from racewindow.errors import Unsupported

if TYPE_CHECKING:
    from racewindow.kernel.engine import Engine

_POLL_S = 0.5  # between two looks at most
_DEBUGGERS = ("bdb", "pdb")


class Interrupted(BaseException):
    """Raised in the middle of a step that takes too long. No ``Exception``, or the subject might take it for one of its own."""


@contextmanager
def watched(engine: Engine) -> Iterator[None]:
    """Within the block, steps that ``engine`` executes in this thread may not take longer than ``limits.step_limit_s``."""
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
    schedule: object = None
    steps = 0
    stood_s = 0.0
    last = time.monotonic()
    while not stop.wait(min(_POLL_S, engine.limits.step_limit_s / 4)):
        now = time.monotonic()
        points = engine.points
        if points and points is schedule and len(points) == steps:
            stood_s += min(now - last, 2 * _POLL_S)  # a process that was stopped for a while was not at work
        else:
            schedule, steps, stood_s = points, len(points), 0.0
        last = now
        frame = sys._current_frames().get(ident)
        if stood_s >= engine.limits.step_limit_s and frame is not None and not _in_a_debugger(frame):
            code = frame.f_code
            engine.interrupt(f"{code.co_qualname} ({Path(code.co_filename).name}:{frame.f_lineno})")
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(ident), ctypes.py_object(Interrupted))
            stood_s = 0.0  # and again, should somebody catch it


def _in_a_debugger(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_globals.get("__name__") in _DEBUGGERS:
            return True
        frame = frame.f_back
    return False
