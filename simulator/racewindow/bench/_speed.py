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
from dataclasses import asdict, dataclass
from typing import Any

from racewindow.bench.subject import bare_schedule, on_asyncio, on_trio
from racewindow.search import RandomWalk, explore

WARM_UP_SCHEDULES = 200
MEASURED_SCHEDULES = 200  # for memory


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """A number that was measured several times.

    Attributes:
        median, low, high: over the rounds; low and high are the extremes.
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
        rounds, schedules: how often, and how many schedules a form ran in each round.
    """

    rates: dict[str, Rate]
    ratios: dict[str, Spread]
    memory_process_mib: float | None
    rounds: int
    schedules: dict[str, int]

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def bench(*, rounds: int = 7, round_s: float = 0.5, seed: int = 0) -> Bench:
    """Measure the limit and the kernel's hosts on the same subject, random walk, everything else as a user has it by default.

    Args:
        rounds: in each of them every form runs once.
        round_s: about so many seconds a form runs in a round.
        seed: of the walks.
    """
    counts = {name: max(20, int(WARM_UP_SCHEDULES * round_s / _timed(form, WARM_UP_SCHEDULES, seed)[0])) for name, form in FORMS.items()}
    schedules: dict[str, list[float]] = {name: [] for name in FORMS}
    steps: dict[str, list[float]] = {name: [] for name in FORMS}
    mean_steps = {}
    for number in range(rounds):
        for name, form in FORMS.items():
            seconds, stepped = _timed(form, counts[name], seed + number)
            schedules[name].append(counts[name] / seconds)
            steps[name].append(stepped / seconds)
            mean_steps[name] = stepped / counts[name]
    rates = {}
    for name, form in FORMS.items():
        peak_kib, kept_bytes = _memory(form, seed)
        rates[name] = Rate(
            schedules_per_s=_spread(schedules[name]),
            steps_per_s=_spread(steps[name]),
            steps=mean_steps[name],
            memory_peak_kib=peak_kib,
            memory_kept_bytes=kept_bytes,
        )
    ratios = {
        f"{name}/limit": _spread([ours / limit for ours, limit in zip(schedules[name], schedules["limit"], strict=True)])
        for name in FORMS
        if name != "limit"
    }
    return Bench(rates=rates, ratios=ratios, memory_process_mib=_resident_mib(), rounds=rounds, schedules=counts)


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


def _timed(form: Callable[[int, int], tuple[int, object]], schedules: int, seed: int) -> tuple[float, int]:
    started = time.process_time()
    steps, _ = form(schedules, seed)
    return max(time.process_time() - started, 1e-9), steps


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
    return Spread(median=statistics.median(values), low=min(values), high=max(values))
