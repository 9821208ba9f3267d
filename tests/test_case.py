"""How a scenario is played: faults that a client brings upon itself, shared handles, stores that do nothing but raise."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import racewindow as rw
from racewindow.experiments import Budget, compare, fuzz, prove
from racewindow.implementations import implementation
from racewindow.implementations.designs._model import Design, DesignHandle
from racewindow.kernel import Run
from racewindow.sessions import Case, Environment, History, Observation, Scenario, SessionStore, Ticket


def histories(store: type[SessionStore], text: str, schedules: int = 100, **options: Any) -> list[History]:
    case = Case(implementation=store, scenario=Scenario.parse(text), **options)
    runs: list[Run] = []
    rw.explore(case.subject(), schedules=schedules, limits=case.limits, name=case.name, on_run=runs.append)
    return [run.result for run in runs]


class Broken(SessionStore):
    """A store whose every operation raises."""

    name = "broken"

    async def load(self) -> Any:
        return BrokenHandle()

    @classmethod
    def observe(cls, env: Environment) -> Observation:
        return Observation()


class BrokenHandle:
    async def add(self, message: str) -> None:
        raise NameError("dsik")

    async def commit(self, *, wait: bool) -> Ticket | None:
        raise NameError("dsik")

    async def reload(self) -> list[str]:
        return []


class SlowHandle(DesignHandle):
    async def commit(self, *, wait: bool) -> Any:
        await self.env.extract(["m1"])
        return rw.EndedTicket(self.env.serial("task"), ("m1",))


class SlowAfterCrash(Design):
    """Extracts within the call of a commit in the background."""

    name = "slow-after-crash"
    handle_type = SlowHandle


class PollingHandle(DesignHandle):
    async def commit(self, *, wait: bool) -> Any:
        while "done" not in self.env.disk.names("archives"):
            await self.env.world.sleep(0.1)
        return rw.EndedTicket(self.env.serial("task"))


class PatientHandle(DesignHandle):
    async def commit(self, *, wait: bool) -> Any:
        for _ in range(30):
            await self.env.world.sleep(0.1)
        return rw.EndedTicket(self.env.serial("task"))


class Polling(Design):
    """Waits for a file that nobody will ever write."""

    name = "polling"
    handle_type = PollingHandle


class Patient(Design):
    """Gives up after a while."""

    name = "patient"
    handle_type = PatientHandle


class TestAPollThatCanNeverSucceed:
    def test_it_fails_tasks_end(self) -> None:
        """Nothing but time changes any more, so this is how it stays; whoever comes to look sees a client that never ended."""
        result = prove(Case(implementation=Polling, scenario=Scenario.parse("a: add m1; commit | b: reload")))
        assert result.verdict == "failed"
        assert result.first is not None
        assert [str(violation) for violation in result.first.violations] == ["tasks-end: a never ended"]
        assert result.first.steps < 150

    def test_one_that_gives_up_after_a_while_does_not(self) -> None:
        result = prove(Case(implementation=Patient, scenario=Scenario.parse("a: add m1; commit | b: reload")))
        assert "tasks-end" not in result.kinds


class TestChecksum:
    def test_it_is_of_what_a_schedule_depends_on(self) -> None:
        """A story under another name has the same; another text or granularity has not."""
        plain = Scenario.parse("a: add m1; commit")
        named = Scenario.parse("a: add m1; commit", name="one", goals=("crash-fired",), summary="s", link="l")
        case = Case(implementation=SlowAfterCrash, scenario=plain)
        others = (
            {"scenario": Scenario.parse("a: add m1; commit; commit")},
            {"topology": "same-handle"},
            {"disk": "atomic"},
            {"time": "adversarial"},
        )
        assert replace(case, scenario=named).checksum == case.checksum
        assert len({case.checksum, *(replace(case, **other).checksum for other in others)}) == 5


class TestAFaultOfOnesOwn:
    def test_what_comes_after_it_is_done_by_the_successor(self) -> None:
        """The next operation belongs to the next store; it is not lost with the one that died."""
        for text in ("a: add m1; crash; add m2; commit", "a: add m1; power-loss; add m2; commit"):
            for history in histories(implementation("reference"), text):
                outcomes = {str(call.operation): call.outcome for call in history.calls}
                assert outcomes["add m2"] == "ok"
                assert outcomes["commit"] == "ok"
                assert not history.unfinished

    def test_a_store_that_forgets_to_make_the_clear_durable_is_found(self) -> None:
        case = rw.case(
            "reference-without-directory-fsync", "a: add m1; commit; power-loss; reload", topology="same-store"
        )
        assert prove(case, preemptions=0).verdict == "failed"


class TestOneHandle:
    def test_clients_that_come_back_share_one_again(self) -> None:
        text = "s: add m1 | x: after s; crash s | a: after x; reload; commit | b: after x; reload; commit"
        loads: list[object] = []

        class Counting(implementation("reference")):  # type: ignore[misc]
            """The reference, with its loads counted."""

            async def load(self) -> Any:
                loads.append(self)
                return await super().load()

        for _ in histories(Counting, text, schedules=60, topology="same-handle"):
            pass
        assert len(loads) == len(set(map(id, loads)))  # one load in the life of one store


class TestErrors:
    def test_a_store_that_only_raises_is_not_proved(self) -> None:
        for experiment in (prove, fuzz):
            result = experiment(
                Case(implementation=Broken, scenario=Scenario.parse("a: add m1; commit | b: add m2; commit"))
            )
            assert result.verdict == "unknown"
            assert "every add ended in an error, the first in NameError: dsik" in result.reason
            assert result.noted["errors"] == result.schedules


class TestAcceptedIsQuick:
    def test_a_client_that_came_back_is_the_same_client(self) -> None:
        scenario = Scenario.parse("a: add m1 | x: after a; crash a | b: after x; commit nowait")
        result = prove(Case(implementation=SlowAfterCrash, scenario=scenario, topology="same-store"), preemptions=0)
        assert "accepted-is-quick" in result.kinds


class TestAdversarialTime:
    def test_the_bound_on_early_timers_is_part_of_a_proof(self) -> None:
        async def nothing(world: rw.World) -> None:
            await world.point("x")

        found = rw.prove(nothing, preemptions=1, limits=rw.Limits(time="adversarial", timers_max=3))
        assert (found.verdict, found.bound) == ("proved", "preemptions<=1, early timers<=3")


class TestTwice:
    def test_what_is_given_twice_is_compared_once(self) -> None:
        story = rw.story("two-commits")
        again = Scenario.parse(story.text, name=story.text)
        reference = implementation("reference")
        options: dict[str, Any] = {"topologies": ["same-store"], "disks": ["atomic"], "budget": Budget(preemptions=0)}
        result = compare([reference, reference], [story, again], **options)
        assert len(result.matrix) == 1
