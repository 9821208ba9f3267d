"""A client of the HTTP contract: it knows paths and words, and nothing of who answers."""

from __future__ import annotations

import time
from collections import deque
from typing import Any

import httpx

from racewindow.errors import Unsupported
from racewindow.sessions.history import Archive, ArchiveState, Observation
from racewindow.sessions.implementation import Refused

_API = "/api/v1"
_KEPT = 2_000
_STATES: dict[str, ArchiveState] = {
    "accepted": "pending",
    "running": "pending",
    "completed": "extracted",
    "failed": "failed",
}


class Lost(Exception):
    """The connection ended without an answer: it may have been done or not."""


class Failed(Exception):
    """The server answered with an error that is no refusal (5xx)."""


class ServerClient:
    """Speaks to one server. A message's id carries its session's, so that whoever sees it anywhere knows where it belongs.

    A server that has other paths or words for some of it is spoken to by a class derived from this one.

    Args:
        url: where it listens, without a path.
        token: bearer token, where it asks for one.
        timeout_s: for one answer, in seconds.

    Attributes:
        overheads_s: of the newest requests, the seconds that they spent on their way: outside of what the server says it took.
    """

    def __init__(self, url: str, *, token: str = "", timeout_s: float = 30.0) -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        # Not through a proxy of the environment: what is measured is this server.
        self._http = httpx.AsyncClient(base_url=url, headers=headers, timeout=timeout_s, trust_env=False)
        self.url = url
        self.overheads_s: deque[float] = deque(maxlen=_KEPT)

    async def close(self) -> None:
        await self._http.aclose()

    async def alive(self) -> bool:
        """Whether anybody answers."""
        try:
            await self._http.get("/healthz")
        except httpx.TransportError:
            return False
        return True

    async def create(self, session: str) -> None:
        await self.ask("POST", f"{_API}/sessions", {"session_id": session})

    async def delete(self, session: str) -> None:
        await self.ask("DELETE", f"{_API}/sessions/{session}")

    async def add(self, session: str, message: str) -> None:
        body = {"role": "user", "content": message, "message_id": f"{session}.{message}"}
        await self.ask("POST", f"{_API}/sessions/{session}/messages", body)

    async def live(self, session: str) -> tuple[str, ...]:
        """The ids of the live messages."""
        return self._ids(await self.ask("GET", f"{_API}/sessions/{session}/messages"), session)

    async def commit(self, session: str, *, wait: bool) -> str | None:
        """The task's id; None when there was nothing to commit."""
        answer = await self.ask("POST", f"{_API}/sessions/{session}/commit?wait={'true' if wait else 'false'}")
        if _member(answer, "status", self.url) == "skipped":
            return None
        return str(_member(answer, "task_id", self.url))

    async def status(self, task: str) -> str:
        """A task's status."""
        return str(_member(await self.ask("GET", f"{_API}/tasks/{task}"), "status", self.url))

    async def observe(self, session: str) -> Observation:
        """What is live and what is archived, in as many requests as that takes: of a session that is at rest."""
        path = f"{_API}/sessions/{session}"
        count = _member(await self.ask("GET", path), "archive_count", self.url)
        archives = []
        for number in range(1, int(count) + 1):
            found = await self.ask("GET", f"{path}/archives/{number}")
            status = str(_member(found, "status", self.url))
            archives.append(
                Archive(
                    number=number,
                    messages=self._ids(_member(found, "messages", self.url), session),
                    state=_STATES.get(status, "pending"),
                    task=str(found.get("task_id") or ""),
                )
            )
        return Observation(live=await self.live(session), archives=tuple(archives))

    async def handovers(self, session: str) -> list[dict[str, Any]] | None:
        """What the extractor was handed, where the server tells (as ``serve-design`` does); else None."""
        try:
            told = await self.ask("GET", f"{_API}/sessions/{session}/handovers")
        except Refused:
            return None
        return [{**each, "messages": [own_id(id, session) for id in each["messages"]]} for each in told]

    async def latencies_s(self) -> dict[str, list[float]]:
        """How long the server's points took, where it tells (as ``serve-design`` does); else nothing."""
        try:
            return dict(await self.ask("GET", "/latencies"))
        except Refused:
            return {}

    def _ids(self, messages: Any, session: str) -> tuple[str, ...]:
        if not isinstance(messages, list):
            raise Unsupported(f"{self.url} answered {messages!r}, where the session API has a list of messages")
        return tuple(own_id(str(_member(message, "message_id", self.url)), session) for message in messages)

    async def ask(self, method: str, path: str, body: object = None) -> Any:
        """Send a request, and return the answer's ``result``.

        Args:
            method: of HTTP.
            path: under the server's URL.
            body: sent as JSON.

        Raises:
            Lost: the connection ended without an answer.
            Failed: the server answered with an error of its own (5xx).
            Refused: it answered with another error.
            Unsupported: what it answered is not the session API.
        """
        try:
            began_s = time.monotonic()
            response = await self._http.request(method, path, json=body)
            took_s = time.monotonic() - began_s
        except httpx.TransportError as error:
            raise Lost(f"{method} {path}: {type(error).__name__}") from error
        try:
            answer = response.json()
            if answer["status"] == "ok" and response.is_success:
                self.overheads_s.append(max(0.0, took_s - float(answer.get("time", took_s))))
                return answer["result"]
            reason = f"{answer['error']['code']}: {answer['error']['message']}"
        except (ValueError, KeyError, TypeError) as error:
            raise Unsupported(
                f"{self.url} answered {method} {path} with {response.status_code} and {response.text[:200]!r}, which is not the "
                "session API: is it the right URL?"
            ) from error
        if response.is_server_error:
            raise Failed(reason)
        raise Refused(reason, busy=response.status_code == httpx.codes.CONFLICT)


def own_id(id: str, session: str) -> str:
    """A message's id as its scenario has it."""
    return id.removeprefix(f"{session}.")


def _member(answer: Any, name: str, url: str) -> Any:
    if not isinstance(answer, dict) or name not in answer:
        raise Unsupported(f"{url} answered {answer!r}, without {name!r}, which the session API has there")
    return answer[name]
