"""The pytest plugin: ``@pytest.mark.race`` on an async test that takes ``world``, and a fixture ``race`` for session stores.

It is loaded in every run of pytest where racewindow is installed, so it imports nothing heavy before there is a race test: no trio, no
Hypothesis, no pandas.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from racewindow.errors import UsageError
from racewindow.pytest_plugin._marker import MARKER, Marked, marked, synchronous
from racewindow.pytest_plugin._outcome import Outcome, RaceFailure, outcomes, summary
from racewindow.pytest_plugin._settings import Settings, add_options

if TYPE_CHECKING:
    from racewindow.pytest_plugin._fixture import Race

_SETTINGS = pytest.StashKey[Settings]()
_MARKED = pytest.StashKey[Marked]()
_ASKED = pytest.StashKey["Race"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", MARKER)
    config.stash[_SETTINGS] = Settings.of(config)


def pytest_report_header(config: pytest.Config) -> str:
    return config.stash[_SETTINGS].header


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """pytest-xdist: with ``--dist each`` all workers run every test, so each gets seeds of its own."""
    if node.config.getoption("dist") == "each":
        names = [spec.id for spec in node.nodemanager.specs]
        node.workerinput["race_share"] = (names.index(node.gateway.id), len(names))


# -- collecting ------------------------------------------------------------------------------------------------------------


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_pycollect_makeitem() -> Generator[None, Any, Any]:
    """Innermost: plugins that take async functions for themselves see a race test only when it is none any more."""
    collected = yield
    for item in collected if isinstance(collected, list) else ():
        if isinstance(item, pytest.Function) and (test := marked(item)) is not None:
            item.stash[_MARKED] = test
            item.obj = synchronous(test.function, _runner(item))
    return collected


def _runner(item: pytest.Function) -> Any:
    def run(arguments: dict[str, Any]) -> None:
        from racewindow.pytest_plugin._subject import RaceTest

        __tracebackhide__ = True
        outcome = RaceTest(item, item.stash[_MARKED], item.config.stash[_SETTINGS], arguments).run()
        item.user_properties.extend(outcome.properties())

    return run


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With a token, its test is all that is run; one that asks with ``race`` finds out for itself whether it is meant."""
    token = config.stash[_SETTINGS].replay
    if not token:
        return
    from racewindow.kernel.token import Token

    subject = Token.parse(token).subject
    kept = [item for item in items if item.nodeid == subject and _MARKED in item.stash]
    kept = kept or [item for item in items if "race" in getattr(item, "fixturenames", ())]
    if items and not kept:
        raise pytest.UsageError(
            f"--race-replay: the token belongs to {subject!r}, which is none of the collected tests"
        )
    gone = [item for item in items if item not in kept]
    if gone:
        config.hook.pytest_deselected(items=gone)
        items[:] = kept


# -- fixtures --------------------------------------------------------------------------------------------------------------


class _NoWorld:
    """Stands for the world while no schedule runs."""

    def __getattr__(self, name: str) -> NoReturn:
        raise UsageError(
            f"world.{name} was used before a schedule began: fixtures are made once for each test, and a world is made for each "
            "schedule; use it in the test function"
        )


@pytest.fixture
def world(request: pytest.FixtureRequest) -> object:
    """The world of one schedule; only for tests with the marker ``race``, and only in the test function itself."""
    if _MARKED not in request.node.stash:
        raise UsageError("world is for tests with the marker race: put @pytest.mark.race on an async test function")
    return _NoWorld()


@pytest.fixture
def race(request: pytest.FixtureRequest) -> Race:
    """Asks session stores about scenarios: ``race.prove(MyStore, "a: add m1; commit | b: reload; commit")``, ``race.fuzz(...)``."""
    from racewindow.pytest_plugin._fixture import Race

    asked = request.node.stash[_ASKED] = Race(request.node, request.config.stash[_SETTINGS])
    return asked


# -- reporting -------------------------------------------------------------------------------------------------------------


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failed race is told as it is: the traceback would be of the plugin."""
    report = yield
    if call.excinfo is not None and isinstance(call.excinfo.value, RaceFailure) and report.failed:
        told = call.excinfo.getrepr(style="value")
        if told.reprcrash is not None:
            told.reprcrash.message = str(call.excinfo.value).partition("\n")[
                0
            ]  # for the short summary, and JUnit's message
        report.longrepr = told
    asked = item.stash.get(_ASKED, None)
    if (
        call.when == "call"
        and report.passed
        and asked is not None
        and item.config.stash[_SETTINGS].replay
        and not asked.matched
    ):
        report.outcome = "skipped"  # it would look as if the schedule was fixed
        path, line, _ = item.location
        report.longrepr = (path, (line or 0) + 1, "Skipped: the token belongs to no store that this test asks about")
    return report


def pytest_terminal_summary(terminalreporter: Any) -> None:
    found: list[Outcome] = []
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, "when", "") == "call":
                found += outcomes(report.user_properties)
    if not found:
        return
    terminalreporter.section("races")
    for line in summary(found, verbose=terminalreporter.config.get_verbosity() > 0):
        terminalreporter.line(line)
