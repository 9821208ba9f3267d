"""How sure one can be after N schedules. The arithmetic is SciPy's."""

from __future__ import annotations

from scipy.stats import binomtest


def upper_bound(schedules: int, failures: int = 0, *, confidence: float = 0.95) -> float:
    """Largest failure probability that ``failures`` in ``schedules`` independent schedules leave plausible (Clopper-Pearson, one-sided).

    >>> round(upper_bound(100), 4)
    0.0295
    """
    interval = binomtest(failures, schedules, alternative="less").proportion_ci(confidence, method="exact")
    return float(interval.high)
