"""Each invariant against histories made by hand: what violates it, and close neighbours that must not."""

from __future__ import annotations

import pytest

from racewindow.sessions.capabilities import Capabilities
from racewindow.sessions.history import (
    Archive,
    ArchiveState,
    Call,
    Handover,
    HandoverOutcome,
    History,
    Observation,
    Outcome,
)
from racewindow.sessions.invariants import INVARIANTS, judge, report
from racewindow.sessions.scenario import Operation


class Told(History):
    """A history told in few words: ``at`` is (invoked, returned)."""

    def add(self, client: str, message: str, at: tuple[int, int | None], outcome: Outcome = "ok") -> Call:
        return self._call(client, Operation(kind="add", argument=message), at, outcome)

    def reload(self, client: str, *messages: str, at: tuple[int, int | None], outcome: Outcome = "ok") -> Call:
        return self._call(client, Operation(kind="reload"), at, outcome, messages)

    def retry(self, client: str, message: str, at: tuple[int, int | None], outcome: Outcome = "ok") -> Call:
        return self._call(client, Operation(kind="retry", argument=message), at, outcome)

    def context(self, client: str, *messages: str, at: tuple[int, int | None], outcome: Outcome = "ok") -> Call:
        return self._call(client, Operation(kind="context"), at, outcome, messages)

    def commit(
        self,
        client: str,
        *messages: str,
        at: tuple[int, int | None],
        task: str | None = None,
        wait: bool = False,
        outcome: Outcome = "ok",
    ) -> Call:
        return self._call(client, Operation(kind="commit", wait=wait), at, outcome, messages, task)

    def extract(
        self, *messages: str, at: tuple[int, int | None], outcome: HandoverOutcome = "succeeded", caller: str = "bg"
    ) -> Handover:
        handover = self.hand_over(messages, at[0], caller=caller)
        handover.ended, handover.outcome = at[1], outcome
        return handover

    def rest(self, *archives: Archive, live: tuple[str, ...] = (), step: int = 90) -> None:
        self.observe(step, "quiescence", Observation(live=live, archives=archives))

    def crashed(self, *archives: Archive, live: tuple[str, ...] = (), step: int) -> None:
        self.observe(step, "after-crash", Observation(live=live, archives=archives))

    def _call(
        self,
        client: str,
        operation: Operation,
        at: tuple[int, int | None],
        outcome: Outcome,
        messages: tuple[str, ...] = (),
        task: str | None = None,
    ) -> Call:
        call = self.invoke(client, sum(call.client == client for call in self.calls), operation, at[0])
        if at[1] is not None:
            self.answer(call, at[1], outcome, messages=messages, task=task)
        return call


def archive(number: int, *messages: str, state: ArchiveState = "extracted", **more: object) -> Archive:
    return Archive(number=number, messages=messages, state=state, **more)  # type: ignore[arg-type]


def broken(history: History, invariant: str) -> list[tuple[tuple[str, ...], int | None]]:
    """(messages, step) of every violation of this invariant."""
    return [(violation.messages, violation.step) for violation in INVARIANTS[invariant].check(history)]


class TestCommittedOnce:
    """No message is in two surviving archives."""

    def test_two_archives(self) -> None:
        """The issue: the second commit archives m1 again; only the end shows it."""
        told = Told()
        told.rest(archive(1, "m1"), archive(2, "m1", "m2"))
        assert broken(told, "committed-once") == [(("m1",), None)]

    def test_a_pending_archive_counts(self) -> None:
        """An archive survives whether or not it has been extracted."""
        told = Told()
        told.rest(archive(1, "m1"), archive(2, "m1", state="pending"))
        assert broken(told, "committed-once") == [(("m1",), None)]

    def test_a_crash_showed_it_first(self) -> None:
        """Seen after a crash and never repaired: that is when it was certain."""
        told = Told()
        told.crashed(archive(1, "m1"), archive(2, "m1"), step=40)
        told.rest(archive(1, "m1"), archive(2, "m1"))
        assert broken(told, "committed-once") == [(("m1",), 40)]

    def test_recovery_may_remove_a_second_archive(self) -> None:
        """What does not survive was not committed."""
        told = Told()
        told.crashed(archive(1, "m1"), archive(2, "m1", state="pending"), step=40)
        told.rest(archive(1, "m1"))
        assert not broken(told, "committed-once")

    def test_a_failed_commit_may_be_retried_by_the_next(self) -> None:
        """The failed archive is the record of an attempt; m1 went back to live and was committed by the second."""
        told = Told()
        told.rest(archive(1, "m1", state="failed"), archive(2, "m1"))
        assert not broken(told, "committed-once")

    def test_a_summary_that_is_summarised_again(self) -> None:
        """Provenance is no duplicate."""
        told = Told()
        told.rest(archive(1, "m1"), archive(2, "SUM(m1)", "m2"), archive(3, "SUM(SUM(m1), m2)"))
        assert not broken(told, "committed-once")

    def test_live_and_archived(self) -> None:
        """Not committed twice (yet): completed-means-switched has a say in that."""
        told = Told()
        told.rest(archive(1, "m1"), live=("m1",))
        assert not broken(told, "committed-once")


class TestExtractedOnce:
    """No message is handed over again after a successful hand-over, while no crash happened."""

    def test_one_after_the_other(self) -> None:
        """Certain when it was handed over the second time, whatever came of that."""
        for outcome in ("succeeded", "failed", "running", "lost"):
            told = Told()
            told.extract("m1", at=(3, 5))
            told.extract("m1", "m2", at=(8, None if outcome == "running" else 9), outcome=outcome)
            assert broken(told, "extracted-once") == [(("m1",), 8)]

    def test_both_at_once(self) -> None:
        """Neither had succeeded when the other began, but in the end both had."""
        told = Told()
        told.extract("m1", at=(3, 9))
        told.extract("m1", at=(4, 7))
        assert broken(told, "extracted-once") == [(("m1",), 9)]

    def test_three_times_is_twice_too_often(self) -> None:
        """Every superfluous hand-over is one violation."""
        told = Told()
        for step in (3, 6, 9):
            told.extract("m1", at=(step, step + 1))
        assert broken(told, "extracted-once") == [(("m1",), 6), (("m1",), 9)]

    def test_a_crash_before_both_excuses_nothing(self) -> None:
        """Two recoverers of one session, or a recovery beside a live owner."""
        told = Told()
        told.fault("process-crash", 2, "x")
        told.extract("m1", at=(3, 5))
        told.extract("m1", at=(8, 9))
        assert broken(told, "extracted-once") == [(("m1",), 8)]

    def test_a_cancellation_is_no_crash(self) -> None:
        """A store that survives has to remember what it extracted."""
        told = Told()
        told.extract("m1", at=(3, 5))
        told.fault("cancel", 6, "a")
        told.extract("m1", at=(8, 9))
        assert broken(told, "extracted-once") == [(("m1",), 8)]

    def test_an_effect_recorded_twice(self) -> None:
        """A crash excuses a second hand-over, not a second effect."""
        told = Told()
        told.extract("m1", at=(3, 5))
        told.fault("process-crash", 6, "a")
        told.extract("m1", at=(8, 9))
        told.rest(archive(1, "m1", effects=2))
        assert broken(told, "extracted-once") == [(("m1",), None)]

    @pytest.mark.parametrize("kind", ["process-crash", "power-loss"])
    def test_after_a_crash_it_may_be_extracted_again(self, kind: str) -> None:
        """The result may not have been recorded; it is counted apart."""
        for outcome in ("succeeded", "lost"):
            told = Told()
            told.extract("m1", at=(3, 5), outcome=outcome)
            told.fault(kind, 5, "a")
            told.extract("m1", at=(8, 9))
            told.rest(archive(1, "m1", effects=1))
            assert not broken(told, "extracted-once")
            assert report(told)["re_extracted"] == 1

    @pytest.mark.parametrize("outcome", ["failed", "lost"])
    def test_an_attempt_that_came_to_nothing(self, outcome: HandoverOutcome) -> None:
        """A retry after a failure or time-out is what a store should do."""
        told = Told()
        told.extract("m1", at=(3, 5), outcome=outcome)
        told.extract("m1", at=(6, 8))
        assert not broken(told, "extracted-once")

    def test_a_hedged_attempt(self) -> None:
        """Two at once, of which one succeeds: nothing was handed over after a success."""
        told = Told()
        told.extract("m1", at=(3, 9), outcome="failed")
        told.extract("m1", at=(4, 7))
        assert not broken(told, "extracted-once")

    def test_a_summary_is_not_its_messages(self) -> None:
        """An extractor may be given the summary of what it has seen."""
        told = Told()
        told.extract("m1", at=(3, 5))
        told.extract("SUM(m1)", "m2", at=(6, 8))
        told.extract("SUM(SUM(m1), m2)", at=(9, 10))
        assert not broken(told, "extracted-once")


class TestNothingLost:
    """An acknowledged add is live or archived, at quiescence and after every crash."""

    def test_nowhere(self) -> None:
        """Only the end shows it."""
        told = Told()
        told.add("a", "m1", at=(1, 2))
        told.add("a", "m2", at=(2, 3))
        told.rest(archive(1, "m1"))
        assert broken(told, "nothing-lost") == [(("m2",), None)]

    def test_gone_after_a_crash(self) -> None:
        """The crash shows it, and it is told once."""
        told = Told()
        told.add("a", "m1", at=(1, 2))
        told.fault("power-loss", 7)
        told.crashed(step=7)
        told.rest()
        assert broken(told, "nothing-lost") == [(("m1",), 7)]

    def test_gone_only_for_a_while(self) -> None:
        """After *every* crash: a client that reads then would not see it."""
        told = Told()
        told.add("a", "m1", at=(1, 2))
        told.crashed(step=7)
        told.rest(live=("m1",))
        assert broken(told, "nothing-lost") == [(("m1",), 7)]

    @pytest.mark.parametrize("outcome", ["lost", "cancelled", "error", "refused", "busy", "skipped"])
    def test_what_was_not_acknowledged_binds_nobody(self, outcome: Outcome) -> None:
        """It may be there or not."""
        for live in ((), ("m1",)):
            told = Told()
            told.add("a", "m1", at=(1, 2), outcome=outcome)
            told.rest(live=live)
            assert not broken(told, "nothing-lost")

    def test_an_add_that_never_returned(self) -> None:
        """The same holds while there is no answer."""
        told = Told()
        told.add("a", "m1", at=(1, None))
        told.rest()
        assert not broken(told, "nothing-lost")

    def test_an_add_after_the_observation(self) -> None:
        """Nobody sees what is not there yet."""
        told = Told()
        told.crashed(step=7)
        told.add("a", "m1", at=(8, 9))
        told.rest(live=("m1",))
        assert not broken(told, "nothing-lost")

    @pytest.mark.parametrize("text", ["m1", "SUM(m1)", "SUM(SUM(m0, m1), m2)"])
    def test_live_or_archived_itself_or_in_a_summary(self, text: str) -> None:
        """Wherever it went, it can be traced."""
        for live, archives in (((text,), ()), ((), (archive(1, text),)), ((), (archive(1, text, state="failed"),))):
            told = Told()
            told.add("a", "m1", at=(1, 2))
            told.rest(*archives, live=live)
            assert not broken(told, "nothing-lost")


class TestNothingStranded:
    """An archived message is eventually extracted, or its failure is visible and retryable."""

    def test_still_pending(self) -> None:
        """Nobody is at work any more."""
        told = Told()
        told.rest(archive(1, "m1", "m2", state="pending"))
        assert broken(told, "nothing-stranded") == [(("m1", "m2"), None)]

    def test_written_into_an_archive_that_was_extracted(self) -> None:
        """A late write through a descriptor that the commit renamed away: in the archive, never extracted."""
        told = Told()
        told.extract("m1", at=(5, 6))
        told.rest(archive(1, "m1", "m2"))
        assert broken(told, "nothing-stranded") == [(("m2",), None)]

    def test_extracted_without_success(self) -> None:
        """An error that is swallowed is not visible."""
        told = Told()
        told.extract("m1", at=(5, 6), outcome="failed")
        told.rest(archive(1, "m1"))
        assert broken(told, "nothing-stranded") == [(("m1",), None)]

    def test_failed_for_good(self) -> None:
        """Visible is not enough."""
        told = Told()
        told.rest(archive(1, "m1", state="failed", retryable=False))
        assert broken(told, "nothing-stranded") == [(("m1",), None)]

    def test_handed_over_but_never_recorded(self) -> None:
        """A crash after the extraction, and no recovery: the result is gone."""
        told = Told()
        told.extract("m1", at=(5, 6))
        told.fault("process-crash", 7, "a")
        told.rest(archive(1, "m1", state="pending"))
        assert broken(told, "nothing-stranded") == [(("m1",), None)]

    def test_extracted(self) -> None:
        """The first attempt failed, the second did not."""
        told = Told()
        told.extract("m1", at=(5, 6), outcome="failed")
        told.extract("m1", at=(7, 8))
        told.rest(archive(1, "m1"), live=("m2",))
        assert not broken(told, "nothing-stranded")

    def test_a_visible_failure(self) -> None:
        """In the archive, or in the status of its task."""
        told = Told()
        told.see("t2", "failed", 80)
        told.rest(archive(1, "m1", state="failed"), archive(2, "m2", state="pending", task="t2"))
        assert not broken(told, "nothing-stranded")

    def test_a_failed_commit_that_the_next_one_made_good(self) -> None:
        """The message is extracted, though the first archive never will be."""
        told = Told()
        told.extract("m1", at=(7, 8))
        told.rest(archive(1, "m1", state="failed", retryable=False), archive(2, "m1"))
        assert not broken(told, "nothing-stranded")

    def test_a_summary_in_an_archive(self) -> None:
        """Raw messages only."""
        told = Told()
        told.extract("m2", at=(7, 8))
        told.rest(archive(1, "SUM(m1)", "m2"))
        assert not broken(told, "nothing-stranded")

    def test_a_crash_in_the_middle(self) -> None:
        """ "Eventually" is judged when everything has come to rest."""
        told = Told()
        told.crashed(archive(1, "m1", state="pending"), step=5)
        assert not broken(told, "nothing-stranded")
        told.extract("m1", at=(7, 8))
        told.rest(archive(1, "m1"))
        assert not broken(told, "nothing-stranded")


class TestCompletedMeansSwitched:
    """A reload that starts after completed was seen shows none of that commit's messages."""

    @pytest.mark.parametrize("known_by", ["commit", "archive"])
    def test_the_issue(self, known_by: str) -> None:
        """Completed was seen at 6, and a reload from 7 to 8 still shows m1."""
        told = Told()
        told.commit("a", *(("m1",) if known_by == "commit" else ()), at=(2, 3), task="t1")
        told.see("t1", "completed", 6, "a")
        told.reload("b", "m1", "m2", at=(7, 8))
        told.rest(*((archive(1, "m1", task="t1"),) if known_by == "archive" else ()))
        assert broken(told, "completed-means-switched") == [(("m1",), 8)]

    @pytest.mark.parametrize("caller", ["a", "a/commit"])
    def test_a_store_that_does_not_say_what_it_claimed(self, caller: str) -> None:
        """Then what the commit's client had extracted counts, and nobody else's."""
        told = Told()
        told.commit("a", at=(2, 3), task="t1")
        told.extract("m1", at=(3, 5), caller=caller)
        told.extract("m2", at=(3, 5), caller="b/commit")
        told.see("t1", "completed", 6, "a")
        told.reload("b", "m1", "m2", at=(7, 8))
        assert broken(told, "completed-means-switched") == [(("m1",), 8)]

    def test_a_handover_that_could_be_another_commit_s(self) -> None:
        """Of two commits by one client, the second has completed; the first may still be at work on m1."""
        told = Told()
        told.commit("a", at=(2, 3), task="t1")
        told.commit("a", at=(3, 4), task="t2")
        told.extract("m1", at=(5, 6), caller="a/commit")
        told.see("t2", "completed", 6, "a")
        told.reload("b", "m1", at=(7, 8))
        assert not broken(told, "completed-means-switched")
        told.handovers[0].key = "t2"
        assert broken(told, "completed-means-switched") == [(("m1",), 8)]

    def test_the_same_client_goes_on_in_the_same_step(self) -> None:
        """It has seen completed before it asks."""
        told = Told()
        told.commit("a", "m1", at=(2, 3), task="t1")
        told.see("t1", "completed", 6, "a")
        told.reload("a", "m1", at=(6, 8))
        assert broken(told, "completed-means-switched") == [(("m1",), 8)]

    def test_a_commit_that_waited(self) -> None:
        """Its answer says completed."""
        told = Told()
        told.commit("a", "m1", at=(2, 5), task="t1", wait=True)
        told.reload("b", "m1", at=(7, 8))
        assert broken(told, "completed-means-switched") == [(("m1",), 8)]

    def test_a_commit_that_waited_for_a_failure(self) -> None:
        """An answer is no success where the task failed; its messages may have gone back to live."""
        told = Told()
        told.commit("a", "m1", at=(2, 5), task="t1", wait=True)
        told.reload("b", "m1", at=(7, 8))
        told.see("t1", "failed", 90)
        assert not broken(told, "completed-means-switched")

    @pytest.mark.parametrize("at", [(3, 5), (5, 7), (5, 20)])
    def test_a_reload_that_started_before(self, at: tuple[int, int]) -> None:
        """It may show either state, however late it returns."""
        told = Told()
        told.commit("a", "m1", at=(2, 3), task="t1")
        told.see("t1", "completed", 6, "a")
        told.reload("b", "m1", at=at)
        assert not broken(told, "completed-means-switched")

    def test_accepted_or_failed_promises_nothing(self) -> None:
        """Only completed does."""
        for status in ("accepted", "running", "failed"):
            told = Told()
            told.commit("a", "m1", at=(2, 3), task="t1")
            told.see("t1", status, 6, "a")
            told.reload("b", "m1", at=(7, 8))
            assert not broken(told, "completed-means-switched")

    def test_other_messages_may_show(self) -> None:
        """What was added since, an add that has not returned, and a summary of what was committed."""
        told = Told()
        told.add("a", "m2", at=(4, None))
        told.commit("a", "m1", at=(2, 3), task="t1")
        told.see("t1", "completed", 6, "a")
        told.reload("b", "m2", "SUM(m1)", at=(7, 8))
        told.rest(archive(1, "m1", task="t1"), archive(2, "m2", task="t2"))
        assert not broken(told, "completed-means-switched")


class TestOrderKept:
    """One client's adds are committed in the order acknowledged."""

    def test_within_an_archive(self) -> None:
        """The later message stands first."""
        told = Told()
        told.add("a", "m1", at=(1, 2))
        told.add("a", "m2", at=(2, 3))
        told.rest(archive(1, "m2", "m1"))
        assert broken(told, "order-kept") == [(("m1", "m2"), None)]

    def test_across_archives(self) -> None:
        """The numbers of the archives are their order, however they are listed."""
        told = Told()
        told.add("a", "m1", at=(1, 2))
        told.add("a", "m2", at=(2, 3))
        told.rest(archive(2, "m1"), archive(1, "m2"))
        assert broken(told, "order-kept") == [(("m1", "m2"), None)]

    def test_overtaken(self) -> None:
        """The later one is committed and the earlier one is still live: it can only be committed after it."""
        told = Told()
        told.add("a", "m1", at=(1, 2))
        told.add("a", "m2", at=(2, 3))
        told.rest(archive(1, "m2"), live=("m1",))
        assert broken(told, "order-kept") == [(("m1", "m2"), None)]

    def test_in_order(self) -> None:
        """Over archives and the live log."""
        told = Told()
        for step, message in enumerate(("m1", "m2", "m3", "m4"), start=1):
            told.add("a", message, at=(step, step + 1))
        told.rest(archive(2, "m3"), archive(1, "m1", "m2"), live=("m4",))
        assert not broken(told, "order-kept")

    def test_different_clients(self) -> None:
        """Nobody promised an order between them, even where one had returned before the other began."""
        told = Told()
        told.add("a", "m1", at=(1, 2))
        told.add("b", "m2", at=(4, 5))
        told.rest(archive(1, "m2", "m1"))
        assert not broken(told, "order-kept")

    @pytest.mark.parametrize("outcome", ["lost", "cancelled", "error"])
    def test_what_was_not_acknowledged_has_no_place(self, outcome: Outcome) -> None:
        """It may take effect late."""
        told = Told()
        told.add("a", "m1", at=(1, 2), outcome=outcome)
        told.add("a", "m2", at=(2, 3))
        told.rest(archive(1, "m2"), archive(2, "m1"))
        assert not broken(told, "order-kept")

    def test_committed_again(self) -> None:
        """A message that is archived twice keeps its first place; another invariant speaks of the second."""
        told = Told()
        told.add("a", "m1", at=(1, 2))
        told.add("a", "m2", at=(2, 3))
        told.rest(archive(1, "m1", "m2"), archive(2, "m1"), live=("m1",))
        assert not broken(told, "order-kept")

    def test_summarised(self) -> None:
        """Inside a summary there is no order; a message that has been summarised was committed."""
        told = Told()
        told.add("a", "m1", at=(1, 2))
        told.add("a", "m2", at=(2, 3))
        told.rest(archive(1, "m2", "SUM(m1)"), live=("m1",))
        assert not broken(told, "order-kept")


class TestNothingInvented:
    """Nothing is read that nobody added."""

    def test_by_a_reload(self) -> None:
        """Certain when it was read."""
        told = Told()
        told.add("a", "m1", at=(1, 2))
        told.reload("b", "m1", "m9", at=(3, 4))
        assert broken(told, "nothing-invented") == [(("m9",), 4)]

    def test_by_the_extractor(self) -> None:
        """A torn record, for example."""
        told = Told()
        told.add("a", "m1", at=(1, 2))
        told.extract("m", at=(3, 4))
        assert broken(told, "nothing-invented") == [(("m",), 3)]

    def test_by_the_observer(self) -> None:
        """Live or archived, after a crash or in the end; told once."""
        told = Told()
        told.crashed(archive(1, "m8"), step=5)
        told.rest(archive(1, "m8"), live=("m9",))
        assert broken(told, "nothing-invented") == [(("m8",), 5), (("m9",), None)]

    def test_a_refused_add(self) -> None:
        """It said that nothing was done."""
        told = Told()
        told.add("a", "m1", at=(1, 2), outcome="refused")
        told.rest(live=("m1",))
        assert broken(told, "nothing-invented") == [(("m1",), None)]

    @pytest.mark.parametrize("outcome", ["lost", "cancelled", "error", "ok"])
    def test_an_add_whatever_became_of_it(self, outcome: Outcome) -> None:
        """It may have happened."""
        told = Told()
        told.add("a", "m1", at=(1, 4), outcome=outcome)
        told.reload("b", "m1", at=(2, 3))
        told.rest(archive(1, "SUM(m1)"), live=("m1",))
        assert not broken(told, "nothing-invented")

    def test_an_add_without_an_answer(self) -> None:
        """A reload may read what is not acknowledged yet."""
        told = Told()
        told.add("a", "m1", at=(1, None))
        told.reload("b", "m1", at=(0, 3))
        assert not broken(told, "nothing-invented")


class TestTasksEnd:
    """Every accepted task reaches completed or failed."""

    def test_somebody_never_ended(self) -> None:
        """A client or background work."""
        told = Told()
        told.unfinished = ("a", "bg-1")
        assert broken(told, "tasks-end") == [(("a",), None), (("bg-1",), None)]

    @pytest.mark.parametrize("status", ["accepted", "running", "unknown"])
    def test_a_task_that_never_ended(self, status: str) -> None:
        """Not "running" for ever, and not forgotten."""
        told = Told()
        told.commit("a", at=(1, 2), task="t1")
        told.see("t1", "running", 5, "a")
        told.see("t1", status, 90)
        assert broken(told, "tasks-end") == [(("t1",), None)]

    def test_a_task_that_nobody_could_ask(self) -> None:
        """The process that knew it is dead; what the successor made of its archive is judged by nothing-stranded."""
        told = Told()
        told.commit("a", at=(1, 2), task="t1")
        told.fault("process-crash", 3, "a")
        told.rest(archive(1, "m1", state="pending", task="t1"))
        assert not broken(told, "tasks-end")
        assert broken(told, "nothing-stranded")

    @pytest.mark.parametrize("status", ["completed", "failed"])
    def test_a_task_that_ended(self, status: str) -> None:
        """The last look counts, in whatever order it was written down."""
        told = Told()
        told.commit("a", at=(1, 2), task="t1")
        told.see("t1", status, 90)
        told.see("t1", "running", 5, "a")
        assert not broken(told, "tasks-end")

    def test_a_commit_that_waited_in_vain(self) -> None:
        """It answered, and its task goes on for ever."""
        told = Told()
        told.commit("a", at=(1, 5), task="t1", wait=True)
        told.see("t1", "running", 90)
        assert broken(told, "tasks-end") == [(("t1",), None)]

    @pytest.mark.parametrize("outcome", ["lost", "cancelled", "refused", "error"])
    def test_a_task_that_was_never_accepted(self, outcome: Outcome) -> None:
        """Nobody promised anything."""
        told = Told()
        told.commit("a", at=(1, 5), task="t1", outcome=outcome)
        told.see("t1", "unknown", 90)
        assert not broken(told, "tasks-end")

    def test_a_task_without_an_answer_that_runs_for_ever(self) -> None:
        """The client never heard of it, but it was at work."""
        told = Told()
        told.commit("a", at=(1, 5), task="t1", outcome="lost")
        told.see("t1", "running", 90)
        assert broken(told, "tasks-end") == [(("t1",), None)]


class TestStorageThatFails:
    """It may refuse the record of an extraction that succeeded."""

    @pytest.mark.parametrize(("fault", "excused"), [("storage fails", True), ("queue repeats", False)])
    def test_an_extraction_that_could_not_be_recorded_is_done_again(self, fault: str, excused: bool) -> None:
        """As after a crash, and only if it failed in between."""
        told = Told()
        told.extract("m1", at=(1, 3))
        told.fault(fault, 4)
        told.extract("m1", at=(6, 8))
        assert (broken(told, "extracted-once") == []) is excused
        told.extract("m1", at=(9, 10))
        assert len(broken(told, "extracted-once")) == (1 if excused else 2)


class TestNothingHidden:
    """Whoever reads the context is told everything acknowledged before."""

    def test_what_is_being_extracted_is_not_told(self) -> None:
        """Certain when the reader had its answer."""
        told = Told()
        told.add("a", "m1", at=(0, 1))
        told.add("a", "m2", at=(1, 2))
        told.context("b", "m2", at=(5, 8))
        told.context("b", at=(8, 9))
        assert broken(told, "nothing-hidden") == [(("m1",), 8), (("m2",), 9)]

    def test_a_summary_will_do(self) -> None:
        """That is what archiving may have turned it into."""
        told = Told()
        told.add("a", "m1", at=(0, 1))
        told.context("b", "SUM(m1)", at=(5, 8))
        assert not broken(told, "nothing-hidden")

    def test_what_was_not_acknowledged_before(self) -> None:
        """An add may come after the reader looked, and one without an answer binds nobody."""
        told = Told()
        told.add("a", "m1", at=(0, 6))
        told.add("a", "m2", at=(0, 2), outcome="cancelled")
        told.context("b", at=(5, 8))
        assert not broken(told, "nothing-hidden")

    @pytest.mark.parametrize("outcome", ["error", "lost", "cancelled"])
    def test_a_reader_without_an_answer(self, outcome: Outcome) -> None:
        """Nobody was told anything."""
        told = Told()
        told.add("a", "m1", at=(0, 1))
        told.context("b", at=(5, 8), outcome=outcome)
        assert not broken(told, "nothing-hidden")


class TestRetries:
    """An add that is repeated under the same id is one add."""

    def test_the_first_acknowledgement_counts(self) -> None:
        """Else a retry would seem to come after what was added in between."""
        told = Told()
        told.add("a", "m1", at=(0, 1))
        told.add("a", "m2", at=(1, 2))
        told.retry("a", "m1", at=(2, 3))
        told.extract("m1", "m2", at=(4, 5))
        told.rest(archive(1, "m1", "m2"))
        assert judge(told, Capabilities()) == ()

    def test_a_retry_binds_when_the_add_was_lost(self) -> None:
        """Acknowledged is acknowledged."""
        told = Told()
        told.add("a", "m1", at=(0, 1), outcome="cancelled")
        told.retry("a", "m1", at=(2, 3))
        told.rest()
        assert broken(told, "nothing-lost") == [(("m1",), None)]

    def test_a_retry_after_a_refusal_is_no_invention(self) -> None:
        """It was added then."""
        told = Told()
        told.add("a", "m1", at=(0, 1), outcome="busy")
        told.retry("a", "m1", at=(2, 3))
        told.rest(live=("m1",))
        assert judge(told, Capabilities()) == ()


class TestAcceptedIsQuick:
    """commit(wait=False) returns without waiting for the extractor."""

    def test_the_call_itself_extracts(self) -> None:
        """Certain when it returned: it had waited."""
        told = Told()
        told.commit("a", at=(2, 8))
        told.extract("m1", at=(4, 7), caller="a")
        assert broken(told, "accepted-is-quick") == [(("m1",), 8)]

    def test_a_failed_extraction_is_waited_for_all_the_same(self) -> None:
        """What matters is the waiting."""
        told = Told()
        told.commit("a", at=(2, 8))
        told.extract("m1", at=(4, 7), caller="a", outcome="failed")
        assert broken(told, "accepted-is-quick") == [(("m1",), 8)]

    def test_the_background_was_faster(self) -> None:
        """By chance of the schedule the extraction may be over before the call returns."""
        told = Told()
        told.commit("a", at=(2, 8))
        told.extract("m1", at=(4, 7), caller="a/commit-1")
        told.extract("m2", at=(4, 7), caller="b")
        assert not broken(told, "accepted-is-quick")

    def test_a_commit_that_waits(self) -> None:
        """That is what it was asked to do."""
        told = Told()
        told.commit("a", at=(2, 8), wait=True)
        told.extract("m1", at=(4, 7), caller="a")
        assert not broken(told, "accepted-is-quick")

    def test_another_call_of_the_same_client(self) -> None:
        """The hand-over before or after belongs to a commit that waits."""
        told = Told()
        told.commit("a", at=(2, 8), wait=True)
        told.extract("m1", at=(4, 7), caller="a")
        told.commit("a", at=(8, 10))
        told.commit("a", at=(10, 15), wait=True)
        told.extract("m2", at=(12, 14), caller="a")
        assert not broken(told, "accepted-is-quick")

    def test_a_call_that_did_not_succeed(self) -> None:
        """It was not accepted."""
        told = Told()
        told.commit("a", at=(2, 8), outcome="cancelled")
        told.extract("m1", at=(4, 8), caller="a", outcome="lost")
        assert not broken(told, "accepted-is-quick")


class TestJudge:
    """All together."""

    def test_the_registry_is_the_table_of_the_design(self) -> None:
        """Its nine invariants and nothing-hidden, in its order; each is named after its module and says itself in one line."""
        assert list(INVARIANTS) == [
            "committed-once",
            "extracted-once",
            "nothing-lost",
            "nothing-hidden",
            "nothing-stranded",
            "completed-means-switched",
            "order-kept",
            "nothing-invented",
            "tasks-end",
            "accepted-is-quick",
        ]
        for name, invariant in INVARIANTS.items():
            assert invariant.check.__module__.rpartition(".")[2] == name.replace("-", "_")
            assert invariant.says
            assert "\n" not in invariant.says
            assert repr(invariant) == f"<Invariant {name}>"

    def test_an_empty_history_is_innocent(self) -> None:
        """Nothing happened, and nothing is wrong."""
        assert judge(History(), Capabilities()) == ()

    def test_a_correct_run_is_innocent(self) -> None:
        """The after-completion story as the reference does it, second commit with nothing to do."""
        told = Told()
        told.add("a", "m1", at=(0, 1))
        told.commit("a", "m1", at=(1, 4), task="t1")
        told.extract("m1", at=(5, 7))
        told.see("t1", "completed", 9, "a")
        told.reload("b", at=(9, 11))
        told.commit("b", at=(11, 12), wait=True, outcome="skipped")
        told.see("t1", "completed", 90)
        told.rest(archive(1, "m1", task="t1", effects=1))
        assert judge(told, Capabilities()) == ()
        assert set(report(told).values()) == {0}

    def test_the_issue_breaks_three(self) -> None:
        """Completed before switched: seen by the reload, then archived and extracted again."""
        told = Told()
        told.add("a", "m1", at=(0, 1))
        told.commit("a", "m1", at=(1, 4), task="t1")
        told.extract("m1", at=(5, 7))
        told.see("t1", "completed", 9, "a")
        told.reload("b", "m1", at=(9, 11))
        told.commit("b", "m1", at=(11, 19), task="t2", wait=True)
        told.extract("m1", at=(13, 15), caller="b")
        told.rest(archive(1, "m1", task="t1"), archive(2, "m1", task="t2"))
        told.see("t1", "completed", 90)
        told.see("t2", "completed", 90)
        violations = judge(told, Capabilities())
        assert [(violation.kind, violation.messages, violation.step) for violation in violations] == [
            ("committed-once", ("m1",), None),
            ("extracted-once", ("m1",), 13),
            ("completed-means-switched", ("m1",), 11),
        ]
        assert str(violations[1]) == (
            "extracted-once: m1 went to the extractor at step 5 and again at step 13 (certain at step 13)"
        )
        assert report(told) == {"re_extracted": 0, "attempts_failed": 0, "archived_twice": 1, "consumed_twice": 1}

    @pytest.mark.parametrize(
        ("without", "unjudged"),
        [
            (Capabilities(archives=False), {"committed-once", "nothing-stranded", "order-kept"}),
            (Capabilities(tasks=False), {"completed-means-switched"}),
            (Capabilities(order=False), {"order-kept"}),
            (Capabilities(background=False), {"accepted-is-quick"}),
            (Capabilities(partial=True, durable=False, crash=False), set()),
        ],
    )
    def test_only_what_is_claimed_is_judged(self, without: Capabilities, unjudged: set[str]) -> None:
        """A capability that is missing takes its invariants with it, and no others."""
        assert {name for name, invariant in INVARIANTS.items() if not invariant.judged(without)} == unjudged

    def test_an_unclaimed_violation_is_not_reported(self) -> None:
        """The same history, judged for an implementation that promises less."""
        told = Told()
        told.rest(archive(1, "m1", state="pending"), archive(2, "m1", state="pending"))
        told.add("a", "m1", at=(0, 1))
        assert [violation.kind for violation in judge(told, Capabilities())] == ["committed-once", "nothing-stranded"]
        assert judge(told, Capabilities(archives=False)) == ()

    def test_attempts_and_hand_overs_are_counted_apart(self) -> None:
        """A failed attempt, a lost one and a re-extraction are three different facts."""
        told = Told()
        told.extract("m1", at=(1, 2), outcome="failed")
        told.extract("m1", at=(3, 5), outcome="lost")
        told.fault("process-crash", 5, "a")
        told.extract("m1", at=(7, 9))
        assert report(told) == {"re_extracted": 1, "attempts_failed": 1, "archived_twice": 0, "consumed_twice": 0}


@pytest.mark.parametrize("name", INVARIANTS)
def test_violations_carry_the_name_of_their_invariant(name: str) -> None:
    """One history in which everything is wrong breaks every invariant, each under its own name."""
    told = Told()
    told.add("a", "m1", at=(0, 1))
    told.add("a", "m2", at=(1, 2))
    told.add("a", "m3", at=(2, 3))
    told.commit("a", "m1", at=(3, 8), task="t1")
    told.extract("m1", at=(4, 7), caller="a")
    told.see("t1", "completed", 9, "a")
    told.reload("b", "m1", "m9", at=(9, 10))
    told.extract("m1", at=(11, 12))
    told.context("b", at=(12, 13))
    told.rest(archive(1, "m2", "m1", state="pending"), archive(2, "m1"))
    told.unfinished = ("b",)
    assert {violation.kind for violation in INVARIANTS[name].check(told)} == {name}
