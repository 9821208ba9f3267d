"""First bug: how many schedules a strategy needs until the first violation.

A search that ends without one is *censored*: all that is known is that it would have taken longer. Leaving such searches out would make
the worst strategy look like the best, so the mean is all schedules over all finds, curves are Kaplan and Meier's, and strategies are
compared by the log-rank test.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from math import inf
from typing import TYPE_CHECKING, Any

from racewindow.errors import UsageError
from racewindow.frames import first_bug_frame, logrank_frame, rates_frame, survival_frame
from racewindow.kernel.engine import Subject, function_name
from racewindow.search import Auto, Exploration, Strategy, explore, strategy_named
from racewindow.search.registry import label_of
from racewindow.sessions.case import Case

if TYPE_CHECKING:
    import pandas as pd

STRATEGIES = ("random-walk", "burst", "pct", "pos", "urw")


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstBug:
    """What searching with several strategies and many seeds took.

    Attributes:
        frame: one row per search, with the columns :data:`racewindow.frames.FIRST_BUG`.
        schedules: where a search without a violation was cut off.
        interrupted: the user stopped it, or the time was up; what is here is what was finished until then.
        seconds: wall-clock time taken.
    """

    frame: pd.DataFrame = field(repr=False)
    schedules: int
    interrupted: bool = False
    seconds: float = field(default=0.0, repr=False)

    @property
    def rates(self) -> pd.DataFrame:
        """One row per subject and strategy, the best first; see :data:`racewindow.frames.RATES`."""
        rows = [_rate(key, group) for key, group in _groups(self.frame)]
        rows.sort(key=_subject_and_mean)
        return rates_frame(rows)

    @property
    def survival(self) -> pd.DataFrame:
        """Kaplan-Meier curves; see :data:`racewindow.frames.SURVIVAL`."""
        return survival_frame(row for key, group in _groups(self.frame) for row in _curve(key, group))

    @property
    def logrank(self) -> pd.DataFrame:
        """Each pair of strategies of a subject; see :data:`racewindow.frames.LOGRANK`."""
        from scipy.stats import logrank

        samples: dict[str, dict[str, Any]] = {}
        for (subject, strategy), group in _groups(self.frame):
            samples.setdefault(subject, {})[strategy] = group
        rows = []
        for subject, groups in samples.items():
            for one, other in combinations(groups, 2):
                if not (groups[one]["found"].any() or groups[other]["found"].any()):
                    continue  # nothing happened that could be compared
                test = logrank(_censored(groups[one]), _censored(groups[other]))
                rows.append((subject, one, other, float(test.statistic), float(test.pvalue)))
        return logrank_frame(rows)

    def __repr__(self) -> str:
        finds = int(self.frame["found"].sum())
        return f"<FirstBug searches={len(self.frame)} finds={finds} schedules<={self.schedules}>"


def first_bug(
    subjects: Case | Subject | Mapping[str, Case | Subject],
    *,
    strategies: Sequence[str | Strategy] = STRATEGIES,
    seeds: Iterable[int] = range(30),
    schedules: int = 1000,
    time_limit_s: float | None = None,
) -> FirstBug:
    """Search each subject with each strategy and seed, until the first violation or ``schedules`` schedules.

    Args:
        subjects: a case, an async function that takes a :class:`~racewindow.World`, or several by name.
        strategies: values, or names as on the command line, for example ``pct:depth=2``.
        seeds: one search each.
        schedules: a search without a violation is cut off (censored) here.
        time_limit_s: wall-clock seconds after which no further search begins.

    Raises:
        UsageError: a budget or name makes no sense, or a strategy does not depend on its seed.
    """
    chosen = [strategy_named(each) if isinstance(each, str) else each for each in strategies]
    chosen_seeds = list(seeds)
    if not chosen or not chosen_seeds:
        raise UsageError("first_bug needs at least one strategy and one seed")
    if schedules < 1:
        raise UsageError(f"schedules={schedules}: at least one schedule has to run")
    if time_limit_s is not None and time_limit_s <= 0:
        raise UsageError(f"time_limit_s={time_limit_s}: the limit must be positive")
    for strategy in chosen:
        if strategy.exhaustive or isinstance(strategy, Auto):
            raise UsageError(
                f"{strategy.name} searches in one fixed order, whatever the seed: compare samplers here, and prove with that one"
            )
    named = subjects if isinstance(subjects, Mapping) else {_name(subjects): subjects}
    started = time.monotonic()
    rows: list[dict[str, object]] = []
    interrupted = False
    # Seed by seed, so that a search that was stopped has as many of each strategy.
    for seed in chosen_seeds:
        for name, subject in named.items():
            for strategy in chosen:
                if interrupted or (time_limit_s is not None and time.monotonic() - started > time_limit_s):
                    interrupted = True
                    break
                found = _search(subject, strategy, seed, schedules)
                interrupted = found.interrupted
                if not interrupted:
                    rows.append(_row(name, label_of(strategy), seed, found))
    return FirstBug(
        frame=first_bug_frame(rows), schedules=schedules, interrupted=interrupted, seconds=time.monotonic() - started
    )


def _name(subject: Case | Subject) -> str:
    return subject.name if isinstance(subject, Case) else function_name(subject)


def _search(subject: Case | Subject, strategy: Strategy, seed: int, schedules: int) -> Exploration:
    options: dict[str, Any] = {"strategy": strategy, "seed": seed, "schedules": schedules, "stop_at_first": True}
    if not isinstance(subject, Case):
        return explore(subject, **options)
    if subject.not_applicable:
        raise UsageError(f"{subject.name} cannot be run: {subject.not_applicable}")
    return explore(
        subject.subject(),
        host=subject.implementation.host,
        limits=subject.limits,
        name=subject.name,
        checksum=subject.checksum,
        **options,
    )


def _row(name: str, strategy: str, seed: int, found: Exploration) -> dict[str, object]:
    first = found.first
    return {
        "subject": name,
        "strategy": strategy,
        "seed": seed,
        "schedules": found.schedules,
        "found": first is not None,
        "violation": "+".join(dict.fromkeys(each.kind for each in first.violations)) if first else "",
        "token": first.token if first else "",
    }


def _subject_and_mean(row: dict[str, Any]) -> tuple[str, float]:
    return row["subject"], row["mean"]


def _groups(frame: pd.DataFrame) -> list[tuple[tuple[str, str], pd.DataFrame]]:
    grouped = frame.groupby(["subject", "strategy"], observed=True, sort=False)
    return [((str(subject), str(strategy)), group) for (subject, strategy), group in grouped]


def _censored(group: pd.DataFrame) -> Any:
    from scipy.stats import CensoredData

    taken, found = group["schedules"].to_numpy(dtype=float), group["found"].to_numpy()
    return CensoredData(uncensored=taken[found], right=taken[~found])


def _rate(key: tuple[str, str], group: pd.DataFrame) -> dict[str, Any]:
    """Each schedule fails with one probability, so the finds among all schedules are binomial, wherever the searches stop."""
    from racewindow.statistics import interval

    total, finds = int(group["schedules"].sum()), int(group["found"].sum())
    low, high = interval(total, finds)
    reached = [row["schedules"] for row in _curve(key, group) if row["survival"] <= 0.5]
    return {
        "subject": key[0],
        "strategy": key[1],
        "searches": len(group),
        "finds": finds,
        "schedules": total,
        "mean": total / finds if finds else inf,
        "mean_low": 1 / high,
        "mean_high": 1 / low if low else inf,
        "median": reached[0] if reached else inf,
    }


def _curve(key: tuple[str, str], group: pd.DataFrame) -> list[dict[str, Any]]:
    """Where the curve steps down and where searches were censored, from certainty at zero schedules on."""
    from scipy.stats import ecdf

    survival = ecdf(_censored(group)).sf
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # where the curve is 0 or 1 there is no interval; see below
        ends = survival.confidence_interval(0.95, method="log-log")
    censored = group.loc[~group["found"], "schedules"].value_counts().to_dict()
    base: dict[str, Any] = {"subject": key[0], "strategy": key[1], "searches": len(group)}
    rows: list[dict[str, Any]] = [base | {"schedules": 0, "survival": 1.0, "low": 1.0, "high": 1.0, "censored": 0}]
    for place, low, high in zip(survival.quantiles, ends.low.probabilities, ends.high.probabilities, strict=True):
        at = float(survival.evaluate(place))
        sure = at in (0.0, 1.0)  # the variance cannot be estimated there
        rows.append(
            base
            | {
                "schedules": int(place),
                "survival": at,
                "low": at if sure else float(low),
                "high": at if sure else float(high),
                "censored": censored.get(int(place), 0),
            }
        )
    return rows
