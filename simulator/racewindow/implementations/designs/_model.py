"""What the designs have in common: where their files are, how a message is added, what a reader of the context is told.

Notation as in the public history of the store that they re-model: L is the live ``messages.jsonl``, A_n is ``history/archive_n/``, and
a handle keeps its own list of messages (mem) besides, which is what makes a handle go stale.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from typing import ClassVar

from racewindow.disk import Disk
from racewindow.implementations.designs._task import Task, Tasks
from racewindow.kernel.world import World
from racewindow.sessions.history import Archive, ArchiveState, Observation
from racewindow.sessions.implementation import Environment, SessionStore


def encode(messages: Sequence[str]) -> bytes:
    """A log of messages: one JSON object a line."""
    return b"".join(json.dumps({"id": message}).encode() + b"\n" for message in messages)


def decode(data: bytes | None) -> list[str]:
    """The messages of a log."""
    return [str(json.loads(line)["id"]) for line in (data or b"").splitlines()]


class Design(SessionStore):
    """One process of a design. Subclasses say how a handle commits.

    Attributes:
        handle_type: of its handles.
        tasks_survive: whether tasks are kept in storage, so that they are known after a restart and to every store.
        retryable: whether an archive whose extraction failed is ever extracted again.
    """

    watched = True
    handle_type: ClassVar[type[DesignHandle]]
    tasks_survive: ClassVar[bool] = False
    retryable: ClassVar[bool] = True

    def __init__(self, env: Environment) -> None:
        env.world.watch(Design, DesignHandle, Task, Tasks, trusted=(Disk, Environment, World))
        super().__init__(env)
        self.home = f"sessions/{env.session}"
        self.live = f"{self.home}/messages.jsonl"
        self.tasks = env.service(Tasks) if self.tasks_survive else Tasks(env)

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

    async def write_meta(self, commits: int = 0) -> None:
        """The session's metadata; of these only the number of commits is ever read."""
        await self.env.disk.write(f"{self.home}/meta", str(commits).encode(), label="meta.write")

    async def list_archives(self) -> int:
        """The highest n of all A_n, 0 without any."""
        try:
            names = await self.env.disk.list(f"{self.home}/history", label="archives.list")
        except FileNotFoundError:
            return 0
        return max((_number(name) for name in names), default=0)

    async def read_archive(self, number: int) -> list[str]:
        """The messages in A_n; none where it has not been written."""
        try:
            return decode(await self.env.disk.read(f"{self.archive(number)}/messages.jsonl", label="archive.read"))
        except FileNotFoundError:
            return []

    async def write_archive(self, number: int, messages: Sequence[str]) -> None:
        """A_n.messages."""
        await self.env.disk.write(f"{self.archive(number)}/messages.jsonl", encode(messages), label="archive.write")

    async def write_summary(self, number: int) -> None:
        """What the LLM made of A_n."""
        await self.env.disk.write(f"{self.archive(number)}/abstract", b"abstract", label="archive.abstract")
        await self.env.disk.write(f"{self.archive(number)}/overview", b"overview", label="archive.overview")

    async def mark(self, number: int, name: str) -> None:
        """Leave the file ``.done`` or ``.failed.json`` in A_n."""
        label = f"{name.strip('.').removesuffix('.json')}.write"
        await self.env.disk.write(f"{self.archive(number)}/{name}", b"{}", label=label)

    async def marks(self, number: int) -> list[str]:
        """The names of the files in A_n."""
        try:
            return await self.env.disk.list(self.archive(number), label="archive.list")
        except FileNotFoundError:
            return []

    async def summarise(self) -> None:
        """The LLM writes a summary of the archive: slow, and not the extractor."""
        await self.env.world.point("summary", reads=(), writes=("summariser",))

    async def load(self) -> DesignHandle:
        handle = self.handle_type(self)
        await handle.reload()
        return handle

    async def create_task(self, id: str = "") -> Task:
        """Create a task; where tasks survive, that is a write. One that is there already stays as it is."""
        id = id or self.env.serial("task")
        if self.tasks_survive and self.tasks.find(id) is None:
            await self.env.disk.write(f"tasks/{id}", b"", label="task.create")
        return self.tasks.create(id)

    async def task(self, id: str) -> Task | None:
        return self.tasks.find(id)

    @classmethod
    def observe(cls, env: Environment) -> Observation:
        home = f"sessions/{env.session}"
        archives = []
        for name in env.disk.names(f"{home}/history"):
            path = f"{home}/history/{name}"
            if messages := tuple(decode(env.disk.peek(f"{path}/messages.jsonl"))):
                archive = Archive(
                    number=_number(name),
                    messages=messages,
                    state=cls.archive_state(env, path, messages),
                    task=cls.archive_task(env, path),
                    retryable=cls.retryable,
                )
                archives.append(archive)
        return Observation(live=tuple(decode(env.disk.peek(f"{home}/messages.jsonl"))), archives=tuple(archives))

    @classmethod
    def archive_state(cls, env: Environment, path: str, messages: Sequence[str]) -> ArchiveState:
        """Whether an archive was extracted: a design that marks nothing is judged by what its extractor got."""
        names = env.disk.names(path)
        if ".done" in names or set(messages) <= set(handed_over(env, "succeeded")):
            return "extracted"
        return "failed" if ".failed.json" in names else "pending"

    @classmethod
    def archive_task(cls, env: Environment, path: str) -> str:
        """The task that storage names for an archive, if it does."""
        return ""


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
        # D1 to D5. Waiting: this handle archives. In the background: a handle of its own, loaded there.
        if not wait:
            task = await self.store.create_task()
            self.env.background(partial(self.behind, task), "commit")
        elif not await self.archive():
            return None
        else:
            task = await self.store.create_task()
            task.end("completed")
        return task

    async def behind(self, task: Task) -> None:
        """The background commit: it ends as completed, or as failed with whatever was raised."""
        task.begin()
        try:
            fresh = await self.store.load()
            await fresh.archive()
        except Exception:
            task.end("failed")
        else:
            task.end("completed")

    async def archive(self) -> bool:
        """The design's commit sequence; False when there is nothing in mem."""
        raise NotImplementedError

    async def context(self) -> list[str]:
        """A new handle is loaded; then comes what is told of each archive, and then mem."""
        handle = await self.store.load()
        told: list[str] = []
        for number in range(1, handle.index + 1):
            told += await handle.recall(number)
        return [*told, *handle.mem]

    async def recall(self, number: int) -> list[str]:
        """What a reader of the context is told of A_n: by D1 to D5, whatever is there."""
        return await self.store.read_archive(number)


def handed_over(env: Environment, outcome: str) -> list[str]:
    """The messages that the extractor was given with this outcome."""
    return [
        message for handover in env.history.handovers if handover.outcome == outcome for message in handover.messages
    ]


def _number(name: str) -> int:
    return int(name.rpartition("_")[2])
