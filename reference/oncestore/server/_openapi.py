"""The OpenAPI document, made from the same table that requests are checked and routed with."""

import re
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from ._answers import CODES
from ._gate import OPEN
from ._operations import IN_PATH, OPERATIONS, Operation
from ._requests import Field
from ._schemas import SCHEMAS

_ALWAYS = ("INVALID_ARGUMENT", "FORBIDDEN", "TOO_SLOW", "STORAGE_FAILED", "INTERNAL", "UNAVAILABLE")
_TOOK = {"type": "number", "minimum": 0, "description": "Seconds from the request's arrival to its answer."}
_DESCRIPTION = """Sessions of messages. A message is durable when its addition is answered; a commit archives the live \
messages, and has each archive extracted once, in order. Adding with a `message_id`, and everything else here, can be \
repeated safely."""
_SESSION, _HERE = {"session_id": "$response.body#/result/session_id"}, {"session_id": "$request.path.session_id"}
_TASK = {"task_id": "$response.body#/result/task_id"}
# What can be asked next, and where in this exchange its parameters are.
_LINKS: Mapping[str, Mapping[str, Mapping[str, str]]] = {
    "create_session": {
        "describe_session": _SESSION,
        "add_message": _SESSION,
        "list_messages": _SESSION,
        "commit": _SESSION,
        "delete_session": _SESSION,
    },
    "add_message": {"commit": _HERE, "list_messages": _HERE},
    "commit": {
        "describe_task": _TASK,
        "retry_task": _TASK,
        "show_archive": {**_SESSION, "archive": "$response.body#/result/archive"},
    },
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
    secured = operation.path not in OPEN
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
    links = {target: {"operationId": target, "parameters": where} for target, where in _LINKS.get(name, {}).items()}
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
