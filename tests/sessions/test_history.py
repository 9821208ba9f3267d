"""The recorder: provenance, and what is read back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from racewindow.sessions.history import Archive, Fault, History, Observation, is_summary, provenance, raw, raw_ids
from racewindow.sessions.scenario import Operation

IDS = st.text("abcXYZ019._-", min_size=1, max_size=6)


class TestProvenance:
    """Which messages a text came from."""

    @pytest.mark.parametrize(
        ("text", "ids"),
        [
            ("m1", ("m1",)),
            ("SUM(m1)", ("m1",)),
            ("SUM(m1, SUM(m2))", ("m1", "m2")),
            ("SUM(m1, SUM(m1, m2))", ("m1", "m2")),
            ("SUM()", ()),
            ("SUM(m1", ("SUM(m1",)),
        ],
    )
    def test_raw_ids(self, text: str, ids: tuple[str, ...]) -> None:
        """Also through summaries of summaries; what is no summary is itself."""
        assert raw_ids(text) == ids

    @given(layers=st.lists(st.lists(IDS, min_size=1, max_size=3), min_size=1, max_size=4))
    def test_nothing_gets_lost_in_nested_summaries(self, layers: list[list[str]]) -> None:
        """Summarising the last summary together with new messages keeps every id."""
        text = ""
        for layer in layers:
            text = f"SUM({', '.join([text, *layer] if text else layer)})"
        assert set(raw_ids(text)) == {each for layer in layers for each in layer}
        assert is_summary(text)
        assert raw([text, "m1"]) == ("m1",)

    def test_provenance_looks_into_summaries_and_raw_does_not(self) -> None:
        """The two ways to read a list of texts."""
        assert provenance(["m3", "SUM(m1, m2)"]) == {"m1", "m2", "m3"}
        assert raw(["m3", "SUM(m1, m2)"]) == ("m3",)


class TestRecorder:
    """Recording, then reading."""

    def test_a_call_from_invocation_to_answer(self) -> None:
        """A call is pending until it is answered; only ok acknowledges."""
        history = History()
        call = history.invoke("a", 0, Operation(kind="commit", wait=False), 2, store=1)
        assert (call.outcome, call.returned, call.acknowledged, call.store) == ("pending", None, False, 1)
        history.answer(call, 5, "ok", messages=["m1"], task="t1")
        assert (call.outcome, call.returned, call.acknowledged, call.messages) == ("ok", 5, True, ("m1",))
        assert call.task == "t1"
        assert history.of_kind("commit") == [call]
        assert history.of_kind("reload") == []

    def test_a_completion_is_a_status_seen_or_a_commit_that_waited(self) -> None:
        """Both tell the client that the commit is over."""
        history = History()
        waited = history.invoke("a", 0, Operation(kind="commit"), 1)
        history.answer(waited, 4, "ok", task="t1")
        accepted = history.invoke("b", 0, Operation(kind="commit", wait=False), 1)
        history.answer(accepted, 2, "ok", task="t2")
        history.see("t2", "running", 3, "b")
        history.see("t2", "completed", 6, "b")
        assert sorted(history.completions()) == [("t1", 4), ("t2", 6)]

    def test_a_handover_from_start_to_end(self) -> None:
        """It runs until the extractor answers."""
        history = History()
        handover = history.hand_over(["m1"], 3, caller="a", key="k")
        assert (handover.outcome, handover.ended) == ("running", None)
        history.end_handover(handover, 7, "succeeded")
        assert (handover.outcome, handover.ended, handover.messages) == ("succeeded", 7, ("m1",))

    def test_a_cancellation_is_no_crash(self) -> None:
        """Only a crash makes a store do work again."""
        history = History()
        for kind in ("cancel", "process-crash", "power-loss"):
            history.fault(kind, 1, "a")
        assert history.crashes == [Fault("process-crash", 1, "a"), Fault("power-loss", 1, "a")]

    def test_the_last_observation_is_what_was_left(self) -> None:
        """Archives are read in the order of their numbers."""
        history = History()
        assert history.last is None
        two, one = Archive(number=2, messages=("m2",)), Archive(number=1, messages=("m1",))
        history.observe(3, "after-crash", Observation())
        history.observe(9, "quiescence", Observation(live=("m3",), archives=(two, one)))
        assert history.last is not None
        assert history.last.everything == ("m1", "m2", "m3")
        assert repr(history) == "<History calls=0 handovers=0 faults=0 observations=2>"
