"""A campaign on a real Dask cluster: a scheduler and two workers on the loopback, each a process of its own."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

import racewindow as rw
from racewindow.campaign import Folder, Part, Plan, campaign, plan_of, pool_of
from racewindow.campaign import _plan as plans

pytest.importorskip(
    "distributed", reason="a campaign on a cluster needs dask and distributed: pip install 'racewindow[cluster]'"
)
pytestmark = [pytest.mark.exhaustive, pytest.mark.filterwarnings("ignore")]


@dataclass
class Cluster:
    """Its address, and the processes that it is made of."""

    address: str
    scheduler: subprocess.Popen[str]
    workers: list[subprocess.Popen[str]]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    from distributed import Client

    def start(what: str, *argv: str) -> subprocess.Popen[str]:
        code = f"from distributed.cli.dask_{what} import main; main()"
        return subprocess.Popen([sys.executable, "-c", code, *argv], cwd=tmp_path, stderr=subprocess.PIPE, text=True)

    scheduler = start("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard")
    assert scheduler.stderr is not None
    address = next(found[0] for line in scheduler.stderr if (found := re.search(r"tcp://127\.0\.0\.1:\d+", line)))
    workers = [
        start(
            "worker",
            address,
            "--nthreads",
            "1",
            "--no-nanny",
            "--no-dashboard",
            "--host",
            "127.0.0.1",
            "--name",
            str(n),
        )
        for n in range(2)
    ]
    with Client(address, timeout=60, set_as_default=False) as client:
        client.wait_for_workers(2, timeout=60)
    yield Cluster(address, scheduler, workers)
    for process in (*workers, scheduler):
        with suppress(ProcessLookupError):
            process.kill()
        process.communicate()


@pytest.fixture
def plan(monkeypatch: pytest.MonkeyPatch) -> Plan:
    monkeypatch.setattr(plans, "RANGE_MIN", 25)
    case = rw.case("copy-on-write", "after-completion", disk="atomic")
    return plan_of([case], strategies=[rw.RandomWalk(), rw.PCT()], schedules=300)


def test_the_rows_are_those_of_one_process(cluster: Cluster, plan: Plan, tmp_path: Path) -> None:
    here, there = Folder(tmp_path / "here", plan), Folder(tmp_path / "there", plan)
    alone = campaign(plan, folder=here)
    together = campaign(plan, folder=there, pool=pool_of(backend="dask", scheduler=cluster.address))
    assert here.runs().equals(there.runs())
    assert alone.frame.equals(together.frame)
    assert together.ranges == 24


def test_a_worker_that_is_killed_is_reported_and_its_ranges_are_done_again(
    cluster: Cluster, plan: Plan, tmp_path: Path
) -> None:
    folder, said = Folder(tmp_path / "runs", plan), list[str]()

    def kill_one(part: Part, again: bool) -> None:
        if part.number == 4:
            cluster.workers[0].send_signal(signal.SIGKILL)

    done = campaign(
        plan, folder=folder, pool=pool_of(backend="dask", scheduler=cluster.address), on_part=kill_one, say=said.append
    )
    assert (done.deaths, done.lost, done.ranges) == (1, "", 24)
    assert "is gone; the others do its ranges again" in said[0]
    expected = Folder(tmp_path / "expected", plan)
    campaign(plan, folder=expected)
    assert folder.runs().equals(expected.runs())


def test_a_cluster_that_goes_away_ends_the_campaign_which_goes_on_elsewhere(
    cluster: Cluster, plan: Plan, tmp_path: Path
) -> None:
    folder = Folder(tmp_path / "runs", plan)

    def kill_all(part: Part, again: bool) -> None:
        if part.number == 4:
            for process in (cluster.scheduler, *cluster.workers):
                process.send_signal(signal.SIGKILL)

    done = campaign(plan, folder=folder, pool=pool_of(backend="dask", scheduler=cluster.address), on_part=kill_all)
    assert done.lost.startswith(f"the Dask cluster at {cluster.address} went away")
    assert 0 < done.ranges < 24
    resumed = campaign(plan, folder=folder)
    assert (resumed.resumed, resumed.ranges) == (done.ranges, 24)
    expected = Folder(tmp_path / "expected", plan)
    campaign(plan, folder=expected)
    assert folder.runs().equals(expected.runs())


def test_nobody_there() -> None:
    from racewindow.campaign._pools import DaskCluster

    with pytest.raises(rw.UsageError, match=r"no Dask scheduler answers at 'tcp://127.0.0.1:9'"):
        DaskCluster("tcp://127.0.0.1:9", timeout_s=2)
