"""What the tests of the HTTP face share: a face without a socket, an extractor under control, storage that fails."""

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

pytest.importorskip("starlette", reason="pip install 'racewindow[server]'")
pytest.importorskip("hypercorn", reason="pip install 'racewindow[server]'")

import httpx

from oncestore import FsyncFailed, MemoryStorage, Message, open_store
from oncestore.server import create_app, digest

OpenFace = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]
FINDS_THE_SOURCE = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


class Extractor:
    """Can be held up, and told to fail."""

    def __init__(self) -> None:
        self.seen: list[list[str]] = []
        self.entered = trio.Event()
        self.gate: trio.Event | None = None
        self.failures = 0

    async def __call__(self, messages: Sequence[Message], key: str) -> str:
        self.seen.append([message.content for message in messages])
        self.entered.set()
        if self.gate is not None:
            await self.gate.wait()
        if self.failures:
            self.failures -= 1
            raise ConnectionError("the model is away")
        return " ".join(message.content for message in messages)


class FaultyStorage(MemoryStorage):
    """Memory that can be full, and can lose what it wrote."""

    def __init__(self) -> None:
        super().__init__()
        self.full = False
        self.unsure = False
        self.unreadable = False

    async def append(self, path: str, data: bytes) -> None:
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        await super().append(path, data)
        if self.unsure:
            raise FsyncFailed(errno.EIO, "Input/output error")

    async def write(self, path: str, data: bytes) -> None:
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        await super().write(path, data)

    async def make_directory(self, path: str) -> None:
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        await super().make_directory(path)

    async def list(self, path: str) -> list[str]:
        if self.unreadable:
            raise OSError(errno.EIO, "Input/output error", path)
        return await super().list(path)


@pytest.fixture
def extractor() -> Extractor:
    return Extractor()


@pytest.fixture
def faulty() -> FaultyStorage:
    return FaultyStorage()


@pytest.fixture
def open_face() -> OpenFace:
    """A client of a face on a store of its own, without a socket."""

    @asynccontextmanager
    async def open_face(
        storage: Any = None, extract: Any = digest, **options: Any
    ) -> AsyncGenerator[httpx.AsyncClient]:
        async with open_store(storage or MemoryStorage(), extract) as store:
            transport = httpx.ASGITransport(create_app(store, **options))
            async with httpx.AsyncClient(transport=transport, base_url="http://test/api/v1") as client:
                yield client

    return open_face


class Server:
    """``oncestore serve`` in a process of its own."""

    def __init__(self, root: Path, *options: str, environment: dict[str, str] | None = None) -> None:
        self.log = root.with_suffix(".log")
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "oncestore", "serve", str(root), "--port", "0", *options],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd=root.parent,
                env={**os.environ, **FINDS_THE_SOURCE, **(environment or {})},
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()  # or the end of the file, when it died
        found = re.fullmatch(r"oncestore serves .+ at (http://\S+)\n", line)
        assert found, (line, self.log.read_text())
        self.url = found[1]

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal, and wait for the end: the exit code."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        code = self.process.wait(timeout=60)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code


StartServer = Callable[..., Server]


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[StartServer]:
    """Starts servers on one root; those still running at the end are killed."""
    servers: list[Server] = []

    def start_server(*options: str, **more: Any) -> Server:
        servers.append(Server(tmp_path / "store", *options, **more))
        return servers[-1]

    yield start_server
    for server in servers:
        if server.process.poll() is None:
            server.stop(signal.SIGKILL)
