"""Find, prove, measure and draw race conditions in session stores, and in any async code.

Any async function is a subject: :func:`explore`, :func:`prove` and :func:`replay` work on it directly. Session stores are one use, with
words of their own: a :func:`case` is an implementation in a scenario, ``rw.experiments`` has what can be asked of a case (``fuzz``,
``prove``, ``windows``, ``compare``, ``timeline``), and ``rw.charts`` draws the answers.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, overload

from racewindow.errors import InvariantViolation as InvariantViolation
from racewindow.errors import RacewindowError as RacewindowError
from racewindow.errors import ReplayDiverged as ReplayDiverged
from racewindow.errors import Unsupported as Unsupported
from racewindow.errors import UsageError as UsageError

if TYPE_CHECKING:
    from racewindow import adapters as adapters
    from racewindow import charts as charts
    from racewindow import experiments as experiments
    from racewindow.disk import Granularity
    from racewindow.disk import LockBusy as LockBusy
    from racewindow.experiments import ShrunkCase
    from racewindow.implementations import implementation as implementation
    from racewindow.kernel import Cell as Cell
    from racewindow.kernel import Limits as Limits
    from racewindow.kernel import Run as Run
    from racewindow.kernel import Subject, Token
    from racewindow.kernel import Threads as Threads
    from racewindow.kernel import Violation as Violation
    from racewindow.kernel import World as World
    from racewindow.kernel.run import TimeMode
    from racewindow.search import DPOR as DPOR
    from racewindow.search import PCT as PCT
    from racewindow.search import POS as POS
    from racewindow.search import SURW as SURW
    from racewindow.search import URW as URW
    from racewindow.search import Auto as Auto
    from racewindow.search import Bounded as Bounded
    from racewindow.search import Burst as Burst
    from racewindow.search import Count as Count
    from racewindow.search import Curve as Curve
    from racewindow.search import Exploration as Exploration
    from racewindow.search import Found
    from racewindow.search import RandomWalk as RandomWalk
    from racewindow.search import Replay as Replay
    from racewindow.search import Shrunk as Shrunk
    from racewindow.search import States as States
    from racewindow.search import Timed as Timed
    from racewindow.search import count as count
    from racewindow.search import explore as explore
    from racewindow.search import probability_curve as probability_curve
    from racewindow.search import prove as prove
    from racewindow.search import replay as replay
    from racewindow.sessions import Archive as Archive
    from racewindow.sessions import Capabilities as Capabilities
    from racewindow.sessions import Case as Case
    from racewindow.sessions import EndedTicket as EndedTicket
    from racewindow.sessions import Environment as Environment
    from racewindow.sessions import Handle as Handle
    from racewindow.sessions import Observation as Observation
    from racewindow.sessions import Refused as Refused
    from racewindow.sessions import Scenario as Scenario
    from racewindow.sessions import SessionStore as SessionStore
    from racewindow.sessions import SynchronousHandle as SynchronousHandle
    from racewindow.sessions import SynchronousStore as SynchronousStore
    from racewindow.sessions import SynchronousTicket as SynchronousTicket
    from racewindow.sessions import Ticket as Ticket
    from racewindow.sessions import story as story
    from racewindow.sessions.scenario import Topology

# Where each name lives that is imported when it is first used. The pytest plugin is loaded in every run of pytest, also where nobody
# asks for a race: it must not bring the kernel, trio and pandas with it.
_LAZY = {
    "LockBusy": "racewindow.disk",
    "implementation": "racewindow.implementations",
    **dict.fromkeys(
        (
            "Cell",
            "Limits",
            "Run",
            "Threads",
            "Violation",
            "World",
        ),
        "racewindow.kernel",
    ),
    **dict.fromkeys(
        (
            "DPOR",
            "PCT",
            "POS",
            "SURW",
            "URW",
            "Auto",
            "Bounded",
            "Burst",
            "Count",
            "Curve",
            "Exploration",
            "RandomWalk",
            "Replay",
            "Shrunk",
            "States",
            "Timed",
            "count",
            "explore",
            "probability_curve",
            "prove",
            "replay",
        ),
        "racewindow.search",
    ),
    **dict.fromkeys(
        (
            "Archive",
            "Capabilities",
            "Case",
            "EndedTicket",
            "Environment",
            "Handle",
            "Observation",
            "Refused",
            "Scenario",
            "SessionStore",
            "SynchronousHandle",
            "SynchronousStore",
            "SynchronousTicket",
            "Ticket",
            "story",
        ),
        "racewindow.sessions",
    ),
}
_LAZY_MODULES = ("adapters", "charts", "experiments", "search")


def case(
    implementation: str | type[SessionStore],
    scenario: str | Scenario,
    *,
    topology: Topology = "same-store",
    disk: Granularity = "suspending",
    time: TimeMode = "idle",
) -> Case:
    """An implementation in a scenario: what ``rw.experiments`` explores.

    Args:
        implementation: a :class:`SessionStore` class, or what the command line takes: a name, ``module:Class``, ``file.py:Class``.
        scenario: a scenario, the name of a story, or a text like ``"a: add m1; commit | b: reload; commit"``.
        topology: ``same-handle``, ``same-store`` or ``separate-stores``.
        disk: granularity: with ``suspending`` every storage call is a point, with ``atomic`` none is.
        time: ``idle``: timers fire when nothing else can run; ``adversarial``: at any moment.

    Raises:
        UsageError: there is no such implementation, story, topology, granularity or time mode, or the text is no scenario.
        Unsupported: the implementation needs a package that is not installed.

    >>> case("reference", "after-completion")
    <Case reference/after-completion/same-store/suspending>
    """
    from racewindow.implementations import implementation as named
    from racewindow.sessions import Case, story

    return Case(
        implementation=named(implementation) if isinstance(implementation, str) else implementation,
        scenario=story(scenario) if isinstance(scenario, str) else scenario,
        topology=topology,
        disk=disk,
        time=time,
    )


@overload
def shrink(subject: Case, failure: str | Token | Found, *, max_executions: int = ...) -> ShrunkCase: ...
@overload
def shrink(subject: Subject, failure: str | Token | Found, *, max_executions: int = ..., **options: Any) -> Shrunk: ...
def shrink(
    subject: Subject | Case, failure: str | Token | Found, *, max_executions: int | None = None, **options: Any
) -> Shrunk:
    """Find the simplest failure that is the same bug: of a case operations, clients and schedule, of any other subject the schedule.

    Args:
        subject: what failed, an async function or a :class:`Case`.
        failure: the failing schedule: its token, or what an exploration found.
        max_executions: schedules to run at most; default: :data:`racewindow.search.EXECUTIONS`.
        options: ``host``, ``limits``, ``name`` and ``checksum`` of a subject, as for :func:`explore`; a case has its own.

    Raises:
        UsageError: the budget makes no sense, the token belongs to another subject, or its schedule does not fail.
        ReplayDiverged: the subject changed since the token was made, or does not repeat itself.
    """
    from racewindow import search
    from racewindow.sessions import Case

    if max_executions is None:
        max_executions = search.EXECUTIONS
    if isinstance(subject, Case):
        from racewindow.experiments import shrink

        if options:
            raise UsageError(f"a case has its own {', '.join(options)}: leave that out")
        return shrink(subject, failure, max_executions=max_executions)
    return search.shrink(subject, failure, max_executions=max_executions, **options)


def __getattr__(name: str) -> Any:
    if name in _LAZY_MODULES:
        return importlib.import_module(f"racewindow.{name}")
    if name in _LAZY:
        value = globals()[name] = getattr(importlib.import_module(_LAZY[name]), name)
        return value
    raise AttributeError(f"module 'racewindow' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY, *_LAZY_MODULES})
