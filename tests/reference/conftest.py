"""What the tests of the store share: the storages, an extractor under control, deterministic ids and clock."""

import itertools
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import trio

from oncestore import (
    AlreadyExists,
    DirectoryStorage,
    Lock,
    MemoryStorage,
    Message,
    SessionStore,
    SqliteStorage,
    Storage,
    open_store,
)

Open = Callable[..., AbstractAsyncContextManager[SessionStore]]


class Extractor:
    """Remembers what it was handed. It can be held up, and told to fail."""

    def __init__(self) -> None:
        self.calls: list[tuple[list[str], str]] = []
        self.entered = trio.Event()
        self._next = trio.Event()
        self.gate: trio.Event | None = None
        self.failures = 0

    @property
    def seen(self) -> list[list[str]]:
        return [ids for ids, _ in self.calls]

    async def handed(self, count: int) -> None:
        """Wait until there were so many calls."""
        while len(self.calls) < count:
            await self._next.wait()

    async def __call__(self, messages: Sequence[Message], key: str) -> str:
        self.calls.append(([message.id for message in messages], key))
        self.entered.set()
        self._next.set()
        self._next = trio.Event()
        if self.gate is not None:
            await self.gate.wait()
        if self.failures:
            self.failures -= 1
            raise ConnectionError("the model is away")
        return " ".join(message.content for message in messages)


class Watched:
    """A storage that tells of each call before it is made; whoever is told may wait, or raise."""

    def __init__(self, storage: Storage, told: Callable[[str], Awaitable[None]]) -> None:
        self.storage = storage
        self.told = told

    def __repr__(self) -> str:
        return f"<Watched {self.storage!r}>"

    async def make_root(self) -> None:
        await self.told("make_root")
        await self.storage.make_root()

    async def read(self, path: str) -> bytes:
        await self.told(f"read {path}")
        return await self.storage.read(path)

    async def chunks(self, path: str, start: int = 0) -> AsyncGenerator[bytes]:
        await self.told(f"chunks {path}")
        async with aclosing(self.storage.chunks(path, start)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def list(self, path: str) -> list[str]:
        await self.told(f"list {path}")
        return await self.storage.list(path)

    async def append(self, path: str, data: bytes) -> None:
        await self.told(f"append {path}")
        await self.storage.append(path, data)

    async def write(self, path: str, data: bytes) -> None:
        await self.told(f"write {path}")
        await self.storage.write(path, data)

    async def make_directory(self, path: str) -> None:
        await self.told(f"make_directory {path}")
        await self.storage.make_directory(path)

    async def rename(self, source: str, target: str) -> None:
        await self.told(f"rename {source} {target}")
        await self.storage.rename(source, target)

    async def remove(self, path: str) -> None:
        await self.told(f"remove {path}")
        await self.storage.remove(path)

    async def fsync_directory(self, path: str) -> None:
        await self.told(f"fsync_directory {path}")
        await self.storage.fsync_directory(path)

    @asynccontextmanager
    async def lock(self, path: str, *, wait: bool = True) -> AsyncGenerator[Lock]:
        await self.told(f"lock {path}")
        async with self.storage.lock(path, wait=wait) as lock:
            yield lock


@pytest.fixture
def extractor() -> Extractor:
    return Extractor()


@pytest.fixture
def watched() -> type[Watched]:
    return Watched


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
    """Opens one more store on the storage of this test, and makes the sessions where there are none."""
    ids, ticks = itertools.count(1), itertools.count(1)

    @asynccontextmanager
    async def reopen(
        on: Storage = storage, *, sessions: Sequence[str] = ("s",), **options: Any
    ) -> AsyncGenerator[SessionStore]:
        given: dict[str, Any] = {
            "extract": extractor,
            "make_id": lambda: f"id{next(ids)}",
            "clock": lambda: float(next(ticks)),
        }
        async with open_store(on, **(given | options)) as store:
            for session in sessions:
                with suppress(AlreadyExists):
                    await store.create(session)
            yield store

    return reopen
