"""A redo log: a marker for each extraction under way, so that one that died is done again at the next start."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

from racewindow.implementations.designs._model import Design, decode, handed_over
from racewindow.implementations.designs._task import Task
from racewindow.sessions.history import ArchiveState
from racewindow.sessions.implementation import Environment


class Redoing(Design):
    """A design with a redo log."""

    async def redo_pending(self, number: int, task: Task | None = None) -> str:
        """Note that A_n is about to be extracted, and give the marker back."""
        marker = f"redo/{self.env.serial('redo')}"
        content = f"{self.archive(number)} {task.id if task else ''}"
        await self.env.disk.write(marker, content.encode(), label="redo.pending")
        return marker

    async def redo_done(self, marker: str) -> None:
        """Forget the marker; that somebody else has done so is no error."""
        with suppress(FileNotFoundError):
            await self.env.disk.remove(marker, label="redo.done")

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        # At start-up, each marker: extract again from A_n, swallow errors, forget the marker. Nothing else: no file, no task.
        for name in self.env.disk.names("redo"):
            with suppress(Exception):
                archive, _ = (await self.env.disk.read(f"redo/{name}", label="redo.read")).decode().split(" ")
                log = await self.env.disk.read(f"{archive}/messages.jsonl", label="archive.read")
                await self.env.extract(decode(log))
            await self.redo_done(f"redo/{name}")
        yield

    @classmethod
    def archive_state(cls, env: Environment, path: str, messages: Sequence[str]) -> ArchiveState:
        state = super().archive_state(env, path, messages)
        failed = set(messages) <= set(handed_over(env, "failed"))
        return "failed" if state == "pending" and failed and _marker_of(env, path) else state

    @classmethod
    def archive_task(cls, env: Environment, path: str) -> str:
        return _marker_of(env, path).partition(" ")[2]


def _marker_of(env: Environment, path: str) -> str:
    """What the marker of an archive says; nothing where it has none."""
    markers = ((env.disk.peek(f"redo/{name}") or b"").decode() for name in env.disk.names("redo"))
    return next((marker for marker in markers if marker.partition(" ")[0] == path), "")
