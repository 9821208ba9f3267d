"""Crash maps: every point, every fate, every second fault; and what brute force says of the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import product
from typing import Any

import pandas as pd
import pytest

import racewindow as rw
from racewindow.disk import Granularity
from racewindow.experiments import crashes, replay_and_tell
from racewindow.experiments._stricken import stricken
from racewindow.frames import CRASHES, conform, crash_points
from racewindow.kernel.engine import Engine
from racewindow.kernel.hosts import run_on
from racewindow.kernel.run import Run
from racewindow.kernel.task import Task
from racewindow.kernel.token import Token
from racewindow.sessions.case import Case
from racewindow.sessions.history import History
from racewindow.sessions.scenario import CrashFault, Scenario, Topology

ADD = "a: add m1"
COMMIT = "a: add m1; commit nowait; wait"


def case(
    implementation: str, text: str = COMMIT, topology: Topology = "same-store", disk: Granularity = "suspending"
) -> Case:
    return rw.case(implementation, text, topology=topology, disk=disk)


def kinds(run: Run) -> str:
    return "+".join(dict.fromkeys(violation.kind for violation in run.violations))


class Brute:
    """One schedule, by a list of choices: 0 goes on in default order, 1 lets the striker have a step. It knows nothing of the map."""

    every_step = True

    def __init__(self, striker: str, script: tuple[int, ...], fates: tuple[int, ...]) -> None:
        self.striker = striker
        self.script = list(script)
        self.fates = list(fates)
        self.asked: list[int] = []
        self.last = -1

    def choose(self, enabled: list[Task], current: int) -> int:
        names = [task.name.partition(".")[0] for task in enabled]
        deciding = [place for place, name in enumerate(names) if name.startswith("disk/")]
        if "power-loss" in names or "crash" in names:
            return names.index("power-loss" if "power-loss" in names else "crash")
        if deciding:
            self.asked.append(len(deciding))
            return deciding[self.fates[len(self.asked) - 1] if len(self.asked) <= len(self.fates) else 0]
        if names[0] == "main":
            return 0
        if not self.script:
            turn = next((place for place, task in enumerate(enabled) if task.index > self.last), 0)
            chosen = current if current >= 0 else turn
            self.last = enabled[chosen].index
            return chosen
        others = [place for place, name in enumerate(names) if name != self.striker]
        if self.script[0] == 0 and others:
            self.script.pop(0)
            return current if current in others else others[0]
        at = self.script.index(1)
        self.script = self.script[at + 1 :]
        return names.index(self.striker)


def execute(case: Case, chooser: Brute, engine: Engine) -> Run:
    return engine.execute(case.subject(), chooser, case.limits)


def every_fate(case: Case, striker: str, script: tuple[int, ...]) -> Iterator[tuple[Run, tuple[int, ...]]]:
    """The schedules of a script, one for each combination of fates: all products are tried, and those that were not asked for left out."""
    seen = set()
    tried: list[tuple[int, ...]] = [()]
    for fates in tried:
        chooser = Brute(striker, script, fates)
        run = run_on(case.implementation.host, partial(execute, case, chooser))
        taken = (*fates, *[0] * len(chooser.asked))[: len(chooser.asked)]
        if taken not in seen:
            seen.add(taken)
            yield run, taken
            for place in range(len(fates), len(chooser.asked)):
                tried += [(*taken[:place], other) for other in range(1, chooser.asked[place])]


def by_force(case: Case, fault: CrashFault, policy: str, points: int, second: int = -1) -> list[tuple[int, int, str]]:
    """(point, second point, kinds of violation) of every cell, in any order."""
    story = stricken(case.scenario, fault, policy, strikes=1 + (second >= 0))
    struck = replace(case, scenario=story.scenario)
    found = []
    blows = [(point, later) for point, later in product(range(points), range(second + 1) if second >= 0 else (-1,))]
    for point, later in blows:
        script = (0,) * point + (1,)
        if later >= 0:
            again = (1, 1) if policy == "any" else (1,)  # it has to hear first that the power is back
            script += (0,) * later + again
        found += [(point, later, kinds(run)) for run, _ in every_fate(struck, story.striker, script)]
    return found


def mapped(case: Case, fault: CrashFault, policy: str) -> list[tuple[int, int, str]]:
    result = crashes(case, fault=fault, policies=[policy] if policy else ["lose-unsynced"])
    return [(row.point, row.second, row.violation) for row in result.frame.itertuples()]


SMALL: list[tuple[str, str, CrashFault, str, Topology]] = [
    ("reference", ADD, "process-crash", "", "same-store"),
    ("reference", ADD, "process-crash", "", "separate-stores"),
    ("reference-without-fsync", ADD, "power-loss", "torn", "same-store"),
    ("path-lock", COMMIT, "process-crash", "", "separate-stores"),
    ("locked-intent", ADD, "process-crash", "", "same-store"),
]
LARGER: list[tuple[str, str, CrashFault, str, Topology]] = [
    ("reference", ADD, "power-loss", "any", "same-store"),
    ("reference-without-live-fsync", ADD, "power-loss", "any", "same-store"),
    ("locked-intent", COMMIT, "process-crash", "", "same-store"),
]


EVERY = [*SMALL, *(pytest.param(*each, marks=pytest.mark.exhaustive) for each in LARGER)]


class TestByBruteForce:
    @pytest.mark.parametrize(("implementation", "text", "fault", "policy", "topology"), EVERY)
    def test_the_map_is_what_every_schedule_says(
        self, implementation: str, text: str, fault: CrashFault, policy: str, topology: Topology
    ) -> None:
        subject = case(implementation, text, topology)
        found = mapped(subject, fault, policy)
        points = max(point for point, _, _ in found) + 1
        assert sorted(found) == sorted(by_force(subject, fault, policy, points))

    def test_a_map_with_merging_is_the_map_without(self) -> None:
        for fault, implementation, text, topology in (
            ("power-loss", "reference-without-live-fsync", ADD, "same-store"),
            ("process-crash", "reference", "a: add m1; reload; reload", "separate-stores"),
        ):
            subject = case(implementation, text, topology)  # type: ignore[arg-type]
            merged, plain = (
                crashes(subject, fault=fault, policies=["lose-unsynced", "any"], merging=merging)  # type: ignore[arg-type]
                for merging in (True, False)
            )
            columns = [column.name for column in CRASHES if column.name not in ("merged_with", "schedules", "failures")]
            assert merged.merged > 0
            assert merged.schedules < plain.schedules
            assert merged.frame[columns].equals(plain.frame[columns]), "the tokens too"

    @pytest.mark.exhaustive
    def test_a_second_fault_strikes_at_every_point_of_the_recovery(self) -> None:
        subject = case("path-lock", "a: add m1; commit")
        frame = crashes(subject, second=True).frame
        twice = frame[frame["second"] >= 0]
        forced = by_force(subject, "process-crash", "", int(twice["point"].max()) + 1, int(twice["second"].max()))
        for point, cells in twice.groupby("point"):
            found = list(zip(cells["point"], cells["second"], cells["violation"], strict=True))
            assert found == [each for each in forced if each[0] == point][: len(found)]
            if len(found) == 1:  # it recovers from what an earlier point left, so that nothing new can follow
                twin = frame.loc[cells["merged_with"].item(), "point"]
                assert twin < point
                same = [[kinds for at, _, kinds in forced if at == each] for each in (twin, point)]
                assert same[0] == same[1]
        assert max(twice.groupby("point").size()) > 1
        assert "failed" in set(twice["outcome"])


def replayed(subject: Case, token: str) -> Run:
    told = Case.named(Token.parse(token).subject, lambda name: subject.implementation)
    return replay_and_tell(told, token)[0]


class TestCells:
    def test_every_token_replays_to_what_its_cell_says(self) -> None:
        """Those of merged cells, too, which were put together from two schedules."""
        subject = case("reference-without-live-fsync", ADD)
        result = crashes(subject, fault="power-loss", policies=["lose-unsynced"], second=True)
        assert {"ok", "failed"} == set(result.frame["outcome"])
        some = result.frame.iloc[::6]
        assert (some["merged_with"] >= 0).sum() > 5
        for row in some.to_dict("records"):
            run = replayed(subject, row["token"])
            assert kinds(run) == row["violation"]
            assert isinstance(run.result, History)
            assert len(run.result.crashes) == 1 + (row["second"] >= 0), "the fault fired, as often as it says"

    @pytest.mark.parametrize("text", [ADD, pytest.param(COMMIT, marks=pytest.mark.exhaustive)])
    def test_the_reference_stands_every_fault_at_every_point(self, text: str) -> None:
        for topology, fault in (
            ("same-store", "process-crash"),
            ("separate-stores", "process-crash"),
            ("same-store", "power-loss"),
            ("same-store", "cancel"),
        ):
            result = crashes(case("reference", text, topology), fault=fault)  # type: ignore[arg-type]
            assert result.complete
            assert result.baseline == ()
            assert set(result.frame["outcome"]) <= {"ok", "infeasible"}
            assert len(result.frame) > (7 if text == ADD else 30)

    @pytest.mark.exhaustive
    def test_the_reference_stands_a_second_crash_during_recovery(self) -> None:
        result = crashes(case("reference", ADD), fault="process-crash", second=True)
        assert (result.frame["second"] >= 0).sum() > 50
        assert set(result.frame["outcome"]) == {"ok"}

    @pytest.mark.parametrize(
        ("mutant", "policy", "others"),
        [
            ("reference-without-live-fsync", "lose-unsynced", {"keep-all", "torn"}),
            ("reference-without-fsync", "torn", {"keep-all"}),
        ],
    )
    def test_a_policy_shows_what_a_missing_fsync_loses(self, mutant: str, policy: str, others: set[str]) -> None:
        result = crashes(case(mutant, ADD), fault="power-loss", policies=[policy, *sorted(others)])
        failing = result.frame[result.frame["outcome"] == "failed"]
        assert set(failing["policy"]) == {policy}

    @pytest.mark.exhaustive
    def test_reordering_shows_what_losing_everything_does_not(self) -> None:
        """The rename is lost and what was written behind it survives, although that came later."""
        points = crash_points(
            crashes(case("reference-without-rename-fsync"), fault="power-loss", policies=["lose-unsynced", "any"]).frame
        )
        failing = points[points["outcome"] == "failed"].groupby("policy", observed=True)["point"].min()
        assert failing["any"] < failing["lose-unsynced"]

    def test_without_recovery_a_crash_strands_what_was_claimed(self) -> None:
        result = crashes(case("path-lock"), fault="process-crash")
        assert "nothing-stranded" in set(result.frame["violation"])

    def test_nothing_is_struck_where_no_operation_is_under_way(self) -> None:
        frame = crashes(case("reference", ADD), fault="cancel").frame
        assert frame["outcome"].iloc[[0, -1]].tolist() == ["infeasible", "infeasible"]
        assert (frame["before_step"] == "").tolist() == [False] * (len(frame) - 1) + [True]

    def test_more_delays_mean_more_schedules_for_each_cell(self) -> None:
        subject = case("path-lock", ADD)
        none, one = (crashes(subject, delays=delays, merging=False).frame for delays in (0, 1))
        assert len(none) == len(one)
        assert (none["schedules"] == 1).all()
        assert (one["schedules"] > 1).all()

    def test_where_there_is_more_than_was_to_be_tried_a_row_says_so(self) -> None:
        frame = crashes(
            case("reference-without-directory-fsync", ADD), fault="power-loss", policies=["any"], ways_max=2
        ).frame
        cut = frame[frame["outcome"] == "unknown"]
        assert set(cut["persisted"]) == {"more than 2 ways"}
        assert frame.groupby("point").size().max() == 3


class TestStories:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("a: add m1; commit", "a: add m1; commit | x: crash a | z: after x; reload; add m2; commit; reload"),
            (
                "s: add m1 | a: after s; reload; commit nowait; wait | x: after s; crash a | b: after x; add m2; commit",
                "s: add m1 | a: after s; reload; commit nowait; wait | b: after x; add m2; commit | x: crash a",
            ),
            (
                "a: add m1; crash | x: add m2",
                "a: add m1 | x: add m2 | x2: crash a | z: after x2; reload; add m3; commit; reload",
            ),
        ],
    )
    def test_the_fault_takes_the_place_of_those_that_were_there(self, text: str, expected: str) -> None:
        assert stricken(Scenario.parse(text), "process-crash", "").scenario.text == expected

    def test_a_scenario_without_anybody_to_strike_is_refused(self) -> None:
        with pytest.raises(rw.UsageError, match="no client 'q'"):
            crashes(case("reference", ADD), victim="q")

    @pytest.mark.parametrize(
        ("options", "says"),
        [
            ({"fault": "fire"}, "unknown fault 'fire'"),
            ({"fault": "power-loss", "policies": ["half"]}, "unknown persistence policy 'half'"),
            ({"fault": "power-loss", "policies": []}, "needs a persistence policy"),
            ({"fault": "cancel", "second": True}, "does not recover"),
            ({"ways_max": 0}, "ways_max=0"),
        ],
    )
    def test_bad_input_is_refused(self, options: dict[str, Any], says: str) -> None:
        with pytest.raises(rw.UsageError, match=says):
            crashes(case("reference", ADD), **options)

    def test_what_promises_nothing_is_not_mapped(self) -> None:
        result = crashes(case("path-lock"), fault="power-loss")
        assert "does not promise" in result.not_applicable
        assert len(result.frame) == 0

    def test_a_time_limit_leaves_what_there_is(self) -> None:
        result = crashes(case("reference"), time_limit_s=0.1)
        assert not result.complete
        assert result.reason == "the time was up"
        assert conform(result.frame, CRASHES, "crashes").equals(result.frame)


def test_one_map_given_twice_is_refused() -> None:
    frame = crashes(case("path-lock", ADD)).frame
    with pytest.raises(rw.UsageError, match="is there twice"):
        crash_points(pd.concat([frame, frame]))
