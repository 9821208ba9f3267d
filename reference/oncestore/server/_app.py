"""The application: the table of operations as routes, behind the gate."""

from collections.abc import Mapping

import trio
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from oncestore._errors import StoreError
from oncestore._store import SessionStore

from ._answers import Refused, failure, refusal, success
from ._gate import Gate, Limits
from ._openapi import document
from ._operations import IN_PATH, OPERATIONS, Asked, Operation
from ._requests import Call, check_body, check_query


def create_app(
    store: SessionStore, *, token: str | None = None, limits: Limits | None = None, hurry: trio.Event | None = None
) -> ASGIApp:
    """The HTTP face of an open store, for any ASGI server that runs on trio, or for tests without one.

    Parameters
    ----------
    store
        Has to stay open as long as requests come.
    token
        Without it in ``Authorization: Bearer ...``, requests are refused.
    limits
        How much a client may ask for.
    hurry
        Set it for whoever waits for an extraction to be told to come again.
    """
    hurry = trio.Event() if hurry is None else hurry
    paths: dict[str, dict[str, Operation]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = operation
    described = JSONResponse(document())

    async def openapi(_: Request) -> Response:
        return described

    app = Starlette(
        routes=[
            *(_route(path, operations, store, hurry) for path, operations in paths.items()),
            Route("/openapi.json", openapi),
        ],
        exception_handlers=dict.fromkeys((Refused, HTTPException, StoreError, OSError, Exception), _refuse),
    )
    app.router.redirect_slashes = False
    return Gate(app, token=token, limits=limits or Limits())


def _route(path: str, operations: Mapping[str, Operation], store: SessionStore, hurry: trio.Event) -> Route:
    async def answer(request: Request) -> Response:
        call: Call = request.scope["oncestore.call"]
        operation = operations["GET" if request.method == "HEAD" else request.method]
        call.session = request.path_params.get("session_id")
        given = {name: IN_PATH[name].check(name, text) for name, text in request.path_params.items()}
        given |= check_query(request.query_params.multi_items(), operation.query)
        if operation.body is not None:
            given |= check_body(call.body, operation.body)
        result = await operation.run(Asked(store=store, call=call, given=given, hurry=hurry))
        return success(result, call.took_s)

    return Route(path, answer, methods=list(operations))


async def _refuse(request: Request, error: Exception) -> Response:
    return failure(refusal(error), request.scope["oncestore.call"].took_s)
