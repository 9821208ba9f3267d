"""MyStore under racewindow: synchronous code on real files and threads. Put your store's own calls where a comment says so."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import racewindow as rw


class MyStore(rw.SynchronousStore):
    """MyStore: one JSON file, one lock file."""

    name = "my_store.py:MyStore"  # tokens find the class by this name
    # Claim what your store promises, and nothing else: only that is judged. Here a commit is no background task, and power is never lost.
    capabilities = rw.Capabilities(background=False, durable=False, storage=False)

    def session(self) -> MyHandle:
        return MyHandle(self)  # a new handle on the session, loaded from storage

    @classmethod
    def observe(cls, env: rw.Environment) -> rw.Observation:
        """What is in storage, read without the store's code: how else could it be told what the store gets wrong?"""
        file = env.world.directory() / "session.json"
        state = json.loads(file.read_text()) if file.exists() else {"live": [], "archives": []}
        archives = [
            rw.Archive(number=number, messages=tuple(messages), state="extracted")
            for number, messages in enumerate(state["archives"], start=1)
        ]
        return rw.Observation(live=tuple(state["live"]), archives=tuple(archives))


class MyHandle:
    """One loaded session object. Locks, queues, sleeps and calls into the file system are points: others may come in between."""

    def __init__(self, store: MyStore) -> None:
        self.store = store
        self.file: Path = store.directory / "session.json"

    def add(self, message: str) -> None:
        with self.locked():  # leave the lock out, and 'pytest' tells what is lost
            state = self.read()
            state["live"].append(message)  # a message's text is its id: hand it on as it is
            self.write(state)

    def reload(self) -> list[str]:
        return list(self.read()["live"])

    def commit(self, *, wait: bool) -> rw.EndedTicket | None:
        with self.locked():
            state = self.read()
            if not state["live"]:
                return None  # nothing to commit
            self.store.extract(state["live"])  # the slow extractor, which keeps a ledger
            state["archives"].append(state["live"])
            state["live"] = []
            self.write(state)  # archive and live are switched by one rename
        return rw.EndedTicket(self.store.env.serial("commit"))

    @contextmanager
    def locked(self) -> Iterator[None]:
        with self.file.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def read(self) -> dict[str, Any]:
        return dict(json.loads(self.file.read_text())) if self.file.exists() else {"live": [], "archives": []}

    def write(self, state: dict[str, Any]) -> None:
        fresh = self.file.with_suffix(".new")
        fresh.write_text(json.dumps(state))
        fresh.replace(self.file)  # whoever reads meanwhile sees the old or the new
