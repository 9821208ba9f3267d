"""Synchronous stores: plain functions, real threads, real files.

What a scenario does is written in async words; on the thread host nothing of it suspends, so a synchronous store fits in by a handle
that does its waiting when it is called.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Protocol

from racewindow.kernel.hosts import Host
from racewindow.kernel.thread_host import finished
from racewindow.sessions.capabilities import Capabilities
from racewindow.sessions.implementation import EndedTicket, SessionStore, Ticket


class SynchronousTicket(Protocol):
    """A commit that was accepted. See :class:`~racewindow.Ticket`, of which this is the synchronous half."""

    @property
    def id(self) -> str: ...
    @property
    def messages(self) -> Sequence[str]: ...

    def wait(self) -> str:
        """Wait for the task's end, and give its status: ``completed`` or ``failed``."""

    def status(self) -> str:
        """Its status now: ``accepted``, ``running``, ``completed`` or ``failed``."""


class SynchronousHandle(Protocol):
    """One loaded session object, of plain functions. See :class:`~racewindow.Handle` for what they mean."""

    def add(self, message: str) -> None: ...
    def commit(self, *, wait: bool) -> SynchronousTicket | EndedTicket | None: ...
    def reload(self) -> Sequence[str]: ...


class SynchronousStore(SessionStore):
    """Base of implementations whose functions are not async: subclass it, give it a name, and say how a session is opened.

    Its threads are ``threading.Thread``; they live and die with the store. Locks, queues, sleeps and files are points by themselves. A
    thread cannot be cancelled, so scenarios with ``cancel`` do not apply.
    """

    host: ClassVar[Host] = "threads"
    capabilities: ClassVar[Capabilities] = Capabilities(durable=False, storage=False, cancel=False)

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.capabilities = replace(cls.capabilities, cancel=False)

    def start(self) -> None:
        """The store's process starts: where recovery happens, and background threads begin. Override where needed."""

    def session(self) -> SynchronousHandle:
        """A new handle on the session, loaded from storage."""
        raise NotImplementedError(f"{type(self).__name__} has to say how a session is opened: def session(self)")

    @property
    def directory(self) -> Path:
        """A directory on the real disk: the storage that all stores of a schedule share. Observers find it as ``env.world.directory()``."""
        return self.env.world.directory()

    def extract(self, messages: Sequence[str], *, key: str = "") -> str:
        """The slow extractor, see :meth:`Environment.extract`."""
        return finished(self.env.extract(messages, key=key))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        self.start()
        yield

    async def load(self) -> _Waiting:
        return _Waiting(self.session())


class _Waiting:
    """A handle that has done its waiting when it is awaited."""

    def __init__(self, handle: SynchronousHandle) -> None:
        self._handle = handle

    async def add(self, message: str) -> None:
        self._handle.add(message)

    async def commit(self, *, wait: bool) -> Ticket | None:
        ticket = self._handle.commit(wait=wait)
        return ticket if ticket is None or isinstance(ticket, EndedTicket) else _WaitingTicket(ticket)

    async def reload(self) -> Sequence[str]:
        return self._handle.reload()


class _WaitingTicket:
    """The ticket of such a handle."""

    def __init__(self, ticket: SynchronousTicket) -> None:
        self._ticket = ticket
        self.id = ticket.id

    @property
    def messages(self) -> Sequence[str]:
        return self._ticket.messages

    async def wait(self) -> str:
        return self._ticket.wait()

    async def status(self) -> str:
        return self._ticket.status()
