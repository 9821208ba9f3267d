"""The false green: pytest-trio and Hypothesis pass 500 examples on a store that racewindow breaks within 50 schedules.

The store below says that a commit is done before it has cleared the live messages. A client that commits in between archives them again;
for that it has to be six steps ahead of the other one. Trio runs a batch of all runnable tasks before it begins the next, and only the
order within a batch is random: no task is ever two steps ahead. More examples do not help, nor do other seeds.

The tests of pytest-trio are the functions ``peer_...`` at the end; they are run as pytest-trio runs them, and by hand so::

    pytest tests/test_false_green.py -o python_functions='peer_*'
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

import racewindow as rw

EXAMPLES = 500
SCHEDULES = 50


class Store:
    """One yield of trio for each access to storage."""

    def __init__(self) -> None:
        self.live: list[str] = []
        self.archived: list[str] = []

    async def add(self, message: str) -> None:
        await trio.lowlevel.checkpoint()
        self.live.append(message)

    async def commit(self) -> None:
        await trio.lowlevel.checkpoint()
        messages = list(self.live)
        self.archived += messages
        for _ in range(4):  # writes the archive, and only then switches the live log
            await trio.lowlevel.checkpoint()
        self.live = [message for message in self.live if message not in messages]


async def two_clients(store: Store) -> None:
    """One adds and commits; the other thinks first, and commits when the first should be done."""

    async def quick() -> None:
        await store.add("m1")
        await store.commit()

    async def thoughtful() -> None:
        for _ in range(10):
            await trio.lowlevel.checkpoint()
        await store.commit()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(quick)
        nursery.start_soon(thoughtful)


async def archived_once(world: rw.World) -> None:
    """The same for racewindow: plain trio, nothing rewritten."""
    store = Store()
    await two_clients(store)
    world.check(len(set(store.archived)) == len(store.archived), "archived-once", f"archived: {store.archived}")


@pytest.mark.slow
def test_pytest_trio_and_hypothesis_are_green() -> None:
    """500 examples each, with and without Hypothesis's control of the random modules."""
    result = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            __file__,
            "-o",
            "python_functions=peer_*",
            "-p",
            "trio",
            "-p",
            "no:cacheprovider",
            "-q",
        ],
        cwd=os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout
    assert "3 passed" in result.stdout


@pytest.mark.parametrize("seed", range(5))
def test_racewindow_is_not(seed: int) -> None:
    """A plain random walk, whatever the seed; shrunk, one switch of tasks is left, and it replays."""
    found = rw.explore(archived_once, schedules=SCHEDULES, seed=seed, stop_at_first=True)
    assert found.first is not None
    assert [violation.kind for violation in found.first.violations] == ["archived-once"]
    shrunk = rw.shrink(archived_once, found.first)
    assert (shrunk.preemptions, shrunk.certified) == (1, True)
    assert rw.replay(archived_once, shrunk.token).verdict == "failed"


runs = 0


async def _example() -> None:
    global runs
    runs += 1
    store = Store()
    await two_clients(store)
    assert len(set(store.archived)) == len(store.archived)


PEER = settings(max_examples=EXAMPLES, deadline=None, database=None)


@pytest.mark.trio
@PEER
@given(st.integers(0, 10**9))
async def peer_without_seeds(_: int) -> None:
    """Hypothesis seeds trio's choices alike for every example."""
    await _example()


@pytest.mark.trio
@PEER
@given(st.random_module())
async def peer_with_seeds(_: object) -> None:
    """Another seed for every example."""
    await _example()


def peer_after_all() -> None:
    """The green is no empty one: every example was run."""
    assert runs >= 2 * EXAMPLES
