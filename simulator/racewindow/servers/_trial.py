"""One try: the clients of a scenario, against real servers, in wall-clock time.

What is recorded is what the clients see, in the order of their one monotonic clock. A step is the number of such a moment.
"""

from __future__ import annotations

import random
import time
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

import trio

from racewindow.servers._client import Failed, Lost, ServerClient
from racewindow.servers._fleet import Fleet
from racewindow.sessions.history import ENDED, Call, History, Outcome
from racewindow.sessions.implementation import Refused
from racewindow.sessions.scenario import Client, Operation, Scenario

_POLL_S = 0.002


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How a try is timed, in seconds of wall-clock time.

    Attributes:
        pause_s: mean of an exponentially distributed pause before each operation.
        rest_s: how long a task may take before it counts as one that never ends.
        settle_s: how long storage must not change before it counts as at rest.
    """

    pause_s: float = 0.005
    rest_s: float = 30.0
    settle_s: float = 0.1


@dataclass(slots=True, kw_only=True)
class _Actor:
    """A client at work."""

    client: Client
    server: int
    ended: trio.Event = field(default_factory=trio.Event)
    task: str | None = None
    scope: trio.CancelScope | None = None


class Trial:
    """One try of a scenario.

    Args:
        fleet: the servers.
        scenario: who does what.
        session: id of a session that does not exist yet.
        pace: its timing.
        rng: of the pauses.
        delays_s: client: seconds after the first commit was answered at which it begins; of a client without one the pauses decide.
    """

    def __init__(
        self,
        fleet: Fleet,
        scenario: Scenario,
        session: str,
        *,
        pace: Pace,
        rng: random.Random,
        delays_s: Mapping[str, float] | None = None,
    ) -> None:
        self._fleet = fleet
        self._session = session
        self._pace = pace
        self._rng = rng
        self._delays_s = dict(delays_s or {})
        self._history = History()
        self._moments_s: list[float] = []
        self._accepted = trio.Event()
        on_stores = [client for client in scenario.clients if any(op.kind in _SERVED for op in client.operations)]
        self._actors = {
            client.name: _Actor(client=client, server=on_stores.index(client) if client in on_stores else 0)
            for client in scenario.clients
        }

    async def play(self) -> History:
        """Play it to its end, wait for rest, and give what was seen."""
        await self._fleet.client(0).create(self._session)
        async with trio.open_nursery() as nursery:
            for actor in self._actors.values():
                nursery.start_soon(self._act, actor)
        await self._finish()
        return self._history

    def _now(self) -> int:
        """The number of this moment."""
        self._moments_s.append(time.monotonic())
        return len(self._moments_s)

    def _step_at(self, moment_s: float | None) -> int:
        """The number of the last moment before; where nobody told the time, only the order is known: a new one."""
        return self._now() if moment_s is None else bisect_right(self._moments_s, moment_s)

    def _client(self, actor: _Actor) -> ServerClient:
        return self._fleet.client(actor.server)

    async def _act(self, actor: _Actor) -> None:
        operations = list(enumerate(actor.client.operations))
        delay_s = self._delays_s.get(actor.client.name)
        if delay_s is not None:
            await self._accepted.wait()
            await trio.sleep(delay_s)
        for index, operation in operations:
            if operation.kind == "after":
                await self._actors[operation.argument].ended.wait()
                continue
            if delay_s is None:
                await trio.sleep(self._rng.expovariate(1 / self._pace.pause_s) if self._pace.pause_s else 0.0)
            await self._operate(actor, index, operation)
        actor.ended.set()

    async def _operate(self, actor: _Actor, index: int, operation: Operation) -> None:
        history = self._history
        call = history.invoke(actor.client.name, index, operation, self._now(), store=actor.server + 1)
        answer = partial(history.answer, call)
        try:
            with trio.CancelScope() as actor.scope:
                await self._do(actor, operation, call)
            if actor.scope.cancelled_caught:
                answer(self._now(), "cancelled")
        except Refused as refusal:
            answer(self._now(), "busy" if refusal.busy else "refused", error=str(refusal))
        except Failed as failure:
            answer(self._now(), "error", error=str(failure))
        except Lost as loss:
            answer(self._now(), "lost", error=str(loss))
            await self._reconnect(actor)
        finally:
            actor.scope = None
            if operation.kind == "commit":
                self._accepted.set()  # or refused: who waits for it comes all the same

    async def _do(self, actor: _Actor, operation: Operation, call: Call) -> None:
        client, history, session = self._client(actor), self._history, self._session
        outcome: Outcome = "ok"
        messages: tuple[str, ...] = ()
        match operation.kind:
            case "add":
                await client.add(session, operation.argument)
                messages = (operation.argument,)
            case "reload":
                messages = await client.live(session)
            case "commit":
                actor.task = await client.commit(session, wait=operation.wait)
                outcome = "ok" if actor.task is not None else "skipped"
                history.answer(call, self._now(), outcome, task=actor.task)
                return
            case "wait":
                outcome = "skipped" if actor.task is None else "ok"
                if actor.task is not None:
                    status = await self._ended(client, actor.task)
                    history.see(actor.task, status, self._now(), actor.client.name)
            case "cancel":
                target = self._actors[operation.argument]
                if target.scope is not None:
                    history.fault("cancel", self._now(), operation.argument)
                    target.scope.cancel()
            case "crash":
                await self._crash(self._actors[operation.argument] if operation.argument else actor)
        history.answer(call, self._now(), outcome, messages=messages)

    async def _crash(self, target: _Actor) -> None:
        self._history.fault("crash", self._now(), target.client.name)
        await self._fleet.kill(target.server)
        await self._fleet.restart(target.server)

    async def _reconnect(self, actor: _Actor) -> None:
        with trio.move_on_after(self._pace.rest_s):
            while not await self._client(actor).alive():
                await trio.sleep(_POLL_S)

    async def _ended(self, client: ServerClient, task: str) -> str:
        """Poll a task until it ends, or has had its time; its last status. A task that a restart forgot is nobody's to judge."""
        status = "accepted"
        with trio.move_on_after(self._pace.rest_s):
            while status not in ENDED:
                status = await client.status(task)
                if status not in ENDED:
                    await trio.sleep(_POLL_S)
        return status

    async def _finish(self) -> None:
        client, history = self._fleet.client(0), self._history
        for task in dict.fromkeys(call.task for call in history.calls if call.task is not None):
            try:
                history.see(task, await self._ended(client, task), self._now())
            except (
                Refused
            ):  # the life of the server that knew it is over; nothing-stranded judges what it should have done
                continue
        seen, last = await client.observe(self._session), None
        with trio.move_on_after(self._pace.rest_s):
            while seen != last:
                await trio.sleep(self._pace.settle_s)
                seen, last = await client.observe(self._session), seen
        handovers = await self._fleet.handovers(self._session)
        if handovers is None:  # nobody tells: what storage says was extracted is believed
            extracted = [archive for archive in seen.archives if archive.state == "extracted"]
            handovers = [
                {"messages": each.messages, "outcome": "succeeded", "task_id": each.task} for each in extracted
            ]
        for told in handovers:
            handover = history.hand_over(
                told["messages"], self._step_at(told.get("began_s")), caller="", key=told["task_id"]
            )
            history.end_handover(handover, self._step_at(told.get("ended_s")), told["outcome"])
        history.observe(self._now(), "quiescence", seen)


_SERVED = ("add", "commit", "reload", "wait")
