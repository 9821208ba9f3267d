"""Cancellation reaches tasks where trio would deliver it, and nowhere else."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest
import trio

import racewindow as rw
from racewindow.kernel import Run

Subject = Callable[[rw.World], Awaitable[Any]]


def results_of(subject: Subject, **options: Any) -> list[Any]:
    """What the subject returned in every schedule; none of them may fail."""
    runs: list[Run] = []
    options = {"strategy": rw.Bounded(None), "schedules": None} | options
    found = rw.explore(subject, on_run=runs.append, **options)
    assert found.first is None, found.first
    return [run.result for run in runs]


class TestScopes:
    def test_at_a_point(self) -> None:
        """A task that stands at a point gets its Cancelled there; what it had done before stays done."""

        async def subject(world: rw.World) -> tuple[str, bool]:
            log = ""
            scope = trio.CancelScope()

            async def victim() -> None:
                nonlocal log
                with scope:
                    for letter in "abc":
                        await world.point(letter)
                        log += letter

            async def cancel() -> None:
                await world.point("cancel")
                scope.cancel()

            await world.together(victim, cancel)
            return log, scope.cancelled_caught

        assert set(results_of(subject)) == {("", True), ("a", True), ("ab", True), ("abc", False)}

    @pytest.mark.parametrize("wait", ["event", "lock", "sleep", "receive", "nursery"])
    def test_in_a_blocking_call(self, wait: str) -> None:
        """The wait is given up, and nothing that it held stays behind."""

        async def subject(world: rw.World) -> bool:
            lock, scope = trio.Lock(), trio.CancelScope()
            _send, receive = trio.open_memory_channel[int](0)

            async def victim() -> None:
                with scope:
                    match wait:
                        case "event":
                            await trio.Event().wait()
                        case "lock":
                            await lock.acquire()
                        case "sleep":
                            await trio.sleep_forever()
                        case "receive":
                            await receive.receive()
                        case "nursery":
                            async with trio.open_nursery() as nursery:
                                nursery.start_soon(trio.sleep_forever)

            async def cancel() -> None:
                async with lock:
                    await world.point("cancel")
                    scope.cancel()

            await world.together(cancel, victim)
            return scope.cancelled_caught and not lock.locked() and lock.statistics().tasks_waiting == 0

        assert set(results_of(subject)) == {True}

    def test_a_shield_holds_at_points_and_in_waits(self) -> None:
        """Cancelled comes at the first checkpoint after the shield."""

        async def subject(world: rw.World) -> str:
            log = ""
            scope, event = trio.CancelScope(), trio.Event()

            async def victim() -> None:
                nonlocal log
                with scope:
                    with trio.CancelScope(shield=True):
                        await world.point("shielded")
                        log += "p"
                        await event.wait()
                        log += "e"
                    await world.point("bare")
                    log += "b"

            async def cancel() -> None:
                await world.point("cancel")
                scope.cancel()
                await world.point("set")
                event.set()

            await world.together(victim, cancel)
            return log

        assert set(results_of(subject)) == {"pe"}

    def test_a_shield_that_is_taken_down_lets_it_through(self) -> None:
        """A task at a point inside is cancelled when it is stepped next."""

        async def subject(world: rw.World) -> str:
            log = ""
            outer, inner = trio.CancelScope(), trio.CancelScope(shield=True)

            async def victim() -> None:
                nonlocal log
                with outer, inner:
                    await world.point("one")
                    log += "1"
                    await world.point("two")
                    log += "2"

            async def cancel() -> None:
                await world.point("cancel")
                outer.cancel()
                await world.point("unshield")
                inner.shield = False

            await world.together(victim, cancel)
            return log

        assert set(results_of(subject)) == {"", "1", "12"}

    def test_finally_blocks_run_and_may_wait_under_a_shield(self) -> None:
        """Cleaning up takes steps like anything else."""

        async def subject(world: rw.World) -> str:
            log = ""
            scope = trio.CancelScope()

            async def victim() -> None:
                nonlocal log
                with scope:
                    try:
                        await world.point("work")
                        log += "w"
                    finally:
                        with trio.CancelScope(shield=True):
                            await world.point("cleanup")
                            log += "c"

            async def cancel() -> None:
                await world.point("cancel")
                scope.cancel()

            await world.together(victim, cancel)
            return log

        assert set(results_of(subject)) == {"c", "wc"}

    def test_a_cancelled_task_that_was_woken_already_keeps_what_it_got(self) -> None:
        """Event first, cancellation second: the wait has succeeded; the next checkpoint raises."""

        async def subject(world: rw.World) -> str:
            log = ""
            scope, event = trio.CancelScope(), trio.Event()

            async def victim() -> None:
                nonlocal log
                with scope:
                    await event.wait()
                    log += "woken"
                    await world.point("next")
                    log += "on"

            async def both() -> None:
                await world.point("both")
                event.set()
                scope.cancel()

            await world.together(victim, both)
            return log

        assert set(results_of(subject)) == {"woken"}

    def test_swallowing_it_leads_to_the_next_one(self) -> None:
        """Trio cancels level-triggered: every further checkpoint raises as well."""

        async def subject(world: rw.World) -> int:
            count = 0
            with trio.CancelScope() as scope:
                scope.cancel()
                for _ in range(3):
                    try:
                        await world.point("p")
                    except trio.Cancelled:
                        count += 1
                    try:
                        await trio.sleep(1)
                    except trio.Cancelled:
                        count += 1
            return count

        assert results_of(subject) == [6]

    def test_of_a_whole_nursery(self) -> None:
        """Children that stand at points, wait, or have not begun."""

        async def subject(world: rw.World) -> list[str]:
            log: list[str] = []

            async def child(name: str) -> None:
                try:
                    if name == "waits":
                        await trio.sleep_forever()
                    await world.point(name)
                    log.append(f"{name} done")
                except trio.Cancelled:
                    log.append(f"{name} cancelled")
                    raise

            async with trio.open_nursery() as nursery:
                for name in ("points", "waits", "begins"):
                    nursery.start_soon(child, name)
                await world.point("cancel")
                nursery.cancel_scope.cancel()
            return sorted(log)

        results = results_of(subject)
        assert all(len(result) == 3 for result in results)
        assert ["begins cancelled", "points cancelled", "waits cancelled"] in results
        assert ["begins done", "points done", "waits cancelled"] in results

    def test_kernel_tasks_cannot_be_cancelled_from_their_starter(self) -> None:
        """What world.start started belongs to the world."""

        async def subject(world: rw.World) -> bool:
            done = False

            async def work() -> None:
                nonlocal done
                await world.point("work")
                done = True

            with trio.CancelScope() as scope:
                world.start(work)
                scope.cancel()
                await world.point("p")
            await world.quiet()
            return done

        assert set(results_of(subject)) == {True}


class TestWorldScope:
    def test_says_whether_it_ended(self) -> None:
        """False when it was cancelled before it ended."""

        async def subject(world: rw.World) -> bool:
            scope, finished = world.scope(), False

            async def work() -> None:
                await world.point("one")
                await world.point("two")

            async def victim() -> None:
                nonlocal finished
                finished = await scope.run(work)

            async def cancel() -> None:
                await world.point("cancel")
                scope.cancel()

            await world.together(victim, cancel)
            return finished

        assert sorted(results_of(subject)) == [False, False, True]

    def test_a_scope_that_was_cancelled_before(self) -> None:
        """It runs up to its first checkpoint."""

        async def subject(world: rw.World) -> tuple[bool, str]:
            scope, log = world.scope(), ""

            async def work() -> None:
                nonlocal log
                log += "begun"
                await world.point("one")
                log += " on"

            scope.cancel()
            return await scope.run(work), log

        assert results_of(subject) == [(False, "begun")]

    def test_a_cancellation_after_the_end_changes_nothing(self) -> None:
        """It had finished."""

        async def subject(world: rw.World) -> bool:
            scope = world.scope()
            finished = await scope.run(partial(trio.sleep, 1))
            scope.cancel()
            await world.point("after")
            return finished

        assert results_of(subject) == [True]
