"""Tokens of earlier releases: each still replays, or says exactly why not.

``golden_tokens.json`` only grows. Where a change breaks a token on purpose, set its ``replays`` to false and ``says`` to the words of the
error that its owner will see. The reference store is not in it: its protocol may change.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import trio
from tests.races import lost_update, third_turn

import racewindow as rw
from racewindow.kernel import Run, Subject

GOLDEN: list[dict[str, Any]] = json.loads(Path(__file__).with_name("golden_tokens.json").read_text())
# A change of one of these subjects breaks tokens that somebody has: make a new subject instead.
LIMITS = rw.Limits(time="adversarial")


async def lock_order(world: rw.World) -> None:
    """Two locks taken in two orders: a deadlock of plain trio."""
    one, two = trio.Lock(), trio.Lock()

    async def forth() -> None:
        async with one, two:
            pass

    async def back() -> None:
        async with two, one:
            pass

    async with trio.open_nursery() as nursery:
        nursery.start_soon(forth)
        nursery.start_soon(back)


async def late_timer(world: rw.World) -> None:
    """Fails when a timer fires while work is under way."""
    slept = False

    async def sleeper() -> None:
        nonlocal slept
        await world.sleep(1)
        slept = True

    async def worker() -> None:
        for number in range(3):
            await world.point(f"work {number}, done")  # a label with a blank and a comma
            world.check(not slept, "too-late")

    await world.together(sleeper, worker)


async def asyncio_event(world: rw.World) -> None:
    """A result that is read before it is there, in plain asyncio."""
    box: list[int] = []
    ready = asyncio.Event()

    async def produce() -> None:
        await world.point("announce")
        ready.set()
        await world.point("put")
        box.append(1)

    async def consume() -> None:
        await ready.wait()
        await world.point("take")
        world.check(bool(box), "empty")

    await world.together(produce, consume)


def lost_line(world: rw.World) -> None:
    """Two threads add a line to a file, and only the writing is locked."""
    path, lock = world.directory() / "lines", threading.Lock()
    path.write_text("")

    def add() -> None:
        before = path.read_text()
        time.sleep(1.0)
        with lock:
            path.write_text(f"{before}x")

    threads = [threading.Thread(target=add) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    world.check(path.read_text() == "xx", "lost-line")


SUBJECTS: dict[str, Subject] = {
    each.__name__: each for each in (lost_update, third_turn, lock_order, late_timer, asyncio_event, lost_line)
}
HOSTS = {"asyncio_event": "asyncio", "lost_line": "threads"}


def replayed(subject: str, token: str) -> Run:
    """Replay a token as its owner would: the subject is known by its name."""
    if subject in SUBJECTS:
        return rw.replay(
            SUBJECTS[subject],
            token,
            name=subject,
            checksum="00000001",
            host=HOSTS.get(subject, "trio"),
            limits=LIMITS,
        )
    case = rw.Case.named(subject, rw.implementation)
    return rw.replay(
        case.subject(),
        token,
        name=case.name,
        checksum=case.checksum,
        host=case.implementation.host,
        limits=case.limits,
    )


def told() -> str:
    """What became of every token, a line each."""
    lines = []
    for each in GOLDEN:
        try:
            run = replayed(each["subject"], each["token"])
            lines.append(f"{each['token']} {run.fingerprint} {[violation.kind for violation in run.violations]}")
        except rw.RacewindowError as error:
            lines.append(f"{each['token']} {error}")
    return "\n".join(lines)


@pytest.mark.parametrize("each", GOLDEN, ids=[f"{number}-{each['subject']}" for number, each in enumerate(GOLDEN)])
def test_a_token_replays_or_says_why_not(each: dict[str, Any]) -> None:
    if each["replays"]:
        violation = replayed(each["subject"], each["token"]).violation
        assert violation is not None
        assert violation.kind == each["violation"]
    else:
        with pytest.raises(rw.RacewindowError, match=re.escape(each["says"])):
            replayed(each["subject"], each["token"])


def test_every_version_is_there() -> None:
    assert {each["token"].partition("~")[0] for each in GOLDEN if each["replays"]} == {"rw1", "rw2"}


@pytest.mark.parametrize("hash_seed", ["1", "31337"])
def test_in_another_process(hash_seed: str) -> None:
    """The same runs, whatever the hash seed. With another Python: ``PYTHONPATH=... python3.13 tests/search/test_golden_tokens.py``."""
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    result = subprocess.run([sys.executable, __file__], env=environment, capture_output=True, text=True, check=True)
    assert result.stdout == f"{told()}\n"


if __name__ == "__main__":
    print(told())
