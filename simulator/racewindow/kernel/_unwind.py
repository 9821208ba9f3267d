"""Ending coroutines that will never run again.

Crashes and deadlocks leave coroutines behind. They have to be taken apart at once: left to the garbage collector they would run their
``finally`` blocks at any later moment, and complain on stderr.
"""

from __future__ import annotations

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
