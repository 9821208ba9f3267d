"""Livelock: time passes, tasks run, and the program comes to stand where it stood before.

Whenever nothing can run and time is about to pass, everybody who could run has run. When the program remembers then what it remembered
at an earlier such moment, what lies between can follow again and again: a fair cycle in which nothing but time changes. A poll that
counts its turns, or waits longer each time, remembers something else, and may come to an end.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable

from racewindow.kernel._memory import Memory

_FIRST = 16  # so often time may pass before anybody begins to look
_LOOKS_MAX = 64  # looking is dear: a program that remembers more each time is left to its bound on steps


class Rounds:
    """Watches one schedule for a cycle, with two looks in memory at any time.

    Source: Brent, "An improved Monte Carlo factorization algorithm" (1980), for when to take another look as the one to compare with.
    """

    def __init__(self) -> None:
        self._passed = 0
        self._next = _FIRST
        self._looks = 0
        self._waits: Hashable = None
        self._memory: Memory | None = None
        self.since = 0

    def closed(self, step: int, waits: Callable[[], Hashable], memory: Callable[[], Memory | None]) -> bool:
        """Time is about to pass: whether the program stands where it stood, at step ``since``.

        Args:
            step: number of steps so far.
            waits: who waits where, and for how long; cheap.
            memory: all that the program remembers, None where that cannot be told; dear.
        """
        self._passed += 1
        if self._passed < _FIRST or self._looks >= _LOOKS_MAX:
            return False
        if self._passed == self._next:
            self._next *= 2
        elif waits() != self._waits:
            return False
        elif self._look(memory) == self._memory:
            return self._memory is not None
        else:
            return False
        self.since, self._waits, self._memory = step, waits(), self._look(memory)
        return False

    def _look(self, memory: Callable[[], Memory | None]) -> Memory | None:
        self._looks += 1
        seen = memory()
        if seen is None:
            self._looks = _LOOKS_MAX  # it cannot be told later, either
        return seen
