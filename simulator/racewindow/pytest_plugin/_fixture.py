"""The fixture ``race``: scenarios x implementations, proved or fuzzed within a test."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from racewindow.campaign.corpus import Corpus, Entry
from racewindow.errors import RacewindowError, UsageError
from racewindow.pytest_plugin._outcome import Outcome, RaceFailure, at_most
from racewindow.pytest_plugin._settings import Settings
from racewindow.pytest_plugin._subject import replay_line

if TYPE_CHECKING:
    from racewindow.experiments import CaseResult
    from racewindow.frames import Timeline
    from racewindow.search import Strategy
    from racewindow.sessions import Case, Scenario, SessionStore

_TOPOLOGIES = ("same-store", "separate-stores")
_DISKS = ("suspending", "atomic")


class Race:
    """Asks implementations about scenarios. Every answer that is not clean fails the test, with the shrunk story.

    An implementation is a :class:`~racewindow.SessionStore` class or a name that the command line takes; a scenario is a story's name, a
    text like ``"a: add m1; commit | b: reload; commit"``, or a scenario. Both may be lists; each pair is asked in every topology and
    granularity.
    """

    def __init__(self, node: pytest.Item, settings: Settings) -> None:
        self._node, self._settings = node, settings
        self._replayed: set[str] = set()  # implementations whose tokens of the corpus were replayed in this test
        self.matched = False  # whether the token to replay belonged to anything here

    def prove(
        self,
        implementation: str | type[SessionStore] | Sequence[str | type[SessionStore]],
        scenario: str | Scenario | Sequence[str | Scenario],
        *,
        topology: str | Sequence[str] = _TOPOLOGIES,
        disk: str | Sequence[str] = _DISKS,
        time: str = "idle",
        preemptions: int | None = 2,
        max_executions: int = 100_000,
        time_limit: float | None = None,
    ) -> tuple[CaseResult, ...]:
        """Run every schedule within a bound, as :func:`racewindow.experiments.prove` does.

        Args:
            implementation, scenario, topology, disk: one or several each.
            time: ``idle`` or ``adversarial``.
            preemptions: the largest bound to try; None: no bound.
            max_executions: schedules of one bound at most.
            time_limit: wall-clock seconds for each case.

        Returns:
            what each case showed.

        Raises:
            RaceFailure: a case failed, or has no verdict.
            UsageError: there is no such implementation, story, topology or granularity.
        """
        from racewindow.experiments import prove

        __tracebackhide__ = True
        limit = self._settings.pick("time_limit", {"time_limit": time_limit}, None)
        return self._ask(
            self._cases(implementation, scenario, topology, disk, time),
            lambda case: prove(case, preemptions=preemptions, max_executions=max_executions, time_limit_s=limit),
        )

    def fuzz(
        self,
        implementation: str | type[SessionStore] | Sequence[str | type[SessionStore]],
        scenario: str | Scenario | Sequence[str | Scenario],
        *,
        topology: str | Sequence[str] = _TOPOLOGIES,
        disk: str | Sequence[str] = _DISKS,
        time: str = "idle",
        strategy: str | Strategy | None = None,
        schedules: int | None = None,
        seed: int | None = None,
        time_limit: float | None = None,
    ) -> tuple[CaseResult, ...]:
        """Sample schedules, as :func:`racewindow.experiments.fuzz` does; arguments and errors as for :meth:`prove`.

        Args:
            strategy: how to choose; default: auto, which proves what is small.
            schedules: how many of each case at most; default: the profile's.
            seed: the same seed makes the same schedules.
        """
        from racewindow.experiments import fuzz

        __tracebackhide__ = True
        given = {"strategy": strategy, "schedules": schedules, "seed": seed, "time_limit": time_limit}
        pick = self._settings.pick
        return self._ask(
            self._cases(implementation, scenario, topology, disk, time),
            lambda case: fuzz(
                case,
                strategy=pick("strategy", given, "auto"),
                schedules=pick("schedules", given, self._settings.profile.test_schedules),
                seed=self._settings.seed(given),
                time_limit_s=pick("time_limit", given, None),
                stop_at_first=True,
            ),
        )

    def _cases(self, implementations: Any, scenarios: Any, topologies: Any, disks: Any, time: Any) -> list[Case]:
        from racewindow.implementations import implementation
        from racewindow.sessions import Case, story

        stores = [implementation(each) if isinstance(each, str) else _named(each) for each in _several(implementations)]
        stories = [story(each) if isinstance(each, str) else each for each in _several(scenarios)]
        return [
            Case(implementation=store, scenario=scenario, topology=topology, disk=disk, time=time)
            for store in stores
            for scenario in stories
            for topology in _several(topologies)
            for disk in _several(disks)
        ]

    def _ask(self, cases: list[Case], examine: Callable[[Case], CaseResult]) -> tuple[CaseResult, ...]:
        __tracebackhide__ = True
        if not cases:
            raise UsageError("nothing to ask: give at least one implementation, scenario, topology and granularity")
        if self._settings.replay:
            return self._replay(cases)
        self._from_corpus(cases)
        results: list[CaseResult] = []
        for case in cases:
            try:
                result = examine(case)
            except RacewindowError as error:
                raise self._failure(case.name, "unknown", f"{type(error).__name__}: {error}") from None
            if result.interrupted:
                raise KeyboardInterrupt
            results.append(result)
            if result.verdict == "failed":
                raise self._failed(result)
            self._node.user_properties.extend(_outcome(result).properties())
            if result.verdict == "unknown":
                raise RaceFailure(f"unknown: {case.name}: {result.reason}")
        return tuple(results)

    def _failed(self, result: CaseResult) -> RaceFailure:
        result = result.shrink()
        assert result.shrunk is not None
        assert result.first is not None
        kinds = tuple(dict.fromkeys(violation.kind for violation in result.first.violations))
        token = result.shrunk.token
        if self._settings.corpus is not None:
            Corpus(self._settings.corpus).add(Entry(owner=self._node.nodeid, token=token, kinds=kinds))
        self._node.user_properties.extend(_outcome(result, token=token).properties())
        how = f"{result.strategy} {result.bound}".rstrip()
        return RaceFailure(
            f"{'+'.join(kinds)}: {result.case.name}, in {result.failures} of {result.schedules} schedules ({how})\n"
            f"shrunk to {result.shrunk.case.scenario.text}\n{result.shrunk.says}\n\n{self._story(result.timeline(), token)}"
        )

    def _story(self, timeline: Timeline, token: str) -> str:
        """With a line that finds the store: racewindow's command line may not know a class of a test."""
        from racewindow import charts

        return charts.timeline_text(replace(timeline, replay=replay_line(self._node.nodeid, token)))

    def _failure(self, subject: str, verdict: str, says: str, **more: Any) -> RaceFailure:
        self._node.user_properties.extend(Outcome(verdict=verdict, subject=subject, says=says, **more).properties())
        return RaceFailure(f"{says}: {subject}")

    # -- tokens --------------------------------------------------------------------------------------------------------

    def _case_of(self, token: str, cases: Iterable[Case]) -> Case | None:
        """The case that a token names, if its implementation is asked about here. It may be smaller than any of these: it was shrunk."""
        from racewindow.kernel.token import Token
        from racewindow.sessions import Case

        stores = {case.implementation.name: case.implementation for case in cases}
        subject = Token.parse(token).subject
        if not any(subject.startswith(f"{name}/") for name in stores):
            return None
        return Case.named(subject, lambda name: stores[name])

    def _replay(self, cases: list[Case]) -> tuple[CaseResult, ...]:
        """Only the token is run; for the cases themselves the answer is that nobody asked."""
        from racewindow.experiments import CaseResult

        __tracebackhide__ = True
        case = self._case_of(self._settings.replay, cases)
        if case is not None:
            self.matched = True
            self._follow(case, self._settings.replay, "replayed", strict=True)
        reason = "not run: --race-replay runs its token only"
        return tuple(CaseResult(case=each, verdict="unknown", reason=reason) for each in cases)

    def _follow(self, case: Case, token: str, how: str, *, strict: bool) -> None:
        from racewindow.experiments import replay_and_tell

        __tracebackhide__ = True
        try:
            run, timeline = replay_and_tell(case, token, strict=strict)
        except RacewindowError as error:
            raise self._failure(case.name, "unknown", f"{type(error).__name__}: {error}", token=token) from None
        kinds = "+".join(dict.fromkeys(violation.kind for violation in run.violations))
        says = f"{kinds or 'no violation'}, {how}"
        failures = int(run.verdict == "failed")
        outcome = Outcome(
            verdict=run.verdict,
            subject=case.name,
            says=says,
            schedules=1,
            failures=failures,
            violation=kinds,
            token=token,
        )
        self._node.user_properties.extend(outcome.properties())
        if run.verdict != "passed":
            raise RaceFailure(f"{says}: {case.name}\n\n{self._story(timeline, token)}")

    def _from_corpus(self, cases: list[Case]) -> None:
        __tracebackhide__ = True
        if self._settings.corpus is None:
            return
        names = {case.implementation.name for case in cases} - self._replayed
        self._replayed |= names
        mine = [case for case in cases if case.implementation.name in names]
        corpus = Corpus(self._settings.corpus)
        for entry in corpus.entries(self._node.nodeid) if mine else ():
            case = self._case_of(entry.token, mine)
            if case is None:
                continue
            self._follow(case, entry.token, "replayed from the corpus", strict=False)
            corpus.passed(entry)


def _several(given: Any) -> list[Any]:
    return list(given) if isinstance(given, list | tuple) else [given]


def _named(store: type[SessionStore]) -> type[SessionStore]:
    """A class of the test's own goes by its own name, unless it says another; not by one that it inherits."""
    if "name" not in vars(store) or not store.name:
        store.name = store.__name__
    return store


def _outcome(result: CaseResult, *, token: str = "") -> Outcome:
    sampled = 0 if result.sampled_from is None else max(0, result.schedules - result.sampled_from)
    limit = at_most(sampled) if result.verdict == "passed" else ""
    kinds = "+".join(result.kinds)
    bound = f" within {result.bound}" if result.bound else ""
    says = {
        "proved": f"every schedule{bound}, {result.schedules} executions",
        "passed": f"no violation in {result.schedules} schedules, at most {limit} of what {result.strategy} draws (95 %)",
        "failed": f"{kinds} in {result.failures} of {result.schedules} schedules",
    }
    return Outcome(
        verdict=result.verdict,
        subject=result.case.name,
        says=says.get(result.verdict, result.reason),
        strategy=result.strategy,
        bound=result.bound,
        seed=result.seed,
        schedules=result.schedules,
        failures=result.failures,
        at_most=limit,
        violation=kinds,
        token=token,
    )
