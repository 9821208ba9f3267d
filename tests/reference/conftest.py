"""What the tests of the store share: the storages, an extractor under control, deterministic ids and clock."""

import itertools
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
import trio

from oncestore import DirectoryStorage, MemoryStorage, Message, SessionStore, SqliteStorage, Storage, open_store

Open = Callable[..., AbstractAsyncContextManager[SessionStore]]


class Extractor:
    """Remembers what it was handed. It can be held up, and told to fail."""

    def __init__(self) -> None:
        self.calls: list[tuple[list[str], str]] = []
        self.entered = trio.Event()
        self.gate: trio.Event | None = None
        self.failures = 0

    @property
    def seen(self) -> list[list[str]]:
        return [ids for ids, _ in self.calls]

    async def __call__(self, messages: Sequence[Message], key: str) -> str:
        self.calls.append(([message.id for message in messages], key))
        self.entered.set()
        if self.gate is not None:
            await self.gate.wait()
        if self.failures:
            self.failures -= 1
            raise ConnectionError("the model is away")
        return " ".join(message.content for message in messages)


@pytest.fixture
def extractor() -> Extractor:
    return Extractor()


@pytest.fixture(params=["memory", "directory", "sqlite"])
def new_storage(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Storage]:
    if request.param == "memory":
        return MemoryStorage
    names = itertools.count(1)

    def new_storage() -> Storage:
        root = tmp_path / str(next(names))
        if request.param == "sqlite":
            return SqliteStorage(root)
        root.mkdir()
        return DirectoryStorage(root)

    return new_storage


@pytest.fixture
def storage(new_storage: Callable[[], Storage]) -> Storage:
    return new_storage()


@pytest.fixture
def reopen(storage: Storage, extractor: Extractor) -> Open:
    """Opens one more store on the storage of this test."""
    ids, ticks = itertools.count(1), itertools.count(1)

    def reopen(on: Storage = storage, **options: Any) -> AbstractAsyncContextManager[SessionStore]:
        options = {"extract": extractor} | options
        return open_store(on, make_id=lambda: f"id{next(ids)}", clock=lambda: float(next(ticks)), **options)

    return reopen
