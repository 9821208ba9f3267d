"""One contract, every implementation: what a single client sees when nobody interferes, and that schedules repeat."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable

import pytest

import racewindow as rw
from racewindow.disk import GRANULARITIES, Disk, Granularity
from racewindow.experiments import prove
from racewindow.implementations import BUILT_IN, MUTANTS, PACKAGES, names
from racewindow.kernel import Run, token_of
from racewindow.sessions import Case, Environment, SessionStore, story

Script = Callable[[SessionStore, Environment], Awaitable[None]]

# A mutant keeps no contract: that is what it is for. See test_mutants.
WHOLE = {name: each for name, each in BUILT_IN.items() if not each.mutant}

every = pytest.mark.parametrize("implementation", WHOLE.values(), ids=WHOLE)
both = pytest.mark.parametrize("granularity", GRANULARITIES)

ENDED_WELL = ("accepted", "running", "completed")


def alone(implementation: type[SessionStore], granularity: Granularity, script: Script, *, schedules: int = 5) -> None:
    """Run a script against one store, whose own background work comes in between at random."""

    async def subject(world: rw.World) -> None:
        env = Environment(world, Disk(world, granularity))
        store = implementation(env)
        async with store.running():
            await script(store, env)

    found = rw.explore(subject, schedules=schedules, seed=0)
    assert found.first is None, found.first and found.first.violations
    assert found.verdict == "passed"


@every
@both
class TestOneClient:
    def test_what_was_added_is_live_for_every_handle(
        self, implementation: type[SessionStore], granularity: Granularity
    ) -> None:
        async def script(store: SessionStore, env: Environment) -> None:
            handle = await store.load()
            assert list(await handle.reload()) == []
            await handle.add("m1")
            await handle.add("m2")
            assert list(await handle.reload()) == ["m1", "m2"]
            assert list(await (await store.load()).reload()) == ["m1", "m2"]
            seen = implementation.observe(env)
            assert (seen.live, seen.archives) == (("m1", "m2"), ())
            assert env.history.handovers == []

        alone(implementation, granularity, script)

    def test_a_commit_that_waits_archives_and_extracts_once(
        self, implementation: type[SessionStore], granularity: Granularity
    ) -> None:
        async def script(store: SessionStore, env: Environment) -> None:
            handle = await store.load()
            await handle.add("m1")
            await handle.add("m2")
            ticket = await handle.commit(wait=True)
            assert ticket is not None
            assert tuple(ticket.messages) in ((), ("m1", "m2"))
            assert await ticket.status() == "completed"
            (handover,) = env.history.handovers
            assert (handover.messages, handover.outcome) == (("m1", "m2"), "succeeded")
            await env.world.quiet()
            seen = implementation.observe(env)
            (archive,) = seen.archives
            assert (seen.live, archive.number, archive.messages) == ((), 1, ("m1", "m2"))
            assert archive.state == "extracted"
            assert list(await handle.reload()) == []

        alone(implementation, granularity, script)

    def test_a_commit_in_the_background_ends_as_completed(
        self, implementation: type[SessionStore], granularity: Granularity
    ) -> None:
        async def script(store: SessionStore, env: Environment) -> None:
            handle = await store.load()
            await handle.add("m1")
            ticket = await handle.commit(wait=False)
            assert ticket is not None
            assert await ticket.status() in ENDED_WELL
            assert await ticket.wait() == "completed"
            assert await ticket.status() == "completed"
            assert await ticket.wait() == "completed"  # asking again is no other question
            (handover,) = env.history.handovers
            assert handover.messages == ("m1",)

        alone(implementation, granularity, script)

    def test_a_commit_with_nothing_live_commits_nothing(
        self, implementation: type[SessionStore], granularity: Granularity
    ) -> None:
        async def script(store: SessionStore, env: Environment) -> None:
            handle = await store.load()
            assert await handle.commit(wait=True) is None
            # In the background a design may not know yet that there is nothing: then its task ends, empty-handed.
            ticket = await handle.commit(wait=False)
            if ticket is not None:
                assert await ticket.wait() == "completed"
                assert tuple(ticket.messages) == ()
            assert env.history.handovers == []
            assert implementation.observe(env).archives == ()

        alone(implementation, granularity, script)

    def test_the_next_commit_takes_the_rest(self, implementation: type[SessionStore], granularity: Granularity) -> None:
        async def script(store: SessionStore, env: Environment) -> None:
            handle = await store.load()
            for message in ("m1", "m2", "m3"):
                await handle.add(message)
                assert await handle.commit(wait=True) is not None
                await env.world.quiet()  # the next client comes when everything is over
                await handle.reload()
            seen = implementation.observe(env)
            assert [(each.number, each.messages) for each in seen.ordered] == [(1, ("m1",)), (2, ("m2",)), (3, ("m3",))]
            assert seen.everything == ("m1", "m2", "m3")

        alone(implementation, granularity, script)

    def test_observing_is_no_point_and_changes_nothing(
        self, implementation: type[SessionStore], granularity: Granularity
    ) -> None:
        async def script(store: SessionStore, env: Environment) -> None:
            assert implementation.observe(env).everything == ()
            await (await store.load()).add("m1")
            step = env.world.step
            assert implementation.observe(env) == implementation.observe(env)
            assert env.world.step == step

        alone(implementation, granularity, script)

    def test_a_client_alone_is_never_accused(
        self, implementation: type[SessionStore], granularity: Granularity
    ) -> None:
        """In every schedule of its own background work; else a violation in a race would say little about the race."""
        case = Case(implementation=implementation, scenario=story("a: add m1; add m2; commit"), disk=granularity)
        result = prove(case, preemptions=3)
        assert (result.verdict, result.complete) == ("proved", True), result.reason


@every
class TestRepeating:
    def test_two_explorations_are_the_same_to_the_letter(self, implementation: type[SessionStore]) -> None:
        case = Case(implementation=implementation, scenario=story("free-running"), topology="separate-stores")
        told: list[list[str]] = []
        for _ in range(2):
            runs: list[Run] = []
            rw.explore(case.subject(), schedules=10, seed=3, limits=case.limits, on_run=runs.append)
            told.append(["\n".join(map(str, run.trace)) + str(run.violations) for run in runs])
        assert told[0] == told[1]
        assert len(set(told[0])) > 1, "one schedule only says little"

    @pytest.mark.parametrize("name", ["free-running", "crash-during-commit", "cancelled-commit"])
    def test_every_schedule_is_replayed_by_its_token(self, implementation: type[SessionStore], name: str) -> None:
        case = Case(implementation=implementation, scenario=story(name))
        runs: list[Run] = []
        rw.explore(case.subject(), schedules=8, seed=1, limits=case.limits, on_run=runs.append)
        for run in runs:
            token = str(token_of(run, subject=case.name, checksum=case.checksum))
            again = rw.replay(case.subject(), token, limits=case.limits, name=case.name, checksum=case.checksum)
            assert list(map(str, again.trace)) == list(map(str, run.trace))
            assert (again.verdict, again.violations) == (run.verdict, run.violations)

    def test_its_crashes_leave_it_able_to_start_again(self, implementation: type[SessionStore]) -> None:
        """Whatever else goes wrong after a crash, the successor opens and the clients come to an end."""
        case = Case(implementation=implementation, scenario=story("commit-after-crash"))
        runs: list[Run] = []
        rw.explore(case.subject(), schedules=30, seed=0, limits=case.limits, on_run=runs.append)
        fired = [run for run in runs if run.result.faults]
        assert fired
        for run in runs:
            assert run.result.unfinished == ()
            assert not {violation.kind for violation in run.violations} & {"deadlock", "KeyError", "AssertionError"}


class TestNames:
    def test_are_unique_and_fit_into_tokens(self) -> None:
        assert [name for name, times in Counter(names()).items() if times > 1] == []
        for name in names():
            assert name
            assert not set(name) & set("/~,@* "), name

    def test_are_those_of_the_classes(self) -> None:
        assert {name: each.name for name, each in BUILT_IN.items()} == {name: name for name in BUILT_IN}

    @pytest.mark.parametrize("implementation", BUILT_IN.values(), ids=BUILT_IN)
    def test_each_says_in_one_line_what_it_is(self, implementation: type[SessionStore]) -> None:
        assert implementation.summary().endswith(".")
        assert 20 < len(implementation.summary()) < 120

    def test_of_packages_say_what_they_are_and_how_to_get_them(self) -> None:
        for package in PACKAGES.values():
            assert package.summary.endswith(".")
            assert package.extra

    def test_of_mutants_say_whose_they_are(self) -> None:
        assert all(mutant.mutant and mutant.name.startswith("reference-") for mutant in MUTANTS)
        assert all(mutant.summary().startswith("Mutant of the reference:") for mutant in MUTANTS)
