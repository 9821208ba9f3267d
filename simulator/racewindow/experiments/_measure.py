"""How wide the windows of a map are: in gaps, as a share of all interleavings, and in virtual seconds."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any

from racewindow.errors import Unsupported, UsageError
from racewindow.experiments._latency import Latencies
from racewindow.experiments._windows import WindowsResult
from racewindow.frames import FAILING, measures_frame, ribbons
from racewindow.search import URW, count, explore
from racewindow.sessions.case import Case

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True, kw_only=True)
class _Share:
    """Failing interleavings of all."""

    of: int
    failing: int
    exact: bool
    how: str

    @property
    def row(self) -> dict[str, object]:
        from racewindow.statistics import interval

        share = self.failing / self.of
        low, high = (share, share) if self.exact else interval(self.of, self.failing)
        return {
            "share": share,
            "share_low": low,
            "share_high": high,
            "share_exact": self.exact,
            "interleavings": str(self.of),
            "share_how": self.how,
        }


def measure(
    mapped: WindowsResult,
    *,
    latencies: Latencies | None = None,
    states_max: int = 2_000,
    schedules: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Measure the windows of a map in other units than gaps.

    The share of interleavings is that of the whole scenario, whoever comes in between of what: counted where the scenario is small enough,
    otherwise sampled by :class:`URW`, which is uniform only as far as every schedule has the same steps. How far that was is told, and the
    interval is that of the sampler: where steps differ from schedule to schedule it need not hold the share.
    Virtual seconds are means: a gap lasts as long as the step that ends it takes, one step after the other, in the order of the map.

    Args:
        mapped: what :func:`windows` gave.
        latencies: how long steps take.
        states_max: count up to so many states; beyond, sample.
        schedules, seed: of the sample.

    Returns:
        One row per map, with the columns :data:`racewindow.frames.MEASURES`.

    Raises:
        UsageError: a bound makes no sense.
    """
    if schedules < 1:
        raise UsageError(f"schedules={schedules}: at least one schedule has to run")
    latencies = latencies or Latencies()
    split = ribbons(mapped.frame)
    share = _share(mapped.case, states_max, schedules, seed).row if split else {}
    rows = []
    for key, cells in split:
        failing = [cell for cell in cells if cell["outcome"] in FAILING]
        rows.append(
            {
                **key,
                "gaps": len(cells),
                "failing": len(failing),
                "fraction": len(failing) / len(cells),
                **share,
                "seconds": sum((_seconds(cell, len(cells), latencies) for cell in failing), 0.0),
                "seconds_all": sum(_seconds(cell, len(cells), latencies) for cell in cells[:-1]),
                "latency": str(latencies),
            }
        )
    return measures_frame(rows)


def _seconds(cell: dict[str, Any], gaps: int, latencies: Latencies) -> float:
    """The last gap begins when everything is over, and nothing ends it."""
    return inf if cell["gap"] == gaps - 1 else latencies.mean_s(str(cell["before_step"]))


def _share(case: Case, states_max: int, schedules: int, seed: int) -> _Share:
    common: dict[str, Any] = {
        "host": case.implementation.host,
        "limits": case.limits,
        "name": case.name,
        "checksum": case.checksum,
    }
    try:
        counted = count(case.subject(), states_max=states_max, **common)
        return _Share(of=counted.interleavings, failing=counted.failing, exact=True, how="counted")
    except Unsupported:
        # The first schedule of the sampler learns how many steps each task has: it is drawn otherwise, and left out.
        sample = explore(case.subject(), strategy=URW(), schedules=schedules + 1, seed=seed, **common)
        drawn = sample.found[1:]
        failing = sum(one.verdict == "failed" for one in drawn)
        # The first note lists the step counts; what follows says how far they held.
        return _Share(of=len(drawn), failing=failing, exact=False, how="; ".join(sample.notes[1:]) or "urw: uniform")
