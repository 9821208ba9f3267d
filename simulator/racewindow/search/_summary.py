"""An exploration in a few honest lines."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from racewindow.statistics import interval, unseen, upper_bound

if TYPE_CHECKING:
    from racewindow.search._exploration import Exploration


def summary(exploration: Exploration) -> str:
    """The text of :meth:`Exploration.summary`."""
    bound = f", {exploration.bound}" if exploration.bound else ""
    head = f"{exploration.subject}: {exploration.verdict} ({exploration.strategy}{bound}, seed {exploration.seed})"
    if exploration.reason:
        head += f": {exploration.reason}"
    return "\n".join([head, _counts(exploration), *_unseen(exploration), *exploration.notes])


def _counts(exploration: Exploration) -> str:
    start = exploration.sampled_from
    systematic = exploration.schedules if start is None else min(start, exploration.schedules)
    sampled = exploration.found[systematic:]
    lines = []
    if systematic:
        failures = sum(one.verdict == "failed" for one in exploration.found[:systematic])
        every = "every schedule there is" if exploration.complete else "not all there are"
        lines.append(f"{failures} of {systematic} schedules run systematically failed ({every})")
    if sampled:
        failures = sum(one.verdict == "failed" for one in sampled)
        if failures:
            low, high = interval(len(sampled), failures)
            rate = failures / len(sampled)
            lines.append(
                f"{failures} of {len(sampled)} sampled schedules failed: {rate:.2%}, 95 % Clopper-Pearson interval {low:.2%} to {high:.2%}"
            )
        else:
            lines.append(
                f"no violation in {len(sampled)} sampled schedules: at most {upper_bound(len(sampled)):.2%} of what "
                f"{exploration.strategy} draws fails (95 %)"
            )
    return "\n".join(lines) or "no schedule was run"


def _unseen(exploration: Exploration) -> list[str]:
    start = exploration.independent_from
    noted = [one.happens_before for one in exploration.found[start:] if one.happens_before] if start is not None else []
    if not noted:
        return []
    seen = unseen(Counter(noted).values())
    return [
        f"{seen.classes} happens-before classes in {seen.sample} schedules, {seen.once} of them seen once: the next schedule is of an "
        f"unseen class with probability about {seen.mass:.2%} (Good-Turing); about {seen.classes_expected:.0f} classes at least (Chao1)"
    ]
