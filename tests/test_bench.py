"""The measurement of speed: its shape, and that its forms run the same program. How fast is nobody's business here."""

from __future__ import annotations

import json
import random
from functools import partial
from typing import Any

import pytest

import racewindow as rw
from bytecodes import executed
from racewindow.bench import subject
from racewindow.cli import main
from racewindow.cli.codes import CLEAN

HOSTS = {"trio": subject.on_trio, "asyncio": subject.on_asyncio}


def test_bench_prints_rates_memory_and_ratios(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--json", "--rounds", "2", "--schedules", "20"]) == CLEAN
    printed: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert set(printed["rates"]) == {"limit", "trio", "asyncio"}
    assert set(printed["ratios"]) == {"trio/limit", "asyncio/limit"}
    for rate in printed["rates"].values():
        assert 40 <= rate["steps"] < 60
        assert rate["steps_per_s"]["median"] > rate["schedules_per_s"]["median"] > 0
        assert rate["memory_peak_kib"] > 0
    for ratio in printed["ratios"].values():
        assert 0 < ratio["low"] <= ratio["median"] <= ratio["high"]
    assert (printed["rounds"], printed["schedules"]) == (2, 20)


def test_bench_tells_people_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--rounds", "1", "--schedules", "20"]) == CLEAN
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["form", "limit", "trio", "asyncio"]


@pytest.mark.parametrize("host", HOSTS)
def test_the_subject_has_forty_points_a_lock_and_a_background_task(host: str) -> None:
    runs: list[rw.Run] = []
    rw.explore(HOSTS[host]("correct"), schedules=5, host=host, on_run=runs.append)
    for run in runs:
        labels = [step.label for step in run.trace]
        names = ("add/", "commit/", "switch/", "reload/", "think", "extract")
        assert sum(label.startswith(names) for label in labels) == 40
        assert len({step.task for step in run.trace}) == 4
    assert any("Lock.acquire" in step.label for run in runs for step in run.trace)


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("variant", ["easy", "narrow"])
def test_its_faulty_variants_are_caught(host: str, variant: str) -> None:
    found = rw.explore(HOSTS[host](variant), schedules=2000, seed=1, host=host, stop_at_first=True)
    assert found.first is not None
    assert found.first.violation is not None
    assert found.first.violation.kind == "ArchivedTwice"


@pytest.mark.parametrize("variant", ["easy", "narrow"])
def test_bare_coroutines_find_them_too(variant: str) -> None:
    def search(rng: random.Random) -> None:
        for _ in range(2000):
            subject.bare_schedule(variant, rng)

    with pytest.raises(subject.ArchivedTwice):
        search(random.Random(1))


def test_the_limit_takes_the_steps_of_the_trio_host() -> None:
    """Fewer, and the ratio would tell of a shorter program."""
    rng = random.Random(1)
    found = rw.explore(subject.on_trio("correct"), schedules=20).found
    assert {run.steps for run in found} == {subject.bare_schedule("correct", rng) for _ in range(20)}


@pytest.mark.parametrize("host", HOSTS)
def test_a_point_takes_the_same_work_in_short_and_long_schedules(host: str) -> None:
    """And little more among sixteen clients than between two: with more of them the strategy switches more often. No clock is asked."""

    def work(clients: int, points: int) -> float:
        async def subject(world: rw.World) -> None:
            async def client() -> None:
                for _ in range(points):
                    await world.point("here")

            await world.together(*(client for _ in range(clients)))

        def run(schedules: int) -> None:
            rw.explore(subject, host=host, schedules=schedules)

        run(1)
        few, more = (executed(partial(run, schedules)).total() for schedules in (1, 3))  # the first is run twice
        return (more - few) / 2

    def of_a_point(clients: int, points: int) -> float:
        return (work(clients, 2 * points) - work(clients, points)) / (clients * points)

    short, long, many = of_a_point(2, 30), of_a_point(2, 240), of_a_point(16, 15)
    assert abs(long / short - 1) < 0.05
    assert 0.8 < many / short < 1.4
