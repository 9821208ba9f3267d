"""Campaigns: many cases, many schedules, on one process, several, or a cluster; resumable, with a corpus of what failed.

>>> from racewindow import case
>>> from racewindow.search import RandomWalk
>>> plan = plan_of([case("reference", "a: add m1; commit")], strategies=[RandomWalk()], schedules=20)
>>> campaign(plan).results
(<CaseResult reference/a: add m1; commit/same-store/suspending passed schedules=20>,)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from racewindow.campaign._folder import Folder as Folder
    from racewindow.campaign._part import Part as Part
    from racewindow.campaign._plan import Job as Job
    from racewindow.campaign._plan import Plan as Plan
    from racewindow.campaign._plan import Proof as Proof
    from racewindow.campaign._plan import Range as Range
    from racewindow.campaign._plan import plan_of as plan_of
    from racewindow.campaign._pools import BACKENDS as BACKENDS
    from racewindow.campaign._pools import Pool as Pool
    from racewindow.campaign._pools import ThisProcess as ThisProcess
    from racewindow.campaign._pools import pool_of as pool_of
    from racewindow.campaign._run import Campaign as Campaign
    from racewindow.campaign._run import campaign as campaign

# Imported when they are first used: the pytest plugin needs the corpus and the profiles, and must not bring the kernel with them.
_LAZY = {
    "Folder": "_folder",
    "Part": "_part",
    "Job": "_plan",
    "Plan": "_plan",
    "Proof": "_plan",
    "Range": "_plan",
    "plan_of": "_plan",
    "BACKENDS": "_pools",
    "Pool": "_pools",
    "ThisProcess": "_pools",
    "pool_of": "_pools",
    "Campaign": "_run",
    "campaign": "_run",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
