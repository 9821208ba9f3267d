"""racewindow.strategies: what Hypothesis draws, how it shrinks, and what it remembers."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis.database import InMemoryExampleDatabase

import racewindow as rw
from racewindow.search.drawn import Drawn
from racewindow.strategies import check, scenarios, schedules

QUIET = settings(database=None, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


async def lost_update(world: rw.World) -> None:
    value = world.cell(0, name="v")

    async def increment() -> None:
        await value.write(await value.read() + 1)

    await world.together(increment, increment, increment)
    world.check(value.value == 3, "lost-update")


def fails(case: rw.Case, schedule: Drawn) -> bool:
    try:
        check(case, schedule)
    except rw.InvariantViolation:
        return True
    return False


class TestSchedules:
    def test_without_a_switch_it_is_the_default_order(self) -> None:
        runs: list[rw.Run] = []
        rw.prove(lost_update, preemptions=0, on_run=runs.append)
        assert check(lost_update, Drawn()).fingerprint == runs[0].fingerprint

    def test_the_smallest_failing_schedule_has_one_switch(self) -> None:
        """Hypothesis shrinks to it, because fewer and smaller numbers are a simpler schedule."""

        def lost(schedule: Drawn) -> bool:
            return rw.explore(lost_update, strategy=schedule, schedules=1).failures > 0

        assert len(find(schedules(), lost, settings=QUIET).switches) == 1

    @given(schedule=schedules(switches_max=6))
    @QUIET
    def test_a_schedule_repeats_itself(self, schedule: Drawn) -> None:
        runs: list[rw.Run] = []
        for _ in range(2):
            rw.explore(lost_update, strategy=schedule, schedules=1, on_run=runs.append)
        assert runs[0].fingerprint == runs[1].fingerprint

    @pytest.mark.parametrize("options", [{"switches_max": -1}, {"choices_max": -1}, {"switches_max": 1.5}])
    def test_bounds_that_make_no_sense(self, options: dict[str, int]) -> None:
        with pytest.raises(rw.UsageError, match="give a whole number of at least 0"):
            schedules(**options)

    def test_negative_switches(self) -> None:
        with pytest.raises(rw.UsageError, match="cannot be negative"):
            Drawn(((-1, 0),))


class TestScenarios:
    @given(scenario=scenarios(clients_max=3, crashes=True))
    @QUIET
    def test_every_one_makes_sense(self, scenario: rw.Scenario) -> None:
        """Its text is read back, and messages have ids of their own."""
        assert rw.story(scenario.text).text == scenario.text
        assert len(set(scenario.messages)) == len(scenario.messages)
        assert 1 <= len(scenario.clients) <= 4

    def test_both_together_find_and_shrink_a_race(self) -> None:
        """A design with a bug, no scenario given: few operations and few switches are left."""
        scenario, schedule = find(
            scenarios().flatmap(lambda each: schedules().map(lambda other: (each, other))),
            lambda pair: fails(rw.case("path-lock", pair[0], disk="atomic"), pair[1]),
            settings=settings(QUIET, max_examples=500),
        )
        assert sum(len(client.operations) for client in scenario.clients) <= 3
        assert len(schedule.switches) <= 1


class TestCheck:
    def test_a_failure_says_how_to_replay_it(self) -> None:
        failing = rw.explore(lost_update, strategy=Drawn(((1, 0),)), schedules=1)
        assert failing.failures, "the second choice is between the first read and its write"
        with pytest.raises(rw.InvariantViolation, match="lost-update") as caught:
            check(lost_update, Drawn(((1, 0),)))
        token = re.findall(r"rw2~\S+", str(caught.value))[0]
        assert rw.replay(lost_update, token).verdict == "failed"

    def test_a_case_has_options_of_its_own(self) -> None:
        with pytest.raises(rw.UsageError, match="a case has its own limits"):
            check(rw.case("reference", "a: add m1"), Drawn(), limits=rw.Limits())

    def test_a_case_that_says_nothing_is_no_pass(self) -> None:
        with pytest.raises(rw.UsageError, match="cannot be checked: it does not promise to survive a loss of power"):
            check(rw.case("path-lock", "acknowledged-then-power-loss"), Drawn())


def test_failures_are_kept_in_the_example_database_and_run_first() -> None:
    """The second run draws nothing new, and fails with what the first one found."""
    database = InMemoryExampleDatabase()
    seen: list[Drawn] = []

    def make(*phases: Phase) -> Callable[[], None]:
        @settings(database=database, deadline=None, phases=phases)
        @given(schedule=schedules())
        def test(schedule: Drawn) -> None:
            seen.append(schedule)
            check(lost_update, schedule)

        return test

    with pytest.raises(rw.InvariantViolation):
        make(Phase.generate, Phase.shrink)()
    smallest = seen[-1]
    assert any(database.data.values())
    seen.clear()
    with pytest.raises(rw.InvariantViolation):
        make(Phase.reuse)()
    assert seen[0] == smallest


def test_nothing_else_imports_hypothesis() -> None:
    code = "import sys, racewindow, racewindow.search, racewindow.experiments; print('hypothesis' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out == "False\n"
