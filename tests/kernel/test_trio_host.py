"""The trio host: whatever is plain trio code means what it means in trio."""

from __future__ import annotations

import asyncio
import contextvars
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from functools import partial
from typing import Any

import pytest
import trio
import trio.testing

import racewindow as rw
from racewindow.kernel import Run

Subject = Callable[[rw.World], Awaitable[Any]]


def runs_of(subject: Subject, **options: Any) -> list[Run]:
    """Every schedule of the subject."""
    runs: list[Run] = []
    options = {"strategy": rw.Bounded(None), "schedules": None} | options
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


class TestNurseries:
    def test_children_run_in_every_order(self) -> None:
        """Three children of one step each: six orders."""

        async def subject(world: rw.World) -> str:
            order = ""

            async def child(name: str) -> None:
                nonlocal order
                await world.point(name)
                order += name

            async with trio.open_nursery() as nursery:
                for name in "abc":
                    nursery.start_soon(child, name)
            return order

        assert set(results_of(subject)) == {"abc", "acb", "bac", "bca", "cab", "cba"}

    def test_nested_nurseries_wait_for_their_own_children(self) -> None:
        """The inner block ends after the inner child, whatever the outer one does."""

        async def subject(world: rw.World) -> tuple[str, ...]:
            log: list[str] = []

            async def child(name: str) -> None:
                await world.point(name)
                log.append(name)

            async with trio.open_nursery() as outer:
                outer.start_soon(child, "outer")
                async with trio.open_nursery() as inner:
                    inner.start_soon(child, "inner")
                log.append("inner closed")
            return tuple(log)

        results = set(results_of(subject))
        assert all(log.index("inner") < log.index("inner closed") for log in results)
        assert {log.index("outer") for log in results} == {0, 1, 2}

    def test_start_waits_for_started(self) -> None:
        """nursery.start hands over the value, and the child goes on."""

        async def subject(world: rw.World) -> int:
            async def server(task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED) -> None:
                await world.point("bind")
                task_status.started(80)
                await world.point("serve")

            async with trio.open_nursery() as nursery:
                port: int = await nursery.start(server)
                await world.point("use")
            return port

        assert set(results_of(subject)) == {80}

    def test_a_childs_exception_cancels_its_siblings(self) -> None:
        """The group that comes out is reported by what is in it."""

        async def subject(world: rw.World) -> None:
            async def bad() -> None:
                await world.point("bad")
                raise ValueError("no good")

            async def good() -> None:
                await trio.sleep_forever()

            async with trio.open_nursery() as nursery:
                nursery.start_soon(good)
                nursery.start_soon(bad)

        violation = the_violation(subject)
        assert (violation.kind, violation.detail) == ("ValueError", "no good")

    def test_a_subject_may_catch_a_group(self) -> None:
        """Handled exceptions are no violation."""

        async def subject(world: rw.World) -> int:
            async def bad() -> None:
                await world.point("bad")
                raise ValueError

            count = 0
            try:
                await world.together(bad, bad)
            except* ValueError as group:
                count = len(group.exceptions)
            return count

        assert set(results_of(subject)) <= {1, 2}

    def test_roles_follow_the_tree(self) -> None:
        """Children of children carry their parent's role; equal names are numbered."""

        async def subject(world: rw.World) -> None:
            async def leaf() -> None:
                await world.point("leaf")

            async def branch() -> None:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(leaf)
                    nursery.start_soon(leaf)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(branch)

        run = runs_of(subject, schedules=1)[0]
        assert {step.task for step in run.trace} == {"main", "branch", "branch/leaf", "branch/leaf.2"}


class TestPrimitives:
    def test_a_lock_excludes(self) -> None:
        """No schedule sees two holders, and both orders happen."""

        async def subject(world: rw.World) -> str:
            lock, holders, order = trio.Lock(), 0, ""

            async def task(name: str) -> None:
                nonlocal holders, order
                async with lock:
                    holders += 1
                    await world.point("inside")
                    world.check(holders == 1, "two-holders")
                    order += name
                    holders -= 1

            await world.together(partial(task, "a"), partial(task, "b"))
            return order

        assert set(results_of(subject)) == {"ab"}  # the first one takes the lock on its way to its first point

        async def free(world: rw.World) -> str:
            lock, order = trio.Lock(), ""

            async def task(name: str) -> None:
                nonlocal order
                await world.point("begin")
                async with lock:
                    await world.point("inside")
                    order += name

            await world.together(partial(task, "a"), partial(task, "b"))
            return order

        assert set(results_of(free)) == {"ab", "ba"}

    def test_a_semaphore_lets_so_many_in(self) -> None:
        """Two of three are inside at once, never three."""

        async def subject(world: rw.World) -> int:
            semaphore, inside, most = trio.Semaphore(2), 0, 0

            async def task() -> None:
                nonlocal inside, most
                async with semaphore:
                    inside += 1
                    most = max(most, inside)
                    await world.point("inside")
                    inside -= 1

            await world.together(task, task, task)
            return most

        assert max(results_of(subject)) == 2

    def test_a_capacity_limiter_knows_its_borrowers(self) -> None:
        """It goes by the running task, so the kernel has to say who runs."""

        async def subject(world: rw.World) -> int:
            limiter = trio.CapacityLimiter(1)

            async def task() -> None:
                async with limiter:
                    with pytest.raises(RuntimeError):
                        limiter.acquire_nowait()  # this task has one already
                    await world.point("inside")
                    assert limiter.statistics().borrowers == [trio.lowlevel.current_task()]

            await world.together(task, task)
            return int(limiter.available_tokens)

        assert set(results_of(subject)) == {1}

    def test_a_condition_wakes_who_waits(self) -> None:
        """A consumer that waits under the condition gets what the producer put."""

        async def subject(world: rw.World) -> list[int]:
            condition, items, got = trio.Condition(), list[int](), list[int]()

            async def consumer() -> None:
                async with condition:
                    while not items:
                        await condition.wait()
                    got.append(items.pop())

            async def producer() -> None:
                for number in range(2):
                    async with condition:
                        items.append(number)
                        condition.notify()

            await world.together(consumer, consumer, producer)
            return sorted(got)

        assert all(result == [0, 1] for result in results_of(subject, schedules=3000))

    def test_memory_channels_keep_order_and_capacity(self) -> None:
        """A full channel blocks the sender."""

        async def subject(world: rw.World) -> list[int]:
            send, receive = trio.open_memory_channel[int](1)
            got: list[int] = []

            async def producer() -> None:
                async with send:
                    for number in range(3):
                        await send.send(number)

            async def consumer() -> None:
                async for number in receive:
                    got.append(number)
                    await world.point("consume")

            await world.together(producer, consumer)
            return got

        results = results_of(subject)
        assert len(results) > 5
        assert all(result == [0, 1, 2] for result in results)

    def test_an_event_that_is_set_before_it_is_waited_for(self) -> None:
        """No wake-up is missed, on either side of the wait."""

        async def subject(world: rw.World) -> str:
            event = trio.Event()

            async def waiter() -> None:
                await world.point("wait")
                await event.wait()

            async def setter() -> None:
                await world.point("set")
                event.set()

            await world.together(waiter, setter)
            return "both"

        assert len(results_of(subject)) >= 2

    def test_one_step_may_wake_many(self) -> None:
        """All of them become runnable, each once, in every order."""

        async def subject(world: rw.World) -> str:
            event, order = trio.Event(), ""

            async def waiter(name: str) -> None:
                nonlocal order
                await event.wait()
                order += name

            async def setter() -> None:
                await world.point("set")
                event.set()
                event.set()

            await world.together(*(partial(waiter, name) for name in "abc"), setter)
            return order

        assert set(results_of(subject)) == {"abc", "acb", "bac", "bca", "cab", "cba"}


class TestTheWholeOfTrio:
    def test_wait_all_tasks_blocked(self) -> None:
        """It returns when nobody else can go on, and before time passes."""

        async def subject(world: rw.World) -> tuple[bool, float]:
            done = False

            async def busy() -> None:
                nonlocal done
                for _ in range(3):
                    await world.point("busy")
                done = True
                await trio.sleep(5)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(busy)
                await trio.testing.wait_all_tasks_blocked()
                return done, world.now

        assert set(results_of(subject)) == {(True, 0.0)}

    def test_two_that_wait_for_all_others_wake_together(self) -> None:
        """Not one by one in the order of their addresses."""

        async def subject(world: rw.World) -> str:
            order = ""

            async def waiter(name: str) -> None:
                nonlocal order
                await trio.testing.wait_all_tasks_blocked()
                order += name

            await world.together(partial(waiter, "a"), partial(waiter, "b"))
            return order

        assert sorted(results_of(subject)) == ["ab", "ba"]

    def test_a_longer_cushion_lets_timers_go_first(self) -> None:
        """wait_all_tasks_blocked(10) waits for a timer that is due in one second."""

        async def subject(world: rw.World) -> float:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.sleep, 1)
                await trio.testing.wait_all_tasks_blocked(10)
            return world.now

        assert set(results_of(subject)) == {1.0}

    def test_checkpoints_count_as_checkpoints(self) -> None:
        """trio.testing.assert_checkpoints agrees."""

        async def subject(world: rw.World) -> None:
            with trio.testing.assert_checkpoints():
                await trio.lowlevel.checkpoint()
            with trio.testing.assert_checkpoints():
                await trio.Event().wait() if False else await trio.sleep(1)
            with trio.testing.assert_no_checkpoints():
                trio.Event().set()

        results_of(subject)

    def test_context_variables_belong_to_their_task(self) -> None:
        """Each task sees what its parent had, and what it set itself."""
        variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="none")

        async def subject(world: rw.World) -> set[str]:
            variable.set("main")
            seen: set[str] = set()

            async def task(name: str) -> None:
                seen.add(variable.get())
                variable.set(name)
                await world.point("p")
                assert variable.get() == name

            await world.together(partial(task, "a"), partial(task, "b"))
            world.start(partial(task, "c"))
            await world.quiet()
            assert variable.get() == "main"
            return seen

        assert all(seen == {"main"} for seen in results_of(subject))
        assert variable.get() == "none"

    def test_async_generators_that_are_closed(self) -> None:
        """Points inside of one work, and so does leaving it early."""

        async def subject(world: rw.World) -> tuple[int, bool]:
            closed = False

            async def numbers() -> AsyncIterator[int]:
                nonlocal closed
                try:
                    for number in range(5):
                        await world.point("next")
                        yield number
                finally:
                    await world.point("close")
                    closed = True

            async with aclosing(numbers()) as stream:  # type: ignore[type-var]
                async for number in stream:
                    if number == 2:
                        break
            return number, closed

        assert set(results_of(subject)) == {(2, True)}

    def test_threads_are_points(self) -> None:
        """The work is one step, its result comes at another, and no thread runs."""

        async def subject(world: rw.World) -> list[str]:
            names: list[str] = []

            def work() -> int:
                names.append(threading.current_thread().name)
                return 7

            async def task() -> None:
                assert await trio.to_thread.run_sync(work) == 7

            await world.together(task, task)
            return names

        runs = runs_of(subject)
        assert len(runs) == 6
        here = threading.current_thread().name
        assert all(run.result == [here, here] for run in runs)
        labels = {step.label for step in runs[0].trace if step.task != "main"}
        assert labels == {"start", "thread:work", "thread:work/return"}

    def test_a_cancelled_task_gets_the_result_of_a_thread_at_work(self) -> None:
        """As in trio: unless abandon_on_cancel, the result arrives and the next checkpoint raises."""

        async def subject(world: rw.World, abandon: bool) -> str:
            worked, state = False, ""

            def work() -> None:
                nonlocal worked
                worked = True

            async def task(scope: trio.CancelScope) -> None:
                nonlocal state
                with scope:
                    await trio.to_thread.run_sync(work, abandon_on_cancel=abandon)
                    state = "recorded"
                    await world.point("next")

            scope = trio.CancelScope()

            async def cancel() -> None:
                await world.point("cancel")
                scope.cancel()

            await world.together(partial(task, scope), cancel)
            return f"{worked} {state}"

        assert set(results_of(partial(subject, abandon=False))) == {"True recorded", "False "}
        assert set(results_of(partial(subject, abandon=True))) == {"True recorded", "True ", "False "}

    def test_errors_in_a_thread_arrive_where_it_was_called(self) -> None:
        """And context variables set there stay there."""
        variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable", default=0)

        async def subject(world: rw.World) -> int:
            def work() -> None:
                variable.set(1)
                raise OSError("disk")

            with pytest.raises(OSError, match="disk"):
                await trio.to_thread.run_sync(work)
            return variable.get()

        assert results_of(subject) == [0]

    def test_paths_are_points_too(self, tmp_path: Any) -> None:
        """trio.Path goes through worker threads."""

        async def subject(world: rw.World) -> str:
            path = trio.Path(tmp_path) / "file"
            await path.write_text("text")
            return await path.read_text()

        run = runs_of(subject)[0]
        assert run.result == "text"
        assert [step.label.startswith("thread:") for step in run.trace] == [False, True, True, True, True]

    def test_system_tasks_are_tasks(self) -> None:
        """They are stepped as well, and are gone after the schedule."""

        async def subject(world: rw.World) -> str:
            done = trio.Event()

            async def work() -> None:
                await world.point("work")
                done.set()

            trio.lowlevel.spawn_system_task(work)
            await done.wait()
            return "done"

        assert set(results_of(subject)) == {"done"}


class TestWhatCannotBeControlled:
    @pytest.mark.parametrize("timeout", [None, 5])
    def test_real_sockets(self, timeout: float | None) -> None:
        """Waiting for one is refused, even under a timeout that virtual time could jump to."""

        async def subject(world: rw.World) -> None:
            left, right = socket.socketpair()
            with left, right, trio.move_on_after(timeout or float("inf")):
                left.setblocking(False)
                await trio.lowlevel.wait_readable(left)

        with pytest.raises(rw.Unsupported, match=r"main waits for real I/O .*simulated transport"):
            rw.explore(subject)

    def test_real_sockets_with_data_on_their_way(self) -> None:
        """The refusal leaves nothing behind that trio could stumble over."""

        async def subject(world: rw.World) -> None:
            left, right = socket.socketpair()
            with left, right:
                ours = trio.socket.from_stdlib_socket(left)
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(ours.recv, 1)
                    await world.point("send")
                    right.send(b"x")

        with pytest.raises(rw.Unsupported, match="real I/O"):
            rw.explore(subject)

    def test_awaitables_of_another_library(self) -> None:
        """An asyncio future is refused with a hint at the other host."""

        async def subject(world: rw.World) -> None:
            loop = asyncio.new_event_loop()
            try:
                await loop.create_future()
            finally:
                loop.close()

        with pytest.raises(rw.Unsupported, match=r"task main awaited .*host='asyncio'"):
            rw.explore(subject)

    def test_a_worker_thread_through_a_reference_taken_before(self) -> None:
        """It would really start, and look like a deadlock; it is refused before it starts."""
        kept = trio.to_thread.run_sync

        async def subject(world: rw.World) -> None:
            await kept(int)

        with pytest.raises(rw.Unsupported, match="real worker thread"):
            rw.explore(subject)


class TestDeadlocks:
    def test_who_waits_where(self) -> None:
        """Two locks in opposite order: the violation names tasks and waits."""

        async def subject(world: rw.World) -> None:
            one, two = trio.Lock(), trio.Lock()

            async def forth() -> None:
                await world.point("begin")
                async with one:
                    await world.point("holds one")
                    async with two:
                        pass

            async def back() -> None:
                await world.point("begin")
                async with two:
                    await world.point("holds two")
                    async with one:
                        pass

            await world.together(forth, back)

        found = rw.prove(subject, stop_at_first=False)
        assert 0 < found.failures < found.schedules
        assert found.first is not None
        violation = found.first.violation
        assert violation is not None
        assert violation.kind == "deadlock"
        assert violation.messages == ("main", "forth", "back")
        assert "main at nursery.exit, forth at Lock.acquire, back at Lock.acquire" in violation.detail

    def test_a_wait_that_was_given_a_label(self) -> None:
        """World.wait says what is waited for."""

        async def subject(world: rw.World) -> None:
            await world.wait(world.event(), "a completes")

        assert the_violation(subject).detail == "nothing can run and no timer is armed; waiting: main at a completes"

    def test_a_poll_that_cannot_succeed_is_unknown(self) -> None:
        """A livelock ends at max_steps."""

        async def subject(world: rw.World) -> None:
            while True:
                await trio.sleep(1)

        found = rw.explore(subject, schedules=2, limits=rw.Limits(max_steps=30))
        assert (found.verdict, found.unknowns) == ("unknown", 2)


class TestTogether:
    def test_inside_a_child(self) -> None:
        """Its tasks carry the child's role, and the child waits for them."""

        async def subject(world: rw.World) -> list[str]:
            log: list[str] = []

            async def leaf() -> None:
                await world.point("leaf")
                log.append("leaf")

            async def branch() -> None:
                await world.together(leaf, leaf)
                log.append("branch")

            await world.together(branch)
            return log

        runs = runs_of(subject)
        assert len(runs) == 2
        assert all(run.result == ["leaf", "leaf", "branch"] for run in runs)
        assert {step.task for step in runs[0].trace} == {"main", "branch", "branch/leaf", "branch/leaf.2"}

    def test_by_two_tasks_at_once(self) -> None:
        """Every child comes to its first point before anything else happens."""

        async def subject(world: rw.World) -> None:
            async def leaf() -> None:
                await world.point("leaf")

            async def branch() -> None:
                await world.point("branch")
                await world.together(leaf, leaf)

            await world.together(branch, branch)

        runs = runs_of(subject)
        for run in runs:
            steps = [(step.task, step.label) for step in run.trace]
            for number, (task, label) in enumerate(steps):
                if label == "branch":
                    assert [step[1] for step in steps[number + 1 : number + 3]] == ["start", "start"]
                    assert all(step[0].startswith(task + "/") for step in steps[number + 1 : number + 3])
        assert len({run.fingerprint for run in runs}) == len(runs)

    def test_of_tasks_without_points(self) -> None:
        """They are over before the choice begins."""

        async def subject(world: rw.World) -> int:
            count = 0

            async def task() -> None:
                nonlocal count
                count += 1

            await world.together(task, task, task)
            return count

        assert results_of(subject) == [3]

    def test_a_child_that_dies_before_its_first_point(self) -> None:
        """A sibling that crashes the process on its way takes it out of the line-up."""

        async def subject(world: rw.World) -> list[str]:
            log: list[str] = []
            process = world.process("p")

            async def killer() -> None:
                log.append("killer")
                world.crash(process)

            async def victim() -> None:
                log.append("victim")

            async def client() -> None:
                await world.together(killer, victim)

            world.start(client, process=process)
            await world.quiet()
            return log

        assert results_of(subject) == [["killer"]]

    def test_a_failing_child_before_its_first_point(self) -> None:
        """The others still come to theirs, where they are cancelled."""

        async def subject(world: rw.World) -> None:
            async def bad() -> None:
                raise ValueError("early")

            async def good() -> None:
                await world.point("good")
                world.check(False, "not-cancelled")

            await world.together(bad, good)

        assert the_violation(subject).kind == "ValueError"


class TestWorld:
    def test_a_point_is_awaited_once(self) -> None:
        """The record of a step is no constant."""

        async def subject(world: rw.World) -> None:
            point = world.point("p")
            await point
            await point

        with pytest.raises(rw.UsageError, match="awaited twice"):
            rw.explore(subject)

    def test_a_point_has_a_label(self) -> None:
        """Tokens name places by it."""

        async def subject(world: rw.World) -> None:
            await world.point("")

        with pytest.raises(rw.UsageError, match="needs a label"):
            rw.explore(subject)

    def test_roles_are_unique_whatever_the_names(self) -> None:
        """Somebody may ask for the name that another would have been given, or for that of time."""

        async def subject(world: rw.World) -> list[str]:
            async def work() -> None:
                pass

            return [world.start(work, name=name).name for name in ("a.2", "a", "a", "a.2", "time", "main")]

        assert results_of(subject, schedules=1) == [["a.2", "a", "a.3", "a.2.2", "time.2", "main.2"]]

    def test_serially_leaves_nothing_to_the_strategy(self) -> None:
        """One schedule sets the stage; the choice begins afterwards."""

        async def subject(world: rw.World) -> list[str]:
            log: list[str] = []

            async def task(name: str) -> None:
                await world.point("one")
                log.append(name)
                await world.point("two")
                log.append(name)

            with world.serially():
                await world.together(partial(task, "a"), partial(task, "b"))
            await world.together(partial(task, "c"), partial(task, "d"))
            return log

        results = results_of(subject)
        assert len(results) == 6
        assert all(result[:4] == ["a", "a", "b", "b"] for result in results)

    def test_a_started_task_may_be_advanced_to_its_first_point(self) -> None:
        """Only the choice after that is free."""

        async def subject(world: rw.World) -> list[str]:
            log: list[str] = []

            async def work() -> None:
                log.append("begun")
                await world.point("work")
                log.append("done")

            world.start(work, advance=True)
            await world.point("main")
            log.append("main")
            await world.quiet()
            return log

        results = results_of(subject)
        assert sorted(results) == [["begun", "done", "main"], ["begun", "main", "done"]]

    def test_an_exception_that_escapes_a_started_task_fails_the_schedule(self) -> None:
        """It belongs to no nursery that could handle it."""

        async def subject(world: rw.World) -> None:
            async def work() -> None:
                raise KeyError("lost")

            world.start(work)
            await world.quiet()

        assert the_violation(subject).kind == "KeyError"

    def test_a_failed_check_stops_the_schedule_even_when_it_is_caught(self) -> None:
        """Nobody steps after the violation is certain."""

        async def subject(world: rw.World) -> None:
            try:
                world.check(False, "wrong", "as it is")
            except rw.InvariantViolation:
                await world.point("after")
            world.violate(rw.Violation(kind="second", detail=""))

        assert the_violation(subject) == rw.Violation(kind="wrong", detail="as it is", step=0)
        assert runs_of(subject)[0].steps == 1

    def test_cells_record_what_they_touch(self) -> None:
        """Reads and writes show in the trace; so do remarks."""

        async def subject(world: rw.World) -> None:
            cell = world.cell(1, name="v")
            await cell.write(await cell.read() + 1)
            world.note("written")
            world.touch("other")

        steps = runs_of(subject)[0].trace
        assert [(step.label, step.reads, step.writes) for step in steps] == [
            ("start", None, None),
            ("v.read", ("v",), ()),
            ("v.write", ("other",), ("v",)),
        ]
        assert steps[2].notes == ("written",)

    def test_quiet_waits_until_nothing_else_can_run(self) -> None:
        """Timers that are due soon go first, later ones do not."""

        async def subject(world: rw.World) -> float:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.sleep, 1)
                nursery.start_soon(trio.sleep, 9)
                await world.quiet(within_s=2)
                return world.now

        assert set(results_of(subject)) == {1.0}
