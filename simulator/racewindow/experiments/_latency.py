"""How long steps take, in virtual seconds: the model behind widths in seconds and behind arrivals."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from math import isfinite, log1p
from typing import Literal, cast, get_args

from racewindow.errors import UsageError

Distribution = Literal["exponential", "fixed"]
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
        distribution: ``exponential``, or ``fixed``: every point takes exactly its mean.

    Raises:
        UsageError: a mean is negative or no number, or the distribution is unknown.
    """

    means_s: Mapping[str, float] = field(default_factory=dict)
    distribution: Distribution = "exponential"

    def __post_init__(self) -> None:
        for pattern, mean in self.means_s.items():
            if not isinstance(mean, int | float) or isinstance(mean, bool) or not isfinite(mean) or mean < 0:
                raise UsageError(
                    f"latency of {pattern!r} is {mean!r}: no step takes less than no time; give virtual seconds, 0 or more"
                )
        if self.distribution not in DISTRIBUTIONS:
            raise UsageError(
                f"unknown distribution {self.distribution!r} of latencies: use {' or '.join(DISTRIBUTIONS)}"
            )
        object.__setattr__(self, "means_s", {**self.means_s, **_missing(self.means_s)})

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
        if self._latencies.distribution == "fixed":
            return mean
        return self.exponential(client, pattern, mean)

    def exponential(self, client: str, what: str, mean_s: float) -> float:
        """An exponential duration of this mean, for the next such thing of this client."""
        self._counts[client, what] += 1
        text = f"{self._start}:{client}:{what}:{self._counts[client, what]}"
        number = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest()) >> 11
        return -mean_s * log1p(-number / 2**53)
