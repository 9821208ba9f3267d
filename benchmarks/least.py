"""The least that asyncio's own tasks can take: a loop that hands over control in a random order, and does nothing else.

    python benchmarks/least.py

The subject of ``racewindow bench``, without a record, a name, a clock or a statistic, in parts of the same limit (bare coroutines): what a
kernel that leaves asyncio's tasks as they are could reach if all that it does besides cost nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import time
from asyncio import events
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context
from types import coroutine
from typing import Any

from racewindow.bench.subject import bare_schedule, plain_asyncio


class LeastLoop:
    """What asyncio's tasks, futures and locks ask of a loop, and no more."""

    def __init__(self, draw: Callable[[], float]) -> None:
        self._itself: Any = self  # it is no whole event loop
        self._draw = draw
        self._ready: list[tuple[Context | None, Callable[..., object], tuple[Any, ...]]] = []

    def get_debug(self) -> bool:
        return False

    def call_soon(self, callback: Callable[..., object], *args: Any, context: Context | None = None) -> Any:
        self._ready.append((context, callback, args))

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self._itself)

    def create_task(self, coro: Any, **options: Any) -> asyncio.Task[Any]:
        return asyncio.Task(coro, loop=self._itself, name="task")

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        raise RuntimeError(context)

    def run(self, main: Coroutine[Any, Any, None]) -> int:
        """Run until nothing is ready; how many steps that took."""
        ending = self.create_task(main)
        ready, draw, steps = self._ready, self._draw, 0
        while ready:
            context, callback, args = ready.pop(int(draw() * len(ready)))
            steps += 1
            if context is None:
                callback(*args)
            else:
                context.run(callback, *args)
        ending.result()
        return steps


@coroutine
def point(_: str) -> Generator[None, None, None]:
    yield


def least(schedules: int, seed: int) -> int:
    """Run so many schedules; how many steps that took."""
    rng = random.Random(seed)
    steps = 0
    for _ in range(schedules):
        loop: Any = LeastLoop(rng.random)
        events._set_running_loop(loop)
        try:
            steps += loop.run(plain_asyncio("correct", point))
        finally:
            events._set_running_loop(None)
    return steps


def limit(schedules: int, seed: int) -> int:
    """The same as bare coroutines."""
    rng = random.Random(seed)
    return sum(bare_schedule("correct", rng) for _ in range(schedules))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--schedules", type=int, default=1000, help="in each round")
    options = parser.parse_args()
    ratios = []
    for number in range(options.rounds + 1):  # the first one warms up
        taken = []
        for form in (limit, least):
            started = time.process_time()
            form(options.schedules, number)
            taken.append(time.process_time() - started)
        ratios.append(taken[0] / taken[1])
    low, median, high = statistics.quantiles(ratios[1:], method="inclusive")
    print(f"asyncio's own tasks, to the limit: {median:.2f} ({low:.2f} to {high:.2f})")


if __name__ == "__main__":
    main()
