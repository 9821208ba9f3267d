"""Servers that run in the test's own process: the reference, and designs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from oncestore.server import serve
from racewindow.implementations import implementation
from racewindow.servers import Fleet, connect
from racewindow.servers.ledger import extract
from racewindow.serving import serve_design

Serving = Callable[..., Any]


@asynccontextmanager
async def _running(work: Callable[..., Awaitable[None]]) -> AsyncIterator[str]:
    """The URL of a server that runs as long as the block does."""
    send, receive = trio.open_memory_channel[str](1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(work, ready=send.send_nowait))
        with trio.fail_after(30):
            url = await receive.receive()
        yield url
        nursery.cancel_scope.cancel()


@pytest.fixture
def design(tmp_path: Path) -> Serving:
    """``async with design(name, latencies) as fleet``."""

    @asynccontextmanager
    async def serving(name: str, latency_s: dict[str, float] | None = None) -> AsyncIterator[Fleet]:
        work = partial(serve_design, implementation(name), tmp_path / "root", latency_s=latency_s)
        async with _running(work) as url, connect([url]) as fleet:
            yield fleet

    return serving


async def _extract(messages: Any, key: str) -> str:
    return await trio.to_thread.run_sync(extract, messages, key)


@pytest.fixture
def reference(tmp_path: Path) -> Serving:
    """``async with reference() as fleet``."""

    @asynccontextmanager
    async def serving() -> AsyncIterator[Fleet]:
        work = partial(serve, tmp_path / "reference", _extract, port=0)
        async with _running(work) as url, connect([url]) as fleet:
            yield fleet

    return serving
