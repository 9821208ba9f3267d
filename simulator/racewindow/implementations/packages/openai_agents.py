"""openai-agents: its ``SQLiteSession`` inside its ``OpenAIResponsesCompactionSession``, on the controlled asyncio loop.

A commit is a manual compaction. The package reads the session, has the service compact what it read (here a fake that answers
``SUM(ids)``; the real one answers with an encrypted item, and keeps the user's messages), reads it again, deletes everything, and
writes the answer: four calls to SQLite in worker threads, and one to the service. One wrapper serialises its own changes by an
``asyncio.Lock``; two wrappers on one session share nothing but the rows.

What it takes to put it under control, and is pinned by tests/packages/test_openai_agents.py: the names ``asyncio`` and ``sqlite3`` in
the module of ``SQLiteSession`` (its calls to threads get labels, its connections come from a pool), and ``SQLiteSession._lock``, which
is one for each file *in a process*: two stores are two processes here, so each gets its own.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, closing
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache
from types import SimpleNamespace
from typing import Any

from racewindow.errors import Unsupported
from racewindow.implementations.packages import PACKAGES
from racewindow.implementations.packages._sqlite import Database, control, database
from racewindow.kernel.calls import controlled
from racewindow.sessions.capabilities import Capabilities
from racewindow.sessions.history import Observation
from racewindow.sessions.implementation import Environment, Handle, Refused, SessionStore

TRIED = ("0.22.1", "0.24.0")
"""The versions whose insides the contract test was run against."""

_TABLES = ("agent_messages", "agent_sessions")
_LABELS = {"get_items": "read", "add_items": "write", "clear_session": "clear"}
_operation: ContextVar[_Operation | None] = ContextVar("racewindow_openai_agents", default=None)


class OpenAIAgents(SessionStore):
    """openai-agents: SQLiteSession with manual compaction, on a real SQLite file."""

    name = "openai-agents"
    host = "asyncio"
    # No archives (a compaction replaces the rows) and no tasks (the adapter makes one for 'commit nowait'). Not durable: what a loss of
    # power does to the file is not modelled. A process crash is exact: every call is one transaction, and SQLite undoes a torn one.
    capabilities = Capabilities(background=False, tasks=False, archives=False, durable=False, storage=False)

    def __init__(self, env: Environment) -> None:
        super().__init__(env)
        self._package = package()
        self._schedule = _schedule(env)
        self._lock = threading.RLock()
        self._client = _Client(env)
        self._sessions: list[Any] = []

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        try:
            yield
        finally:
            for session in self._sessions:
                session.close()

    async def load(self) -> Handle:
        return OpenAIAgentsHandle(self)

    def open(self) -> Any:
        """The package's two objects for a session, the way its documentation makes them."""
        session = self._package.SQLiteSession(self.env.session, self._schedule.database.path)
        session._lock = self._lock
        self._sessions.append(session)
        return self._package.OpenAIResponsesCompactionSession(
            self.env.session, session, client=self._client, model="gpt-4.1", compaction_mode="input"
        )

    @classmethod
    def observe(cls, env: Environment) -> Observation:
        """The rows, read with plain SQL and none of the package's code."""
        return Observation(live=_schedule(env).rows(env.session))


class OpenAIAgentsHandle:
    """One wrapper, with one SQLite session in it."""

    def __init__(self, store: OpenAIAgents) -> None:
        self._store = store
        self._env = store.env
        self._wrapper = store.open()
        self._busy = 0

    async def add(self, message: str) -> None:
        await self._do(lambda wrapper: wrapper.add_items([{"role": "user", "content": message}]))

    async def reload(self) -> Sequence[str]:
        """Read through new objects, and keep them, unless somebody else is just using the old ones.

        Clients that share a handle share its wrapper's lock; a reload that swapped it under a running commit would take the
        protection away that the package gives them.
        """
        fresh = self._store.open()
        items = await self._do(lambda _: fresh.get_items())
        if not self._busy:
            self._wrapper = fresh
        return [_text(item) for item in items]

    async def commit(self, *, wait: bool) -> OpenAIAgentsTicket:
        ticket = OpenAIAgentsTicket(self._env)
        if wait:
            await self._compact()
            ticket.end("completed")
            return ticket

        async def background() -> None:
            try:
                await self._compact()
            except Exception as error:
                self._env.world.note(f"compaction failed: {error}")
                ticket.end("failed")
            else:
                ticket.end("completed")

        self._env.background(background, "compaction")
        return ticket

    async def _compact(self) -> None:
        try:
            await self._do(lambda wrapper: wrapper.run_compaction({"force": True}))
        except _EmptyInput as error:
            raise Refused(str(error)) from error

    async def _do(self, call: Callable[[Any], Awaitable[Any]]) -> Any:
        token = _operation.set(_Operation(split=self._env.disk.granularity == "suspending"))
        self._busy += 1
        try:
            return await call(self._wrapper)
        finally:
            self._busy -= 1
            _operation.reset(token)


class OpenAIAgentsTicket:
    """A compaction, as a task. The package has none: the adapter made it."""

    messages: tuple[str, ...] = ()

    def __init__(self, env: Environment) -> None:
        self.id = env.serial("compaction")
        self._status = "running"
        self._ended = env.world.event()
        self._world = env.world

    def end(self, status: str) -> None:
        self._status = status
        self._ended.set()

    async def wait(self) -> str:
        await self._world.wait(self._ended, "ended")
        return self._status

    async def status(self) -> str:
        return self._status


# -- the service -------------------------------------------------------------------------------------------------------


class _EmptyInput(Exception):
    """The service refuses to compact nothing."""


class _Client:
    """What the wrapper needs of an ``AsyncOpenAI``: ``client.responses.compact(model=, input=)``."""

    def __init__(self, env: Environment) -> None:
        self._env = env
        self.responses = SimpleNamespace(compact=self._compact)

    async def _compact(self, *, model: str, input: list[dict[str, Any]], **options: Any) -> SimpleNamespace:
        if not input:
            raise _EmptyInput("there is nothing to compact")
        operation = _operation.get()
        assert operation is not None
        operation.extracted = True
        text = await self._env.extract([_text(item) for item in input])
        part = {"type": "output_text", "text": text, "annotations": []}
        message = {"type": "message", "role": "assistant", "status": "completed", "content": [part]}
        return SimpleNamespace(output=[message], usage=None)


def _text(item: dict[str, Any]) -> str:
    content = item.get("content", "")
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


# -- the package -------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Operation:
    """The operation that is under way in this context.

    Attributes:
        split: whether threads' results arrive at points of their own.
        extracted: whether the service was asked, so that the next read is the second one.
    """

    split: bool
    extracted: bool = False


@dataclass(slots=True)
class _Schedule:
    """What one schedule's stores share."""

    database: Database = field(default_factory=database)

    def __post_init__(self) -> None:
        self.database.empty(_TABLES)

    def rows(self, session: str) -> tuple[str, ...]:
        query = "SELECT message_data FROM agent_messages WHERE session_id = ? ORDER BY id"
        with closing(self.database.connect()) as connection:
            return tuple(_text(json.loads(data)) for (data,) in connection.execute(query, (session,)))


def _schedule(env: Environment) -> _Schedule:
    schedule = env.shared.get(OpenAIAgents.name)
    if schedule is None:
        schedule = env.shared[OpenAIAgents.name] = _Schedule()
    assert isinstance(schedule, _Schedule)
    return schedule


def _label(function: str) -> str:
    """A name for what a thread does: the package's own function, or what it means in a compaction."""
    name = function.strip("_").removesuffix("_sync")
    operation = _operation.get()
    if name == "get_items" and operation is not None and operation.extracted:
        return "reread"
    return _LABELS.get(name, name)


def _split() -> bool:
    operation = _operation.get()
    return operation is None or operation.split


def _quietly(record: logging.LogRecord) -> bool:
    return not controlled()


@cache
def package() -> SimpleNamespace:
    """Import the package (seconds), and bring it under control.

    Raises:
        Unsupported: it is not installed, or is not what the adapter was written for.
    """
    # Read once, on first use: with tracing on, a thread of the package's own would try to send traces to its service.
    os.environ.setdefault("OPENAI_AGENTS_DISABLE_TRACING", "1")
    try:
        from agents.memory import openai_responses_compaction_session, sqlite_session
    except ImportError as error:
        line = PACKAGES[OpenAIAgents.name].install_line
        raise Unsupported(f"{OpenAIAgents.name} needs the package openai-agents ({error}): {line}") from error
    missing = [name for name in ("asyncio", "sqlite3", "SQLiteSession") if not hasattr(sqlite_session, name)]
    if missing:
        raise Unsupported(
            f"this openai-agents has no {', '.join(missing)} in agents.memory.sqlite_session; the adapter was tried with "
            f"{', '.join(TRIED)}: {PACKAGES[OpenAIAgents.name].install_line}"
        )
    control(sqlite_session, _label, split=_split)
    # A schedule that goes wrong on purpose is not worth a line on stderr; outside of the kernel the package logs as ever.
    for name in ("openai.agents", "openai-agents.openai.compaction"):
        logging.getLogger(name).addFilter(_quietly)
    return SimpleNamespace(
        SQLiteSession=sqlite_session.SQLiteSession,
        OpenAIResponsesCompactionSession=openai_responses_compaction_session.OpenAIResponsesCompactionSession,
    )
