"""What a race showed: properties of the test for JUnit XML and for the summary, and the failure that a person reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

VERDICTS = ("proved", "passed", "failed", "unknown", "not-applicable")
_PREFIX = "race_"
_FIRST = "race_verdict"


class RaceFailure(AssertionError):
    """A schedule broke an invariant, or there is no verdict; the text is what a person reads, its first line is the summary."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One verdict.

    Attributes:
        verdict: ``proved``, ``passed``, ``failed``, ``unknown`` or ``not-applicable``.
        subject: the test, or the case within it.
        says: one line: how many schedules, within which bound.
        strategy, bound, seed: how schedules were chosen.
        schedules, failures: counts.
        at_most: how many of the schedules drawn may still fail (95 %); empty where nothing was sampled.
        violation, token: of a failure.
    """

    verdict: str
    subject: str
    says: str
    strategy: str = ""
    bound: str = ""
    seed: int = 0
    schedules: int = 0
    failures: int = 0
    at_most: str = ""
    violation: str = ""
    token: str = ""

    def properties(self) -> Iterator[tuple[str, str]]:
        """As pytest keeps them with a test, the verdict first."""
        for name in ("verdict", *(name for name in self.__slots__ if name != "verdict")):
            yield f"{_PREFIX}{name}", str(getattr(self, name))


def outcomes(properties: Iterable[tuple[str, object]]) -> list[Outcome]:
    """Read what :meth:`Outcome.properties` wrote, perhaps in another process."""
    groups: list[dict[str, str]] = []
    for name, value in properties:
        if name == _FIRST:
            groups.append({})
        if name.startswith(_PREFIX) and groups:
            groups[-1][name.removeprefix(_PREFIX)] = str(value)
    counts = ("seed", "schedules", "failures")
    return [
        Outcome(**{name: int(value) if name in counts else value for name, value in group.items()})  # type: ignore[arg-type]
        for group in groups
    ]


def summary(found: list[Outcome], *, verbose: bool) -> Iterator[str]:
    """The lines of the terminal's summary: what passed is counted, what did not is named."""
    for verdict in VERDICTS:
        mine = [one for one in found if one.verdict == verdict]
        if not mine:
            continue
        line = f"{len(mine)} {verdict}, {sum(one.schedules for one in mine)} schedules"
        drawn = [one for one in mine if one.at_most]
        if verdict == "passed" and drawn:
            worst = max(drawn, key=lambda one: float(one.at_most.rstrip("%")))
            line += f": at most {worst.at_most} of what a strategy draws fails (95 %), the widest bound of them"
        yield line
        if verbose or verdict in ("failed", "unknown"):
            yield from (f"  {one.subject}: {one.says}" for one in mine)


def at_most(sampled: int) -> str:
    """The upper bound that so many clean samples leave, in percent."""
    from racewindow.statistics import upper_bound

    return f"{upper_bound(sampled):.2%}" if sampled else ""
