"""A background commit, as whoever asked for it sees it."""

from __future__ import annotations

from racewindow.sessions.implementation import Environment


class Task:
    """A background commit. Where it is kept, and so who knows of it after a restart, is the design's business."""

    def __init__(self, env: Environment, id: str) -> None:
        self.id = id
        self.messages: tuple[str, ...] = ()
        self._env = env
        self._status = "accepted"
        self._ended = env.world.event()

    @property
    def ended(self) -> bool:
        return self._status in ("completed", "failed")

    def begin(self) -> None:
        if not self.ended:
            self._status = "running"

    def end(self, status: str) -> None:
        """The first end counts: work that is done again has nothing to add."""
        if not self.ended:
            self._status = status
            self._env.world.note(f"{self.id} {status}")
            self._ended.set()

    async def wait(self) -> str:
        await self._env.world.wait(self._ended, "task.end")
        return self._status

    async def status(self) -> str:
        return self._status


class Tasks:
    """A register of tasks: of one process, or a service of the storage."""

    def __init__(self, env: Environment) -> None:
        self._env = env
        self._known: dict[str, Task] = {}

    def create(self, id: str) -> Task:
        """The task of that id; a new one if there is none."""
        return self._known.setdefault(id, Task(self._env, id))

    def find(self, id: str) -> Task | None:
        return self._known.get(id)

    @property
    def running(self) -> bool:
        """Whether any has not ended."""
        return any(not task.ended for task in self._known.values())
