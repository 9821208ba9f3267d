"""Ending coroutines that will never run again, and when garbage is collected.

Crashes and deadlocks leave coroutines behind. They have to be taken apart at once: left to the garbage collector they would run their
``finally`` blocks at any later moment, and complain on stderr.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

_ATTEMPTS_MAX = 100


class _Abandoned(BaseException):
    """Thrown into what is taken apart.

    Not ``GeneratorExit``: Python does not pass that one on into an async generator that is being closed already, and leaves it
    suspended for ever.
    """


class Uncollected:
    """Within the block, the garbage collector waits.

    What it finalizes would otherwise be finalized in the middle of a schedule, and of another one next time. It would also look through the
    points of a long schedule again and again, and find nothing: they are part of its record.
    """

    def __enter__(self) -> None:
        self._enabled = gc.isenabled()
        gc.disable()

    def __exit__(self, *_: object) -> None:
        if self._enabled:
            gc.enable()


def unwind(coroutine: Any) -> None:
    """Throw into a suspended coroutine (or the like) until it has ended; a block that awaits gets the next throw there.

    Raises:
        KeyboardInterrupt: when the user has had enough; nothing else comes out.
    """
    for _ in range(_ATTEMPTS_MAX):
        try:
            coroutine.throw(_Abandoned())
        except KeyboardInterrupt:
            raise
        except BaseException:
            return
    with suppress(Exception):  # it catches everything and goes on: let it go
        coroutine.close()


@contextmanager
def async_generators_unwound() -> Iterator[None]:
    """Within the block, async generators that are dropped unfinished are taken apart on the spot, by nobody's event loop."""
    before = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(firstiter=None, finalizer=_finalize)
    try:
        yield
    finally:
        sys.set_asyncgen_hooks(*before)


def _finalize(generator: Any) -> None:
    unwind(generator.aclose())
