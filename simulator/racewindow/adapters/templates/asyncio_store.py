"""MyStore under racewindow: asyncio code, whose blocking calls run in threads. Put your store's own calls where a comment says so."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import racewindow as rw


class MyStore(rw.SessionStore):
    """MyStore: a database behind asyncio.to_thread, one lock."""

    name = "my_store.py:MyStore"  # tokens find the class by this name
    host = "asyncio"
    # Claim what your store promises, and nothing else: only that is judged. Here a commit is no background task, and power is never lost.
    capabilities = rw.Capabilities(background=False, durable=False, storage=False)

    async def load(self) -> MyHandle:
        return MyHandle(self.env)  # a new handle on the session, loaded from storage

    @classmethod
    def observe(cls, env: rw.Environment) -> rw.Observation:
        """What is in storage, read without the store's code: how else could it be told what the store gets wrong?"""
        database = Database.of(env)
        archives = [
            rw.Archive(number=number, messages=messages, state="extracted")
            for number, messages in enumerate(database.archives, start=1)
        ]
        return rw.Observation(live=database.live, archives=tuple(archives))


@dataclass
class Database:
    """Stands for your store's database, whose calls block."""

    live: tuple[str, ...] = ()
    archives: tuple[tuple[str, ...], ...] = ()

    @classmethod
    def of(cls, env: rw.Environment) -> Database:
        found: Database = env.shared.setdefault(
            "my_store", cls()
        )  # one for all stores, and a new one in every schedule
        return found

    def read(self) -> tuple[str, ...]:
        return self.live

    def write(self, live: tuple[str, ...], *archived: tuple[str, ...]) -> None:
        self.live, self.archives = live, (*self.archives, *archived)  # one transaction


class MyHandle:
    """One loaded session object. A thread's work is a point, and its answer another: others may come in between."""

    def __init__(self, env: rw.Environment) -> None:
        self.env = env
        self.database = Database.of(env)

    async def add(self, message: str) -> None:
        async with self.env.disk.lock("session"):  # leave the lock out, and 'pytest' tells what is lost
            live = await asyncio.to_thread(self.database.read)  # your store's own read goes here
            await asyncio.to_thread(self.database.write, (*live, message))  # a message's text is its id

    async def reload(self) -> tuple[str, ...]:
        return await asyncio.to_thread(self.database.read)

    async def commit(self, *, wait: bool) -> rw.Ticket | None:
        async with self.env.disk.lock("session"):
            live = await asyncio.to_thread(self.database.read)
            if not live:
                return None  # nothing to commit
            await self.env.extract(live)  # the slow extractor, which keeps a ledger
            await asyncio.to_thread(self.database.write, (), live)  # archive and live are switched at once
        return rw.EndedTicket(self.env.serial("commit"))
