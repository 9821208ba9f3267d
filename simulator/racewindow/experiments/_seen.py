"""What the schedules of a case showed besides violations: goals, and facts worth knowing. Two halves of a campaign add up."""

from __future__ import annotations

from collections import Counter

from racewindow.kernel.run import Run
from racewindow.search import SearchVerdict
from racewindow.sessions.case import Case
from racewindow.sessions.goals import GOALS
from racewindow.sessions.history import History
from racewindow.sessions.invariants import report


class Seen:
    """A tally over schedules of one case.

    Attributes:
        reached: goals of the scenario that some schedule reached.
        noted: in how many schedules a fact was noted.
        failing: kinds of operation that raised something else than a refusal, and what the first one raised.
        working: kinds of operation that came to another end at least once.
    """

    def __init__(self, case: Case) -> None:
        self._goals = case.scenario.goals
        self._case = case
        self.reached: set[str] = set()
        self.noted: Counter[str] = Counter()
        self.failing: dict[str, str] = {}
        self.working: set[str] = set()

    def add(self, run: Run) -> None:
        """Take one schedule in."""
        if not isinstance(run.result, History):
            return
        if len(self.reached) < len(self._goals):
            self.reached.update(self._case.reached(run.result))
        counts = report(run.result)
        self.noted.update(fact for fact in ("re_extracted", "attempts_failed") if counts[fact])
        errors = [call for call in run.result.calls if call.outcome == "error"]
        self.noted.update(["errors"] if errors else [])
        for call in errors:
            self.failing.setdefault(call.kind, call.error)
        self.working.update(call.kind for call in run.result.calls if call.outcome != "error")

    @property
    def goals(self) -> dict[str, bool]:
        """What had to happen in some schedule, and whether it did."""
        return {goal: goal in self.reached for goal in self._goals}

    def judge(self, verdict: SearchVerdict, reason: str) -> tuple[SearchVerdict, str]:
        """A clean verdict over schedules in which nothing worked, or in which a goal was never reached, is ``unknown``; with the reason."""
        if verdict not in ("proved", "passed"):
            return verdict, reason
        broken = {kind: error for kind, error in self.failing.items() if kind not in self.working}
        if broken:
            said = "; ".join(f"every {kind} ended in an error, the first in {error}" for kind, error in broken.items())
            return "unknown", said
        missed = [goal for goal, reached in self.goals.items() if not reached]
        if missed:
            return "unknown", "no schedule reached the goal " + "; ".join(
                f"{goal}: {GOALS[goal].says}" for goal in missed
            )
        return verdict, reason
