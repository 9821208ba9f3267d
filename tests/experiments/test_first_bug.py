"""first_bug: censored searches are counted as what they are."""

from __future__ import annotations

import importlib.util
from functools import partial
from math import comb, inf
from pathlib import Path

import pandas as pd
import pytest
from tests.races import intruder, lost_update

import racewindow as rw
from racewindow.experiments import FirstBug, first_bug
from racewindow.frames import FIRST_BUG, LOGRANK, RATES, SURVIVAL, first_bug_frame
from racewindow.kernel import Subject

late = intruder(12, 11)
"""A window late in a long operation: random walks hardly come there."""


async def sound(world: rw.World) -> None:
    await world.point("p")


def made(*searches: tuple[str, int, bool]) -> FirstBug:
    rows = [
        {"subject": "s", "strategy": strategy, "seed": seed, "schedules": schedules, "found": found}
        for seed, (strategy, schedules, found) in enumerate(searches)
    ]
    return FirstBug(frame=first_bug_frame(rows), schedules=100)


def names(frame: pd.DataFrame) -> list[str]:
    return [str(name) for name in frame.columns]


class TestFrames:
    def test_one_row_for_each_search(self) -> None:
        """Subject by strategy by seed, with a token that replays what was found."""
        result = first_bug(lost_update, strategies=["random-walk", rw.PCT(2)], seeds=range(3), schedules=50)
        frame = result.frame
        assert names(frame) == [column.name for column in FIRST_BUG]
        assert list(frame["strategy"]) == ["random-walk", "pct:depth=2"] * 3
        assert list(frame["seed"]) == [0, 0, 1, 1, 2, 2]
        assert frame["found"].all()
        assert set(frame["violation"]) == {"lost-update"}
        for row in frame.to_dict("records"):
            assert rw.replay(lost_update, row["token"]).verdict == "failed"
        assert repr(result) == "<FirstBug searches=6 finds=6 schedules<=50>"

    def test_the_row_is_that_of_the_search(self) -> None:
        """As many schedules as the exploration took that stops at the first."""
        frame = first_bug(late, strategies=["urw"], seeds=[7], schedules=500).frame
        alone = rw.explore(late, strategy=rw.URW(), seed=7, schedules=500, stop_at_first=True)
        assert list(frame["schedules"]) == [alone.schedules]

    def test_a_search_without_a_find_is_censored(self) -> None:
        """It is in all schedules, and in no find."""
        result = first_bug(sound, strategies=["random-walk"], seeds=range(4), schedules=10)
        (rate,) = result.rates.to_dict("records")
        assert not result.frame["found"].any()
        assert (rate["schedules"], rate["finds"], rate["mean"], rate["median"]) == (40, 0, inf, inf)
        assert rate["mean_low"] == pytest.approx(1 / (1 - 0.025 ** (1 / 40)))
        assert result.logrank.empty

    def test_columns_are_those_that_are_documented(self) -> None:
        """Of all tables, also of empty ones."""
        for result in (made(("a", 3, True), ("b", 5, False)), made()):
            assert names(result.rates) == [column.name for column in RATES]
            assert names(result.survival) == [column.name for column in SURVIVAL]
            assert names(result.logrank) == [column.name for column in LOGRANK]

    def test_of_a_case(self) -> None:
        """Sessions are searched as fuzz does."""
        case = rw.case("path-lock", "free-running", topology="separate-stores")
        result = first_bug(case, strategies=["burst"], seeds=range(2), schedules=200)
        assert list(result.frame["subject"]) == [case.name] * 2
        assert result.frame["found"].all()


class TestNumbers:
    def test_the_mean_is_all_schedules_over_all_finds(self) -> None:
        """Never over the successes only: that would be 5 here."""
        (rate,) = made(("a", 5, True), ("a", 100, False), ("a", 100, False)).rates.to_dict("records")
        assert (rate["mean"], rate["finds"], rate["searches"]) == (205.0, 1, 3)
        assert rate["mean_low"] < 205 < rate["mean_high"]
        assert rate["median"] == inf

    def test_the_best_comes_first(self) -> None:
        """By the mean."""
        rates = made(("slow", 90, True), ("fast", 2, True), ("never", 100, False)).rates
        assert list(rates["strategy"]) == ["fast", "slow", "never"]

    def test_the_curve_is_kaplan_and_meiers(self) -> None:
        """Textbook: 1 - 1/4, then times 1 - 1/2 after one was censored; a tie of both counts the find first."""
        curve = made(("a", 2, True), ("a", 3, False), ("a", 5, True), ("a", 9, False)).survival
        assert list(curve["schedules"]) == [0, 2, 3, 5, 9]
        assert list(curve["survival"]) == pytest.approx([1, 0.75, 0.75, 0.375, 0.375])
        assert list(curve["censored"]) == [0, 0, 1, 0, 1]
        assert (curve["low"] <= curve["survival"]).all()
        assert (curve["survival"] <= curve["high"]).all()

    def test_the_estimate_is_that_of_the_geometric_distribution(self) -> None:
        """URW hits one gap of 13 with 1/13: so 13 schedules on average, within the 99.9 % interval."""
        from racewindow.statistics import interval

        (rate,) = first_bug(late, strategies=["urw"], seeds=range(40), schedules=60).rates.to_dict("records")
        low, high = interval(rate["schedules"], rate["finds"], confidence=0.999)
        assert low < 1 / 13 < high

    def test_log_rank_tells_a_better_strategy(self) -> None:
        """Late in an operation a uniform sampler is ahead of a coin, and the statistic has the sign of the first one."""
        result = first_bug(late, strategies=["urw", "random-walk"], seeds=range(12), schedules=40)
        (row,) = result.logrank.to_dict("records")
        assert (row["one"], row["other"]) == ("urw", "random-walk")
        assert row["statistic"] > 0
        assert row["pvalue"] < 0.01


class TestBudgets:
    def test_stops_when_the_time_is_up(self) -> None:
        """What was finished is kept."""
        result = first_bug(sound, strategies=["urw"], seeds=range(5), time_limit_s=1e-9)
        assert (result.interrupted, len(result.frame)) == (True, 0)

    def test_keeps_what_was_finished_when_interrupted(self) -> None:
        """A search that was cut by the user is neither a find nor censored where it was."""
        runs = 0

        async def subject(world: rw.World) -> None:
            nonlocal runs
            runs += 1
            if runs == 30:
                raise KeyboardInterrupt

        result = first_bug(subject, strategies=["random-walk"], seeds=range(9), schedules=10)
        assert result.interrupted
        assert set(result.frame["schedules"]) == {10}

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"strategies": []}, "at least one strategy"),
            ({"seeds": []}, "at least one strategy and one seed"),
            ({"schedules": 0}, "at least one schedule"),
            ({"time_limit_s": 0.0}, "must be positive"),
            ({"strategies": ["pct:depth=0"]}, "depth=0"),
            ({"strategies": ["bounded"]}, "one fixed order"),
            ({"strategies": ["auto"]}, "one fixed order"),
        ],
    )
    def test_what_makes_no_sense(self, options: dict[str, object], words: str) -> None:
        """One clear line each."""
        with pytest.raises(rw.UsageError, match=words):
            partial(first_bug, lost_update, **options)()  # type: ignore[arg-type]


def races() -> dict[str, Subject]:
    """The easy and the narrow race of benchmarks/first_bug.py."""
    path = Path(__file__).parents[2] / "benchmarks" / "first_bug.py"
    spec = importlib.util.spec_from_file_location("benchmarks_first_bug", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return dict(module.SUBJECTS)


@pytest.mark.slow
class TestRaces:
    def test_uniform_sampling_needs_at_most_25_schedules(self) -> None:
        """With the whole 95 % interval, and without being told where to look; a coin takes about 43 on the narrow one."""
        rates = first_bug(races(), strategies=["urw"], seeds=range(200)).rates
        assert (rates["finds"] == 200).all()
        assert (rates["mean_high"] < 25).all()

    def test_a_coin_takes_as_long_as_was_worked_out(self) -> None:
        """Both clients stand at the eighth of the other's steps at once: C(26, 8) / 2^26 on the narrow race."""
        (rate,) = first_bug({"narrow": races()["narrow"]}, strategies=["random-walk"], seeds=range(60)).rates.to_dict(
            "records"
        )
        assert rate["mean_low"] < 2**26 / comb(26, 8) < rate["mean_high"]

    def test_the_narrow_one_needs_a_preemption(self) -> None:
        """Run to block, in any order, it passes; one switch at the right point is enough."""
        narrow = races()["narrow"]
        assert rw.prove(narrow, preemptions=0).verdict == "proved"
        assert rw.prove(narrow, preemptions=1).verdict == "failed"
