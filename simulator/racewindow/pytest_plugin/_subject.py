"""Run one race test: the corpus first, then many schedules, then the shrunk story."""

from __future__ import annotations

import functools
import shlex
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from racewindow.campaign.corpus import Corpus, Entry
from racewindow.errors import RacewindowError
from racewindow.pytest_plugin._marker import Marked
from racewindow.pytest_plugin._outcome import Outcome, RaceFailure, at_most
from racewindow.pytest_plugin._settings import Settings

if TYPE_CHECKING:
    from racewindow.kernel import Limits, Run, World
    from racewindow.search import Exploration


class RaceTest:
    """One test function in many schedules."""

    def __init__(self, item: pytest.Function, test: Marked, settings: Settings, arguments: dict[str, Any]) -> None:
        from racewindow.kernel import Limits
        from racewindow.search._subject import identify

        self._item, self._settings, self._options = item, settings, test.options
        self.subject = _subject(test.function, arguments)
        self.host = test.options.get("host", "trio")
        chosen = {key: test.options[key] for key in ("time", "max_steps", "timers_max") if key in test.options}
        self.limits: Limits = Limits(**chosen)
        self.name, self.checksum = identify(self.subject, item.nodeid, "", self.limits)

    def run(self) -> Outcome:
        """Find out.

        Raises:
            RaceFailure: some schedule fails, or there is no verdict.
        """
        try:
            if self._settings.replay:
                return self._replay()
            return self._from_corpus() or self._explore()
        except RacewindowError as error:
            said = f"{type(error).__name__}: {error}"
            raise self._failure(Outcome(verdict="unknown", subject=self.name, says=said), said) from None

    def _explore(self) -> Outcome:
        from racewindow.search import explore, strategy_named

        pick = self._settings.pick
        strategy = pick("strategy", self._options, "auto")
        found = explore(
            self.subject,
            strategy=strategy_named(strategy) if isinstance(strategy, str) else strategy,
            schedules=pick("schedules", self._options, self._settings.profile.test_schedules),
            seed=self._settings.seed(self._options),
            time_limit_s=pick("time_limit", self._options, None),
            stop_at_first=True,
            **self._who(),
        )
        if found.interrupted:
            raise KeyboardInterrupt
        if found.first is not None:
            return self._failed(found)
        outcome = self._outcome(found)
        if found.verdict == "unknown":
            raise self._failure(outcome, f"unknown: {found.reason}")
        return outcome

    def _who(self) -> dict[str, Any]:
        return {"host": self.host, "limits": self.limits, "name": self.name, "checksum": self.checksum}

    def _failed(self, found: Exploration) -> Outcome:
        from racewindow.search import shrink

        assert found.first is not None
        token, shrunk = found.first.token, ""
        if self._options.get("shrink", True):
            small = shrink(self.subject, found.first, **self._who())
            token, shrunk = small.token, f"shrunk: {small.says}\n"
        kinds = tuple(dict.fromkeys(violation.kind for violation in found.first.violations))
        self._keep(token, kinds)
        where = f"schedule {found.schedules} ({found.strategy}, seed {found.seed})"
        outcome = self._outcome(found, token=token, violation="+".join(kinds), says=f"{'+'.join(kinds)} in {where}")
        raise self._failure(
            outcome, f"{outcome.says}\n{shrunk}\n{self._story(self._follow(token, strict=True), token)}"
        )

    def _outcome(self, found: Exploration, *, token: str = "", violation: str = "", says: str = "") -> Outcome:
        sampled = 0 if found.sampled_from is None else max(0, found.schedules - found.sampled_from)
        bound = f" within {found.bound}" if found.bound else ""
        limit = at_most(sampled) if found.verdict == "passed" else ""
        told = {
            "proved": f"every schedule{bound}, {found.schedules} executions",
            "passed": f"no violation in {found.schedules} schedules, at most {limit} of what {found.strategy} draws (95 %)",
        }
        return Outcome(
            verdict=found.verdict,
            subject=self.name,
            says=says or told.get(found.verdict, found.reason),
            strategy=found.strategy,
            bound=found.bound,
            seed=found.seed,
            schedules=found.schedules,
            failures=found.failures,
            at_most=limit,
            violation=violation,
            token=token,
        )

    # -- tokens --------------------------------------------------------------------------------------------------------

    def _follow(self, token: str, *, strict: bool) -> Run:
        from racewindow.search import replay

        return replay(self.subject, token, strict=strict, **self._who())

    def _replay(self) -> Outcome:
        return self._replayed(self._settings.replay, "replayed", strict=True)

    def _replayed(self, token: str, how: str, *, strict: bool) -> Outcome:
        run = self._follow(token, strict=strict)
        kinds = "+".join(dict.fromkeys(violation.kind for violation in run.violations))
        verdict = run.verdict
        says = f"{kinds or run.reason or 'no violation'}, {how}"
        outcome = Outcome(
            verdict=verdict,
            subject=self.name,
            says=says,
            strategy="replay",
            schedules=1,
            failures=int(verdict == "failed"),
            violation=kinds,
            token=token,
        )
        if verdict != "passed":
            raise self._failure(outcome, f"{says}\n\n{self._story(run, token)}")
        return outcome

    def _from_corpus(self) -> Outcome | None:
        """None: nothing in the corpus fails any more."""
        if self._settings.corpus is None:
            return None
        runs: dict[str, Run] = {}

        def follow(token: str) -> tuple[str, ...]:
            runs[token] = run = self._follow(token, strict=False)
            return tuple(dict.fromkeys(violation.kind for violation in run.violations))

        for entry, outcome in Corpus(self._settings.corpus).replay(self._item.nodeid, follow):
            if outcome == "failed":
                return self._replayed(entry.token, "replayed from the corpus", strict=False)
            if outcome.startswith("lost"):
                raise self._failure(
                    Outcome(verdict="unknown", subject=self.name, says=outcome, token=entry.token),
                    f"a token of the corpus is {outcome}\n{entry.token}",
                )
        return None

    def _keep(self, token: str, kinds: tuple[str, ...]) -> None:
        if self._settings.corpus is not None:
            Corpus(self._settings.corpus).add(Entry(owner=self._item.nodeid, token=token, kinds=kinds))

    # -- what a person reads -------------------------------------------------------------------------------------------

    def _failure(self, outcome: Outcome, text: str) -> RaceFailure:
        self._item.user_properties.extend(outcome.properties())
        return RaceFailure(text)

    def _story(self, run: Run, token: str) -> str:
        from racewindow import charts
        from racewindow.frames import Row, Timeline

        steps = run.trace
        certain = next((violation.step for violation in run.violations if violation.step is not None), None)
        certain = len(steps) - 1 if certain is None and run.violations else certain
        rows = [
            Row(
                step=step.index,
                task=step.task,
                label=step.label,
                preempted=step.preempted,
                notes=step.notes,
                violating=step.index == certain,
            )
            for step in steps
        ]
        count = f"{run.preemptions} preemption{'' if run.preemptions == 1 else 's'}"
        timeline = Timeline(
            title=self.name,
            subtitle=f"host {self.host}, time={self.limits.time}; {run.steps} steps, {count}",
            tasks=tuple(dict.fromkeys(step.task for step in steps)),
            rows=tuple(rows),
            violation="; ".join(f"{each.kind}: {each.detail}" for each in run.violations),
            violating_step=certain,
            replay=replay_line(self.name, token),
        )
        return charts.timeline_text(timeline)


def replay_line(nodeid: str, token: str) -> str:
    """One line to paste."""
    return f"pytest {shlex.quote(nodeid)} --race-replay {shlex.quote(token)}"


def _subject(function: Callable[..., Any], arguments: dict[str, Any]) -> Callable[[World], Any]:
    @functools.wraps(function)  # its text is the test's, for the checksum and for hints
    async def subject(world: World) -> None:
        await function(**{**arguments, "world": world})

    return subject
