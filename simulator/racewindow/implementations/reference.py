"""The reference store, ``oncestore``, on the simulated disk.

The adapter adds nothing to the protocol: it opens the real store on a simulated storage, hands it ids instead of random numbers and
virtual time instead of the clock, and reads the files by itself when somebody wants to know what is in them.
"""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import ClassVar

import oncestore
from oncestore._extraction import Extraction
from oncestore._ids import Ids
from oncestore._live import Live, _Entry, _State
from oncestore._log import LogReader
from oncestore._task import Progress
from racewindow.disk import Disk
from racewindow.implementations.disk_storage import DiskStorage
from racewindow.sessions.capabilities import Capabilities
from racewindow.sessions.history import ENDED, Archive, ArchiveState, Observation
from racewindow.sessions.implementation import Environment, Handle, SessionStore

_WATCHED = (
    *(oncestore.SessionStore, oncestore.Session, oncestore.CommitTask, DiskStorage),
    *(Live, _State, _Entry, Extraction, Progress, Ids, LogReader),
)
logging.getLogger("oncestore").addHandler(
    logging.NullHandler()
)  # what it warns of, it would warn of in thousands of schedules
_TAKEOVER_S = 3000.0  # within the virtual hour that a store is given to come to rest


class Reference(SessionStore):
    """Reference: commit claims by one rename under the session's lock, extracts once, records by one replace."""

    name = "reference"
    watched = True
    capabilities = Capabilities(context=True, retries=True)
    store_type: ClassVar[type[oncestore.SessionStore]] = oncestore.SessionStore

    def __init__(self, env: Environment) -> None:
        super().__init__(env)
        self._store: oncestore.SessionStore | None = None

    @classmethod
    def storage(cls, disk: Disk) -> oncestore.Storage:
        """What the store writes to; mutants put something in between."""
        return DiskStorage(disk)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        self.env.world.watch(*_WATCHED, trusted=(Disk,))
        async with oncestore.open_store(
            self.storage(self.env.disk),
            self._extract,
            make_id=self._make_id,
            clock=lambda: self.env.clock,
            takeover_s=_TAKEOVER_S,
            store_type=self.store_type,
        ) as store:
            with suppress(oncestore.AlreadyExists):
                await store.create(self.env.session)
            self._store = store
            yield

    def _make_id(self) -> str:
        """Numbered per task: a common number would make the order in which tasks make ids matter."""
        return self.env.serial(self.env.world.task.name)

    async def _extract(self, messages: Sequence[oncestore.Message], key: str) -> str:
        return await self.env.extract([message.content for message in messages], key=key)

    async def load(self) -> Handle:
        assert self._store is not None, "the store is loaded from after it was opened"
        handle = ReferenceHandle(self._store, self._store.session(self.env.session))
        await handle.reload()
        return handle

    async def task(self, id: str) -> ReferenceTicket | None:
        assert self._store is not None, "the store is asked after it was opened"
        with suppress(oncestore.UnknownTask):
            return ReferenceTicket(self._store, await self._store.task(id))
        return None

    @classmethod
    def observe(cls, env: Environment) -> Observation:
        home = f"sessions/{env.session}"
        numbers = sorted(int(name) for name in env.disk.names(f"{home}/archives"))
        return Observation(
            live=_messages(env.disk, f"{home}/live"),
            archives=tuple(_archive(env, f"{home}/archives/{number}", number) for number in numbers),
        )


class ReferenceHandle:
    """One handle of the reference store."""

    def __init__(self, store: oncestore.SessionStore, session: oncestore.Session) -> None:
        self._store = store
        self._session = session

    async def add(self, message: str) -> None:
        await self._session.add("user", message)

    async def add_once(self, message: str) -> None:
        await self._session.add("user", message, message_id=message)

    async def commit(self, *, wait: bool) -> ReferenceTicket | None:
        task = await self._session.commit(wait=wait)
        return None if task.status == "skipped" else ReferenceTicket(self._store, task)

    async def reload(self) -> tuple[str, ...]:
        return tuple(message.content for message in await self._session.reload())

    async def context(self) -> tuple[str, ...]:
        """Live first: what a commit takes away in between is in an archive by then."""
        live = await self.reload()
        archives = range(1, (await self._session.info()).archives + 1)
        told = [message.content for number in archives for message in await self._session.archive(number)]
        return (*told, *live)


class ReferenceTicket:
    """A commit of the reference store."""

    messages: tuple[str, ...] = ()

    def __init__(self, store: oncestore.SessionStore, task: oncestore.CommitTask) -> None:
        self._store = store
        self._task = task
        self.id = task.id

    async def wait(self) -> str:
        return await self._task.wait()

    async def status(self) -> str:
        if self._task.status in ENDED:
            return self._task.status
        return (await self._store.task(self.id)).status  # whoever was interrupted is not told that another one went on


def _messages(disk: Disk, directory: str) -> tuple[str, ...]:
    """The ids in a log, read without the store's help; a line without an end is no message, and neither is one that is torn."""
    *lines, _ = (disk.peek(f"{directory}/messages.jsonl") or b"").split(b"\n")
    found = []
    for line in lines:
        with suppress(ValueError):
            found.append(str(json.loads(line)["content"]))
    return tuple(found)


def _archive(env: Environment, path: str, number: int) -> Archive:
    names = env.disk.names(path)
    extracted = "extraction.json" in names
    state: ArchiveState = "extracted" if extracted else "failed" if "failure.json" in names else "pending"
    return Archive(
        number=number,
        messages=_messages(env.disk, path),
        state=state,
        effects=int(extracted),
        task=f"{env.session}:{number}",
    )
