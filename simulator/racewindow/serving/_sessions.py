"""The sessions that a design serves: one folder each, opened when the server starts or when a client creates it."""

from __future__ import annotations

import logging
import re
import secrets
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import trio

from racewindow.errors import UsageError
from racewindow.kernel.world import World
from racewindow.serving._files import RealDisk
from racewindow.serving._wall import PointTimes, WallEngine
from racewindow.sessions.history import ENDED, Observation
from racewindow.sessions.implementation import Environment, Handle, SessionStore, Ticket

_logger = logging.getLogger("racewindow.serving")

IDS = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,128}")


class _Environment(Environment):
    """Ids have to differ from those of an earlier life of the server, and from those of other sessions."""

    def serial(self, kind: str) -> str:
        return f"{self.session}.{kind}-{secrets.token_hex(4)}"


@dataclass(slots=True, kw_only=True)
class Served:
    """One session that is open.

    Attributes:
        id: the session's.
        engine: the world of its store.
        env: what the store was given.
        store: the design at work.
        tickets: the commits that were accepted, by task id.
        commits: the task ids of the requests that asked for a commit, by the name under which the request acts.
        contents: role and content of each message by its id, for a design keeps ids only.
    """

    id: str
    engine: WallEngine
    env: Environment
    store: SessionStore
    scope: trio.CancelScope
    tickets: dict[str, Ticket] = field(default_factory=dict)
    commits: dict[str, str] = field(default_factory=dict)
    contents: dict[str, tuple[str, str]] = field(default_factory=dict)

    async def load(self) -> Handle:
        """A new handle, as each request has one."""
        return await self.store.load()

    def observe(self) -> Observation:
        """What is in the files."""
        return type(self.store).observe(self.env)

    async def pending(self) -> int:
        """Commits that have not ended."""
        return sum([await ticket.status() not in ENDED for ticket in self.tickets.values()])


class Sessions:
    """All sessions of a server.

    Args:
        design: what serves them.
        root: their folder.
        nursery: where their background work lives.
        times: how long points take.
    """

    def __init__(self, design: type[SessionStore], root: Path, nursery: trio.Nursery, times: PointTimes) -> None:
        self.times = times
        self._design = design
        self._root = root
        self._nursery = nursery
        self._open: dict[str, Served] = {}

    async def open_all(self) -> None:
        """Open what an earlier life of the server left, each with its design's recovery."""
        for folder in sorted(self._root.iterdir()):
            if folder.is_dir() and IDS.fullmatch(folder.name):
                await self._start(folder.name)

    def ids(self) -> list[str]:
        return sorted(self._open)

    def get(self, id: str) -> Served | None:
        return self._open.get(id)

    def find_task(self, task: str) -> tuple[Served, Ticket] | None:
        """A commit by its task's id; None when this life of the server knows of none."""
        served = self._open.get(task.rpartition(".")[0])
        ticket = served.tickets.get(task) if served is not None else None
        return None if served is None or ticket is None else (served, ticket)

    async def create(self, id: str) -> Served | None:
        """A new session; None when the id is taken."""
        folder = self._root / id
        if id in self._open or folder.exists():
            return None
        folder.mkdir()
        return await self._start(id)

    def delete(self, served: Served) -> None:
        """Stop its store, and erase its files."""
        served.scope.cancel()
        del self._open[served.id]
        shutil.rmtree(self._root / served.id, ignore_errors=True)

    async def _start(self, id: str) -> Served:
        return cast(Served, await self._nursery.start(self._keep_apart, id))

    async def _keep_apart(self, id: str, *, task_status: trio.TaskStatus[Any] = trio.TASK_STATUS_IGNORED) -> None:
        """A store whose background work fails takes its own session with it, and no other."""
        try:
            await self._keep(id, task_status)
        except Exception:
            if self._open.pop(id, None) is None:
                raise  # it never began: whoever asked for it is told
            _logger.exception("the store of session %s died", id)

    async def _keep(self, id: str, task_status: trio.TaskStatus[Any]) -> None:
        """The life of one session's store."""
        async with trio.open_nursery() as nursery:
            engine = WallEngine(nursery, self.times)
            world = World(cast(Any, engine))
            env = _Environment(world, cast(Any, RealDisk(world, self._root / id)), session=id)
            with engine.acting("store1", "open"):
                store = self._design(env)
                served = Served(id=id, engine=engine, env=env, store=store, scope=nursery.cancel_scope)
                async with store.running():
                    self._open[id] = served
                    task_status.started(served)
                    await trio.sleep_forever()


def check_root(root: Path) -> Path:
    """The folder, made where it is missing.

    Raises:
        UsageError: it cannot be used.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        next(root.iterdir(), None)
    except OSError as error:
        raise UsageError(
            f"cannot serve {root}: {error.strerror or error}; give a folder that can be written"
        ) from error
    return root
