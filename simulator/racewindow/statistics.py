"""How sure one can be after N schedules. The arithmetic is SciPy's."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from scipy.stats import binomtest


def upper_bound(schedules: int, failures: int = 0, *, confidence: float = 0.95) -> float:
    """Largest failure probability that ``failures`` in ``schedules`` independent schedules leave plausible (Clopper-Pearson, one-sided).

    >>> round(upper_bound(100), 4)
    0.0295
    """
    interval = binomtest(failures, schedules, alternative="less").proportion_ci(confidence, method="exact")
    return float(interval.high)


def interval(
    schedules: int, failures: int, *, confidence: float = 0.95, method: Literal["exact", "wilson"] = "exact"
) -> tuple[float, float]:
    """Failure probabilities that ``failures`` in ``schedules`` independent schedules leave plausible, from both sides.

    Args:
        schedules, failures: counts; at least one schedule.
        confidence: of the interval.
        method: ``exact`` is Clopper and Pearson's, which errs on the wide side; ``wilson`` is nearer to the nominal confidence.

    >>> [round(end, 3) for end in interval(100, 10)]
    [0.049, 0.176]
    >>> [round(end, 3) for end in interval(100, 10, method="wilson")]
    [0.055, 0.174]
    """
    found = binomtest(failures, schedules).proportion_ci(confidence, method=method)
    return float(found.low), float(found.high)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unseen:
    """What a sample says about the classes that it has not seen.

    Attributes:
        sample: its size.
        classes: different classes in it.
        once, twice: classes that were seen so often.
        mass: probability that the next draw is of an unseen class: Good and Turing's f1 / N.
        classes_expected: Chao1, a lower bound of the number of classes there are.
    """

    sample: int
    classes: int
    once: int
    twice: int
    mass: float
    classes_expected: float


def unseen(counts: Iterable[int]) -> Unseen:
    """Estimate the unseen from how often each class was seen, in draws that were independent and all alike.

    Source: Good, "The population frequencies of species" (1953); Chao, "Nonparametric estimation of the number of classes" (1984), in
    its bias-corrected form.

    >>> unseen([5, 2, 1, 1])
    Unseen(sample=9, classes=4, once=2, twice=1, mass=0.2222222222222222, classes_expected=4.444444444444445)
    """
    tally = sorted(counts)
    sample, once, twice = sum(tally), tally.count(1), tally.count(2)
    more = (sample - 1) / sample * once * (once - 1) / (2 * (twice + 1)) if sample else 0.0
    return Unseen(
        sample=sample,
        classes=len(tally),
        once=once,
        twice=twice,
        mass=once / sample if sample else 1.0,
        classes_expected=len(tally) + more,
    )
