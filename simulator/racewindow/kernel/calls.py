"""What a worker thread is asked to do, as the asyncio host sees it.

One point where it takes effect, and one where its result arrives.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Iterable
from functools import partial
from math import inf
from typing import Any

from racewindow.kernel._asyncio_loop import KernelLoop
from racewindow.kernel.task import resource_names


class Call:
    """A blocking function with a label and a footprint: ``await asyncio.to_thread(Call("write", function))``.

    Args:
        label: of the point where it takes effect.
        function: what to call.
        reads, writes: names of resources that it touches; leave both out when you do not know.
        split: its result arrives at a point of its own, ``<label>/return``; otherwise at the moment of its effect.
    """

    __slots__ = ("function", "label", "reads", "split", "writes")

    def __init__(
        self,
        label: str,
        function: Callable[..., Any],
        *,
        reads: Iterable[str] | None = None,
        writes: Iterable[str] | None = None,
        split: bool = True,
    ) -> None:
        declared = reads is not None or writes is not None
        self.label = label
        self.function = function
        self.reads = resource_names(reads or (), "reads") if declared else None
        self.writes = resource_names(writes or (), "writes") if declared else None
        self.split = split

    def __call__(self, *args: Any, **options: Any) -> Any:
        return self.function(*args, **options)

    def __repr__(self) -> str:
        return f"<Call {self.label}>"


class Blocked(Exception):
    """Raised by a thread's function that would have to wait for another one.

    It is called again when something else has happened.

    Args:
        error: what its caller gets when it waited in vain.
        patience_s: virtual seconds that it waits at most.
    """

    def __init__(self, error: Exception, *, patience_s: float = inf) -> None:
        super().__init__(str(error))
        self.error = error
        self.patience_s = patience_s


def controlled() -> bool:
    """Whether the running event loop is the kernel's."""
    return isinstance(asyncio._get_running_loop(), KernelLoop)


def innermost(function: Any, args: tuple[Any, ...]) -> Any:
    """What a thread is really asked to call; ``asyncio.to_thread`` wraps it into ``partial(context.run, function, ...)``."""
    while True:
        if args and isinstance(getattr(function, "__self__", None), contextvars.Context):
            function, args = args[0], args[1:]
        elif isinstance(function, partial):
            function, args = function.func, (*function.args, *args)
        else:
            return function
