"""SURW: uniform over the interleavings of selected steps."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from racewindow.errors import UsageError
from racewindow.kernel.run import Run
from racewindow.kernel.task import Point, Task
from racewindow.search._step_counts import Node, StepCounts, Tree
from racewindow.search.strategy import Account


@dataclass(frozen=True, slots=True)
class SURW:
    """All interleavings of the selected steps are equally likely; the other steps follow freely.

    Args:
        select: which steps: a function of the pending :class:`~racewindow.kernel.Point`, or a pattern (``*`` and ``?`` are wild) that
            has to fit a declared resource or the label. The default selects every step, and that is :class:`URW`.

    Source: Zhao, Wolff, Mathur and Roychoudhury, "Selectively uniform concurrency testing" (ASPLOS 2025).

    Raises:
        UsageError: ``select`` is neither, or is empty.
    """

    select: str | Callable[[Point], bool] = "*"

    def __post_init__(self) -> None:
        if not callable(self.select) and not (isinstance(self.select, str) and self.select):
            raise UsageError(
                f"select={self.select!r}: give the name of a resource or a label (with * and ? as wild cards), or a function of a point"
            )

    name = "surw"
    exhaustive = False
    bound = ""

    def search(self, seed: int) -> SURWSearch:
        """A fresh search. Schedule ``i`` depends on the seed, on ``i`` and on the step counts seen before."""
        select = self.select
        if isinstance(select, str):
            return SURWSearch(seed, _Fits(select), f"surw of {select!r}")
        return SURWSearch(seed, select, "surw")


class _Fits:
    """Whether a point fits a pattern."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern

    def __call__(self, point: Point) -> bool:
        names = (point.label, *(point.reads or ()), *(point.writes or ()))
        return any(fnmatchcase(name, self._pattern) for name in names)


class SURWSearch:
    """Uniform sampling at work.

    Somebody is *intended* to take the next selected step, drawn by how many of them each has left. Until then everybody else may run
    only up to a selected step. It is asked at every step, because it has to count them.
    """

    every_step = True

    def __init__(self, seed: int, select: Callable[[Point], bool], title: str) -> None:
        self._seed = seed
        self._select = select
        self._title = title
        self._rng = random.Random()
        self._counts = StepCounts()
        self._index = 0
        self._settled = 0  # the first schedule that was drawn with these step counts
        self._guessed = 0  # schedules that were drawn without any

    def begin(self, index: int) -> bool:
        self._rng.seed(f"{self._seed}:{index}")
        self._index = index
        self._guessed += not self._counts.schedules
        self._tree = Tree(self._select)
        self._intended: Task | None = None
        return True

    def choose(self, enabled: list[Task], current: int) -> int:
        tree = self._tree
        known = len(tree.nodes)
        tree.grow(enabled)
        index = 0
        if len(enabled) > 1:
            intended = self._intended
            if intended is None or intended not in enabled:
                tree.weigh(enabled, self._counts)
                self._intended = self._draw(tree.roots)
            elif len(tree.nodes) > known:  # it was intended for the steps of the children that it has just started, too
                tree.weigh(enabled, self._counts)
                self._intended = self._draw([tree.nodes[intended]])
            index = self._among(enabled)
        chosen = enabled[index]
        if chosen is self._intended and self._select(chosen.point):
            self._intended = None
        tree.step(chosen)
        return index

    def _among(self, enabled: list[Task]) -> int:
        """The intended task, or one that does not stand at a selected step."""
        free = [
            index for index, task in enumerate(enabled) if task is self._intended or not self._select(task.point)
        ] or range(len(enabled))
        return free[int(self._rng.random() * len(free))] if len(free) > 1 else free[0]

    def _draw(self, nodes: list[Node]) -> Task | None:
        """Who takes the next selected step: from the roots down, by the size of what hangs from each node."""
        node = self._weighted([(node.size, node) for node in nodes if node.reaches])
        while node is not None:
            above = node
            options = [(child.size, child) for child in above.children if child.reaches]
            if above.here:
                options.append((above.here, above))
            node = self._weighted(options)
            if node is above:
                return above.task
        return None

    def _weighted(self, options: list[tuple[float, Node]]) -> Node | None:
        if len(options) == 1 and options[0][0]:
            return options[0][1]
        left = self._rng.random() * sum(weight for weight, _ in options)
        for weight, node in options:
            left -= weight
            if left < 0:
                return node
        return None  # nobody is known to have a selected step left

    def end(self, run: Run) -> None:
        """Step counts come from schedules that came to their own end."""
        if self._tree.complete and self._counts.learn(self._tree):
            self._settled = self._index + 1

    def account(self) -> Account:
        counts = self._counts
        notes = [f"{self._title}: {counts}"]
        if counts.wrong:
            notes.append(
                f"{self._title}: {counts.wrong} of {counts.schedules - 1} schedules took other counts, so it was not quite uniform"
            )
        if self._guessed > 1:
            notes.append(
                f"{self._title}: {self._guessed} schedules were drawn before any step counts were known, as by a random walk"
            )
        return Account(notes=tuple(notes), independent_from=self._settled)
