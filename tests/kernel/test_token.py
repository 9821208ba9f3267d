"""Tokens: one line of text that replays one schedule, and knows when it cannot."""

from __future__ import annotations

import re
import zlib
from functools import partial
from urllib.parse import quote

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from tests.races import lost_update, third_turn

import racewindow as rw
from racewindow.kernel import Run, Segment, Subject, Token, token_of

names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
hex8 = st.integers(0, 2**32 - 1).map("{:08x}".format)
segments = st.builds(
    lambda role, label, occurrence: Segment(role=role, label=label, occurrence=occurrence if label else 1),
    names,
    st.one_of(st.just(""), names),
    st.integers(1, 1000),
)
tokens = st.builds(
    Token,
    subject=names,
    checksum=hex8,
    segments=st.lists(segments, max_size=5).map(tuple),
    steps=st.integers(0, 10_000),
    fingerprint=hex8,
)


def first_token(subject: Subject = lost_update) -> str:
    found = rw.prove(subject, name="lost_update")
    assert found.first is not None
    return found.first.token


class TestText:
    @given(token=tokens)
    def test_every_token_is_read_back_as_it_was(self, token: Token) -> None:
        """Whatever roles and labels contain; one line without blanks, safe in a shell."""
        text = str(token)
        assert Token.parse(text) == token
        assert Token.parse(f"  {text}\n") == token
        assert str(Token.parse(text)) == text
        assert re.fullmatch(r"[A-Za-z0-9_.~%@+=,/:-]+", text)

    @given(token=tokens, data=st.data())
    def test_a_token_that_was_cut_is_known(self, token: Token, data: st.DataObject) -> None:
        """At any place."""
        text = str(token)
        cut = text[: data.draw(st.integers(0, len(text) - 1))]
        with pytest.raises(rw.UsageError, match=r"truncated or altered|not a racewindow token|token version"):
            Token.parse(cut)

    @given(token=tokens, data=st.data())
    def test_a_token_that_was_altered_is_known(self, token: Token, data: st.DataObject) -> None:
        """By any one character."""
        text = str(token)
        place = data.draw(st.integers(0, len(text) - 1))
        other = data.draw(st.sampled_from("abcxyz0123456789~@+=,./%").filter(lambda char: char != text[place]))
        with pytest.raises(rw.UsageError):
            Token.parse(text[:place] + other + text[place + 1 :])

    @given(token=tokens)
    def test_the_version_before_is_read_as_ever(self, token: Token) -> None:
        """Its checks were written in hex, and its names in full."""
        schedule = ",".join(
            quote(one.role, safe="/.:").replace("~", "%7E")
            + (f"@{quote(one.label, safe='/.:').replace('~', '%7E')}*{one.occurrence}" if one.label else "")
            for one in token.segments
        )
        name = quote(token.subject, safe="/.:").replace("~", "%7E")
        head = f"rw1~{name}~{token.checksum}~{schedule}~{token.steps}.{token.fingerprint}"
        text = f"{head}~{zlib.crc32(head.encode()):08x}"
        assert Token.parse(text) == token
        with pytest.raises(rw.UsageError, match="truncated or altered"):
            Token.parse(text[:-1])

    @pytest.mark.parametrize(
        ("subject", "short"),
        [
            ("path-lock/a: add m1; commit | b: reload; commit/same-store/atomic", "path-lock/a=Am1=c+b=R=c=2=5"),
            ("reference/after-completion/same-handle/suspending", "reference/after-completion=1=4"),
            ("mine.py:Store/s: add m1 | x: crash s/separate-stores/atomic", "mine.py:Store/s=Am1+x=Ks=3=5"),
            ("a=1+2", "a%3D1%2B2"),
        ],
    )
    def test_what_names_are_made_of_is_abbreviated(self, subject: str, short: str) -> None:
        """By a dictionary that belongs to the version."""
        token = Token(subject=subject, checksum="0" * 8, segments=(), steps=1, fingerprint="0" * 8)
        assert str(token).startswith(f"rw2~{short}~~1.")
        assert Token.parse(str(token)) == token

    @pytest.mark.parametrize("text", ["", "hello", "sct1~whatever", "AXICAgICAg==", "-"])
    def test_something_else_is_no_token(self, text: str) -> None:
        """It says what tokens look like."""
        with pytest.raises(rw.UsageError, match="is not a racewindow token: tokens start with 'rw2~'"):
            Token.parse(text)

    def test_a_token_of_another_version(self) -> None:
        """It names both versions."""
        with pytest.raises(rw.UsageError, match="'rw3', and this racewindow reads rw2 and rw1"):
            Token.parse(first_token().replace("rw2", "rw3"))

    def test_a_long_text_is_not_repeated_in_full(self) -> None:
        """Error messages stay readable."""
        with pytest.raises(rw.UsageError, match=r"^'x{37}\.\.\.' is not"):
            Token.parse("x" * 500)

    def test_a_schedule_reads_as_what_happened(self) -> None:
        """Roles and places, in order."""
        assert [(segment.role, segment.label) for segment in Token.parse(first_token()).segments] == [
            ("main", ""),
            ("increment", "v.write"),
            ("increment.2", ""),
        ]

    def test_the_third_time_at_a_place(self) -> None:
        """A preemption within a loop counts how often the task stood there."""
        token = first_token(third_turn)
        assert "loop@turn+3,look" in token


class TestReplay:
    def test_the_same_trace_and_the_same_violation(self) -> None:
        """Every failing schedule of a complete search."""
        runs: list[Run] = []
        found = rw.prove(lost_update, stop_at_first=False, on_run=runs.append)
        for one, run in zip(found.found, runs, strict=True):
            if one.token:
                again = rw.replay(lost_update, one.token)
                assert (again.trace, again.violations, again.verdict) == (run.trace, run.violations, "failed")

    def test_a_token_of_a_schedule_that_ran_too_long(self) -> None:
        """Unknown schedules have tokens as well."""

        async def subject(world: rw.World) -> None:
            async def forever() -> None:
                while True:
                    await world.point("again")

            await world.together(forever, forever)

        limits = rw.Limits(max_steps=40)
        found = rw.explore(subject, schedules=3, limits=limits)
        for one in found.found:
            assert rw.replay(subject, one.token, limits=limits).verdict == "unknown"

    def test_a_parsed_token_will_do(self) -> None:
        """Text or value."""
        assert rw.replay(lost_update, Token.parse(first_token())).violation is not None

    def test_the_token_of_another_subject(self) -> None:
        """It says whose it is."""

        async def other(world: rw.World) -> None:
            await world.point("p")

        with pytest.raises(rw.UsageError, match="belongs to the subject 'lost_update', not to 'other'"):
            rw.replay(other, first_token())

    def test_a_changed_subject(self) -> None:
        """The checksum over the subject's text tells, before anything runs."""
        old = first_token()

        async def lost_update(world: rw.World) -> None:
            raise AssertionError("must not run")

        with pytest.raises(rw.ReplayDiverged, match=r"lost_update .*changed since the token was made: .*[0-9a-f]{8}"):
            rw.replay(lost_update, old)

    def test_a_label_that_is_gone(self) -> None:
        """The message has the choice, what was expected, what was runnable, and the usual causes."""

        async def renamed(world: rw.World) -> None:
            async def increment() -> None:
                await world.point("v.read")
                await world.point("v.put")

            await world.together(increment, increment)

        with pytest.raises(
            rw.ReplayDiverged,
            match=r"at choice 3 the token expects increment to get to v.write, "
            "but runnable are: increment.2 at v.read. Usual causes",
        ):
            rw.replay(renamed, with_checksum(first_token(), "renamed"), name="renamed", checksum="0" * 8)

    def test_a_role_that_is_gone(self) -> None:
        """A task that was renamed, or is not started any more."""

        async def alone(world: rw.World) -> None:
            async def increment() -> None:
                await world.point("v.read")
                await world.point("v.write")
                await world.point("more")

            await world.together(increment)

        with pytest.raises(rw.ReplayDiverged, match=r"expects increment.2 to run, but runnable are: increment at"):
            rw.replay(alone, with_checksum(first_token(), "alone"), name="alone", checksum="0" * 8)

    def test_another_path_behind_the_last_choice(self) -> None:
        """Steps that no choice names still count."""

        async def longer(world: rw.World) -> None:
            await lost_update_quietly(world)
            await world.point("more")

        with pytest.raises(rw.ReplayDiverged, match=r"but not its path: \d+ steps with no violation"):
            rw.replay(longer, with_checksum(first_token(), "longer"), name="longer", checksum="0" * 8)

    def test_the_same_path_with_another_outcome(self) -> None:
        """A schedule that was guilty and is not any more has diverged, even when every step is the same."""
        with pytest.raises(rw.ReplayDiverged, match="with no violation"):
            rw.replay(lost_update_quietly, with_checksum(first_token(), "quiet"), name="quiet", checksum="0" * 8)

    def test_best_effort_goes_on(self) -> None:
        """strict=False follows the token as far as it goes and then takes the default order."""

        async def lost_update_(world: rw.World) -> str:
            await world.together(partial(world.sleep, 1))
            return "ended"

        run = rw.replay(lost_update_, first_token(), name="lost_update", strict=False)
        assert (run.verdict, run.result) == ("passed", "ended")

    def test_best_effort_skips_what_is_gone_and_follows_the_rest(self) -> None:
        """A token survives a point that was added before its race."""

        async def longer(world: rw.World) -> None:
            await world.point("new")
            await lost_update(world)

        run = rw.replay(longer, first_token(), name="lost_update", strict=False)
        assert run.violation is not None
        assert run.violation.kind == "lost-update"

    def test_a_nondeterministic_subject_is_reported(self) -> None:
        """A replay that ends elsewhere is no verdict."""
        extra = [False, False]

        async def subject(world: rw.World) -> None:
            await world.point("one")
            if extra[0]:
                await world.point("two")
            world.check(False, "always")

        found = rw.explore(subject, schedules=1)
        assert found.first is not None
        extra[0] = True
        with pytest.raises(rw.ReplayDiverged, match="3 steps with always"):
            rw.replay(subject, found.first.token)


async def lost_update_quietly(world: rw.World) -> None:
    """The steps of lost_update without its check."""
    value = world.cell(0, name="v")

    async def increment() -> None:
        await value.write(await value.read() + 1)

    await world.together(increment, increment)


def with_checksum(text: str, subject: str) -> str:
    """The token as if it had been made for another subject."""
    token = Token.parse(text)
    return str(
        Token(
            subject=subject, checksum="0" * 8, segments=token.segments, steps=token.steps, fingerprint=token.fingerprint
        )
    )


class TestSegmentsOfAwkwardSchedules:
    def test_a_task_that_is_left_where_it_never_goes_on(self) -> None:
        """The schedule ends while it still stands there."""

        async def subject(world: rw.World) -> None:
            async def left() -> None:
                await world.point("one")
                await world.point("two")

            async def ends() -> None:
                await world.point("ends")
                world.check(False, "always")

            await world.together(left, ends)

        found = rw.prove(subject, stop_at_first=False)
        assert found.failures == found.schedules == 3
        for one in found.found:
            assert rw.replay(subject, one.token).steps == one.steps

    def test_the_same_place_while_nothing_was_up_to_the_strategy(self) -> None:
        """Steps of the stage setting are not counted by anybody."""

        async def subject(world: rw.World) -> None:
            async def loop(times: int) -> None:
                for _ in range(times):
                    await world.point("turn")

            with world.serially():
                await loop(3)
                await world.together(partial(loop, 2))
            world.start(partial(loop, 2), name="other", advance=True)
            await loop(3)
            world.check(False, "always")

        found = rw.prove(subject, stop_at_first=False)
        assert found.failures > 3
        for one in found.found:
            assert rw.replay(subject, one.token).steps == one.steps

    def test_a_task_that_blocks_and_wakes_between_two_choices(self) -> None:
        """Blocking ends its turn, although it may be the first to run again."""

        async def subject(world: rw.World) -> None:
            order = ""

            async def sleeper(name: str) -> None:
                nonlocal order
                for _ in range(2):
                    await trio.sleep(1)
                    order += name

            await world.together(partial(sleeper, "a"), partial(sleeper, "b"))
            world.check(False, order)

        found = rw.prove(subject, stop_at_first=False)
        assert sorted(one.violation.kind for one in found.found if one.violation) == ["abab", "abba", "baab", "baba"]
        for one in found.found:
            assert one.violation is not None
            violation = rw.replay(subject, one.token).violation
            assert violation is not None
            assert violation.kind == one.violation.kind

    def test_a_crc_says_nothing_about_the_schedule(self) -> None:
        """A token whose parts fit, but whose schedule is of nowhere, diverges like any other."""
        head = f"rw1~lost_update~{Token.parse(first_token()).checksum}~nobody@nowhere*7~9.00000000"
        with pytest.raises(rw.ReplayDiverged, match="expects nobody to run"):
            rw.replay(lost_update, f"{head}~{zlib.crc32(head.encode()):08x}")

    def test_token_of_a_run_without_choices_has_no_segments(self) -> None:
        """The default order needs no words."""

        async def subject(world: rw.World) -> None:
            await world.point("p")

        runs: list[Run] = []
        rw.explore(subject, schedules=1, on_run=runs.append)
        assert token_of(runs[0], subject="s", checksum="0" * 8).segments == ()
