"""The HTTP face of a design: the same paths and words as those of ``oncestore serve``, so that one client speaks to both."""

from __future__ import annotations

import json
import logging
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from racewindow.serving._sessions import IDS, Served, Sessions
from racewindow.sessions.history import ENDED
from racewindow.sessions.implementation import Refused, Ticket

_logger = logging.getLogger("racewindow.serving")
_BODY_MOST_BYTES = 1 << 20


class _Problem(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


def create_app(sessions: Sessions) -> Starlette:
    """The application for a set of sessions."""

    def route(path: str, **methods: Callable[[Request], Awaitable[object]]) -> Route:
        async def answer(request: Request) -> Response:
            began = time.monotonic()
            try:
                status, body = 200, {"status": "ok", "result": await methods[request.method](request)}
            except _Problem as problem:
                status, body = problem.status, _error(problem.code, str(problem))
            except Refused as refusal:
                status, body = 409, _error("CONFLICT", str(refusal))
            except Exception as error:  # the design's own: what its client would see
                _logger.warning("%s %s: %s: %s", request.method, request.url.path, type(error).__name__, error)
                status, body = 500, _error("INTERNAL", f"{type(error).__name__}: {error}")
            return JSONResponse({**body, "time": time.monotonic() - began}, status_code=status)

        return Route(path, answer, methods=list(methods))

    def served(request: Request) -> Served:
        found = sessions.get(request.path_params["id"])
        if found is None:
            raise _Problem(404, "NOT_FOUND", f"there is no session {request.path_params['id']!r}; create it first")
        return found

    async def health(_: Request) -> object:
        return {"healthy": True}

    async def create(request: Request) -> object:
        given = (await _body(request)).get("session_id")
        id = f"s{secrets.token_hex(8)}" if given is None else _id("session_id", given)
        if await sessions.create(id) is None:
            raise _Problem(409, "ALREADY_EXISTS", f"the session {id!r} exists; choose another id, or leave it out")
        return {"session_id": id}

    async def list_ids(_: Request) -> object:
        return sessions.ids()

    async def describe(request: Request) -> object:
        one = served(request)
        seen = one.observe()
        return {
            "session_id": one.id,
            "message_count": len(seen.live),
            "archive_count": max((archive.number for archive in seen.archives), default=0),
            "pending_commits": await one.pending(),
        }

    async def delete(request: Request) -> object:
        one = served(request)
        if await one.pending():
            raise _Problem(409, "CONFLICT", "a commit is pending; wait for its task")
        sessions.delete(one)
        return {"session_id": one.id}

    async def add(request: Request) -> object:
        one, body = served(request), await _body(request)
        role, content = (_text(name, body.get(name)) for name in ("role", "content"))
        given = body.get("message_id")
        id = f"m{secrets.token_hex(8)}" if given is None else _id("message_id", given)
        with one.engine.acting("client", ""):
            handle = await one.load()
            one.engine.current.operation = "add"
            await handle.add(id)
        one.contents[id] = role, content
        return _message(one, id)

    async def live(request: Request) -> object:
        one = served(request)
        with one.engine.acting("client", "reload"):
            return [_message(one, id) for id in await (await one.load()).reload()]

    async def commit(request: Request) -> object:
        one = served(request)
        wait = request.query_params.get("wait", "false")
        if wait not in ("true", "false"):
            raise _Problem(400, "INVALID_ARGUMENT", f"wait is {wait!r}; it has to be 'true' or 'false'")
        request_name = f"request{len(one.commits) + 1}"
        one.commits[request_name] = ""
        with one.engine.acting(request_name, ""):
            handle = await one.load()
            one.engine.current.operation = "commit"
            ticket = await handle.commit(wait=wait == "true")
        if ticket is None:
            return {"session_id": one.id, "status": "skipped", "task_id": None, "archive": None}
        one.commits[request_name] = ticket.id
        one.tickets[ticket.id] = ticket
        status = await ticket.status() if wait == "true" else "accepted"
        return {"session_id": one.id, "status": status, "task_id": ticket.id, "archive": None}

    async def task(request: Request) -> object:
        found = sessions.find_task(request.path_params["task"])
        if found is None:
            raise _Problem(404, "NOT_FOUND", f"there is no task {request.path_params['task']!r}")
        return await _described(*found)

    async def archive(request: Request) -> object:
        one, number = served(request), request.path_params["number"]
        found = next((each for each in one.observe().archives if str(each.number) == number), None)
        if found is None:
            raise _Problem(404, "NOT_FOUND", f"there is no archive {number!r} in session {one.id!r}")
        extracted = f"SUM({', '.join(found.messages)})" if found.state == "extracted" else None
        return {
            "session_id": one.id,
            "archive": found.number,
            "status": {"extracted": "completed", "failed": "failed", "pending": "accepted"}[found.state],
            "messages": [_message(one, id) for id in found.messages],
            "extracted": extracted,
        }

    async def handovers(request: Request) -> object:
        one = served(request)
        return [
            {
                "messages": list(handover.messages),
                "outcome": handover.outcome,
                # Of the request whose own background work called the extractor; "" where a consumer of a queue did.
                "task_id": one.commits.get(handover.client, ""),
            }
            for handover in one.env.history.handovers
        ]

    async def latencies(_: Request) -> object:
        return {label: list(durations) for label, durations in sorted(sessions.times.measured_s.items())}

    api = "/api/v1"
    return Starlette(
        routes=[
            route("/healthz", GET=health),
            route(f"{api}/sessions", GET=list_ids, POST=create),
            route(f"{api}/sessions/{{id}}", GET=describe, DELETE=delete),
            route(f"{api}/sessions/{{id}}/messages", GET=live, POST=add),
            route(f"{api}/sessions/{{id}}/commit", POST=commit),
            route(f"{api}/sessions/{{id}}/archives/{{number}}", GET=archive),
            route(f"{api}/sessions/{{id}}/handovers", GET=handovers),
            route(f"{api}/tasks/{{task}}", GET=task),
            route("/latencies", GET=latencies),
        ],
        exception_handlers={HTTPException: _refuse, Exception: _refuse},
    )


async def _refuse(_: Request, error: Exception) -> Response:
    if isinstance(error, HTTPException):
        code = {404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED"}.get(error.status_code, "INVALID_ARGUMENT")
        return JSONResponse({**_error(code, str(error.detail)), "time": 0.0}, status_code=error.status_code)
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return JSONResponse({**_error("INTERNAL", f"{type(error).__name__}: {error}"), "time": 0.0}, status_code=500)


def _error(code: str, message: str) -> dict[str, Any]:
    return {"status": "error", "error": {"code": code, "message": message, "details": {}}}


async def _body(request: Request) -> dict[str, Any]:
    data = b""
    async for piece in request.stream():
        data = (data + piece)[: _BODY_MOST_BYTES + 1]  # read to its end: a client that is cut off sees no answer
    if len(data) > _BODY_MOST_BYTES:
        raise _Problem(400, "INVALID_ARGUMENT", f"the body is larger than {_BODY_MOST_BYTES} bytes")
    try:
        body = json.loads(data or b"{}")
    except ValueError as error:
        raise _Problem(400, "INVALID_ARGUMENT", f"the body is no JSON: {error}") from error
    if not isinstance(body, dict):
        raise _Problem(400, "INVALID_ARGUMENT", "the body has to be a JSON object")
    return body


def _id(name: str, value: object) -> str:
    if not isinstance(value, str) or not IDS.fullmatch(value):
        raise _Problem(400, "INVALID_ARGUMENT", f"{name} is {value!r}; it has to be 1 to 128 of A-Z a-z 0-9 . _ -")
    return value


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise _Problem(400, "INVALID_ARGUMENT", f"{name} is {value!r}; it has to be text")
    return value


def _message(served: Served, id: str) -> dict[str, str]:
    # A design writes down ids only: what a message said is known to this life of the server.
    role, content = served.contents.get(id, ("unknown", id))
    return {"message_id": id, "role": role, "content": content}


async def _described(served: Served, ticket: Ticket) -> dict[str, object]:
    status = await ticket.status()
    described: dict[str, object] = {"task_id": ticket.id, "session_id": served.id, "archive": None, "status": status}
    if status in ENDED and status == "failed":
        described["error"] = "the commit failed"
    return described
