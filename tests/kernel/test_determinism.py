"""The same token gives the same trace, byte for byte, in any process."""

from __future__ import annotations

import gc
import os
import subprocess
import sys

import pytest

import racewindow as rw

PROGRAM = """
import sys
if "hypothesis" in sys.argv:
    import hypothesis
    assert "hypothesis" in sys.modules
import racewindow as rw
import trio
import trio.testing

async def subject(world):
    lock, event = trio.Lock(), trio.Event()
    log = []

    async def task(name):
        await world.point("begin")
        async with lock:
            log.append(name)
            await trio.sleep(0)
        with trio.move_on_after(1):
            await event.wait()
        await trio.testing.wait_all_tasks_blocked()
        log.append(name)

    async with trio.open_nursery() as nursery:
        for name in {"one", "two", "three"}:   # three equal tasks: the order of the set must not show
            nursery.start_soon(task, name)
    world.check(log[0] != log[-1], "same-first-and-last")

runs = []
limits = rw.Limits(time="adversarial")
found = rw.explore(subject, schedules=40, seed=7, limits=limits, name="subject", checksum="0" * 8, on_run=runs.append)
assert found.first is not None
for run in runs:
    print(run.fingerprint, *run.trace, sep="\\n")
print(found.first.token)
print(*rw.replay(subject, found.first.token, limits=limits, name="subject", checksum="0" * 8).trace, sep="\\n")
"""


def output(*arguments: str, hash_seed: str) -> bytes:
    """What the program prints in a process of its own."""
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments], env=environment, capture_output=True, check=True, timeout=120
    )
    assert result.stderr == b""
    return result.stdout


@pytest.fixture(scope="module")
def expected() -> bytes:
    return output(hash_seed="0")


class TestAcrossProcesses:
    @pytest.mark.parametrize("hash_seed", ["1", "424242"])
    def test_another_hash_seed(self, expected: bytes, hash_seed: str) -> None:
        """No order of a set shows in any trace or token."""
        assert output(hash_seed=hash_seed) == expected
        assert expected.count(b"\n") > 400

    def test_hypothesis_imported_first(self, expected: bytes) -> None:
        """Its hooks into trio's scheduler and the global random state change nothing."""
        assert output("hypothesis", hash_seed="3") == expected


@pytest.mark.parametrize("host", ["trio", "asyncio"])
@pytest.mark.parametrize("enabled", [True, False])
def test_garbage_is_not_collected_in_the_middle_of_a_schedule(host: str, enabled: bool) -> None:
    """What it finalizes would fall into another step each time. Afterwards the collector is as the user had it."""
    seen: list[bool] = []

    async def subject(world: rw.World) -> None:
        await world.point("work")
        seen.append(gc.isenabled())
        world.check(len(seen) % 2 == 0, "every-other-one")

    before = gc.isenabled()
    try:
        (gc.enable if enabled else gc.disable)()
        with pytest.raises(rw.ReplayDiverged):
            rw.explore(subject, schedules=4, host=host)
        assert gc.isenabled() is enabled
    finally:
        (gc.enable if before else gc.disable)()
    assert seen
    assert not any(seen)
