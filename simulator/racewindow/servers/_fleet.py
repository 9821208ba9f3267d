"""The servers under test: some that run already, or some that are started here, and can be killed."""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trio

from racewindow.errors import Unsupported, UsageError
from racewindow.servers._client import ServerClient
from racewindow.servers.ledger import EXTRACT_S, LEDGER, Ledger

TOKEN = "RACEWINDOW_SERVER_TOKEN"
"""The environment variable with the bearer token of the servers under test."""

_START_S = 60.0
_STOP_S = 10.0


@dataclass(slots=True)
class _Server:
    """One server, and the process where it was started here."""

    client: ServerClient
    command: list[str] | None = None
    process: subprocess.Popen[bytes] | None = None


class Fleet:
    """One server, or several on the same storage. Use :func:`connect` or :func:`start`.

    Attributes:
        log: what the servers that were started here wrote.
        ledger: what their extractor wrote down, if it is ours.
    """

    def __init__(
        self, servers: Sequence[_Server], log: Path | None = None, ledger: Ledger | None = None, extract_s: float = 0.0
    ) -> None:
        self._servers = list(servers)
        self.log = log
        self.ledger = ledger
        self._extract_s = extract_s

    def __len__(self) -> int:
        return len(self._servers)

    @property
    def can_kill(self) -> bool:
        """Whether the processes are ours to kill."""
        return all(server.command is not None for server in self._servers)

    def client(self, number: int) -> ServerClient:
        """The client of a server."""
        return self._servers[number % len(self._servers)].client

    async def handovers(self, session: str) -> list[dict[str, Any]] | None:
        """What the extractor was handed for a session, in order; None where nobody tells.

        Each with ``messages``, ``outcome`` and ``task_id``, and where the extractor was ours with ``began_s`` and ``ended_s`` by
        the monotonic clock of this machine. A server may tell itself; one that was started here with
        :func:`racewindow.servers.ledger.extract` has a ledger.
        """
        if self.ledger is not None and self.ledger.used:
            return [{**entry, "outcome": "succeeded", "task_id": entry["key"]} for entry in self.ledger.take(session)]
        return await self.client(0).handovers(session)

    async def kill(self, number: int) -> None:
        """SIGKILL one server."""
        process = self._servers[number % len(self._servers)].process
        assert process is not None, "asked of servers that were started here"
        process.kill()
        await trio.to_thread.run_sync(process.wait)

    async def restart(self, number: int) -> None:
        """Start a server again where it was killed, and wait until it answers."""
        await self._begin(self._servers[number % len(self._servers)])

    async def _begin(self, server: _Server) -> None:
        assert server.command is not None
        assert self.log is not None
        try:
            with self.log.open("ab") as log:
                environment = {**os.environ, EXTRACT_S: str(self._extract_s)}
                if self.ledger is not None:
                    environment[LEDGER] = str(self.ledger.path)
                # Not trio's: a process of trio's would be killed with the task that waits for it.
                server.process = subprocess.Popen(  # noqa: ASYNC220 - starting takes no time
                    server.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment
                )
        except OSError as error:
            raise UsageError(f"cannot start {shlex.join(server.command)}: {error.strerror or error}") from error
        with trio.move_on_after(_START_S):
            while not await server.client.alive():
                if server.process.poll() is not None:
                    break
                await trio.sleep(0.02)
            else:
                return
        raise UsageError(
            f"{shlex.join(server.command)} does not answer at {server.client.url}; it wrote: "
            f"{self.log.read_text(errors='replace').strip()[-500:] or 'nothing'}"
        )

    async def _end(self) -> None:
        for server in self._servers:
            if server.process is not None:
                server.process.terminate()
        for server in self._servers:
            if server.process is not None:
                try:
                    await trio.to_thread.run_sync(server.process.wait, _STOP_S)
                except subprocess.TimeoutExpired:
                    server.process.kill()
            await server.client.close()


@asynccontextmanager
async def connect(
    urls: Sequence[str], *, token: str = "", client: type[ServerClient] = ServerClient
) -> AsyncIterator[Fleet]:
    """Servers that run already; several share one storage.

    Args:
        urls: where they listen.
        token: bearer token.
        client: what speaks to them.

    Raises:
        UsageError: a URL is none.
        Unsupported: nobody answers there.
    """
    for url in urls:
        if not url.startswith(("http://", "https://")):
            raise UsageError(f"{url!r} is no URL of a server: give http://host:port")
    fleet = Fleet([_Server(client(url.rstrip("/"), token=token)) for url in urls])
    try:
        for number, url in enumerate(urls):
            if not await fleet.client(number).alive():
                raise Unsupported(f"nobody answers at {url}: start the server, or give another URL")
        yield fleet
    finally:
        with trio.CancelScope(shield=True):
            await fleet._end()


@asynccontextmanager
async def start(
    command: str,
    *,
    processes: int = 1,
    token: str = "",
    extract_s: float = 0.0,
    client: type[ServerClient] = ServerClient,
) -> AsyncIterator[Fleet]:
    """Servers started for the occasion, on a new root that is removed in the end.

    Args:
        command: with ``{root}`` and ``{port}`` where those belong: ``oncestore serve {root} --port {port}``.
        processes: how many, all on the same root.
        token: bearer token.
        extract_s: mean seconds that an extraction takes, where the server's extractor is :func:`racewindow.servers.ledger.extract`.
        client: what speaks to them.

    Raises:
        UsageError: the command names no port, cannot be started, or does not answer.
    """
    if "{port}" not in command:
        raise UsageError(
            f"{command!r} has no {{port}}: say where the command takes the port, as in 'serve {{root}} --port {{port}}'"
        )
    if processes < 1:
        raise UsageError(f"processes={processes}: at least one")
    with tempfile.TemporaryDirectory(prefix="racewindow-server-") as folder:
        root, log = Path(folder) / "root", Path(folder) / "log"
        log.touch()
        servers = []
        for port in _free_ports(processes):
            words = [word.format(root=root, port=port) for word in shlex.split(command)]
            servers.append(_Server(client(f"http://127.0.0.1:{port}", token=token), words))
        fleet = Fleet(servers, log, Ledger(Path(folder) / "ledger.jsonl"), extract_s)
        try:
            for number in range(processes):
                await fleet.restart(
                    number
                )  # one after the other: the message of the first that fails is the one to read
            yield fleet
        finally:
            with trio.CancelScope(shield=True):
                await fleet._end()


def reach(
    target: str, *, processes: int = 1, token: str = "", extract_s: float = 0.0
) -> AbstractAsyncContextManager[Fleet]:
    """Servers as a person names them: URLs joined by commas, or a command line that starts one. Arguments and errors as above."""
    if target.startswith(("http://", "https://")):
        return connect(target.split(","), token=token)
    return start(target, processes=processes, token=token, extract_s=extract_s)


def name_of(target: str) -> str:
    """A short name for such servers: the URL, or the program and its first words."""
    if target.startswith(("http://", "https://")):
        return target
    words = [word for word in shlex.split(target) if "{" not in word and not word.startswith("-")]
    return " ".join([word.rpartition("/")[2] for word in words[:1]] + words[1:4])


def _free_ports(count: int) -> list[int]:
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [listener.getsockname()[1] for listener in listeners]
    finally:
        for listener in listeners:
            listener.close()
