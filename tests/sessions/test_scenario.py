"""The scenario text: it round-trips, and a mistake in it is pointed at."""

from __future__ import annotations

import contextlib
import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from racewindow.errors import UsageError
from racewindow.sessions.scenario import FAULTS, TOPOLOGIES, Client, Operation, Scenario, is_client, is_message

ISSUE = "a: add m1; commit nowait; wait | b: after a; reload; commit"
NAMES = ("a", "b", "c2", "writer")


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    """Any scenario that makes sense: later clients may be after earlier ones, so that there is no cycle."""
    names = draw(st.permutations(NAMES))[: draw(st.integers(1, len(NAMES)))]
    alphabet = "abcXYZ019._-"
    ids = iter(draw(st.lists(st.text(alphabet, min_size=1, max_size=8), min_size=16, max_size=16, unique=True)))
    clients = []
    for at, name in enumerate(names):
        operations = []
        if at and draw(st.booleans()):
            operations.append(Operation(kind="after", argument=draw(st.sampled_from(names[:at]))))
        for _ in range(draw(st.integers(1, 4))):
            operations.append(draw(_operations(name, names, operations)))
            if operations[-1].kind == "add":
                operations[-1] = dataclasses.replace(operations[-1], argument=next(ids))
        clients.append(Client(name=name, operations=tuple(operations)))
    return Scenario(name="", clients=tuple(clients))


def _operations(name: str, names: list[str], before: list[Operation]) -> st.SearchStrategy[Operation]:
    choices = [
        Operation(kind="add", argument="m"),
        Operation(kind="commit"),
        Operation(kind="commit", wait=False),
        Operation(kind="reload"),
        *(Operation(kind="crash", argument=other) for other in names),
        *(Operation(kind="cancel", argument=other) for other in names if other != name),
        Operation(kind="power-loss"),
        Operation(kind="power-loss", argument="keep-all"),
        Operation(kind="context"),
        *(Operation(kind="extractor", argument=word) for word in ("fails", "hangs", "slows")),
        *(Operation(kind="storage", argument=word) for word in ("fails", "forgets")),
        *(Operation(kind="queue", argument=word) for word in ("loses", "repeats")),
        *(Operation(kind="clock", argument=word) for word in ("ahead", "back")),
        *(Operation(kind="retry", argument=operation.argument) for operation in before if operation.kind == "add"),
    ]
    if any(operation.kind in ("add", "commit", "reload") for operation in before):
        choices.append(Operation(kind="crash"))
    if any(operation.kind == "commit" for operation in before):
        choices += [Operation(kind="wait"), Operation(kind="ask")]
    return st.sampled_from(choices)


class TestRoundTrip:
    """Text to scenario and back."""

    @given(scenario=scenarios())
    def test_the_text_gives_the_scenario_back(self, scenario: Scenario) -> None:
        """Parsing the canonical text loses nothing."""
        assert Scenario.parse(scenario.text) == scenario

    @given(scenario=scenarios(), blanks=st.sampled_from(["", " ", "   ", "\t", "\n  "]))
    def test_blanks_around_separators_do_not_matter(self, scenario: Scenario, blanks: str) -> None:
        """However it is laid out, one workload has one text, and so one checksum."""
        text = scenario.text
        for separator in ("|", ";", ":"):
            text = text.replace(separator, f"{blanks}{separator}{blanks}")
        assert Scenario.parse(text) == scenario

    @given(
        text=st.lists(
            st.sampled_from(["a", ":", "b:", "; ", "|", "add", " m1", "commit", "wait ", "after a"]), max_size=9
        ).map("".join)
    )
    def test_any_text_is_a_scenario_or_a_usage_error(self, text: str) -> None:
        """No text makes the parser fail in a way that is not explained."""
        with contextlib.suppress(UsageError):
            scenario = Scenario.parse(text)
            assert Scenario.parse(scenario.text) == scenario

    @pytest.mark.parametrize(
        ("text", "canonical"),
        [
            ("a: add m1; commit wait", "a: add m1; commit"),
            ("a:commit   nowait;wait", "a: commit nowait; wait"),
            ("a: power-loss lose-unsynced", "a: power-loss"),
            ("a: power-loss keep-all", "a: power-loss keep-all"),
            ("a: reload; crash | b: crash a", "a: reload; crash | b: crash a"),
        ],
    )
    def test_defaults_are_not_spelled_out(self, text: str, canonical: str) -> None:
        """One meaning has one text."""
        assert Scenario.parse(text).text == canonical


class TestGenerate:
    """Random scenarios of a given size."""

    @given(seed=st.integers(), clients=st.integers(1, 4), operations=st.integers(1, 5), faults=st.integers(0, 3))
    def test_a_generated_scenario_makes_sense_and_has_the_size(
        self, seed: int, clients: int, operations: int, faults: int
    ) -> None:
        """It is valid by construction, its text gives it back, and the same seed gives the same one."""
        made = Scenario.generate(seed=seed, clients=clients, operations=operations, faults=faults)
        assert Scenario.parse(made.text) == made
        assert made == Scenario.generate(seed=seed, clients=clients, operations=operations, faults=faults)
        sizes = [sum(each.kind != "after" for each in client.operations) for client in made.clients]
        assert sizes == [operations] * clients + [faults] * bool(faults)
        assert {each.kind for each in made.clients[-1].operations} <= set(FAULTS) or not faults

    def test_seeds_differ(self) -> None:
        """Else a campaign over seeds would try one scenario."""
        assert len({Scenario.generate(seed=seed).text for seed in range(50)}) > 40

    @pytest.mark.parametrize("wrong", [{"clients": 0}, {"operations": 0}, {"faults": -1}])
    def test_a_size_that_makes_no_sense(self, wrong: dict[str, int]) -> None:
        """What is wrong is said."""
        with pytest.raises(UsageError, match="a scenario needs at least"):
            Scenario.generate(seed=0, **wrong)


class TestNamesAndFaultsThatMeanNothing:
    """What would pass for a scenario, and be another one than its author meant."""

    @pytest.mark.parametrize("name", ["main", "time", "crash", "store1", "store12"])
    def test_a_name_of_the_simulators_own_is_refused(self, name: str) -> None:
        """Two tasks of one name would be one in every timeline."""
        with pytest.raises(UsageError, match="simulator uses"):
            Scenario.parse(f"{name}: add m1; commit")

    def test_a_bystander_has_no_store_to_crash(self) -> None:
        """It meant somebody else's."""
        with pytest.raises(UsageError, match=r"column 24.*uses no store"):
            Scenario.parse("a: add m1; commit | x: crash")


class TestParts:
    """What a scenario knows about itself."""

    def test_the_issue(self) -> None:
        """The story that started the project, read piece by piece."""
        scenario = Scenario.parse(ISSUE)
        a, b = scenario.clients
        assert (a.name, a.after, b.name, b.after) == ("a", None, "b", "a")
        assert a.operations[1] == Operation(kind="commit", wait=False)
        assert b.operations[2] == Operation(kind="commit", wait=True)
        assert scenario.client("b") is b
        assert scenario.name == scenario.text == ISSUE

    def test_messages_are_in_the_order_of_the_text(self) -> None:
        """Every id that is added, and no other argument."""
        assert Scenario.parse("b: add m2; add m1 | a: after b; add x.3").messages == ("m2", "m1", "x.3")

    def test_designed_reprs(self) -> None:
        """A repr is one short line."""
        assert repr(Scenario.parse("a: add m1")) == "<Scenario a: add m1>"
        assert repr(Scenario.parse("a: add m1", name="one")) == "<Scenario one: a: add m1>"

    def test_the_power_is_lost_with_a_policy(self) -> None:
        """No policy means the default one, also when the operation is built by hand."""
        assert Operation(kind="power-loss") == Operation(kind="power-loss", argument="lose-unsynced")

    @pytest.mark.parametrize("text", ["SUM", "aSUMb", "", "a b", "m1;", "(m1)", "m,1"])
    def test_what_is_no_message_id(self, text: str) -> None:
        """An id could not be told from a summary or a separator otherwise."""
        assert not is_message(text)

    @pytest.mark.parametrize("text", ["A", "1a", "", "a-b", "a_b", "a b"])
    def test_what_is_no_client_name(self, text: str) -> None:
        """Client names are part of task roles and tokens."""
        assert not is_client(text)

    def test_topologies(self) -> None:
        """From everything shared to nothing shared."""
        assert TOPOLOGIES == ("same-handle", "same-store", "separate-stores")


class TestMistakes:
    """A mistake is a UsageError that points at the column, says what was expected and suggests the nearest."""

    @pytest.mark.parametrize(
        ("text", "column", "says"),
        [
            ("", 1, "the scenario is empty"),
            ("   ", 1, "the scenario is empty"),
            ("a add m1", 1, "a client has no name"),
            ("a: add m1 |", 12, "a client is missing"),
            ("a: add m1;", 11, "an operation is missing"),
            ("a:", 3, "an operation is missing"),
            (": add m1", 1, "'' cannot name a client"),
            ("A: add m1", 1, "'A' cannot name a client"),
            ("a: add m1; comit", 12, "unknown operation 'comit' (did you mean 'commit'?)"),
            ("a: add", 7, "'add' needs an argument; expected add ID"),
            ("a: add m1 m2", 11, "'m2' is one word too many; expected add ID"),
            ("a: add mSUM", 8, "'add' cannot take 'mSUM'"),
            ("a: commit maybe", 11, "'commit' cannot take 'maybe'; expected commit [wait|nowait]"),
            ("a: reload now", 11, "'reload' cannot take 'now'; expected reload"),
            ("a: power-loss some", 15, "expected power-loss [lose-unsynced|keep-all|torn|any]"),
            ("a: wait", 4, "nothing to wait for; expected a commit before 'wait'"),
            ("a: ask", 4, "nothing to ask for; expected a commit before 'ask'"),
            ("a: add m1; retry m2", 12, "client 'a' has not added 'm2'; expected 'add m2' before 'retry m2'"),
            ("a: add m1 | b: retry m1", 16, "client 'b' has not added 'm1'"),
            ("a: reload | x: extractor", 25, "'extractor' needs an argument; expected extractor fails|hangs|slows"),
            ("a: reload | x: storage hangs", 24, "'storage' cannot take 'hangs'; expected storage fails|forgets"),
            ("a: reload | x: queue fails", 22, "expected queue loses|repeats"),
            ("a: reload | x: clock", 21, "expected clock ahead|back"),
            ("a: context m1", 12, "'context' cannot take 'm1'; expected context"),
            ("a: commit | b: wait", 16, "client 'b' has nothing to wait for"),
            ("a: add m1 | b: add m1", 16, "message 'm1' is added twice"),
            ("a: add m1 | a: reload", 13, "a second client is called 'a'"),
            ("first: reload | b: after fist", 20, "there is no client 'fist' for 'after' (did you mean 'first'?)"),
            ("a: reload | b: cancel c", 16, "there is no client 'c' for 'cancel'; expected a or b"),
            ("a: crash b", 4, "there is no client 'b' for 'crash'; expected a"),
            ("a: cancel a", 4, "expected the name of another client"),
            ("a: reload | b: reload; after a", 24, "only as the first operation"),
            ("a: after a", 4, "nobody can start: a is after a"),
            ("a: after b; reload | b: after a", 4, "nobody can start: a is after b is after a"),
            ("x: after a | a: after b | b: after a", 17, "nobody can start: a is after b is after a"),
        ],
    )
    def test_the_column_and_the_cause(self, text: str, column: int, says: str) -> None:
        """The caret stands under the word that is wrong."""
        with pytest.raises(UsageError) as caught:
            Scenario.parse(text)
        first, line, caret = str(caught.value).split("\n")
        assert first.startswith(f"scenario, column {column}: ")
        assert says in first
        assert line == f"  {text}"
        assert caret == " " * (2 + column - 1) + "^"

    def test_a_text_of_several_lines_is_pointed_at_too(self) -> None:
        """Newlines are shown as blanks, so that the caret stays under its word."""
        with pytest.raises(UsageError) as caught:
            Scenario.parse("a: add m1;\n   relod")
        _, line, caret = str(caught.value).split("\n")
        assert line[caret.index("^") :] == "relod"

    def test_the_whole_message(self) -> None:
        """Fact, likely cause, what was expected: as a person sees it."""
        with pytest.raises(UsageError) as caught:
            Scenario.parse("a: add m1; comit")
        assert str(caught.value) == (
            "scenario, column 12: unknown operation 'comit' (did you mean 'commit'?); "
            "expected add, retry, commit, reload, context, wait, ask, after, cancel, crash, power-loss, extractor, storage, "
            "queue or clock\n"
            "  a: add m1; comit\n"
            "             ^"
        )

    def test_a_scenario_built_by_hand_is_checked_as_well(self) -> None:
        """Shrinking builds scenarios without a text."""
        wait = Client(name="a", operations=(Operation(kind="wait"),))
        with pytest.raises(UsageError, match=r"scenario 'a: wait': client 'a' has nothing to wait for"):
            Scenario(name="x", clients=(wait,))
        with pytest.raises(UsageError, match="there is no client"):
            Scenario(name="x", clients=())
        with pytest.raises(UsageError, match="client 'a' does nothing"):
            Scenario(name="x", clients=(Client(name="a", operations=()),))

    def test_only_a_commit_can_be_nowait(self) -> None:
        """An operation built by hand is checked as well."""
        with pytest.raises(UsageError, match="'reload' cannot be 'nowait'"):
            Operation(kind="reload", wait=False)
