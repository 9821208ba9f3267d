"""How many steps each task has left: what uniform sampling weighs its choices with.

Tasks form a tree, by who started whom. The steps of a task fall into *stretches*: each nursery that it waits for ends one. What comes
after such a join comes after the children's steps too, so it is no reason to hurry the parent rather than a child; it counts for the
parent and its children together. Weighing like this makes every order of steps equally likely as long as tasks only start and join
each other (the orders of a series-parallel program); with locks and events it is an approximation.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable

from racewindow.kernel.task import Point, Task

_JOIN = ("nursery.exit", "join")  # where a task of the trio host, or a thread, stands while it waits for others


class Node:
    """A task of the running schedule, and what it did so far.

    Attributes:
        task: the task.
        parent, children: its neighbours in the tree.
        born: the stretch of its parent in which it was started.
        taken: selected steps of each stretch so far; the last entry is the stretch it is in.
        size: selected steps expected from here on of the task and its descendants.
        here: those of them that are the task's own to take next, and not its living children's.
        reaches: the task or a descendant can run.
    """

    __slots__ = ("born", "children", "here", "left", "parent", "reaches", "seen_at", "size", "taken", "task")

    def __init__(self, task: Task, parent: Node | None) -> None:
        self.task = task
        self.parent = parent
        self.children: list[Node] = []
        self.taken: list[int] = [0]
        self.born: int = len(parent.taken) - 1 if parent else 0
        self.size = self.here = 0.0
        self.reaches = False
        self.left = (
            0.0,
            0.0,
        )  # as counted when it stood at this point with so many children; it moves rarely, and is asked often
        self.seen_at: tuple[Point | None, int] = None, 0

    @property
    def stretch(self) -> int:
        """The stretch that its pending step belongs to; a join begins the next one."""
        return len(self.taken) - 1 + self.task.point.label.endswith(_JOIN)


class Tree:
    """The tasks of one schedule, in the order in which they appeared."""

    def __init__(self, selects: Callable[[Point], bool]) -> None:
        self._selects = selects
        self.nodes: dict[Task, Node] = {}
        self.roots: list[Node] = []

    def grow(self, enabled: list[Task]) -> None:
        """Take in the tasks that are new."""
        for task in enabled:
            if task not in self.nodes:
                ancestor = task.parent
                while ancestor is not None and ancestor not in self.nodes:
                    ancestor = ancestor.parent
                parent = self.nodes[ancestor] if ancestor is not None else None
                node = self.nodes[task] = Node(task, parent)
                (parent.children if parent else self.roots).append(node)

    def step(self, task: Task) -> None:
        """The task takes its pending step."""
        node = self.nodes[task]
        taken = node.taken
        if node.stretch == len(taken):
            taken.append(0)
        taken[-1] += self._selects(task.point)

    def weigh(self, enabled: list[Task], counts: StepCounts) -> None:
        """Bring ``size``, ``here`` and ``reaches`` up to date."""
        runnable = set(enabled)
        for node in reversed(self.nodes.values()):  # children before their parents
            task, below = node.task, 0.0
            node.reaches = runs = task in runnable
            for child in node.children:
                below += child.size
                node.reaches = node.reaches or child.reaches
            if not task.alive:
                node.size, node.here = below, 0.0
                continue
            point, children = node.seen_at
            if point is not task.point or children != len(node.children):
                node.seen_at = task.point, len(node.children)
                node.left = counts.left(node)
            now, later = node.left
            if runs and now < 1.0 and self._selects(task.point):
                now = 1.0  # whatever was expected: here it stands
            node.size = now + later + below
            node.here = (now if below else node.size) if runs else 0.0

    @property
    def complete(self) -> bool:
        """Whether the schedule came to its own end: one that a violation or a limit cut short has too few steps."""
        return not any(root.task.alive for root in self.roots if root.task.index == 0)


class StepCounts:
    """Step counts by role: their means over the complete schedules so far.

    Attributes:
        schedules: complete schedules learned from.
        wrong: how many of those took other counts than expected.
    """

    def __init__(self) -> None:
        self.schedules = 0
        self.wrong = 0
        self._started: Counter[str] = Counter()
        self._stretches: dict[str, list[int]] = {}  # role: total of each stretch over all schedules
        self._means: dict[
            tuple[str, int], tuple[float, float]
        ] = {}  # of a stretch and of those after it, once asked for
        self._children: dict[str, dict[str, int]] = defaultdict(
            dict
        )  # role: its children, and the stretch they start in

    def learn(self, tree: Tree) -> bool:
        """Take in a complete schedule; True when it changes what is expected."""
        seen = {task.name: node.taken for task, node in tree.nodes.items()}
        changed = seen != {
            role: [total / self.schedules for total in totals] for role, totals in self._stretches.items()
        }
        for task, node in tree.nodes.items():
            totals = self._stretches.setdefault(task.name, [])
            totals += [0] * (len(node.taken) - len(totals))
            for stretch, count in enumerate(node.taken):
                totals[stretch] += count
            self._started[task.name] += 1
            if node.parent is not None:
                self._children[node.parent.task.name].setdefault(task.name, node.born)
        self._means.clear()
        self.wrong += changed and self.schedules > 0
        self.schedules += 1
        return changed

    def left(self, node: Node) -> tuple[float, float]:
        """Expected steps of a task and of the children that it has yet to start: in the stretch it is in, and after that."""
        role, stretch = node.task.name, node.stretch
        if role not in self._stretches:
            return 0.0, 0.0
        means = self._means.get((role, stretch))
        if means is None:
            totals, started = self._stretches[role], self._started[role]
            here = totals[stretch] / started if stretch < len(totals) else 0.0
            means = self._means[role, stretch] = here, sum(totals[stretch + 1 :]) / started
        now, later = means
        if stretch < len(node.taken):
            now = max(0.0, now - node.taken[stretch])
        if role in self._children:
            present = {child.task.name for child in node.children}
            for child, born in self._children[role].items():
                if child not in present:
                    expected = self._whole(child) / self._started[role]
                    now, later = (now + expected, later) if born <= stretch else (now, later + expected)
        return now, later

    def _whole(self, role: str) -> int:
        """Steps of a role and its descendants, over all schedules."""
        return sum(self._stretches[role]) + sum(self._whole(child) for child in self._children.get(role, ()))

    def __str__(self) -> str:
        if not self.schedules:
            return "no step counts are known"
        means = [
            f"{role} {sum(totals) / self._started[role]:g}"
            for role, totals in self._stretches.items()
            if sum(totals) > 0
        ]
        shown = ", ".join(means[:8]) + (", ..." if len(means) > 8 else "")
        return f"step counts used: {shown or 'none'} (means of {self.schedules} schedules)"
