"""Campaigns on real clusters: schedulers and workers on the loopback, each a process of its own.

What holds for one kind of cluster holds for all: ``dask`` and ``ray`` below start them, and the tests are the same. Ray is an extra of its
own (``pip install 'racewindow[ray]'``); its tests are skipped where it is not there.
"""

from __future__ import annotations

import fcntl
import importlib
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

import racewindow as rw
from racewindow.campaign import Folder, Part, Plan, campaign, plan_of, pool_of
from racewindow.campaign import _plan as plans

psutil: Any = pytest.importorskip("psutil")

RACE = rw.case("copy-on-write", "after-completion", disk="atomic")


@dataclass
class Cluster:
    """How to reach it, and the processes that it is made of."""

    backend: str
    address: str
    processes: list[subprocess.Popen[str]]

    def everything(self) -> list[Any]:
        """All processes, those included that its processes started."""
        roots = [psutil.Process(each.pid) for each in self.processes if each.poll() is None]
        return [process for root in roots for process in (root, *root.children(recursive=True))]

    def kill(self) -> None:
        """All at once, as when the power goes; none holds a port any more when this returns."""
        everything = self.everything()
        for process in everything:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(everything, timeout=60)


@contextmanager
def dask(folder: Path) -> Iterator[Cluster]:
    """A scheduler and two workers."""
    distributed = importlib.import_module("distributed")

    def start(what: str, *argv: str) -> subprocess.Popen[str]:
        code = f"from distributed.cli.dask_{what} import main; main()"
        argv = (*argv, "--host", "127.0.0.1", "--no-dashboard")
        return subprocess.Popen([sys.executable, "-c", code, *argv], cwd=folder, stderr=subprocess.PIPE, text=True)

    scheduler = start("scheduler", "--port", "0")
    cluster = Cluster("dask", "", [scheduler])
    try:
        assert scheduler.stderr is not None
        found = (re.search(r"tcp://127\.0\.0\.1:\d+", line) for line in scheduler.stderr)
        cluster.address = next(each[0] for each in found if each)
        for name in ("0", "1"):
            one = ("--nthreads", "1", "--no-nanny", "--name", name)
            cluster.processes.append(start("worker", cluster.address, *one))
        with distributed.Client(cluster.address, timeout=60, set_as_default=False) as client:
            client.wait_for_workers(2, timeout=60)
        yield cluster
    finally:
        cluster.kill()
        for process in cluster.processes:
            process.communicate()


@contextmanager
def ray(folder: Path) -> Iterator[Cluster]:
    """A head with two CPUs; what it starts ends with it."""
    port, log = free_port(), folder / "head.log"
    code = "from ray.scripts.scripts import main; main()"
    small = "--num-cpus 2 --object-store-memory 80000000 --include-dashboard false --disable-usage-stats"
    ports = f"--port 0 --ray-client-server-port {port} --min-worker-port 0 --max-worker-port 0"
    with (
        Path(tempfile.gettempdir(), "racewindow-tests-ray.lock").open("w") as lock,
        tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as short,  # names of sockets are
        log.open("w") as output,
    ):
        fcntl.flock(lock, fcntl.LOCK_EX)  # one at a time: two heads on one machine give their clients the same ports
        argv = [sys.executable, "-c", code, "start", "--head", "--block", *small.split(), *ports.split()]
        head = subprocess.Popen(
            [*argv, "--temp-dir", short], cwd=folder, stdout=output, stderr=subprocess.STDOUT, text=True
        )
        cluster = Cluster("ray", f"ray://127.0.0.1:{port}", [head])
        try:
            while not listens(port):
                with suppress(subprocess.TimeoutExpired):
                    raise AssertionError(f"the head ended with {head.wait(timeout=0.2)}: {log.read_text()}")
            yield cluster
        finally:
            cluster.kill()
            head.wait()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(params=["dask", "ray"])
def cluster(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    library, extra = {"dask": ("distributed", "cluster"), "ray": ("ray", "ray")}[request.param]
    pytest.importorskip(library, reason=f"needs {library}: pip install 'racewindow[{extra}]'")
    monkeypatch.setenv("RAY_CLIENT_RECONNECT_GRACE_PERIOD", "3")  # seconds, instead of 30
    with {"dask": dask, "ray": ray}[request.param](tmp_path) as started:
        yield started


@pytest.fixture
def plan(monkeypatch: pytest.MonkeyPatch) -> Plan:
    monkeypatch.setattr(plans, "RANGE_MIN", 25)
    return plan_for(RACE)


def plan_for(case: rw.Case) -> Plan:
    return plan_of([case], strategies=[rw.RandomWalk(), rw.PCT()], schedules=300)


def all_of(plan: Plan, folder: Path) -> Any:
    """The rows that this process finds."""
    expected = Folder(folder, plan)
    campaign(plan, folder=expected)
    return expected.runs()


@pytest.mark.exhaustive
@pytest.mark.filterwarnings("ignore")
class TestCluster:
    def test_the_rows_are_those_of_one_process(self, cluster: Cluster, plan: Plan, tmp_path: Path) -> None:
        here, there = Folder(tmp_path / "here", plan), Folder(tmp_path / "there", plan)
        alone = campaign(plan, folder=here)
        together = campaign(
            plan, folder=there, pool=pool_of(backend=cluster.backend, scheduler=cluster.address.removeprefix("ray://"))
        )
        assert here.runs().equals(there.runs())
        assert alone.frame.equals(together.frame)
        assert together.ranges == 24

    def test_a_worker_that_is_killed_is_reported_and_its_range_is_done_again(
        self, cluster: Cluster, plan: Plan, tmp_path: Path
    ) -> None:
        class Mortal(RACE.implementation):  # type: ignore[misc,name-defined]
            name = "copy-on-write"
            armed = str(tmp_path / "died")

            def __init__(self, env: Any) -> None:
                super().__init__(env)
                with suppress(FileExistsError):
                    os.close(os.open(self.armed, os.O_CREAT | os.O_EXCL))
                    os.kill(os.getpid(), signal.SIGKILL)

        mortal, said = plan_for(replace(RACE, implementation=Mortal)), list[str]()
        folder = Folder(tmp_path / "runs", mortal)
        pool = pool_of(backend=cluster.backend, scheduler=cluster.address)
        done = campaign(mortal, folder=folder, pool=pool, say=said.append)
        assert (done.deaths, done.lost, done.ranges, len(said)) == (1, "", 24, 1)
        assert {
            "dask": "is gone; the others do its ranges again",
            "ray": "a worker process died (killed, or out of memory); doing again: range",
        }[cluster.backend] in said[0]
        assert folder.runs().equals(all_of(plan, tmp_path / "expected"))

    def test_a_cluster_that_goes_away_ends_the_campaign_which_goes_on_elsewhere(
        self, cluster: Cluster, plan: Plan, tmp_path: Path
    ) -> None:
        folder = Folder(tmp_path / "runs", plan)

        def kill(part: Part, again: bool) -> None:
            if part.number == 4:
                cluster.kill()

        pool = pool_of(backend=cluster.backend, scheduler=cluster.address)
        done = campaign(plan, folder=folder, pool=pool, on_part=kill)
        assert f"cluster at {cluster.address} went away" in done.lost
        assert 0 < done.ranges < 24
        resumed = campaign(plan, folder=folder)
        assert (resumed.resumed, resumed.ranges) == (done.ranges, 24)
        assert folder.runs().equals(all_of(plan, tmp_path / "expected"))

    def test_an_interrupt_keeps_what_was_found_and_leaves_nobody_at_work(
        self, cluster: Cluster, plan: Plan, tmp_path: Path
    ) -> None:
        folder, working = Folder(tmp_path / "runs", plan), list[Any]()

        def stop(part: Part, again: bool) -> None:
            if part.number == 5:
                working.extend(each for each in cluster.everything() if at_work_for_a_client(each))
                raise KeyboardInterrupt

        pool = pool_of(backend=cluster.backend, scheduler=cluster.address)
        done = campaign(plan, folder=folder, pool=pool, on_part=stop)
        assert done.interrupted
        assert 0 < done.ranges < 24
        assert bool(working) == (cluster.backend == "ray")  # Dask's workers are nobody's
        assert psutil.wait_procs(working, timeout=60)[1] == []
        resumed = campaign(plan, folder=folder)
        assert (resumed.resumed, resumed.ranges) == (done.ranges, 24)
        assert folder.runs().equals(all_of(plan, tmp_path / "expected"))


def at_work_for_a_client(process: Any) -> bool:
    """A worker of Ray that has a range, or the process that Ray started for one client."""
    with suppress(psutil.NoSuchProcess):
        command = " ".join(process.cmdline())
        return command.startswith("ray::_do") or "--mode=specific-server" in command
    return False


def test_no_dask_scheduler_there() -> None:
    pytest.importorskip("distributed", reason="needs distributed: pip install 'racewindow[cluster]'")
    from racewindow.campaign._dask import DaskCluster

    with pytest.raises(rw.UsageError, match=r"no Dask scheduler answers at 'tcp://127.0.0.1:9'"):
        DaskCluster("tcp://127.0.0.1:9", timeout_s=2)


@pytest.mark.parametrize("form", ["ray://{}", "{}"])
def test_no_ray_cluster_there(form: str) -> None:
    """Told before Ray is imported, which takes seconds."""
    address = form.format("127.0.0.1:9")
    with pytest.raises(rw.UsageError, match=rf"no Ray cluster answers at '{address}' .*'ray start --head'"):
        pool_of(backend="ray", scheduler=address)


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "ray://127.0.0.1", "ray://127.0.0.1:x", "auto", "ray://:9"])
def test_no_address_of_a_ray_cluster(address: str) -> None:
    with pytest.raises(
        rw.UsageError, match=f"'{address}' is no address of a Ray cluster: give --scheduler ray://host:port"
    ):
        pool_of(backend="ray", scheduler=address)


@pytest.mark.parametrize("missing", ["ray", "grpc"])
def test_ray_is_not_installed(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with socket.create_server(("127.0.0.1", 0)) as server:
        with pytest.raises(rw.UsageError, match=r"needs ray: pip install 'racewindow\[ray\]'"):
            pool_of(backend="ray", scheduler=f"127.0.0.1:{server.getsockname()[1]}")


@pytest.mark.exhaustive
def test_somebody_else_answers() -> None:
    pytest.importorskip("ray", reason="needs ray: pip install 'racewindow[ray]'")
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(rw.UsageError, match=f"no Ray Client server lets us in at {address} .*10001, not 6379"):
            pool_of(backend="ray", scheduler=address)
