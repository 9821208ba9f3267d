"""How long steps take, in virtual seconds: the model behind widths in seconds and behind arrivals."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from math import isfinite, log1p
from typing import Literal, cast, get_args

from racewindow.errors import UsageError

Distribution = Literal["exponential", "fixed", "measured"]
DISTRIBUTIONS: tuple[Distribution, ...] = get_args(Distribution)

DEFAULT_MEANS_S: Mapping[str, float] = {"*extract/answer": 2.6, "*summary": 2.6, "*fsync": 1e-3, "*": 1.5e-4}
"""Round numbers that others measured, by pattern of labels.

A call of a language model: 0.6 s to the first token and 0.02 s for each of 100 (AIMultiple, "LLM latency benchmark by use cases", 2026). An
``fsync``: 0.9 to 5 ms on consumer SSDs (M. Callaghan, "SSDs, power loss protection and fsync latency", 2026). Any other step: a random
read of 4 KB from an SSD, 0.15 ms (J. Dean, "Numbers everyone should know", 2009, as passed on since).
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Latencies:
    """What each point takes: the first pattern that fits its label has the mean.

    Attributes:
        means_s: virtual seconds by pattern (``*`` and ``?`` are wild), the first fitting one holds; the default ones follow, so that
            every label has one.
        distribution: ``exponential``; ``fixed``: every point takes exactly its mean; or ``measured``, see :meth:`measured`.
        durations_s: of ``measured``: what was measured, by label.

    Raises:
        UsageError: a mean is negative or no number, or the distribution is unknown.
    """

    means_s: Mapping[str, float] = field(default_factory=dict)
    distribution: Distribution = "exponential"
    durations_s: Mapping[str, tuple[float, ...]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        for pattern, mean in self.means_s.items():
            if not isinstance(mean, int | float) or isinstance(mean, bool) or not isfinite(mean) or mean < 0:
                raise UsageError(
                    f"latency of {pattern!r} is {mean!r}: no step takes less than no time; give virtual seconds, 0 or more"
                )
        if (self.distribution == "measured") != bool(self.durations_s):
            raise UsageError(
                "measured latencies are made of what was measured: Latencies.measured({label: seconds, ...})"
            )
        if self.distribution not in DISTRIBUTIONS:
            raise UsageError(
                f"unknown distribution {self.distribution!r} of latencies: use {' or '.join(DISTRIBUTIONS)}"
            )
        object.__setattr__(self, "means_s", {**self.means_s, **_missing(self.means_s)})

    @classmethod
    def measured(cls, durations_s: Mapping[str, Sequence[float]], *, other_s: float = 0.0) -> Latencies:
        """What points took, as somebody measured it: each takes as long as one of those with its label did, drawn at random.

        Args:
            durations_s: seconds by label; those that nobody saw are left out.
            other_s: what any other point takes.

        Raises:
            UsageError: nothing was measured, or a duration is negative or no number.
        """
        seen = {label: tuple(map(float, durations)) for label, durations in durations_s.items() if len(durations)}
        for label, durations in seen.items():
            if not all(isfinite(duration) and duration >= 0 for duration in durations):
                raise UsageError(f"durations of {label!r}: give seconds, 0 or more")
        means = {label: sum(durations) / len(durations) for label, durations in seen.items()}
        return cls(means_s={**means, "*": other_s}, distribution="measured", durations_s=seen)

    @classmethod
    def parse(cls, texts: list[str], distribution: str = "exponential") -> Latencies:
        """Read ``PATTERN=SECONDS`` texts, as the command line takes them.

        Raises:
            UsageError: a text is none, or its seconds make no sense.

        >>> Latencies.parse(["*extract/answer=5"], "fixed").mean_s("commit/extract/answer")
        5.0
        """
        means: dict[str, float] = {}
        for text in texts:
            pattern, equals, seconds = text.rpartition("=")
            try:
                means[pattern] = float(seconds)
            except ValueError:
                equals = ""
            if not equals or not pattern:
                raise UsageError(f"{text!r} is no latency: write PATTERN=SECONDS, for example '*extract/answer=2.6'")
        return cls(means_s=means, distribution=cast(Distribution, distribution))

    def pattern(self, label: str) -> str:
        """The pattern that holds for a label."""
        return next(pattern for pattern in self.means_s if fnmatchcase(label, pattern))

    def mean_s(self, label: str) -> float:
        """Mean virtual seconds of a point."""
        return self.means_s[self.pattern(label)]

    def __str__(self) -> str:
        if self.distribution == "measured":
            count = sum(map(len, self.durations_s.values()))
            return f"measured: {count} durations of {len(self.durations_s)} kinds of step"
        means = ", ".join(f"{_told(pattern)} {_seconds(mean)}" for pattern, mean in self.means_s.items())
        return f"{self.distribution}: {means}"


def _missing(given: Mapping[str, float]) -> dict[str, float]:
    return {} if "*" in given else {pattern: mean for pattern, mean in DEFAULT_MEANS_S.items() if pattern not in given}


def _told(pattern: str) -> str:
    return "any other step" if pattern == "*" else pattern


def _seconds(seconds: float) -> str:
    return f"{seconds:g} s" if seconds == 0 or seconds >= 0.1 else f"{seconds * 1e3:g} ms"


class Draws:
    """Durations of one schedule, the same for the same thing whatever else happens.

    The n-th extraction of client ``a`` takes as long in every implementation, with every delay and under every load: differences between
    curves are differences between implementations, and not between draws.
    """

    def __init__(self, latencies: Latencies, seed: int, schedule: int) -> None:
        self._latencies = latencies
        self._start = f"{seed}:{schedule}"
        self._counts: Counter[tuple[str, str]] = Counter()

    def point(self, client: str, label: str) -> float:
        """What this point of this client takes."""
        pattern = self._latencies.pattern(label)
        mean = self._latencies.means_s[pattern]
        if self._latencies.distribution == "fixed" or mean == 0:
            return mean
        measured = self._latencies.durations_s.get(pattern)
        if measured is not None:
            return measured[int(self._uniform(client, pattern) * len(measured))]
        return self.exponential(client, pattern, mean)

    def exponential(self, client: str, what: str, mean_s: float) -> float:
        """An exponential duration of this mean, for the next such thing of this client."""
        return -mean_s * log1p(-self._uniform(client, what))

    def _uniform(self, client: str, what: str) -> float:
        """A number from 0 to 1 (excluded), the same for the n-th such thing of this client whatever else happens."""
        self._counts[client, what] += 1
        text = f"{self._start}:{client}:{what}:{self._counts[client, what]}"
        number = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest()) >> 11
        return number / 2**53
