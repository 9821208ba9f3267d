"""The asyncio host: real asyncio code keeps asyncio's promises, and everything else is up to the strategy."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import io
import logging
import random
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import redirect_stderr
from functools import partial
from itertools import permutations
from math import comb
from typing import Any, Literal

import pytest

import racewindow as rw
from racewindow.kernel import Run, token_of
from racewindow.kernel.calls import Blocked, Call
from racewindow.kernel.hosts import HOSTS

Subject = Callable[[rw.World], Awaitable[Any]]


def runs_of(subject: Subject, **options: Any) -> list[Run]:
    """Every schedule of the subject."""
    runs: list[Run] = []
    options = {"strategy": rw.Bounded(None), "schedules": None, "host": "asyncio"} | options
    rw.explore(subject, on_run=runs.append, **options)
    return runs


def results_of(subject: Subject, **options: Any) -> list[Any]:
    """What the subject returned, in every schedule; none of them may fail."""
    runs = runs_of(subject, **options)
    assert [run.violations for run in runs if run.verdict != "passed"] == []
    return [run.result for run in runs]


def the_violation(subject: Subject, **options: Any) -> rw.Violation:
    """The one violation that every schedule ends with."""
    found = {run.violation for run in runs_of(subject, **options)}
    assert len(found) == 1
    violation = found.pop()
    assert violation is not None
    return violation


def trace_of(run: Run) -> list[str]:
    """The steps in brief."""
    return [f"{step.task} {step.label}" for step in run.trace]


async def lost_update(world: rw.World) -> None:
    v = world.cell(0, name="v")

    async def increment() -> None:
        r = await v.read()
        await v.write(r + 1)

    await world.together(increment, increment)
    world.check(v.value == 2, "lost-update")


class TestChoices:
    @pytest.mark.parametrize("host", HOSTS)
    def test_the_lost_update_is_the_same_on_every_host(self, host: str) -> None:
        """Two tasks of two points each: six orders, four of which lose an update."""
        found = rw.prove(lost_update, host=host, stop_at_first=False)
        assert (found.schedules, found.failures, found.verdict) == (6, 4, "failed")
        assert found.first is not None
        assert found.first.violation is not None
        assert found.first.violation.kind == "lost-update"

    def test_every_failing_token_replays(self) -> None:
        """The same steps and the same violation, from one line of text."""
        found = rw.prove(lost_update, host="asyncio", stop_at_first=False)
        tokens = [one.token for one in found.found if one.token]
        assert len(tokens) == len(set(tokens)) == 4
        for token in tokens:
            assert rw.replay(lost_update, token, host="asyncio").verdict == "failed"

    @pytest.mark.parametrize(("tasks", "points", "expected"), [(2, 1, 2), (2, 3, comb(6, 3)), (3, 2, 90)])
    def test_counts_are_the_multinomials(self, tasks: int, points: int, expected: int) -> None:
        """Every interleaving of independent tasks, each exactly once."""

        async def subject(world: rw.World) -> None:
            async def walk() -> None:
                for number in range(points):
                    await world.point(f"p{number}")

            await world.together(*[walk] * tasks)

        found = rw.prove(subject, host="asyncio")
        assert (found.schedules, found.verdict) == (expected, "proved")

    def test_preemption_bound_zero(self) -> None:
        """Run to block only: one order per permutation."""

        async def subject(world: rw.World) -> None:
            async def walk() -> None:
                await world.point("p")
                await world.point("q")

            await world.together(walk, walk)

        runs = runs_of(subject, strategy=rw.Bounded(0))
        assert len(runs) == 2
        assert all(run.preemptions == 0 for run in runs)

    def test_a_thread_is_two_choices(self) -> None:
        """When its work takes effect, and when the loop hears of it: two threads, six orders."""

        async def subject(world: rw.World) -> tuple[str, ...]:
            log: list[str] = []

            async def work(name: str) -> None:
                await asyncio.to_thread(log.append, f"{name} effect")
                log.append(f"{name} told")

            await asyncio.gather(work("a"), work("b"))
            return tuple(log)

        results = results_of(subject)
        assert len(results) == len(set(results)) == 6

    def test_a_thread_says_what_it_does(self) -> None:
        """A Call carries its label and footprint; without split it is one step."""

        async def subject(world: rw.World) -> int:
            one: int = await asyncio.to_thread(Call("load", lambda: 1, reads=("file",)))
            two: int = await asyncio.to_thread(Call("save", lambda: 2, writes=("file",), split=False))
            return one + two

        (run,) = runs_of(subject)
        assert run.result == 3
        assert trace_of(run) == ["main start", "main load", "main load/return", "main save"]
        assert [(step.reads, step.writes) for step in run.trace[1::2]] == [(("file",), ()), ((), ("file",))]

    def test_several_completions_of_one_task_have_roles_of_their_own(self) -> None:
        """gather(to_thread, to_thread): the first is its task's, the second is named after what it does."""

        async def subject(world: rw.World) -> tuple[int, int]:
            one, two = await asyncio.gather(asyncio.to_thread(abs, -1), asyncio.to_thread(len, "ab"))
            return one, two

        runs = runs_of(subject)
        assert {run.result for run in runs} == {(1, 2)}
        assert len(runs) == 6
        assert {step.task for run in runs for step in run.trace} == {"main", "main/len"}

    def test_a_client_of_the_world_starts_when_the_strategy_says_so(self) -> None:
        """Without advance, the start is a choice like any other."""

        async def subject(world: rw.World) -> tuple[str, ...]:
            log: list[str] = []
            done = world.event()

            async def client() -> None:
                log.append("client")
                done.set()

            world.start(client)
            await world.point("p")
            log.append("main")
            await done.wait()
            return tuple(log)

        assert set(results_of(subject)) == {("client", "main"), ("main", "client")}


class TestFifo:
    def test_call_soon_is_never_reordered(self) -> None:
        """Callbacks run in the order in which they were asked for, in every schedule."""

        async def subject(world: rw.World) -> list[int]:
            loop = asyncio.get_running_loop()
            order: list[int] = []
            for number in range(5):
                loop.call_soon(order.append, number)
            await world.point("p")
            return order

        assert results_of(subject) == [[0, 1, 2, 3, 4]]

    def test_tasks_woken_by_one_future_go_in_order(self) -> None:
        """What a real loop cannot do is not explored."""

        async def subject(world: rw.World) -> list[int]:
            gate = asyncio.Event()
            order: list[int] = []

            async def wait(number: int) -> None:
                await gate.wait()
                order.append(number)

            async with asyncio.TaskGroup() as group:
                for number in range(4):
                    group.create_task(wait(number))
                await world.point("open")
                gate.set()
            return order

        assert results_of(subject) == [[0, 1, 2, 3]]

    def test_a_lock_is_fair(self) -> None:
        """asyncio.Lock hands over in the order of asking."""

        async def subject(world: rw.World) -> list[int]:
            lock = asyncio.Lock()
            order: list[int] = []

            async def worker(number: int) -> None:
                async with lock:
                    await world.point("inside")
                    order.append(number)

            await asyncio.gather(*map(worker, range(3)))
            return order

        assert results_of(subject) == [[0, 1, 2]]

    def test_timers_of_one_moment_go_in_order(self) -> None:
        """Armed first, rings first."""

        async def subject(world: rw.World) -> list[int]:
            order: list[int] = []

            async def sleeper(number: int) -> None:
                await asyncio.sleep(1)
                order.append(number)

            await asyncio.gather(*map(sleeper, range(3)))
            return order

        assert results_of(subject) == [[0, 1, 2]]

    def test_it_agrees_with_a_real_loop_where_nothing_is_left_to_chance(self) -> None:
        """The same program without completions gives the same log under asyncio.run."""

        async def program() -> list[str]:
            log: list[str] = []
            queue: asyncio.Queue[int] = asyncio.Queue(1)
            condition = asyncio.Condition()

            async def produce() -> None:
                for number in range(3):
                    await queue.put(number)
                    log.append(f"put {number}")
                async with condition:
                    condition.notify_all()

            async def consume() -> None:
                for _ in range(3):
                    log.append(f"got {await queue.get()}")
                    await asyncio.sleep(0)

            async def watch() -> None:
                async with condition:
                    await condition.wait()
                log.append("notified")

            async def slow() -> None:
                try:
                    await asyncio.shield(asyncio.sleep(0.02))
                finally:
                    log.append("slow")

            task = asyncio.create_task(slow())
            await asyncio.gather(watch(), produce(), consume())
            try:
                async with asyncio.timeout(0.01):
                    await task
            except TimeoutError:
                log.append("timeout")
            done, pending = await asyncio.wait([asyncio.create_task(asyncio.sleep(0))], timeout=1)
            log.append(f"{len(done)} {len(pending)}")
            return log

        async def subject(world: rw.World) -> list[str]:
            return await program()

        assert results_of(subject) == [asyncio.run(program())]


class TestTime:
    def test_time_costs_nothing_and_passes_in_order(self) -> None:
        """An hour in no time; the clock is the schedule's own."""

        async def subject(world: rw.World) -> tuple[float, float]:
            await asyncio.sleep(3600)
            await world.sleep(1)
            return world.now, asyncio.get_running_loop().time()

        assert results_of(subject) == [(3601.0, 3601.0)]

    def test_a_timeout_fires_when_nothing_else_can_run(self) -> None:
        """time=idle: the answer always comes first."""

        async def subject(world: rw.World) -> str:
            try:
                async with asyncio.timeout(5):
                    await world.point("answer")
                    return "answered"
            except TimeoutError:
                return "timeout"

        assert results_of(subject) == ["answered"]
        adversarial = results_of(subject, limits=rw.Limits(time="adversarial"))
        assert sorted(adversarial) == ["answered", "timeout"]

    def test_early_timers_are_bounded(self) -> None:
        """timers_max timers may fire early, and no more."""

        async def subject(world: rw.World) -> int:
            timeouts = 0
            for _ in range(3):
                try:
                    async with asyncio.timeout(5):
                        await world.point("answer")
                except TimeoutError:
                    timeouts += 1
            return timeouts

        results = results_of(subject, limits=rw.Limits(time="adversarial", timers_max=2))
        assert max(results) == 2
        assert len(results) == 7  # of eight subsets of three timers, the full one is out of bounds

    def test_adversarial_schedules_replay(self) -> None:
        """A timer that fires early is part of the token."""

        async def subject(world: rw.World) -> None:
            async def ask() -> None:
                async with asyncio.timeout(5):
                    await world.point("answer")
                    await asyncio.to_thread(int)

            async def other() -> None:
                await world.point("other")

            await world.together(ask, other)

        limits = rw.Limits(time="adversarial")
        found = rw.prove(subject, host="asyncio", limits=limits, stop_at_first=False)
        failing = [one for one in found.found if one.verdict == "failed"]
        assert 0 < len(failing) < found.schedules
        assert {one.violation.kind for one in failing if one.violation} == {"TimeoutError"}
        for one in failing:
            assert rw.replay(subject, one.token, host="asyncio", limits=limits).verdict == "failed"

    def test_quiet_waits_for_the_others(self) -> None:
        """Until nothing can run and no timer is due soon."""

        async def subject(world: rw.World) -> tuple[list[str], float]:
            log: list[str] = []

            async def other() -> None:
                await world.point("p")
                log.append("p")
                await asyncio.sleep(10)
                log.append("slept")
                await asyncio.sleep(1000)
                log.append("late")

            world.start(other)
            await world.quiet(within_s=60)
            return list(log), world.now

        assert set(map(repr, results_of(subject))) == {repr((["p", "slept"], 10.0))}

    def test_a_cancelled_quiet_leaves_nothing_behind(self) -> None:
        """Somebody else's quiet still works."""

        async def subject(world: rw.World) -> str:
            try:
                async with asyncio.timeout(1):
                    await world.quiet(within_s=5)
            except TimeoutError:
                await world.quiet()
                return "quiet"
            return "too early"

        assert results_of(subject) == ["quiet"]

    def test_polling_lets_the_world_go_on(self) -> None:
        """A loop that is never idle still hears of its threads, and of time."""

        async def subject(world: rw.World) -> str:
            task = asyncio.create_task(asyncio.to_thread(int))
            while not task.done():
                await asyncio.sleep(0)
            start = world.now
            handle = asyncio.get_running_loop().call_later(1, int)
            while world.now < start + 1:
                await asyncio.sleep(0)
            handle.cancel()
            return "done"

        assert results_of(subject) == ["done"]

    def test_polling_for_ever_is_unknown(self) -> None:
        """A bound was hit: no pass."""

        async def polls(world: rw.World) -> None:
            while True:
                await asyncio.sleep(0)

        async def rearms(world: rw.World) -> None:
            loop = asyncio.get_running_loop()

            def again() -> None:
                loop.call_later(0, again)

            again()
            await asyncio.Event().wait()

        async def sleeps(world: rw.World) -> None:
            while True:
                await asyncio.sleep(1)

        for subject in (polls, rearms, sleeps):
            (run,) = runs_of(subject, limits=rw.Limits(max_steps=20))
            assert (run.verdict, run.reason) == ("unknown", "max_steps=20 was reached")


class TestRepeatability:
    def test_sets_of_tasks_have_one_order(self) -> None:
        """A TaskGroup cancels its children in the order of a set: the same one whenever the schedule is run."""

        async def subject(world: rw.World) -> tuple[str, ...]:
            log: list[str] = []

            async def child(name: str) -> None:
                try:
                    await asyncio.Event().wait()
                finally:
                    log.append(name)

            async def bad() -> None:
                await world.point("bad")
                raise ValueError

            try:
                async with asyncio.TaskGroup() as group:
                    for number in range(20):
                        group.create_task(child(str(number)))
                    group.create_task(bad())
            except* ValueError:
                pass
            return tuple(log)

        assert len({results_of(subject)[0] for _ in range(5)}) == 1

    @pytest.mark.parametrize("seed", range(40))
    def test_random_programs_replay(self, seed: int) -> None:
        """Whatever a schedule did, its token does again: threads, locks, timeouts, cancellations, crashes, all mixed."""
        chance = random.Random(seed)
        subject = subject_of([program(chance) for _ in range(chance.randint(2, 3))])
        limits = rw.Limits(time=chance.choice(["idle", "adversarial"]), max_steps=300)
        names: dict[str, Any] = {"name": "s", "checksum": "00000000"}
        for run in runs_of(subject, strategy=rw.RandomWalk(), schedules=15, seed=seed, limits=limits, **names):
            token = token_of(run, subject="s", checksum="00000000")
            again = rw.replay(subject, token, host="asyncio", limits=limits, **names)
            assert (again.result, again.trace) == (run.result, run.trace)

    @pytest.mark.parametrize("seed", range(40))
    def test_random_programs_are_searched(self, seed: int) -> None:
        """The search notices a subject that does not repeat itself; none of these does not."""
        chance = random.Random(seed)
        subject = subject_of([program(chance) for _ in range(2)])
        runs_of(subject, schedules=30, limits=rw.Limits(max_steps=300))


Program = tuple[Any, ...]


def program(chance: random.Random, depth: int = 0) -> Program:
    """A random list of operations, with their arguments and inner programs."""
    kinds = "point thread lock set wait sleep yield timer timeout wait_for shield gather spawn start together cancel crash scope"
    ops: list[tuple[Any, ...]] = []
    for _ in range(chance.randint(1, 4)):
        kind = chance.choice([*kinds.split(), "leave"])
        inner: Program = ()
        if kind in ("lock", "timeout", "wait_for", "shield", "gather", "spawn", "start", "together", "scope"):
            if depth == 2:
                kind = "point"
            else:
                inner = tuple(program(chance, depth + 1) for _ in range(2))
        ops.append((kind, chance.randint(0, 1), inner))
    return tuple(ops)


def subject_of(programs: list[Program]) -> Subject:
    """Random programs as asyncio code."""

    async def subject(world: rw.World) -> tuple[str, ...]:
        log: list[str] = []
        locks, events = [asyncio.Lock(), asyncio.Lock()], [asyncio.Event(), asyncio.Event()]
        tasks: list[asyncio.Task[None]] = []
        scopes: list[Any] = []
        processes: list[Any] = []
        loop = asyncio.get_running_loop()

        async def perform(ops: Program) -> None:
            for kind, number, inner in ops:
                match kind:
                    case "point":
                        await world.point(f"p{number}")
                    case "thread":
                        await asyncio.to_thread(Call(f"t{number}", partial(log.append, "thread")))
                    case "lock":
                        async with locks[number]:
                            await perform(inner[0])
                    case "set":
                        events[number].set()
                    case "wait":
                        await events[number].wait()
                    case "sleep":
                        await asyncio.sleep(number)
                    case "yield":
                        await asyncio.sleep(0)
                    case "timer":
                        loop.call_later(number, events[number].set)
                    case "timeout":
                        try:
                            async with asyncio.timeout(number):
                                await perform(inner[0])
                        except TimeoutError:
                            log.append("timeout")
                    case "wait_for":
                        try:
                            await asyncio.wait_for(perform(inner[0]), number)
                        except TimeoutError:
                            log.append("timeout")
                    case "shield":
                        await asyncio.shield(perform(inner[0]))
                    case "gather":
                        await asyncio.gather(*map(perform, inner), asyncio.to_thread(int), return_exceptions=True)
                    case "spawn":
                        tasks.append(asyncio.create_task(perform(inner[0])))
                    case "start":
                        processes.append(world.process("p"))
                        world.start(
                            partial(perform, inner[0]), process=processes[-1], advance=bool(number), operation="op"
                        )
                    case "together":
                        await world.together(*(partial(perform, one) for one in inner))
                    case "cancel" if tasks:
                        tasks.pop().cancel()
                    case "crash" if processes:
                        world.crash(processes.pop())
                    case "scope":
                        scopes.append(world.scope())
                        log.append(str(await scopes[-1].run(partial(perform, inner[0]))))
                    case "leave" if scopes:
                        scopes.pop().cancel()

        await world.together(*(partial(perform, one) for one in programs))
        await world.quiet(within_s=100)
        return tuple(log)

    return subject


class TestThreads:
    def test_they_run_inline(self) -> None:
        """In the kernel's thread, without a running loop, and with the caller's context."""
        variable = contextvars.ContextVar("variable", default="outside")

        def work() -> tuple[int, bool, str]:
            return threading.get_ident(), asyncio._get_running_loop() is None, variable.get()

        async def subject(world: rw.World) -> Any:
            variable.set("inside")
            return threading.get_ident(), await asyncio.to_thread(work)

        (result,) = results_of(subject)
        ident, (thread, no_loop, value) = result
        assert (thread, no_loop, value) == (ident, True, "inside")

    def test_errors_come_back(self) -> None:
        """Where they were asked for."""

        def work() -> None:
            raise ValueError("no good")

        async def subject(world: rw.World) -> str:
            try:
                await asyncio.get_running_loop().run_in_executor(None, work)
            except ValueError as error:
                return str(error)
            return ""

        assert set(results_of(subject)) == {"no good"}

    def test_a_cancelled_thread_goes_on(self) -> None:
        """Its caller is gone, and its work is done all the same; the role is its own from then on."""

        async def subject(world: rw.World) -> tuple[str, ...]:
            log: list[str] = []

            async def caller() -> None:
                try:
                    await asyncio.to_thread(Call("work", partial(log.append, "done")))
                except asyncio.CancelledError:
                    log.append("cancelled")
                    await world.point("after")

            task = asyncio.create_task(caller())
            await world.point("cancel")
            task.cancel()
            await task
            await world.quiet()
            return tuple(log)

        runs = runs_of(subject)
        assert {run.result for run in runs} == {("done", "cancelled"), ("cancelled", "done"), ("done",)}
        assert "caller/work" in {step.task for run in runs for step in run.trace}
        assert any(note == "cancelled" for run in runs for step in run.trace for note in step.notes)

    def test_who_would_block_tries_again(self) -> None:
        """After something else has happened."""

        async def subject(world: rw.World) -> tuple[str, ...]:
            log: list[str] = []
            held = True

            def take() -> None:
                if held:
                    raise Blocked(TimeoutError("locked"), patience_s=5)
                log.append("taken")

            async def other() -> None:
                nonlocal held
                await world.point("think")
                await world.point("release")
                held = False
                log.append("released")

            await world.together(partial(asyncio.to_thread, Call("take", take, split=False)), other)
            return tuple(log)

        assert set(results_of(subject)) == {("released", "taken")}

    def test_who_waits_in_vain_gets_the_error(self) -> None:
        """After its patience, in virtual time."""

        def take() -> None:
            raise Blocked(TimeoutError("locked"), patience_s=5)

        async def subject(world: rw.World) -> tuple[str, float]:
            try:
                await asyncio.to_thread(take)
            except TimeoutError as error:
                return str(error), world.now
            return "", 0

        assert results_of(subject) == [("locked", 5.0)]

    def test_a_thread_of_its_own_is_refused(self) -> None:
        """The kernel cannot control it, and says so."""

        async def subject(world: rw.World) -> None:
            loop = asyncio.get_running_loop()
            errors: list[Exception] = []

            def work() -> None:
                try:
                    loop.call_soon_threadsafe(print)
                except rw.Unsupported as error:
                    errors.append(error)

            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
            raise errors[0]

        with pytest.raises(rw.Unsupported, match="threads that are started by hand"):
            runs_of(subject)


class TestCancellation:
    def test_scope_says_whether_it_finished(self) -> None:
        """True when the stretch ended by itself, False when it was cancelled."""

        async def subject(world: rw.World) -> tuple[bool, tuple[str, ...]]:
            log: list[str] = []
            scope = world.scope()
            finished: list[bool] = []

            async def stretch() -> None:
                try:
                    await world.point("inside")
                    log.append("did it")
                finally:
                    log.append("cleanup")

            async def victim() -> None:
                finished.append(await scope.run(stretch))
                await world.point("afterwards")
                log.append("went on")

            async def canceller() -> None:
                await world.point("cancel")
                scope.cancel()

            await world.together(victim, canceller)
            return finished[0], tuple(log)

        assert set(results_of(subject)) == {
            (True, ("did it", "cleanup", "went on")),
            (False, ("cleanup", "went on")),
        }

    def test_a_scope_cancelled_beforehand(self) -> None:
        """What runs in it is cancelled where it first waits."""

        async def subject(world: rw.World) -> tuple[bool, list[str]]:
            log: list[str] = []
            scope = world.scope()
            scope.cancel()

            async def stretch() -> None:
                log.append("began")
                await world.point("inside")
                log.append("went on")

            return await scope.run(stretch), log

        assert results_of(subject) == [(False, ["began"])]

    def test_a_cancellation_from_elsewhere_is_not_the_scopes(self) -> None:
        """It goes through."""

        async def subject(world: rw.World) -> str:
            scope = world.scope()

            async def stretch() -> None:
                await asyncio.Event().wait()

            task = asyncio.create_task(_run(scope, stretch))
            await world.point("cancel")
            task.cancel()
            try:
                await task
            except asyncio.CancelledError:
                return "cancelled"
            return "swallowed"

        assert results_of(subject) == ["cancelled"]

    def test_cancellations_replay(self) -> None:
        """A task that was cancelled while it was held back: the token knows where it stood."""

        async def subject(world: rw.World) -> None:
            log: list[str] = []

            async def victim() -> None:
                try:
                    for number in range(3):
                        await asyncio.to_thread(Call(f"work{number}", partial(log.append, str(number))))
                finally:
                    await asyncio.shield(asyncio.to_thread(Call("undo", log.clear)))
                    await world.point("undone")

            task = asyncio.create_task(victim())
            await world.point("cancel")
            task.cancel()
            await world.point("look")
            world.check(not log, "half-done", " ".join(log))

        found = rw.prove(subject, host="asyncio", stop_at_first=False)
        failing = [one for one in found.found if one.verdict == "failed"]
        assert len(failing) > 5
        for one in failing:
            assert rw.replay(subject, one.token, host="asyncio").violation == one.violation

    def test_a_cancelled_client_is_no_failure(self) -> None:
        """Somebody asked for it."""

        async def subject(world: rw.World) -> None:
            async def client() -> None:
                await asyncio.Event().wait()

            task = world.start(client, advance=True)
            await world.point("p")
            task.handle.cancel()
            await world.quiet()
            assert not task.handle.get_loop().is_closed()

        assert [run.verdict for run in runs_of(subject)] == ["passed"]


async def _run(scope: Any, function: Callable[[], Awaitable[None]]) -> bool:
    finished: bool = await scope.run(function)
    return finished


class TestVerdicts:
    def test_a_deadlock_says_who_waits_where(self) -> None:
        """Lock order: the two tasks, each at its lock."""

        async def subject(world: rw.World) -> None:
            one, two = asyncio.Lock(), asyncio.Lock()

            async def worker(first: asyncio.Lock, second: asyncio.Lock) -> None:
                async with first:
                    await world.point("between")
                    async with second:
                        pass

            await world.together(partial(worker, one, two), partial(worker, two, one))

        violation = the_violation(subject)
        assert violation.kind == "deadlock"
        assert "worker at Lock.acquire, worker.2 at Lock.acquire" in violation.detail
        assert "main at taskgroup.exit" in violation.detail

    def test_waits_have_the_labels_they_were_given(self) -> None:
        """world.wait names what is waited for, with the operation in front."""

        async def subject(world: rw.World) -> None:
            never = world.event()
            world.task.operation = "commit"
            await world.wait(never, "the answer")

        assert "main at commit/the answer" in the_violation(subject).detail

    def test_an_exception_of_the_subject_is_a_violation(self) -> None:
        """By its type, from inside groups too."""

        async def subject(world: rw.World) -> None:
            async def bad() -> None:
                await world.point("bad")
                raise ValueError("no good")

            async with asyncio.TaskGroup() as group:
                group.create_task(bad())
                group.create_task(asyncio.sleep(1000))

        violation = the_violation(subject)
        assert (violation.kind, violation.detail) == ("ValueError", "no good")

    def test_an_exception_of_a_client_ends_the_schedule(self) -> None:
        """It belongs to the world, so it fails the schedule."""

        async def subject(world: rw.World) -> None:
            async def bad() -> None:
                raise ValueError("no good")

            world.start(bad)
            await asyncio.Event().wait()

        assert the_violation(subject).kind == "ValueError"

    def test_an_exception_that_nobody_retrieves_is_noted(self) -> None:
        """As asyncio logs it: it is no verdict."""

        async def subject(world: rw.World) -> str:
            async def bad() -> None:
                raise ValueError("no good")

            asyncio.create_task(bad())  # noqa: RUF006
            await world.point("p")
            return "fine"

        (run,) = runs_of(subject)
        assert run.verdict == "passed"
        assert run.points[-1].look().notes == ["bad failed, and nobody asked: ValueError('no good')"]

    def test_an_unsupported_call_is_never_swallowed(self) -> None:
        """Not even by a task that nobody awaits."""

        async def subject(world: rw.World) -> None:
            asyncio.create_task(asyncio.open_connection("localhost", 80))  # noqa: RUF006
            await world.point("p")

        with pytest.raises(rw.Unsupported, match=r"loop\.create_connection would leave the kernel's control"):
            runs_of(subject)

    @pytest.mark.parametrize(
        "function",
        [
            lambda: asyncio.open_connection("localhost", 80),
            lambda: asyncio.start_server(print, port=0),
            lambda: asyncio.create_subprocess_shell("true"),
            lambda: asyncio.get_running_loop().getaddrinfo("localhost", 80),
        ],
    )
    def test_io_is_refused(self, function: Callable[[], Any]) -> None:
        """With a sentence that says what to do instead."""

        async def subject(world: rw.World) -> None:
            await function()

        with pytest.raises(rw.Unsupported, match="simulated transport"):
            runs_of(subject)

    def test_portable_code_may_ask(self) -> None:
        """What a Windows loop cannot do either raises NotImplementedError."""

        async def subject(world: rw.World) -> str:
            try:
                asyncio.get_running_loop().add_signal_handler(2, print)
            except NotImplementedError:
                return "no signals"
            return ""

        assert results_of(subject) == ["no signals"]

    def test_max_steps_is_unknown(self) -> None:
        """A bound that is hit is never a pass."""

        async def subject(world: rw.World) -> None:
            while True:
                await world.point("again")

        found = rw.explore(subject, schedules=1, host="asyncio", limits=rw.Limits(max_steps=50))
        assert (found.verdict, found.first) == ("unknown", None)

    def test_ctrl_c_passes_through(self) -> None:
        """From a task, from a thread, from a client: the exploration is interrupted, and its results are kept."""

        def interrupt() -> None:
            raise KeyboardInterrupt

        async def in_a_task(world: rw.World) -> None:
            async def task() -> None:
                interrupt()

            await asyncio.create_task(task())

        async def in_a_thread(world: rw.World) -> None:
            await asyncio.to_thread(interrupt)

        async def in_a_client(world: rw.World) -> None:
            async def client() -> None:
                interrupt()

            world.start(client)
            await asyncio.Event().wait()

        for subject in (in_a_task, in_a_thread, in_a_client):
            found = rw.explore(subject, schedules=3, host="asyncio")
            assert (found.interrupted, found.schedules) == (True, 0)
        assert asyncio._get_running_loop() is None

    def test_the_loop_is_not_the_subjects_to_run(self) -> None:
        """asyncio.run within a coroutine fails as it does elsewhere."""

        async def subject(world: rw.World) -> None:
            asyncio.get_running_loop().run_until_complete(asyncio.Event().wait())

        with pytest.warns(RuntimeWarning, match="never awaited"):
            violation = the_violation(subject)
        assert (violation.kind, "await what it should run instead" in violation.detail) == ("RuntimeError", True)

    def test_a_point_is_awaited_once(self) -> None:
        """As on the trio host."""

        async def subject(world: rw.World) -> None:
            point = world.point("p")
            await point
            await point

        with pytest.raises(rw.UsageError, match="awaited twice"):
            runs_of(subject)


async def _sleeps() -> object:
    return await asyncio.sleep(1, "slept")


async def _lets_others_go_on() -> object:
    return await asyncio.sleep(0, "went on")


async def _returns() -> object:
    return "returned"


async def _raises() -> object:
    raise KeyError("raised")


async def _awaits_what_is_done() -> object:
    future = asyncio.get_running_loop().create_future()
    future.set_result("done")
    return await future


async def _awaits_what_was_cancelled() -> object:
    future = asyncio.get_running_loop().create_future()
    future.cancel("another one")
    return await future


async def _gathers() -> object:
    return await asyncio.gather(_sleeps(), _returns())


class TestStepsPastAsyncio:
    """From one point to the next the kernel steps a coroutine itself; asyncio and the subject must not be able to tell."""

    @pytest.mark.parametrize("catches", [True, False])
    @pytest.mark.parametrize(
        "continuation",
        [
            _sleeps,
            _lets_others_go_on,
            _returns,
            _raises,
            _awaits_what_is_done,
            _awaits_what_was_cancelled,
            _gathers,
        ],
        ids=lambda function: function.__name__.strip("_"),
    )
    def test_a_task_that_cancels_itself_is_treated_as_asyncio_treats_it(
        self, continuation: Callable[[], Awaitable[object]], catches: bool
    ) -> None:
        """Whatever it does then, and whether or not it takes the cancellation."""

        async def told(point: Callable[[], Awaitable[object]]) -> list[object]:
            story: list[object] = []

            async def task() -> object:
                await point()
                me = asyncio.current_task()
                assert me is not None
                me.cancel("mine")
                story.append(me.cancelling())
                if continuation is _raises and not catches:
                    raise KeyError("at once")
                if continuation is _returns and not catches:
                    return "at once"
                began = asyncio.get_running_loop().time()
                try:
                    story.append(await continuation())
                except asyncio.CancelledError as error:
                    story.append(("caught", error.args, asyncio.get_running_loop().time() - began < 0.5))
                    if not catches:
                        raise
                for number in range(2):
                    try:
                        await asyncio.sleep(0)
                        story.append(number)
                    except asyncio.CancelledError as error:
                        story.append(("late", number, error.args))
                story.append(me.cancelling())
                return "ended"

            (outcome,) = await asyncio.gather(asyncio.create_task(task()), return_exceptions=True)
            return [*story, type(outcome).__name__, getattr(outcome, "args", outcome)]

        async def real() -> list[object]:
            return await told(lambda: asyncio.sleep(0))

        async def subject(world: rw.World) -> list[object]:
            return await told(lambda: world.point("here"))

        expected = asyncio.run(real())
        assert len(expected) > 2
        assert results_of(subject) == [expected]

    def test_a_task_that_cancels_itself_hears_of_it_at_its_next_point(self) -> None:
        """It is a checkpoint like any other, and the task can go on."""

        async def subject(world: rw.World) -> list[str]:
            story = []

            async def task() -> None:
                await world.point("one")
                me = asyncio.current_task()
                assert me is not None
                me.cancel()
                try:
                    await world.point("two")
                except asyncio.CancelledError:
                    story.append("heard")
                await world.point("three")
                story.append("went on")

            await asyncio.gather(task())
            return story

        assert results_of(subject) == [["heard", "went on"]]

    def test_work_that_is_begun_between_two_points_takes_nothing_away(self) -> None:
        """The thread's work and the task that began it are two things that can happen next."""

        async def subject(world: rw.World) -> list[int]:
            story: list[int] = []
            await world.point("one")
            work = asyncio.get_running_loop().run_in_executor(None, story.append, 1)
            await world.point("two")
            story.append(2)
            await work
            await world.point("three")
            return story

        assert sorted(results_of(subject)) == [[1, 2], [1, 2], [2, 1]]

    def test_two_works_that_are_begun_between_two_points_are_both_done(self) -> None:
        """In any order, and the task that began them goes on before, between or after."""

        async def subject(world: rw.World) -> tuple[str, ...]:
            story: list[str] = []
            loop = asyncio.get_running_loop()
            await world.point("one")
            works = [loop.run_in_executor(None, Call(name, partial(story.append, name), split=False)) for name in "ab"]
            await world.point("two")
            story.append("task")
            await asyncio.gather(*works)
            return tuple(story)

        assert set(results_of(subject)) == set(permutations(("a", "b", "task")))

    def test_work_of_a_task_that_cancelled_itself_before_is_its_own(self) -> None:
        """It hears of the cancellation where it waits for that work, under its own role; the thread goes on under another."""

        async def subject(world: rw.World) -> None:
            async def other() -> None:
                await world.point("two")

            async def task() -> None:
                await world.point("one")
                tasks.append(asyncio.create_task(other()))
                tasks[0].cancel()
                await asyncio.to_thread(Call("work", list, split=False))

            tasks: list[asyncio.Task[None]] = []
            tasks.append(asyncio.create_task(task()))
            await asyncio.gather(*tasks, return_exceptions=True)
            await tasks[1]

        begun = ["main start", "task start", "task one", "task/other start", "task work"]
        assert {tuple(trace_of(run)) for run in runs_of(subject)} == {
            (*begun, "main await", "task/other two", "main await"),
            (*begun, "main await", "task/work work", "task/other two", "main await"),
        }

    def test_who_cancels_a_task_at_its_point_wakes_it_there(self) -> None:
        """In every order, and the victim's finally block runs."""

        async def subject(world: rw.World) -> tuple[str, bool]:
            cleaned = []

            async def victim() -> None:
                try:
                    await world.point("v1")
                    await world.point("v2")
                finally:
                    cleaned.append(True)

            async def other() -> None:
                await world.point("o1")
                task.cancel()

            task = asyncio.create_task(victim())
            outcome, _ = await asyncio.gather(task, other(), return_exceptions=True)
            return type(outcome).__name__, bool(cleaned)

        found = results_of(subject)
        assert set(found) == {("CancelledError", True), ("NoneType", True)}

    def test_who_waits_again_after_a_cancellation_stands_where_it_waits(self) -> None:
        """And no longer where it was cancelled."""

        async def subject(world: rw.World) -> None:
            async def victim() -> None:
                try:
                    await world.point("one")
                except asyncio.CancelledError:
                    await asyncio.sleep(0)

            async def other() -> None:
                await world.point("two")
                task.cancel()
                await asyncio.sleep(0)

            task = asyncio.create_task(victim())
            await asyncio.gather(task, other())

        traces = {tuple(trace_of(run)[3:]) for run in runs_of(subject)}
        assert ("other two", "victim one", "other sleep", "victim sleep", "main await") in traces
        assert len(traces) == 2

    def test_a_task_looks_like_the_subjects(self) -> None:
        """Its coroutine, its stack and its description are those of the subject's function, and its name is the same in every schedule."""

        async def subject(world: rw.World) -> tuple[str, ...]:
            async def waits() -> None:
                await asyncio.sleep(1)

            task = asyncio.create_task(waits())
            await world.point("here")
            await asyncio.sleep(0)
            coroutine: Any = task.get_coro()
            seen = (
                task.get_name(),
                coroutine.__name__,
                task.get_stack()[-1].f_code.co_name,
                repr(task).partition(" running at ")[0].replace(".<locals>", ""),
            )
            await task
            return seen

        name = "TestStepsPastAsyncio.test_a_task_looks_like_the_subjects.subject.waits"
        expected = ("Task-2", "waits", "waits", f"<KernelTask pending name='Task-2' coro=<{name}()")
        seen: list[object] = []
        rw.explore(subject, host="asyncio", schedules=3, on_run=lambda run: seen.append(run.result))
        assert seen == [expected] * 3

    def test_what_is_no_coroutine_is_refused_as_asyncio_refuses_it(self) -> None:
        """With the same words."""

        async def attempt(_: object = None) -> str:
            try:
                asyncio.get_running_loop().create_task(3)  # type: ignore[arg-type]
            except TypeError as error:
                return str(error)
            return "accepted"

        assert results_of(attempt) == [asyncio.run(attempt())]


class TestRoles:
    def test_roles_follow_the_tree(self) -> None:
        """<parent>/<coroutine>, numbered where needed; operations and processes are inherited."""

        async def subject(world: rw.World) -> None:
            async def leaf() -> None:
                await world.point("leaf")

            async def branch() -> None:
                world.task.operation = "grow"
                await asyncio.gather(leaf(), leaf())

            process = world.process("p")
            world.start(branch, process=process, advance=True)
            await world.point("look")
            world.note(" ".join(task.name for task in world.crash(process)))

        runs = runs_of(subject)
        steps = {step for run in runs for step in trace_of(run)}
        assert {"branch/leaf grow/leaf", "branch/leaf.2 grow/leaf"} <= steps
        assert runs[0].trace[-1].notes == ("branch branch/leaf branch/leaf.2",)

    def test_the_running_task_is_known_in_callbacks_and_threads(self) -> None:
        """A callback runs on behalf of whoever asked for it."""

        async def subject(world: rw.World) -> list[str]:
            names: list[str] = []

            async def client() -> None:
                loop = asyncio.get_running_loop()
                loop.call_later(1, lambda: names.append(f"timer {world.task.name}"))
                loop.call_soon(lambda: names.append(f"soon {world.task.name}"))
                await asyncio.to_thread(lambda: names.append(f"thread {world.task.name}"))
                await loop.run_in_executor(None, lambda: names.append(f"executor {world.task.name}"))
                await asyncio.sleep(2)

            await world.together(client)
            return names

        assert results_of(subject) == [["soon client", "thread client", "executor client", "timer client"]]

    def test_woken_tasks_have_steps_of_their_own(self) -> None:
        """Nobody chose them, but the trace shows whose code ran."""

        async def subject(world: rw.World) -> None:
            gate = asyncio.Event()

            async def waiter() -> None:
                await gate.wait()
                world.note("through")

            async def opener() -> None:
                await world.point("open")
                gate.set()

            await world.together(waiter, opener)

        (run,) = runs_of(subject)
        assert trace_of(run)[-3:] == ["opener open", "waiter Event.wait", "main taskgroup.exit"]
        assert run.trace[-2].notes == ("through",)

    def test_setting_the_stage_is_not_explored(self) -> None:
        """Within serially() nothing is up to the strategy."""

        async def subject(world: rw.World) -> None:
            async def walk() -> None:
                for _ in range(5):
                    await world.point("p")

            with world.serially():
                await world.together(walk, walk, walk)

        assert len(runs_of(subject)) == 1


class TestCrash:
    def test_a_dead_process_takes_no_further_step(self) -> None:
        """Not in finally blocks, not in callbacks, not in threads, not in timers."""

        async def subject(world: rw.World) -> tuple[str, ...]:
            log: list[str] = []
            process = world.process("store")
            gate = asyncio.Event()

            async def victim() -> None:
                loop = asyncio.get_running_loop()
                loop.call_later(5, log.append, "timer")
                try:
                    async with asyncio.TaskGroup() as group:
                        group.create_task(waiter())
                        await asyncio.to_thread(log.append, "thread")
                        await world.point("p")
                        log.append("p")
                finally:
                    log.append("finally")

            async def waiter() -> None:
                await gate.wait()
                log.append("woken")

            world.start(victim, process=process, advance=True)
            await world.point("crash")
            names = [task.name for task in world.crash(process)]
            before = list(log)
            assert names in (["victim", "victim/waiter"], [])
            gate.set()
            await world.sleep(100)
            assert not names or log == before
            return tuple(log)

        runs = runs_of(subject)
        assert {run.verdict for run in runs} == {"passed"}
        assert {run.result for run in runs} >= {(), ("thread",)}
        assert all("finally" not in run.result for run in runs if "p" not in run.result)

    def test_what_a_crash_undoes(self) -> None:
        """on_crash runs once, at the crash."""

        async def subject(world: rw.World) -> list[str]:
            log: list[str] = []
            process = world.process("store")
            process.on_crash.append(lambda: log.append("undone"))
            world.crash(process)
            await world.point("p")
            return log

        assert results_of(subject) == [["undone"]]

    def test_timers_of_the_dead_do_not_move_time(self) -> None:
        """Nobody waits for them any more."""

        async def subject(world: rw.World) -> float:
            process = world.process("store")

            async def victim() -> None:
                await asyncio.sleep(1000)

            world.start(victim, process=process, advance=True)
            await world.point("crash")
            world.crash(process)
            await world.quiet(within_s=5000)
            return world.now

        assert results_of(subject) == [0.0]


class TestHygiene:
    @pytest.mark.parametrize("host", ["trio", "asyncio"])
    def test_a_schedule_leaves_no_work_for_the_garbage_collector(self, host: Literal["trio", "asyncio"]) -> None:
        """Its records go with it: cycles of them would fill the memory until somebody looks for them."""

        async def subject(world: rw.World) -> None:
            async def task() -> None:
                await world.point("one")
                await world.point("two")

            await world.together(task, task)

        def explore(schedules: int) -> None:
            rw.explore(subject, host=host, schedules=schedules)

        explore(10)
        gc.collect()
        gc.disable()
        try:
            explore(10)
            few = gc.collect()
            explore(110)
            assert gc.collect() - few < 50, "of a hundred schedules more"
        finally:
            gc.enable()

    @pytest.mark.slow
    def test_ten_thousand_schedules_leave_nothing_behind(self) -> None:
        """Crashes, deadlocks, orphans: no complaint on stderr, no unraisable exception, no growth."""
        unraisable: list[Any] = []

        async def subject(world: rw.World) -> None:
            process = world.process("store")
            lock = asyncio.Lock()

            async def numbers() -> AsyncIterator[int]:
                try:
                    for number in range(3):
                        await world.point("yield")
                        yield number
                finally:
                    await asyncio.sleep(1)

            async def victim() -> None:
                async with asyncio.timeout(10), lock, asyncio.TaskGroup() as group:
                    group.create_task(asyncio.to_thread(int))
                    async for _ in numbers():
                        try:
                            await asyncio.shield(asyncio.to_thread(int))
                        finally:
                            await asyncio.to_thread(int)

            async def bad() -> None:
                raise ValueError

            world.start(victim, process=process)
            asyncio.create_task(bad())  # noqa: RUF006
            await world.point("crash")
            world.crash(process)
            async with lock:
                await asyncio.Event().wait()

        errors = io.StringIO()
        hook, sys.unraisablehook = sys.unraisablehook, unraisable.append
        handler = logging.StreamHandler(errors)
        logging.getLogger().addHandler(handler)
        try:
            with redirect_stderr(errors):
                rw.explore(subject, schedules=100, host="asyncio")
                gc.collect()
                before = len(gc.get_objects())
                found = rw.explore(subject, schedules=9_900, host="asyncio", seed=1)
                first = found.first
                schedules = found.schedules
                del found
                gc.collect()
                grown = len(gc.get_objects()) - before
        finally:
            sys.unraisablehook = hook
            logging.getLogger().removeHandler(handler)
        assert first is not None
        assert first.violation is not None
        assert (schedules, first.violation.kind) == (9_900, "deadlock")
        assert (unraisable, errors.getvalue()) == ([], "")
        assert grown < 500

    def test_what_is_taken_apart_changes_no_verdict(self) -> None:
        """finally blocks of abandoned tasks run after the books are closed."""
        cleaned: list[str] = []

        async def subject(world: rw.World) -> None:
            async def victim() -> None:
                try:
                    await asyncio.Event().wait()
                finally:
                    cleaned.append("cleaned")
                    await world.point("never")
                    cleaned.append("more")

            world.start(victim, advance=True)
            await world.point("p")

        (run,) = runs_of(subject)
        assert (run.verdict, set(cleaned)) == ("passed", {"cleaned"})
        assert "victim never" not in trace_of(run)

    def test_a_dropped_generator_is_closed_in_a_task(self) -> None:
        """As asyncio does it, with everything that its finally block awaits."""

        async def subject(world: rw.World) -> list[str]:
            log: list[str] = []

            async def numbers() -> AsyncIterator[int]:
                try:
                    yield 1
                    yield 2
                finally:
                    await world.point("cleanup")
                    log.append("closed")

            async for _ in numbers():
                break
            await world.quiet()
            return log

        assert results_of(subject) == [["closed"]]

    def test_it_works_inside_a_running_loop(self) -> None:
        """In a notebook, where a bare await would work too."""

        async def cell() -> rw.Exploration:
            return rw.prove(lost_update, host="asyncio", stop_at_first=False)

        found = asyncio.run(cell())
        assert (found.schedules, found.failures) == (6, 4)

    def test_a_thread_may_explore_by_itself(self) -> None:
        """Worlds within worlds: the inner one knows nothing of the outer one."""

        def inner() -> int:
            return rw.prove(lost_update, host="asyncio", stop_at_first=False).failures

        async def subject(world: rw.World) -> tuple[int, str]:
            failures: int = await asyncio.to_thread(inner)
            return failures, world.task.name

        assert results_of(subject) == [(4, "main")]

    def test_repr_and_errors_carry_no_addresses(self) -> None:
        """Traces are the same in every process."""
        runs = runs_of(lost_update)
        assert not any("0x" in str(step) for run in runs for step in run.trace)
