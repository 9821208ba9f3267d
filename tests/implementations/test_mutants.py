"""Every line of the reference's protocol is there for a reason: without it, some drill fails, in a schedule that is kept here.

The tokens are found again, where the store has changed, by
``RACEWINDOW_REWRITE_TOKENS=1 python -m pytest tests/implementations/test_mutants.py``.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
from tests.implementations.drills import DRILLS, subject

import racewindow as rw
from racewindow.implementations import MUTANTS
from racewindow.implementations.mutants import Mutant
from racewindow.implementations.reference import Reference
from racewindow.search.random_walk import RandomWalk

TOKENS = Path(__file__).with_name("mutants.json")
PROTOCOL = Path(__file__).parents[2] / "docs" / "protocol.md"
REWRITE = "RACEWINDOW_REWRITE_TOKENS" in os.environ
KILLS: dict[str, dict[str, str]] = json.loads(TOKENS.read_text()) if TOKENS.exists() else {}

# What a drill cannot enumerate within reason is sampled; see test_the_reference_stands_every_drill.
SAMPLED = {"two-stores"}

every_mutant = pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)


def search(drill: str, implementation: type[Reference], preemptions: int) -> rw.Exploration:
    """All schedules of a drill within the bound, or 2,000 of one that has too many; up to the first failure."""
    if drill in SAMPLED:
        return rw.explore(
            subject(drill, implementation), strategy=RandomWalk(), schedules=2000, stop_at_first=True, name=drill
        )
    return rw.prove(subject(drill, implementation), preemptions=preemptions, name=drill)


def kill(mutant: type[Mutant]) -> dict[str, str]:
    """The first drill that it fails, the cheapest ones first."""
    for preemptions in (0, 1, 2):
        for drill in DRILLS:
            found = search(drill, mutant, preemptions)
            if found.first is not None and found.first.violations:
                return {"drill": drill, "violation": found.first.violations[0].kind, "token": found.first.token}
    raise AssertionError(f"{mutant.name} survives every drill")


@every_mutant
def test_a_mutant_is_killed_by_the_schedule_kept_for_it(mutant: type[Mutant]) -> None:
    if REWRITE:
        KILLS[mutant.name] = kill(mutant)
        kept = {each.name: KILLS[each.name] for each in MUTANTS if each.name in KILLS}
        TOKENS.write_text(json.dumps(kept, indent=1) + "\n")
    known = KILLS[mutant.name]
    run = rw.replay(subject(known["drill"], mutant), known["token"], name=known["drill"])
    assert run.verdict == "failed"
    assert run.violation is not None
    assert run.violation.kind == known["violation"]


@pytest.mark.parametrize(
    ("drill", "preemptions"),
    [(drill, 0) for drill in DRILLS if drill not in SAMPLED]
    + [pytest.param(drill, 1, marks=pytest.mark.exhaustive) for drill in DRILLS],
)
def test_the_reference_stands_every_drill(drill: str, preemptions: int) -> None:
    assert search(drill, Reference, preemptions).verdict == ("passed" if drill in SAMPLED else "proved")


def test_the_protocol_names_every_mutant_and_no_other() -> None:
    assert set(re.findall(r"`(reference-[a-z-]+)`", PROTOCOL.read_text())) == {mutant.name for mutant in MUTANTS}
