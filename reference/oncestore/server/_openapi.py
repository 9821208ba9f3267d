"""The OpenAPI document, made from the same table that requests are checked and routed with."""

import re
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from ._answers import CODES
from ._operations import IN_PATH, OPERATIONS, Operation
from ._requests import Field
from ._schemas import SCHEMAS

_ALWAYS = ("INVALID_ARGUMENT", "FORBIDDEN", "TOO_SLOW", "STORAGE_FAILED", "INTERNAL", "UNAVAILABLE")
_OPEN = ("/healthz", "/openapi.json")
_TOOK = {"type": "number", "minimum": 0, "description": "Seconds from the request's arrival to its answer."}
_DESCRIPTION = """Sessions of messages. A message is durable when its addition is answered; a commit archives the live \
messages, and has each archive extracted once, in order. Adding with a `message_id`, and everything else here, can be \
repeated safely."""
# Where the ids in an answer can be used next.
_LINKS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "session_id": {
        "create_session": ("describe_session", "add_message", "list_messages", "commit", "delete_session"),
    },
    "task_id": {"commit": ("describe_task", "retry_task")},
}


@cache
def document() -> dict[str, Any]:
    """The document, for ``GET /openapi.json``."""
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation)
    paths["/openapi.json"] = {
        "get": {
            "operationId": "describe_interface",
            "summary": "This document; needs no token",
            "security": [],
            "responses": {
                "200": {"description": "OpenAPI 3.1", "content": _json({"type": "object"})},
                **_errors(("FORBIDDEN", "TOO_SLOW", "INVALID_ARGUMENT", "UNAVAILABLE")),
            },
        }
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "oncestore", "version": _version(), "description": _DESCRIPTION},
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "Only for a server that has a token."}
            },
            "schemas": {**SCHEMAS, "Error": _error(CODES)},
        },
    }


def _operation(operation: Operation) -> dict[str, Any]:
    name = operation.run.__name__
    secured = operation.path not in _OPEN
    parameters = [_parameter("path", part, IN_PATH[part]) for part in re.findall(r"\{(\w+)\}", operation.path)] + [
        _parameter("query", part, what) for part, what in operation.query.items()
    ]
    ok = {
        "type": "object",
        "properties": {
            "status": {"const": "ok"},
            "result": {"$ref": f"#/components/schemas/{operation.result}"},
            "time": _TOOK,
        },
        "required": ["status", "result", "time"],
        "additionalProperties": False,
    }
    links = {
        target: {"operationId": target, "parameters": {id: f"$response.body#/result/{id}"}}
        for id, sources in _LINKS.items()
        for target in sources.get(name, ())
    }
    return {
        "operationId": name,
        "summary": operation.summary,
        **({"parameters": parameters} if parameters else {}),
        **({"requestBody": _body(operation.body)} if operation.body is not None else {}),
        **({} if secured else {"security": []}),
        "responses": {
            "200": {"description": operation.summary, "content": _json(ok), **({"links": links} if links else {})},
            **_errors((*_ALWAYS, *operation.codes, *(("UNAUTHENTICATED",) if secured else ()))),
        },
    }


def _parameter(place: str, name: str, what: Field) -> dict[str, Any]:
    return {
        "name": name,
        "in": place,
        "required": what.required,
        "description": what.description,
        "schema": what.schema,
    }


def _body(members: Mapping[str, Field]) -> dict[str, Any]:
    return {
        "required": bool(members),
        "content": _json(
            {
                "type": "object",
                "properties": {
                    name: {**what.schema, "description": what.description} for name, what in members.items()
                },
                "required": [name for name, what in members.items() if what.required],
                "additionalProperties": False,
            }
        ),
    }


def _errors(codes: Iterable[str]) -> dict[str, Any]:
    """A response for each status, which says what its codes mean."""
    responses: dict[str, Any] = {}
    for status in sorted({CODES[code][0] for code in codes}):
        these = [code for code in CODES if code in codes and CODES[code][0] == status]
        responses[str(status)] = {
            "description": "\n\n".join(f"`{code}`: {CODES[code][1]}" for code in these),
            "content": _json(_error(these)),
        }
    return responses


def _error(codes: Iterable[str]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {
            "status": {"const": "error"},
            "error": {
                "type": "object",
                "properties": {
                    "code": {"enum": list(codes)},
                    "message": {"type": "string"},
                    "details": {"type": "object"},
                },
                "required": ["code", "message", "details"],
                "additionalProperties": False,
            },
            "time": _TOOK,
        },
        "required": ["status", "error", "time"],
        "additionalProperties": False,
    }


def _json(schema: object) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _version() -> str:
    try:
        return version("racewindow")
    except PackageNotFoundError:  # run from its source
        return "0"
