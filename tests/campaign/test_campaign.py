"""Campaigns: cut into ranges, done by anybody, added up in any order, interrupted, killed, and gone on with."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from concurrent.futures import BrokenExecutor, Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import racewindow as rw
from racewindow.campaign import Folder, Part, Plan, Proof, ThisProcess, campaign, plan_of, pool_of
from racewindow.campaign import _plan as plans
from racewindow.campaign._part import Sum, do_range
from racewindow.experiments import Budget, compare, fuzz, prove

RACE = rw.case("copy-on-write", "after-completion", disk="atomic")
SAFE = rw.case("reference", "two-commits", disk="atomic")


@pytest.fixture(autouse=True)
def small_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plans, "RANGE_MIN", 10)


def plan_with(schedules: int | None = 40, *cases: rw.Case, seed: int = 3) -> Plan:
    return plan_of(cases or [RACE], strategies=[rw.RandomWalk(), rw.PCT()], schedules=schedules, seed=seed)


class TestPlan:
    @pytest.mark.parametrize("schedules", [1, 9, 10, 11, 40])
    def test_every_schedule_is_in_one_range(self, schedules: int) -> None:
        ranges = list(plan_with(schedules, RACE, SAFE).ranges())
        assert [each.number for each in ranges] == list(range(len(ranges)))
        for job in range(4):
            seen = [
                n for each in ranges if each.job == job for n in range(each.first, each.first + (each.schedules or 0))
            ]
            assert seen == list(range(schedules))

    def test_proofs_come_first_and_samples_take_turns(self) -> None:
        plan = plan_of([RACE, SAFE], strategies=[rw.RandomWalk(), rw.Auto()], schedules=20, proof=Proof())
        assert [each.job for each in plan.ranges()] == [0, 2, 3, 5, 1, 4, 1, 4]

    def test_the_size_of_a_range_follows_from_the_budget_alone(self) -> None:
        assert plans.range_size(20_000_000) == plans.RANGE_MAX
        assert {each.schedules for each in plan_with(40).ranges()} == {10}

    def test_nothing_to_do(self) -> None:
        with pytest.raises(rw.UsageError, match="nothing to do"):
            plan_of([], strategies=[rw.RandomWalk()], schedules=1)
        with pytest.raises(rw.UsageError, match="at least one schedule"):
            plan_with(0)
        with pytest.raises(rw.UsageError, match="never ends: give a time limit"):
            campaign(plan_with(None))


class TestSums:
    def test_a_strategy_without_memory_does_what_one_search_does(self, tmp_path: Path) -> None:
        """The oracle is a search that knows nothing of ranges."""
        plan = plan_of([RACE], strategies=[rw.RandomWalk()], schedules=35, seed=3)
        folder = Folder(tmp_path, plan)
        (result,) = campaign(plan, folder=folder).results
        alone = fuzz(RACE, schedules=35, seed=3)
        rows = folder.runs()[list(alone.runs.columns)]
        assert rows.equals(alone.runs)
        assert result.row == alone.row
        assert (result.goals, result.noted, result.kinds) == (alone.goals, alone.noted, alone.kinds)

    def test_a_proof_is_that_of_prove(self) -> None:
        plan = plan_of([SAFE], strategies=[], schedules=None, proof=Proof(preemptions=1))
        (result,) = campaign(plan, time_limit_s=600).results
        assert result.row == prove(SAFE, preemptions=1, max_executions=250).row

    @pytest.mark.parametrize("seed", range(3))
    def test_the_order_of_the_parts_makes_no_difference(self, seed: int) -> None:
        plan = plan_with(40)
        parts = [do_range(plan.jobs[each.job], each, 3, None, False) for each in plan.ranges() if each.job == 0]
        expected = Sum(plan, 0)
        for part in parts:
            expected.add(replace(part, seconds=0.0))
        random.Random(seed).shuffle(parts)
        shuffled = Sum(plan, 0)
        for part in parts:
            shuffled.add(replace(part, seconds=0.0))
        assert shuffled.result == expected.result

    def test_a_part_survives_its_file(self) -> None:
        plan = plan_with(20)
        part = do_range(plan.jobs[0], next(plan.ranges()), 3, None, False)
        assert part.examples
        assert Part.from_json(part.to_json()) == part

    def test_goals_and_unknowns_add_up(self) -> None:
        plan = plan_with(20, SAFE)
        (first, second) = (do_range(plan.jobs[0], each, 3, None, False) for each in plan.ranges() if each.job == 0)
        both = Sum(plan, 0)
        both.add(replace(first, reached=()))
        missed = both.result
        assert missed is not None
        assert (missed.verdict, "no schedule reached the goal" in missed.reason) == ("unknown", True)
        both.add(second)
        reached = both.result
        assert reached is not None
        assert (reached.verdict, reached.schedules) == ("passed", 20)
        both.add(replace(second, verdict="unknown", reason="a limit"))
        unknown = both.result
        assert unknown is not None
        assert (unknown.verdict, unknown.reason) == ("unknown", "a limit")

    def test_a_store_that_breaks_the_rules_is_unknown_and_no_other_is(self) -> None:
        class Careless(RACE.implementation):  # type: ignore[misc,name-defined]
            name = "careless"

            @classmethod
            def observe(cls, env: Any) -> Any:
                raise KeyError("live")

        plan = plan_with(10, replace(RACE, implementation=Careless), SAFE)
        verdicts = {(each.case.implementation.name, each.verdict) for each in campaign(plan).results}
        assert verdicts == {("careless", "unknown"), ("reference", "passed")}


class TestResume:
    def test_after_an_interrupt_nothing_is_lost_and_nothing_repeated(self, tmp_path: Path) -> None:
        plan = plan_with(40, RACE, SAFE)
        expected = Folder(tmp_path / "whole", plan)
        whole = campaign(plan, folder=expected)
        folder, fresh = Folder(tmp_path / "runs", plan), []

        def stop(part: Part, again: bool) -> None:
            if part.number == 5:
                raise KeyboardInterrupt

        first = campaign(plan, folder=folder, on_part=stop)
        assert (first.interrupted, first.ranges) == (True, 6)
        done = campaign(
            plan, folder=folder, on_part=lambda part, again: fresh.append(part.number) if not again else None
        )
        assert (done.resumed, done.ranges, fresh) == (6, 16, list(range(6, 16)))
        assert folder.runs().equals(expected.runs())
        assert done.frame.equals(whole.frame)

    def test_a_range_that_time_cut_short_is_done_again_whole(self, tmp_path: Path) -> None:
        plan = plan_with(20)
        folder = Folder(tmp_path, plan)
        part = next(plan.ranges())
        cut = do_range(plan.jobs[0], replace(part, schedules=4), 3, None, True)
        folder.write(replace(cut, whole=False))
        assert list(folder.done()) == []
        done = campaign(plan, folder=folder)
        assert (done.resumed, done.schedules, len(folder.runs())) == (0, 40, 40)

    def test_time_that_is_up(self) -> None:
        done = campaign(plan_with(None, SAFE), time_limit_s=1e-6)
        assert (done.timed_out, done.schedules) == (True, 0)

    def test_another_campaign_in_the_folder(self, tmp_path: Path) -> None:
        Folder(tmp_path, plan_with(20))
        Folder(tmp_path, plan_with(20))
        with pytest.raises(rw.UsageError, match="holds another campaign"):
            Folder(tmp_path, plan_with(30))

    def test_a_file_that_is_none_of_ours(self, tmp_path: Path) -> None:
        plan = plan_with(20)
        folder = Folder(tmp_path, plan)
        (tmp_path / "part-0000001.parquet").write_bytes(b"PAR1")
        with pytest.raises(rw.UsageError, match=r"part-0000001.parquet is no part of a campaign .* delete it"):
            campaign(plan, folder=folder)
        (tmp_path / "_campaign.json").unlink()
        with pytest.raises(rw.UsageError, match="parts of a campaign without"):
            Folder(tmp_path, plan)

    @pytest.mark.exhaustive
    def test_a_driver_that_is_killed(self, tmp_path: Path) -> None:
        """SIGKILL after the third range; its workers end with it; then the same again."""
        psutil = pytest.importorskip("psutil")
        story = ("fuzz", "copy-on-write", "after-completion", "--topology", "same-store", "--disk", "atomic")
        argv = (*story, "--schedules", "3500", "--no-shrink", "--runs")
        code = (
            "import os, psutil, signal, sys\nfrom racewindow.campaign import _folder\nwrite = _folder.Folder.write\n"
            "def writes(self, part):\n    write(self, part)\n"
            "    if part.number != 2: return\n"
            "    print(*(each.pid for each in psutil.Process().children()), flush=True)\n"
            "    os.kill(os.getpid(), signal.SIGKILL)\n"
            "_folder.Folder.write = writes\nfrom racewindow.cli import main\nsys.exit(main(sys.argv[1:]))"
        )
        killed = subprocess.Popen(
            [sys.executable, "-c", code, *argv, str(tmp_path / "runs"), "--jobs", "2"],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert killed.stdout is not None
        started = [psutil.Process(int(pid)) for pid in killed.stdout.readline().split() if psutil.pid_exists(int(pid))]
        assert killed.wait() == -signal.SIGKILL
        killed.stdout.close()
        assert psutil.wait_procs(started, timeout=60)[1] == []
        again = [sys.executable, "-m", "racewindow", *argv, str(tmp_path / "runs"), "--jobs", "2", "--json"]
        assert subprocess.run(again, check=False, stdout=subprocess.DEVNULL).returncode == 1
        rows = Folder(tmp_path / "runs", plan_of([RACE], strategies=[rw.RandomWalk()], schedules=3500)).runs()
        assert rows[list(fuzz(RACE, schedules=1).runs.columns)].equals(fuzz(RACE, schedules=3500).runs)


class Dying(ThisProcess):
    """Workers die of some ranges: as often as is said here."""

    capacity = 3
    shared_fate = True

    def __init__(self, deaths: dict[int, int]) -> None:
        self.left = dict(deaths)
        self.tried: list[int] = []
        self.handed_out: list[Future[Part]] = []

    def submit(self, work: Any, *arguments: Any) -> Future[Part]:
        number = arguments[1].number
        self.tried.append(number)
        if self.left.get(number, 0) == 0:
            return super().submit(work, *arguments)
        self.left[number] -= 1
        future: Future[Part] = Future()
        future.set_exception(BrokenExecutor("killed"))
        return future

    def died(self, error: BaseException) -> bool:
        return isinstance(error, BrokenExecutor)


class TestDeaths:
    def test_what_a_dead_worker_had_is_done_again(self, tmp_path: Path) -> None:
        plan, said = plan_with(30), list[str]()
        folder, expected = Folder(tmp_path / "a", plan), Folder(tmp_path / "b", plan)
        done = campaign(plan, pool=Dying({1: 1, 4: 1}), folder=folder, say=said.append)
        campaign(plan, folder=expected)
        assert done.deaths == 2
        assert said[0].startswith("a worker process died (killed, or out of memory); doing again: range 1")
        assert folder.runs().equals(expected.runs())

    def test_a_range_that_kills_every_worker_is_given_up_and_the_others_are_not(self) -> None:
        plan = plan_with(30, RACE, SAFE)
        done = campaign(plan, pool=Dying({6: 99}))  # of job 2, which is the reference with a random walk
        verdicts = [(each.case.implementation.name, each.strategy, each.verdict) for each in done.results]
        assert ("reference", "random-walk", "unknown") in verdicts
        assert ("reference", "pct", "passed") in verdicts
        assert done.results[2].reason == "range 6 (schedules 10 to 19 of job 2) was given up: 3 workers died of it"
        assert done.results[3].schedules == 30

    @pytest.mark.exhaustive
    def test_real_processes_one_of_which_is_killed(self, tmp_path: Path) -> None:
        plan, said = plan_with(200), list[str]()
        mark = tmp_path / "died"

        class Mortal(RACE.implementation):  # type: ignore[misc,name-defined]
            name = "copy-on-write"
            armed = str(mark)

            def __init__(self, env: Any) -> None:
                super().__init__(env)
                if not os.path.exists(self.armed):
                    Path(self.armed).touch()
                    os.kill(os.getpid(), 9)

        mortal = plan_with(200, replace(RACE, implementation=Mortal))
        folder, expected = Folder(tmp_path / "a", mortal), Folder(tmp_path / "b", plan)
        done = campaign(mortal, pool=pool_of(2), folder=folder, say=said.append)
        campaign(plan, folder=expected)
        assert (done.deaths, len(said)) == (1, 1)
        assert folder.runs().equals(expected.runs())


class TestPools:
    def test_a_campaign_between_two_comparisons_disturbs_neither(self) -> None:
        """All three use processes that joblib starts, in one process that a notebook is."""

        def compared() -> list[str]:
            budget = Budget(preemptions=0, max_executions=50, schedules=10, shrink_executions=0)
            chosen, stories = [RACE.implementation], [RACE.scenario]
            return list(compare(chosen, stories, budget=budget, jobs=2).matrix["verdict"])

        def campaigned() -> int:
            return campaign(plan_with(20), pool=pool_of(2)).schedules

        before = compared()
        schedules = campaigned()
        assert compared() == before
        assert campaigned() == schedules

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            ({"jobs": 0}, "at least one process"),
            ({"backend": "slurm"}, "unknown backend 'slurm': use local, dask or ray"),
            ({"backend": "dask"}, "give --scheduler tcp://host:port"),
            ({"backend": "ray"}, "give --scheduler ray://host:port"),
            ({"scheduler": "tcp://h:1"}, "is for --backend dask or ray"),
        ],
    )
    def test_what_makes_no_sense(self, options: dict[str, Any], said: str) -> None:
        with pytest.raises(rw.UsageError, match=said):
            pool_of(**options)
