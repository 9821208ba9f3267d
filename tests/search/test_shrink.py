"""Shrinking the schedules of any subject: smaller, the same bug, and a certificate that means what it says."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

import racewindow as rw
from racewindow.kernel import Run, Subject
from racewindow.search import Found, Shrunk, simplicity


async def lost_update(world: rw.World) -> None:
    """Three increments of one counter: one preemption loses an update, and a random schedule has more."""
    value = world.cell(0, name="v")

    async def increment() -> None:
        await value.write(await value.read() + 1)

    await world.together(increment, increment, increment)
    world.check(value.value == 3, "lost-update", f"{value.value} of 3")


async def handshake(world: rw.World) -> None:
    """Fails only when each of two tasks is held back between its two steps: two preemptions."""
    log: list[str] = []

    def task(name: str) -> Callable[[], Awaitable[None]]:
        async def steps() -> None:
            for number in range(3):
                await world.point(f"{name}{number}")
                log.append(name)

        steps.__qualname__ = name
        return steps

    await world.together(task("a"), task("b"))
    world.check("".join(log) != "aabbab", "handshake")


async def two_bugs(world: rw.World) -> None:
    """One bug needs no preemption, the other one: shrinking the second may not end at the first."""
    log: list[str] = []

    async def one() -> None:
        await world.point("one/begin")
        log.append("1")
        await world.point("one/end")
        log.append("1")

    async def two() -> None:
        await world.point("two")
        log.append("2")

    await world.together(one, two)
    world.check(log != ["2", "1", "1"], "two-first")
    world.check(log != ["1", "2", "1"], "two-between")


def worst(subject: Subject, kind: str, *, seed: int = 0) -> Found:
    """The most complicated failure of that kind in a few hundred random schedules."""
    failing = [
        found
        for found in rw.explore(subject, schedules=400, seed=seed).found
        if found.violation is not None and found.violation.kind == kind
    ]
    return max(failing, key=lambda found: (found.preemptions, found.steps))


class TestSchedules:
    @pytest.mark.parametrize(
        ("subject", "kind", "preemptions"),
        [(lost_update, "lost-update", 1), (handshake, "handshake", 2), (two_bugs, "two-between", 1)],
    )
    def test_the_fewest_preemptions_are_found_and_certified(
        self, subject: Subject, kind: str, preemptions: int
    ) -> None:
        """And the token of the simplest schedule fails in the same way."""
        found = worst(subject, kind)
        shrunk = rw.shrink(subject, found)
        assert (shrunk.preemptions, shrunk.certified, shrunk.reason) == (preemptions, True, "")
        assert shrunk.raw == found.token
        run = rw.replay(subject, shrunk.token)
        assert run.violations == shrunk.violations
        assert run.violation is not None
        assert run.violation.kind == kind

    @pytest.mark.parametrize("subject", [lost_update, handshake])
    def test_it_is_the_simplest_of_all_failing_schedules(self, subject: Subject) -> None:
        """Compared with every schedule there is, by the one order of simpler."""
        failing: list[Run] = []
        rw.prove(
            subject,
            preemptions=None,
            stop_at_first=False,
            on_run=lambda run: failing.append(run) if run.verdict == "failed" else None,
        )
        simplest = min(simplicity(run) for run in failing)
        for seed in range(5):
            shrunk = rw.shrink(subject, worst(subject, failing[0].violations[0].kind, seed=seed))
            assert shrunk.simplicity == simplest

    def test_it_does_not_slip_to_a_simpler_bug(self) -> None:
        shrunk = rw.shrink(two_bugs, worst(two_bugs, "two-between"))
        assert [violation.kind for violation in shrunk.violations] == ["two-between"]
        assert rw.shrink(two_bugs, worst(two_bugs, "two-first")).preemptions == 0

    def test_a_budget_that_ends_is_no_certificate(self) -> None:
        """What was found until then stands."""
        found = worst(handshake, "handshake")
        shrunk = rw.shrink(handshake, found, max_executions=6)
        assert not shrunk.certified
        assert shrunk.executions <= 6
        assert shrunk.reason.startswith("the budget of 6 executions ended within preemptions<=")
        assert "not certified: the budget" in shrunk.says
        assert shrunk.preemptions <= found.preemptions
        assert rw.replay(handshake, shrunk.token).violations

    def test_early_timers_are_choices_too(self) -> None:
        """A failure that needs a timer to fire early keeps that."""

        async def subject(world: rw.World) -> None:
            slept = False

            async def sleeper() -> None:
                nonlocal slept
                await world.sleep(1)
                slept = True

            async def worker() -> None:
                for number in range(3):
                    await world.point(f"work{number}")
                    world.check(not slept, "too-late")

            await world.together(sleeper, worker)

        limits = rw.Limits(time="adversarial")
        first = rw.explore(subject, schedules=200, limits=limits).first
        assert first is not None
        shrunk = rw.shrink(subject, first, limits=limits)
        assert shrunk.certified
        assert rw.replay(subject, shrunk.token, limits=limits).violations == shrunk.violations

    def test_its_words(self) -> None:
        shrunk = rw.shrink(lost_update, worst(lost_update, "lost-update"))
        assert isinstance(shrunk, Shrunk)
        assert shrunk.says == "1 preemption, 11 steps; no schedule with fewer fails in this way"
        assert repr(shrunk) == f"<Shrunk lost_update preemptions=1 steps=11 certified {shrunk.token}>"


class TestWrongUse:
    def test_a_schedule_that_passes(self) -> None:
        found = rw.explore(lost_update, schedules=20).found
        passed = next(one for one in found if one.verdict == "passed")
        with pytest.raises(rw.UsageError, match="nothing to shrink: that schedule has passed"):
            rw.shrink(lost_update, passed)

    def test_a_token_of_a_schedule_that_did_not_fail(self) -> None:
        async def endless(world: rw.World) -> None:
            while True:
                await world.point("again")

        limits = rw.Limits(max_steps=20)
        unknown = rw.explore(endless, schedules=1, limits=limits).found[0]
        with pytest.raises(rw.UsageError, match="did not fail, its verdict is unknown"):
            rw.shrink(endless, unknown, limits=limits)

    @pytest.mark.parametrize("budget", [0, -1, 1.5, True])
    def test_a_budget_that_makes_no_sense(self, budget: int) -> None:
        with pytest.raises(rw.UsageError, match="max_executions="):
            rw.shrink(lost_update, worst(lost_update, "lost-update"), max_executions=budget)

    def test_a_token_of_another_subject(self) -> None:
        token = worst(lost_update, "lost-update").token
        with pytest.raises(rw.UsageError, match="belongs to the subject 'lost_update', not to 'handshake'"):
            rw.shrink(handshake, token)

    def test_a_case_has_options_of_its_own(self) -> None:
        with pytest.raises(rw.UsageError, match="a case has its own limits"):
            rw.shrink(rw.case("copy-on-write", "after-completion"), "", limits=rw.Limits())  # type: ignore[call-overload]
