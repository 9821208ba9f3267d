"""Sessions proved without a bound on preemptions: what is run stands for everything that a sampler can see."""

from __future__ import annotations

import pytest

import racewindow as rw
from racewindow.experiments import prove
from racewindow.kernel import Run
from racewindow.sessions.history import History


def case(implementation: str, text: str, topology: str = "same-store") -> rw.Case:
    return rw.case(implementation, text, topology=topology)  # type: ignore[arg-type]


def seen(run: Run) -> str:
    """What clients, extractor and observer saw, without the numbers of the steps."""
    history = run.result
    assert isinstance(history, History)
    calls = sorted((call.client, call.index, call.outcome, call.messages, call.error) for call in history.calls)
    looks = [observation for _, _, observation in history.observations]
    handed = [(one.messages, one.outcome, one.caller) for one in history.handovers]
    kinds = sorted((violation.kind, violation.messages) for violation in run.violations)
    return repr((calls, looks, handed, kinds, history.unfinished))


CASES = [
    ("reference", "a: add m1 | b: add m2", "same-store"),
    ("reference", "a: add m1 | b: reload", "separate-stores"),
    ("reference", "a: add m1; commit | b: reload", "same-handle"),
    ("reference", "a: add m1; commit | b: cancel a", "same-store"),
    ("copy-on-write", "a: add m1; commit | b: commit", "same-store"),
]


class TestUnbounded:
    @pytest.mark.parametrize(("implementation", "text", "topology"), CASES)
    def test_no_sampled_schedule_shows_anything_new(self, implementation: str, text: str, topology: str) -> None:
        """A hundred and fifty random schedules against all classes."""
        subject = case(implementation, text, topology)
        reduced: set[str] = set()
        sampled: set[str] = set()
        found = rw.explore(
            subject.subject(),
            strategy=rw.DPOR(),
            schedules=None,
            limits=subject.limits,
            on_run=lambda run: reduced.add(seen(run)),
        )
        assert found.complete
        rw.explore(subject.subject(), schedules=150, limits=subject.limits, on_run=lambda run: sampled.add(seen(run)))
        assert sampled <= reduced

    def test_the_reference_with_an_add_on_either_side(self) -> None:
        """Sixteen interleavings, as the exact count says, in six classes or fewer; no step is assumed but those that end it."""
        subject = case("reference", "a: add m1 | b: add m2")
        result = prove(subject, preemptions=None)
        counted = rw.count(subject.subject(), limits=subject.limits)
        assert (result.verdict, result.bound, result.strategy) == ("proved", "", "dpor")
        assert result.interleavings == counted.interleavings
        assert result.classes == result.schedules < counted.interleavings

    def test_a_store_whose_memory_is_not_watched_depends_on_itself(self) -> None:
        """Two clients of one store race at every step, so that every interleaving is run."""

        class Unwatched(rw.implementation("copy-on-write")):  # type: ignore[misc]
            name = "unwatched"
            watched = False

        result = prove(rw.case(Unwatched, "a: reload | b: reload"), preemptions=None)
        assert result.verdict == "proved"
        assert result.schedules == result.classes == result.interleavings

    def test_a_race_is_found_without_a_bound(self) -> None:
        result = prove(case("copy-on-write", "after-completion", "separate-stores"), preemptions=None)
        assert result.verdict == "failed"
        assert result.token

    @pytest.mark.slow
    def test_the_reference_with_two_clients_of_three_operations(self) -> None:
        """The largest one that is still proved in a minute."""
        result = prove(case("reference", "a: add m1; commit; reload | b: add m2; commit; reload"), preemptions=None)
        assert (result.verdict, result.bound) == ("proved", "")
