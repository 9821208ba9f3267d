"""MyStore under racewindow: trio code on the simulated disk. Put your store's own calls where a comment says so."""

from __future__ import annotations

import json
from typing import Any

import racewindow as rw

FILE = "my_store.json"


class MyStore(rw.SessionStore):
    """MyStore: one file, one lock."""

    name = "my_store.py:MyStore"  # tokens find the class by this name
    # Claim what your store promises, and nothing else: only that is judged. Here a commit is no background task, and writes are not synced.
    capabilities = rw.Capabilities(background=False, durable=False)

    async def load(self) -> MyHandle:
        return MyHandle(self.env)  # a new handle on the session, loaded from storage

    @classmethod
    def observe(cls, env: rw.Environment) -> rw.Observation:
        """What is in storage, read without the store's code: how else could it be told what the store gets wrong?"""
        state = json.loads(env.disk.peek(FILE) or b'{"live": [], "archives": []}')
        archives = [
            rw.Archive(number=number, messages=tuple(messages), state="extracted")
            for number, messages in enumerate(state["archives"], start=1)
        ]
        return rw.Observation(live=tuple(state["live"]), archives=tuple(archives))


class MyHandle:
    """One loaded session object. Every call of the disk is a point: others may come in between."""

    def __init__(self, env: rw.Environment) -> None:
        self.env = env

    async def add(self, message: str) -> None:
        async with self.env.disk.lock("session"):  # leave the lock out, and 'pytest' tells what is lost
            state = await self.read()
            state["live"].append(message)  # a message's text is its id: hand it on as it is
            await self.write(state)

    async def reload(self) -> list[str]:
        return list((await self.read())["live"])

    async def commit(self, *, wait: bool) -> rw.Ticket | None:
        async with self.env.disk.lock("session"):
            state = await self.read()
            if not state["live"]:
                return None  # nothing to commit
            await self.env.extract(state["live"])  # the slow extractor, which keeps a ledger
            state["archives"].append(state["live"])
            state["live"] = []
            await self.write(state)  # archive and live are switched by one write
        return rw.EndedTicket(self.env.serial("commit"))

    async def read(self) -> dict[str, Any]:
        try:
            return dict(json.loads(await self.env.disk.read(FILE)))  # your store's own read goes here
        except FileNotFoundError:
            return {"live": [], "archives": []}

    async def write(self, state: dict[str, Any]) -> None:
        await self.env.disk.write(FILE, json.dumps(state).encode())  # ... and its own write here
