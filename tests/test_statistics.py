"""How sure one can be after N schedules: against the closed forms."""

from __future__ import annotations

import pytest
from scipy.stats import beta, binom

from racewindow.statistics import upper_bound


@pytest.mark.parametrize("schedules", [1, 10, 59, 1000])
@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
def test_without_failures_it_is_the_closed_form(schedules: int, confidence: float) -> None:
    """(1 - p) ** n = 1 - confidence."""
    assert upper_bound(schedules, confidence=confidence) == pytest.approx(1 - (1 - confidence) ** (1 / schedules))


@pytest.mark.parametrize(("failures", "schedules"), [(1, 10), (3, 100), (50, 100)])
def test_with_failures_it_is_the_quantile_of_the_beta_distribution(failures: int, schedules: int) -> None:
    bound = upper_bound(schedules, failures)
    assert bound == pytest.approx(beta.ppf(0.95, failures + 1, schedules - failures))
    # Which is what the name says: were it as large as that, so few failures would be seen once in twenty times.
    assert binom.cdf(failures, schedules, bound) == pytest.approx(0.05)


def test_it_shrinks_with_schedules_and_grows_with_failures_and_confidence() -> None:
    assert upper_bound(10) > upper_bound(100) > upper_bound(1000)
    assert upper_bound(100, 1) > upper_bound(100)
    assert upper_bound(100, confidence=0.99) > upper_bound(100)


def test_all_failures_leave_everything_possible() -> None:
    assert upper_bound(5, 5) == 1.0


def test_no_schedules_are_refused() -> None:
    with pytest.raises(ValueError, match="n"):
        upper_bound(0)
