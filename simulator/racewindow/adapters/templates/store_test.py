"""MyStore: is its adapter one, and does it keep what it was given? Run with pytest."""

from __future__ import annotations

import racewindow as rw
from racewindow.adapters.templates.trio_store import MyStore


def test_the_adapter_is_one() -> None:
    found = rw.adapters.check_adapter(MyStore)
    assert not found.findings, str(found)


def test_no_message_is_lost_or_committed_twice() -> None:
    case = rw.case(MyStore, "a: add m1; commit; reload | b: add m2; commit; reload", topology="separate-stores")
    found = rw.experiments.fuzz(case, schedules=300)
    assert found.verdict == "passed", rw.charts.timeline_text(found.shrink().timeline())
