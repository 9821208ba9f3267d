"""States: depth-first search that goes on from each state of the program once, however many schedules lead there.

A state is all that the tasks remember, where they stand, and how long their timers have to go (:meth:`Engine.memory`). Equal states have
the same future, so it does not matter what is shared, or whether anybody declared it: what cannot be compared is not merged, and told.
What a program writes down of its own past (a log, a step number) keeps states apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b

from racewindow.kernel.engine import Engine
from racewindow.kernel.task import Task
from racewindow.search.bounded import BoundedSearch
from racewindow.search.strategy import Account, Redundant


@dataclass(frozen=True, slots=True)
class States:
    """Every state, and so every outcome, without a bound; of the schedules that come to a state seen before, the beginning only.

    For subjects whose tasks share much, where :class:`DPOR` can leave out little. On the trio host; elsewhere nothing can be compared.
    """

    name = "states"
    exhaustive = True
    bound = ""

    def search(self, seed: int) -> StatesSearch:
        """A fresh search; the seed changes nothing."""
        return StatesSearch()


class StatesSearch(BoundedSearch):
    """The search at work.

    Attributes:
        merged: schedules given up in a state that was seen before.
        untold: choices in states that could not be compared.
    """

    def __init__(self) -> None:
        super().__init__(None)
        self._seen: set[bytes] = set()
        self._path: list[bytes | None] = []  # the states of the forks on the stack; None where they could not be told
        self.merged = self.untold = 0

    @property
    def states(self) -> int:
        """States that were gone on from."""
        return len(self._seen)

    def attach(self, engine: Engine) -> None:
        """Work with this engine."""
        self._engine = engine

    def begin(self, index: int) -> bool:
        self._turning = False
        going_on = super().begin(index)
        del self._path[len(self._stack) :]
        return going_on

    def choose(self, enabled: list[Task], current: int) -> int:
        if self._turning:
            return max(current, 0)
        if self._depth == len(self._stack):
            state = self._state(enabled)
            if state is None:
                self.untold += 1
            elif state in self._path:
                self._turning = (
                    True  # a loop: what can be chosen in it is chosen on the way there; see whether it ever ends
                )
                return max(current, 0)
            elif state in self._seen:
                self.merged += 1
                raise Redundant
            else:
                self._seen.add(state)
            self._path.append(state)
        return super().choose(enabled, current)

    def _state(self, enabled: list[Task]) -> bytes | None:
        memory = self._engine.memory()
        if memory is None:
            return None
        violations = tuple((each.kind, each.messages) for each in self._engine.violations)
        names = [task.name for task in enabled]
        return blake2b(repr((names, self._engine.waits(), violations, memory)).encode(), digest_size=16).digest()

    def account(self) -> Account:
        untold = f"; {self.untold} choices stood in states that cannot be compared" if self.untold else ""
        return Account(
            notes=(f"states: {self.states} states, {self.merged} schedules came to one seen before{untold}",),
            sampled_from=None,
        )
