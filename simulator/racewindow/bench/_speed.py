"""How fast the kernel is, beside the fastest that is possible.

Machines differ, and the same machine from one minute to the next. So everything is measured in processor time, in rounds in which the
forms take turns, and what is told is the median of the ratios within a round, with their spread.
"""

from __future__ import annotations

import random
import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from racewindow.bench.subject import bare_schedule, on_asyncio, on_trio
from racewindow.search import RandomWalk, explore

WARM_UP_SCHEDULES = 50
MEASURED_SCHEDULES = 200  # for memory


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """A number that was measured several times.

    Attributes:
        median: of the rounds.
        low, high: the quartiles of the rounds.
    """

    median: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """How fast one form ran.

    Attributes:
        schedules_per_s, steps_per_s: per second of processor time.
        steps: mean number of steps of a schedule.
        memory_peak_kib: at most allocated by Python at one time, beyond what was there before, while 200 schedules ran.
        memory_kept_bytes: per schedule, what the result keeps of it.
    """

    schedules_per_s: Spread
    steps_per_s: Spread
    steps: float
    memory_peak_kib: float
    memory_kept_bytes: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What was measured.

    Attributes:
        rates: of ``limit`` (bare coroutines), ``trio`` and ``asyncio``.
        ratios: of the kernel's hosts to the limit, in schedules per second; paired within each round.
        memory_process_mib: the largest resident size of the process; None where the system does not tell.
        rounds, schedules: how often, and how many schedules each form ran in a round.
    """

    rates: dict[str, Rate]
    ratios: dict[str, Spread]
    memory_process_mib: float | None
    rounds: int
    schedules: int


def bench(*, rounds: int = 15, schedules: int = 1000, seed: int = 0) -> Bench:
    """Measure the limit and the kernel's hosts on the same subject, random walk, everything else as a user has it by default.

    Args:
        rounds: in each of them every form runs once.
        schedules: how many a form runs in a round; the default is that of :func:`racewindow.explore`.
        seed: of the walks.
    """
    for form in FORMS.values():
        form(WARM_UP_SCHEDULES, seed)
    seconds: dict[str, list[float]] = {name: [] for name in FORMS}
    steps: dict[str, list[int]] = {name: [] for name in FORMS}
    for number in range(rounds):
        for name, form in FORMS.items():
            started = time.process_time()
            stepped, _ = form(schedules, seed + number)
            seconds[name].append(max(time.process_time() - started, 1e-9))
            steps[name].append(stepped)
    rates = {}
    for name, form in FORMS.items():
        peak_kib, kept_bytes = _memory(form, seed)
        rates[name] = Rate(
            schedules_per_s=_spread([schedules / taken for taken in seconds[name]]),
            steps_per_s=_spread([stepped / taken for stepped, taken in zip(steps[name], seconds[name], strict=True)]),
            steps=statistics.mean(steps[name]) / schedules,
            memory_peak_kib=peak_kib,
            memory_kept_bytes=kept_bytes,
        )
    ratios = {
        f"{name}/limit": _spread([limit / ours for limit, ours in zip(seconds["limit"], seconds[name], strict=True)])
        for name in FORMS
        if name != "limit"
    }
    return Bench(rates=rates, ratios=ratios, memory_process_mib=_resident_mib(), rounds=rounds, schedules=schedules)


def _limit(schedules: int, seed: int) -> tuple[int, object]:
    rng = random.Random(seed)
    return sum(bare_schedule("correct", rng) for _ in range(schedules)), None


def _on_host(host: str, subject: Any) -> Callable[[int, int], tuple[int, object]]:
    def run(schedules: int, seed: int) -> tuple[int, object]:
        result = explore(subject, strategy=RandomWalk(), schedules=schedules, seed=seed, host=host, name="bench")
        assert result.verdict == "passed", result
        return sum(found.steps for found in result.found), result

    return run


FORMS: dict[str, Callable[[int, int], tuple[int, object]]] = {
    "limit": _limit,
    "trio": _on_host("trio", on_trio("correct")),
    "asyncio": _on_host("asyncio", on_asyncio("correct")),
}
"""Each runs so many schedules from a seed, and gives the number of steps and what a user would keep."""


def _memory(form: Callable[[int, int], tuple[int, object]], seed: int) -> tuple[float, float]:
    """The peak in KiB, and bytes kept per schedule."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        kept = form(MEASURED_SCHEDULES, seed)
        after, peak = tracemalloc.get_traced_memory()
        del kept
    finally:
        tracemalloc.stop()
    return (peak - before) / 1024, (after - before) / MEASURED_SCHEDULES


def _resident_mib() -> float | None:
    try:
        import resource
    except ImportError:  # Windows
        return None
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest / (1024 if sys.platform != "darwin" else 1024 * 1024)


def _spread(values: Sequence[float]) -> Spread:
    low, _, high = statistics.quantiles(values, method="inclusive") if len(values) > 1 else (values[0],) * 3
    return Spread(median=statistics.median(values), low=low, high=high)
