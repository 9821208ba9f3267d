"""The shapes of results, as JSON Schemas."""

from collections.abc import Mapping
from typing import Any

_TEXT = {"type": "string"}
_COUNT = {"type": "integer", "minimum": 0}
_NUMBER = {"type": "integer", "minimum": 1}
_TIME = {"type": "number", "description": "Seconds since 1970-01-01 00:00 UTC, by the clock of the server."}


def _object(optional: tuple[str, ...] = (), **members: object) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": members,
        "required": [name for name in members if name not in optional],
        "additionalProperties": False,
    }


def _listed(name: str) -> dict[str, object]:
    return {"type": "array", "items": {"$ref": f"#/components/schemas/{name}"}}


_TASK_MEMBERS = {
    "task_id": _TEXT,
    "session_id": _TEXT,
    "archive": _NUMBER,
    "status": {
        "enum": ["accepted", "running", "completed", "failed"],
        "description": "`running` means that an attempt was begun; after a crash, another one follows.",
    },
    "created_at": {**_TIME, "description": f"When it was committed. {_TIME['description']}"},
    "finished_at": {**_TIME, "description": f"When the extraction ended. {_TIME['description']}"},
    "error": {**_TEXT, "description": "What the last attempt died of; only with `failed`."},
}
_NOT_ALWAYS = ("finished_at", "error")

SCHEMAS: Mapping[str, Mapping[str, Any]] = {
    "Health": _object(healthy={"const": True}),
    "NewSession": _object(session_id=_TEXT),
    "SessionIds": {"type": "array", "items": _TEXT},
    "Session": _object(session_id=_TEXT, message_count=_COUNT, archive_count=_COUNT, pending_commits=_COUNT),
    "Message": _object(message_id=_TEXT, role=_TEXT, content=_TEXT, created_at=_TIME),
    "Messages": _listed("Message"),
    "Commit": {
        **_object(
            session_id=_TEXT,
            status={
                "enum": ["accepted", "completed", "skipped"],
                "description": "`skipped`: there was nothing live, so there is neither task nor archive.",
            },
            task_id={"type": ["string", "null"]},
            archive={"type": ["integer", "null"], "minimum": 1},
        )
    },
    "Task": _object(_NOT_ALWAYS, **_TASK_MEMBERS),
    "Archive": _object(
        _NOT_ALWAYS,
        **_TASK_MEMBERS,
        messages=_listed("Message"),
        extracted={"type": ["string", "null"], "description": "null while there is nothing."},
    ),
}
