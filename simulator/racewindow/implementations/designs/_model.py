"""What the designs have in common: where their files are, how a message is added, tasks, and the durable queue.

Notation as in the public history of the store that they re-model: L is the live ``messages.jsonl``, A_n is ``history/archive_n/``, and
a handle keeps its own list of messages (mem) besides, which is what makes a handle go stale.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, ClassVar

from racewindow.kernel.engine import Event
from racewindow.sessions.history import Archive, ArchiveState, History, Observation
from racewindow.sessions.implementation import Environment, SessionStore


def encode(messages: Sequence[str]) -> bytes:
    """A log of messages: one JSON object a line."""
    return b"".join(json.dumps({"id": message}).encode() + b"\n" for message in messages)


def decode(data: bytes | None) -> list[str]:
    """The messages of a log."""
    return [str(json.loads(line)["id"]) for line in (data or b"").splitlines()]


class Task:
    """A background commit as the store's own memory knows it: lost when the process dies."""

    def __init__(self, env: Environment) -> None:
        self.id = env.serial("task")
        self.messages: tuple[str, ...] = ()
        self._env = env
        self._status = "accepted"
        self._ended = env.world.event()

    def begin(self) -> None:
        self._status = "running"

    def end(self, status: str) -> None:
        self._status = status
        self._env.world.note(f"{self.id} {status}")
        self._ended.set()

    async def wait(self) -> str:
        await self._env.world.wait(self._ended, "task.end")
        return self._status

    async def status(self) -> str:
        return self._status


class Design(SessionStore):
    """One process of a design. Subclasses say how a handle commits."""

    handle_type: ClassVar[type[DesignHandle]]

    def __init__(self, env: Environment) -> None:
        super().__init__(env)
        self.home = f"sessions/{env.session}"
        self.live = f"{self.home}/messages.jsonl"

    def archive(self, number: int) -> str:
        """The folder A_n."""
        return f"{self.home}/history/archive_{number:03d}"

    async def read_live(self) -> list[str]:
        """All of L; a missing file is an empty log."""
        try:
            return decode(await self.env.disk.read(self.live, label="live.read"))
        except FileNotFoundError:
            return []

    async def write_live(self, messages: Sequence[str], *, label: str = "live.write") -> None:
        """All of L, replaced."""
        await self.env.disk.write(self.live, encode(messages), label=label)

    async def list_archives(self) -> int:
        """The highest n of all A_n, 0 without any."""
        try:
            names = await self.env.disk.list(f"{self.home}/history", label="archives.list")
        except FileNotFoundError:
            return 0
        return max((_number(name) for name in names), default=0)

    async def load(self) -> DesignHandle:
        handle = self.handle_type(self)
        await handle.reload()
        return handle

    async def summarise(self) -> None:
        """The LLM writes a summary of the archive: slow, and not the extractor."""
        await self.env.world.point("summary", reads=(), writes=("summariser",))

    @classmethod
    def observe(cls, env: Environment) -> Observation:
        home = f"sessions/{env.session}"
        archives = []
        for name in env.disk.names(f"{home}/history"):
            messages = decode(env.disk.peek(f"{home}/history/{name}/messages.jsonl"))
            state = cls.archive_state(env, f"{home}/history/{name}", messages)
            if messages:
                archives.append(Archive(number=_number(name), messages=tuple(messages), state=state))
        return Observation(live=tuple(decode(env.disk.peek(f"{home}/messages.jsonl"))), archives=tuple(archives))

    @classmethod
    def archive_state(cls, env: Environment, path: str, messages: Sequence[str]) -> ArchiveState:
        """Whether an archive was extracted. A design that marks nothing is judged by what its extractor got."""
        return "extracted" if _all_extracted(env.history, messages) else "pending"


class DesignHandle:
    """One loaded session object: mem, and the index of the last archive it knows."""

    def __init__(self, store: Design) -> None:
        self.store = store
        self.env = store.env
        self.disk = store.env.disk
        self.mem: list[str] = []
        self.index = 0

    async def reload(self) -> list[str]:
        self.mem = await self.store.read_live()
        self.index = await self.store.list_archives()
        return list(self.mem)

    async def add(self, message: str) -> None:
        # D0 to D10: read all, write all, no lock. Two adds at once can lose one.
        self.mem.append(message)
        live = await self.store.read_live()
        await self.store.write_live([*live, message])

    async def commit(self, *, wait: bool) -> Task | None:
        # Waiting: this handle archives. In the background: a handle of its own, loaded there.
        task = Task(self.env)
        if not wait:
            self.env.background(partial(self.behind, task), "commit")
        elif not await self.archive():
            return None
        else:
            task.end("completed")
        return task

    async def behind(self, task: Task) -> None:
        """The background commit: it ends as completed, or as failed with whatever was raised."""
        fresh = await self.store.load()
        task.begin()
        try:
            await fresh.archive()
        except Exception:
            task.end("failed")
        else:
            task.end("completed")

    async def archive(self) -> bool:
        """The design's commit sequence; False when there is nothing in mem."""
        raise NotImplementedError


class Queue:
    """A durable queue that all stores share: a message that its consumer did not acknowledge is delivered again after a crash."""

    def __init__(self, env: Environment) -> None:
        self._env = env
        self._messages: list[dict[str, Any]] = []
        self._waiters: list[Event] = []

    @classmethod
    def of(cls, env: Environment) -> Queue:
        """The queue of this storage."""
        queue = env.shared.setdefault("queue", None) or cls(env)
        env.shared["queue"] = queue
        return queue

    async def put(self, message: dict[str, Any]) -> None:
        """Enqueue durably."""
        await self._env.world.point("queue.put", reads=(), writes=("queue",))
        self._deliver(message)

    @asynccontextmanager
    async def get(self) -> AsyncIterator[dict[str, Any]]:
        """The next message; leaving the block acknowledges it."""
        world = self._env.world
        while not self._messages:
            event = world.event()
            self._waiters.append(event)
            await world.wait(event, "queue.get")
        message = self._messages.pop(0)

        def redeliver() -> None:
            self._deliver(message)

        process = world.task.process
        process.on_crash.append(redeliver)
        yield message
        process.on_crash.remove(redeliver)

    def _deliver(self, message: dict[str, Any]) -> None:
        self._messages.append(message)
        waiters, self._waiters = self._waiters, []
        for event in waiters:
            event.set()


def _number(name: str) -> int:
    return int(name.rpartition("_")[2])


def _all_extracted(history: History, messages: Sequence[str]) -> bool:
    got = {
        message for handover in history.handovers if handover.outcome == "succeeded" for message in handover.messages
    }
    return set(messages) <= got
