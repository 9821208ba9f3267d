"""explore, prove and their verdicts."""

from __future__ import annotations

import asyncio
import random
import signal
import threading
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest
import trio

import racewindow as rw
from racewindow.kernel import Run


async def lost_update(world: rw.World) -> None:
    value = world.cell(0, name="v")

    async def increment() -> None:
        await value.write(await value.read() + 1)

    await world.together(increment, increment)
    world.check(value.value == 2, "lost-update", f"v is {value.value}")


async def two_steppers(world: rw.World) -> None:
    async def step() -> None:
        await world.point("a")
        await world.point("b")

    await world.together(step, step)


async def endless(world: rw.World) -> None:
    while True:
        await world.point("again")


class TestVerdicts:
    def test_a_complete_search_without_violation_is_a_proof(self) -> None:
        """Proved, with the number of executions."""
        found = rw.prove(two_steppers)
        assert (found.verdict, found.complete, found.executions, found.reason) == ("proved", True, 6, "")
        assert found.first is None

    def test_a_sample_without_violation_has_passed(self) -> None:
        """However many schedules: a sample proves nothing."""
        found = rw.explore(two_steppers, schedules=200)
        assert (found.verdict, found.complete, found.schedules) == ("passed", False, 200)

    def test_a_search_cut_short_is_unknown(self) -> None:
        """It says what ended it, and does not dress up as passed."""
        found = rw.prove(two_steppers, max_executions=5)
        assert (found.verdict, found.complete, found.schedules) == ("unknown", False, 5)
        assert "5 schedules" in found.reason

    def test_a_budget_of_exactly_the_size_of_the_search_is_complete(self) -> None:
        """Six schedules there are, six may run."""
        found = rw.prove(two_steppers, max_executions=6)
        assert (found.verdict, found.complete) == ("proved", True)

    def test_a_violation_is_a_failure_even_of_an_incomplete_search(self) -> None:
        """One counterexample is enough."""
        found = rw.prove(lost_update)
        assert (found.verdict, found.failures, found.complete) == ("failed", 1, False)
        assert found.first is not None
        assert found.first.violation is not None
        assert found.first.violation.kind == "lost-update"
        assert found.first.violation.detail == "v is 1"

    def test_all_failures_are_counted_on_request(self) -> None:
        """stop_at_first=False goes through the whole tree."""
        found = rw.prove(lost_update, stop_at_first=False)
        assert (found.verdict, found.failures, found.schedules, found.complete) == ("failed", 4, 6, True)

    def test_exploring_stops_at_the_first_failure_on_request(self) -> None:
        """The last schedule is the failing one."""
        found = rw.explore(lost_update, schedules=100, stop_at_first=True)
        assert found.failures == 1
        assert found.first is not None
        assert found.first.index == found.schedules - 1

    def test_a_schedule_that_hits_max_steps_makes_the_verdict_unknown(self) -> None:
        """A bound that is hit is no pass, not even in a complete search."""
        found = rw.prove(endless, limits=rw.Limits(max_steps=20))
        assert (found.verdict, found.unknowns, found.complete) == ("unknown", 1, True)
        assert found.reason == "schedule 0: max_steps=20 was reached"
        assert found.found[0].steps == 20

    def test_a_failure_outweighs_an_unknown_schedule(self) -> None:
        """Some schedules run too long, others fail: failed."""

        async def subject(world: rw.World) -> None:
            ended = False

            async def first() -> None:
                await world.point("first")
                world.check(ended, "too-early")

            async def second() -> None:
                nonlocal ended
                await world.point("second")
                ended = True
                for _ in range(100):
                    await world.point("again")

            await world.together(first, second)

        found = rw.prove(subject, preemptions=0, limits=rw.Limits(max_steps=50), stop_at_first=False)
        assert (found.verdict, found.failures, found.unknowns) == ("failed", 1, 1)

    def test_the_time_limit_starts_no_further_schedule(self) -> None:
        """At least something ran or nothing did; either way it is no proof."""
        found = rw.prove(endless, limits=rw.Limits(max_steps=5), time_limit_s=1e-9)
        assert (found.verdict, found.schedules) == ("unknown", 0)

    def test_the_preemption_bound_is_printed_with_the_proof(self) -> None:
        """A proof names its bound."""
        assert rw.prove(two_steppers, preemptions=1).bound == "preemptions<=1"
        assert rw.prove(two_steppers).bound == ""
        assert repr(rw.prove(two_steppers, preemptions=0)) == (
            "<Exploration two_steppers proved bounded preemptions<=0 schedules=2 failures=0 seed=0>"
        )

    def test_the_default_order_is_the_first_schedule(self) -> None:
        """Depth-first search starts with the schedule without decisions."""
        runs: list[Run] = []
        rw.prove(two_steppers, on_run=runs.append)
        assert {step.choice for step in runs[0].trace} == {"forced", "default"}
        assert [run.preemptions for run in runs].count(0) == 2


class TestTables:
    def test_one_row_per_schedule(self) -> None:
        """Passed schedules have no token; failed ones say why."""
        frame = rw.prove(lost_update, stop_at_first=False).runs
        assert list(frame["schedule"]) == list(range(6))
        assert set(frame.loc[frame["verdict"] == "failed", "violation"]) == {"lost-update"}
        assert all(frame.loc[frame["verdict"] == "passed", "token"] == "")
        assert all(frame.loc[frame["verdict"] == "failed", "token"].str.startswith("rw2~lost_update~"))


class TestWrongUse:
    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"schedules": 0}, "at least one schedule"),
            ({"schedules": None}, "never ends by itself"),
            ({"time_limit_s": 0.0}, "must be positive"),
            ({"host": "curio"}, "unknown host 'curio'"),
        ],
    )
    def test_a_budget_or_host_that_makes_no_sense(self, options: dict[str, Any], words: str) -> None:
        """One clear line each."""
        with pytest.raises(rw.UsageError, match=words):
            rw.explore(two_steppers, **options)

    @pytest.mark.parametrize("subject", [lambda world: None, 3, print, partial(print), two_steppers(None)])  # type: ignore[arg-type]
    def test_a_subject_that_is_not_async(self, subject: Any) -> None:
        """A plain function, a value, a coroutine instead of its function."""
        with pytest.raises(rw.UsageError, match="must be an async function"):
            rw.explore(subject)
        if hasattr(subject, "close"):
            subject.close()

    def test_a_negative_preemption_bound(self) -> None:
        """Zero is the smallest bound."""
        with pytest.raises(rw.UsageError, match="cannot be negative"):
            rw.Bounded(-1)

    @pytest.mark.parametrize("options", [{"time": "adverserial"}, {"max_steps": 0}, {"timers_max": -1}])
    def test_limits_that_make_no_sense(self, options: dict[str, Any]) -> None:
        """A misspelt time mode must not silently be the weaker one."""
        with pytest.raises(rw.UsageError, match=next(iter(options))):
            rw.Limits(**options)

    def test_our_own_errors_in_a_subject_are_no_verdict(self) -> None:
        """A usage error inside a subject comes out as itself."""

        async def subject(world: rw.World) -> None:
            await world.together()

        with pytest.raises(rw.UsageError, match="got no functions"):
            rw.explore(subject)


class CallableSubject:
    """A subject with state of its own."""

    async def __call__(self, world: rw.World) -> None:
        await two_steppers(world)


class TestSubjects:
    @pytest.mark.parametrize("subject", [CallableSubject(), partial(CallableSubject()), partial(two_steppers)])
    def test_any_async_callable_will_do(self, subject: Callable[[rw.World], Awaitable[None]]) -> None:
        """Instances and partials too."""
        assert rw.prove(subject).executions == 6

    def test_a_subject_may_explore_another(self) -> None:
        """The inner exploration gets a thread of its own."""

        async def outer(world: rw.World) -> None:
            await world.point("before")
            world.check(rw.prove(two_steppers).executions == 6, "inner")
            await world.point("after")

        assert rw.explore(outer, schedules=3).verdict == "passed"


class TestRunningLoops:
    def test_inside_a_running_trio_loop(self) -> None:
        """As in a script that is async all over."""

        async def main() -> rw.Exploration:
            found = rw.prove(two_steppers)
            await trio.lowlevel.checkpoint()
            return found

        assert trio.run(main).executions == 6

    def test_inside_a_running_asyncio_loop(self) -> None:
        """As in a notebook."""

        async def main() -> rw.Exploration:
            found = rw.explore(lost_update, schedules=20)
            await asyncio.sleep(0)
            return found

        assert asyncio.run(main()).failures > 0

    def test_errors_come_out_of_the_thread_as_they_are(self) -> None:
        """No wrapping, no loss."""

        async def main() -> None:
            rw.explore(two_steppers, host="nowhere")

        with pytest.raises(rw.UsageError, match="unknown host"):
            asyncio.run(main())

    def test_two_threads_explore_at_once(self) -> None:
        """Neither disturbs the other, and worker threads are real again afterwards."""
        original = trio.to_thread.run_sync
        verdicts: list[str] = []

        def work() -> None:
            verdicts.append(rw.prove(two_steppers).verdict)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert verdicts == ["proved"] * 4
        assert trio.to_thread.run_sync is original


class TestInterrupts:
    def test_partial_results_are_kept(self) -> None:
        """KeyboardInterrupt in a subject ends the exploration, with what it has and a note that it was interrupted."""
        begun = 0

        async def subject(world: rw.World) -> None:
            nonlocal begun
            begun += 1
            await two_steppers(world)
            if begun == 8:
                raise KeyboardInterrupt

        found = rw.explore(subject, schedules=100)
        assert found.interrupted
        assert 0 < found.schedules < 8
        assert found.schedules == len(found.found)

    def test_an_interrupted_proof_is_unknown(self) -> None:
        """It had not come to its end."""
        begun = 0

        async def subject(world: rw.World) -> None:
            nonlocal begun
            begun += 1
            if begun == 4:
                raise KeyboardInterrupt
            await two_steppers(world)

        found = rw.prove(subject)
        assert (found.verdict, found.reason, found.interrupted) == ("unknown", "interrupted", True)
        assert not found.complete

    def test_in_a_child_task(self) -> None:
        """Out of the group that its nursery wraps it in."""

        async def subject(world: rw.World) -> None:
            async def child() -> None:
                await world.point("c")
                raise KeyboardInterrupt

            async with trio.open_nursery() as nursery:
                nursery.start_soon(child)
                await world.point("m")

        assert rw.explore(subject, schedules=5).interrupted

    def test_in_a_finally_block_of_an_abandoned_task(self) -> None:
        """Taking the rest apart goes on first, or trio.run would never end."""

        async def subject(world: rw.World) -> None:
            async def stuck() -> None:
                try:
                    await world.point("stuck")
                finally:
                    raise KeyboardInterrupt

            async def patient() -> None:
                await trio.sleep_forever()

            world.start(patient)
            world.start(stuck, advance=True)
            world.start(patient)
            await world.point("m")

        assert rw.explore(subject, schedules=5).interrupted

    def test_other_exceptions_that_are_no_errors_come_out(self) -> None:
        """SystemExit is the caller's business, not a verdict."""

        async def subject(world: rw.World) -> None:
            await world.point("p")
            raise SystemExit(3)

        with pytest.raises(SystemExit):
            rw.explore(subject)

    def test_while_another_thread_does_the_work(self) -> None:
        """In a notebook the interrupt reaches the thread that waits; the one that works ends after its schedule."""

        async def main() -> rw.Exploration:
            def interrupt(run: Run) -> None:
                if run.index == 0 and not sent:
                    sent.append(True)
                    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

            sent: list[bool] = []
            return rw.explore(two_steppers, schedules=100_000, on_run=interrupt)

        loop = asyncio.new_event_loop()
        before = signal.signal(signal.SIGINT, signal.default_int_handler)  # workers of a test run ignore it
        try:
            found = loop.run_until_complete(main())
        finally:
            signal.signal(signal.SIGINT, before)
            loop.close()
        assert found.interrupted
        assert 0 < found.schedules < 100_000


class TestUncontrolledNondeterminism:
    def test_a_search_notices_other_runnable_tasks(self) -> None:
        """Random numbers that change the path are named at the first choice that differs."""
        numbers = random.Random(1)

        async def subject(world: rw.World) -> None:
            async def task() -> None:
                await world.point("a")
                if numbers.random() < 0.5:
                    await world.point("extra")
                await world.point("b")

            await world.together(task, task)

        with pytest.raises(rw.ReplayDiverged, match=r"does not repeat itself.*(at choice|at step) \d+.*random numbers"):
            rw.prove(subject)

    def test_a_search_notices_a_schedule_that_ends_before_its_choices(self) -> None:
        """Where nothing runnable differs, only something is missing at the end."""
        executions = 0

        async def subject(world: rw.World) -> None:
            nonlocal executions
            executions += 1

            async def task() -> None:
                for number in range(3 if executions < 4 else 1):
                    await world.point(f"p{number}")

            await world.together(task, task)

        with pytest.raises(rw.ReplayDiverged, match="does not repeat itself"):
            rw.prove(subject)

    def test_a_failure_that_does_not_come_again_is_no_verdict(self) -> None:
        """The first failing schedule is replayed at once."""
        executions = 0

        async def subject(world: rw.World) -> None:
            nonlocal executions
            executions += 1
            await world.point("p")
            world.check(executions != 5, "every-now-and-then")

        with pytest.raises(rw.ReplayDiverged, match="does not repeat itself"):
            rw.explore(subject, schedules=20)

    def test_the_order_of_a_set_is_found_out_even_when_nothing_fails(self) -> None:
        """The first schedule is replayed too: a subject that does not repeat itself passes nothing."""
        order = ["a", "b"]

        async def subject(world: rw.World) -> None:
            order.reverse()  # stands for a set of objects, which iterates in the order of their addresses
            for label in order:
                await world.point(label)

        with pytest.raises(rw.ReplayDiverged, match="came to main at b at step 1 first, and to main at a the"):
            rw.explore(subject, schedules=20)
