"""Hypothesis strategies: scenarios and schedules as values that Hypothesis draws, shrinks, and keeps in its example database.

::

    from hypothesis import given
    from racewindow.strategies import check, scenarios, schedules

    @given(scenario=scenarios(), schedule=schedules())
    def test_my_store(scenario, schedule):
        check(rw.case(MyStore, scenario), schedule)

A failing example is shrunk by Hypothesis to few operations and few switches, and run first next time. Its message has the token that
replays it without Hypothesis. Needs ``pip install 'racewindow[hypothesis]'``; nothing else in racewindow imports Hypothesis.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from racewindow.errors import InvariantViolation, UsageError
from racewindow.kernel.engine import Subject
from racewindow.kernel.run import Run
from racewindow.search import explore
from racewindow.search._checks import check_whole
from racewindow.search.drawn import Drawn
from racewindow.sessions.case import Case
from racewindow.sessions.scenario import Scenario
from racewindow.sessions.stories import story

_OPERATIONS = ("add", "reload", "commit", "commit nowait", "wait")  # Hypothesis shrinks towards the first


def schedules(*, switches_max: int = 3, choices_max: int = 40) -> st.SearchStrategy[Drawn]:
    """Schedules that leave the default order a few times.

    Most races need one or two preemptions, so few switches reach much, and are quickly shrunk to those that matter.

    Args:
        switches_max: how often at most.
        choices_max: how many choices may lie between two switches.

    Raises:
        UsageError: for a bound that makes no sense.
    """
    check_whole("switches_max", switches_max, least=0, why="0 means the default order only")
    check_whole("choices_max", choices_max, least=0, why="0 means that the switches are the first choices")
    switch = st.tuples(st.integers(0, choices_max), st.integers(0, 3))
    return st.lists(switch, max_size=switches_max).map(lambda switches: Drawn(tuple(switches)))


@st.composite
def scenarios(draw: st.DrawFn, *, clients_max: int = 2, operations_max: int = 4, crashes: bool = False) -> Scenario:
    """Scenarios that make sense: every message has an id of its own, and nobody waits for a commit that was not asked for.

    Args:
        clients_max: how many clients at most; each may start after the one before it has ended.
        operations_max: of each client.
        crashes: whether a bystander may crash the first client's store.

    Raises:
        UsageError: for a bound that makes no sense.
    """
    check_whole("clients_max", clients_max, least=1, why="somebody has to act")
    check_whole("operations_max", operations_max, least=1, why="a client that does nothing is none")
    messages = 0
    clients: list[str] = []
    for number in range(draw(st.integers(1, clients_max))):
        operations = ["after c1"] if number and draw(st.booleans()) else []
        for operation in draw(st.lists(st.sampled_from(_OPERATIONS), min_size=1, max_size=operations_max)):
            if operation == "add":
                messages += 1
                operation = f"add m{messages}"
            elif operation == "wait" and not any(each.startswith("commit") for each in operations):
                operation = "reload"
            operations.append(operation)
        clients.append(f"c{number + 1}: {'; '.join(operations)}")
    if crashes and draw(st.booleans()):
        clients.append("x: crash c1")
    return story(" | ".join(clients))


def check(subject: Subject | Case, schedule: Drawn, **options: Any) -> Run:
    """Run one drawn schedule.

    Args:
        subject: an async function that takes a world, or a case.
        schedule: as drawn by :func:`schedules`.
        options: ``host``, ``limits`` and ``name`` of a subject, as for :func:`~racewindow.explore`; a case has its own.

    Returns:
        the run, if nothing was broken.

    Raises:
        InvariantViolation: what was broken, with the token that replays it.
        UsageError: the case says nothing about its implementation, or has options of its own.
    """
    if isinstance(subject, Case):
        if options:
            raise UsageError(f"a case has its own {', '.join(options)}: leave that out")
        if subject.not_applicable:
            raise UsageError(f"{subject.name} cannot be checked: {subject.not_applicable}")
        host, limits = subject.implementation.host, subject.limits
        options = {"host": host, "limits": limits, "name": subject.name, "checksum": subject.checksum}
        subject = subject.subject()
    runs: list[Run] = []
    found = explore(subject, strategy=schedule, schedules=1, on_run=runs.append, **options)
    if found.first is not None:
        said = "; ".join(map(str, found.first.violations))
        raise InvariantViolation(f"{said}\nreplay with the token {found.first.token}")
    return runs[0]
