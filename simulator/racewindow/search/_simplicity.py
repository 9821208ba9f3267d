"""What "simpler" means, in one place.

Of two failures that are the same bug, the simpler one is the smaller :class:`Simplicity`, compared field by field:

1. **operations**, because each one is a question to the reader: what has this to do with it? An operation less also takes its points
   away, and with them most of the schedules that somebody would have to think about.
2. **clients**, because who acts is the next question. Two clients that act one after the other are one.
3. **preemptions**, because each has to be explained: this task could have gone on, and was held back *there*. They are also what a
   proof is bounded by, so that "none with fewer" is something that can be shown.
4. **choices** of another task than the first in line where the running one blocked or ended. They are needed less often to understand
   a failure, and still have to be told.
5. **steps**, because a shorter story is read sooner; fewer of them with the same choices means that less went on.
6. **order**: the default order is kept for as long as possible, and then left for the task created first. That is the lexicographic
   order of the choices, the default being the smallest; it makes the simplest schedule unique.

Operations and clients come first although they belong to the scenario: a schedule can only be compared with others of its scenario, and
fewer operations make all the other numbers smaller by themselves, never the other way round.
"""

from __future__ import annotations

from typing import NamedTuple

from racewindow.kernel.run import Run
from racewindow.kernel.task import FREE, PREEMPTION


class Simplicity(NamedTuple):
    """How simple a failure is; smaller is simpler.

    Attributes:
        operations, clients: of its scenario; 0 where the subject is no session case.
        preemptions: how often a task that could have gone on was held back.
        choices: how often another task than the first in line was taken when the running one blocked or ended.
        steps: length of the schedule.
        order: of each departure from the default order the step, negative, and the index of the task that was taken instead.
    """

    operations: int
    clients: int
    preemptions: int
    choices: int
    steps: int
    order: tuple[tuple[int, int], ...]


def simplicity(run: Run, *, operations: int = 0, clients: int = 0) -> Simplicity:
    """How simple a schedule is, in a scenario with so many operations and clients."""
    departures = [(step, point) for step, point in enumerate(run.points) if point.choice in (FREE, PREEMPTION)]
    return Simplicity(
        operations=operations,
        clients=clients,
        preemptions=run.preemptions,
        choices=sum(point.choice == FREE for _, point in departures),
        steps=run.steps,
        order=tuple((-step, point.task.index if point.task else -1) for step, point in departures),
    )
