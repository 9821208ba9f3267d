"""Answers: one envelope for all of them, and one code with one HTTP status for everything that can go wrong."""

import json
import os
from collections.abc import Mapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from oncestore._errors import (
    AlreadyExists,
    CommitPending,
    Conflict,
    Corrupt,
    ExtractionInterrupted,
    NotStored,
    OutcomeUnknown,
    StoreClosed,
    StoreError,
    UnknownSession,
    UnknownTask,
    UsageError,
)

# What a code means for a client, with its status. The OpenAPI document is made from this.
CODES: Mapping[str, tuple[int, str]] = {
    "INVALID_ARGUMENT": (400, "The request makes no sense; `details.field` names the part that is wrong."),
    "UNAUTHENTICATED": (401, "The bearer token is missing or wrong."),
    "FORBIDDEN": (403, "A page of another site asked, through a browser."),
    "NOT_FOUND": (404, "There is no such session, task, archive or path."),
    "METHOD_NOT_ALLOWED": (405, "The path exists, and knows other methods: see the `Allow` header."),
    "TOO_SLOW": (408, "The request did not arrive in time. Nothing was done."),
    "ALREADY_EXISTS": (409, "The session id is in use, or belonged to a session that was deleted."),
    "CONFLICT": (409, "The message id is taken by another message, or a commit is pending."),
    "EXTRACTION_FAILED": (500, "The commit stands, and its extraction failed: retry the task."),
    "CORRUPT": (500, "A file of the store makes no sense; `details` names file and line."),
    "INTERNAL": (500, "A mistake of the server; it is in its log."),
    "NOT_STORED": (503, "Storage refused, and nothing was stored: a full disk, or one that is read-only."),
    "OUTCOME_UNKNOWN": (503, "It may have been stored or not: repeat it with the same `message_id`, which is safe."),
    "STORAGE_FAILED": (503, "Storage could not be read."),
    "EXTRACTION_INTERRUPTED": (503, "The commit stands; storage refused its extraction, which goes on later."),
    "UNAVAILABLE": (503, "The server has too much to do, or is being stopped: come again."),
}

_CODE_OF: Mapping[type[Exception], str] = {
    UsageError: "INVALID_ARGUMENT",
    UnknownSession: "NOT_FOUND",
    UnknownTask: "NOT_FOUND",
    AlreadyExists: "ALREADY_EXISTS",
    Conflict: "CONFLICT",
    CommitPending: "CONFLICT",
    Corrupt: "CORRUPT",
    NotStored: "NOT_STORED",
    OutcomeUnknown: "OUTCOME_UNKNOWN",
    ExtractionInterrupted: "EXTRACTION_INTERRUPTED",
    StoreClosed: "UNAVAILABLE",
    OSError: "STORAGE_FAILED",
}


class Refused(Exception):
    """A request that gets an error for an answer. The message states the fact, the likely cause and the fix."""

    def __init__(
        self,
        code: str,
        message: str,
        details: Mapping[str, object] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(code, message)
        self.code = code
        self.status = CODES[code][0]
        self.message = message
        self.details = details or {}
        self.headers = headers


def invalid(field: str, message: str) -> Refused:
    """Bad input, with the part of the request that is wrong."""
    return Refused("INVALID_ARGUMENT", message, {"field": field})


def refusal(error: Exception, details: Mapping[str, object] | None = None) -> Refused:
    """What to say about anything that was raised. Nothing of an exception that is no answer leaks out."""
    if isinstance(error, Refused):
        return error
    if isinstance(error, HTTPException):
        if error.status_code == 405:
            allowed = ", ".join(sorted((error.headers or {}).get("Allow", "").split(", ")))
            message = f"this path does not know the method; it knows {allowed}"
            return Refused("METHOD_NOT_ALLOWED", message, headers={"Allow": allowed})
        return Refused("NOT_FOUND", "there is nothing at this path; GET /openapi.json lists what there is")
    if isinstance(error, Corrupt):
        details = {**(details or {}), "file": error.path, "line": error.line}
    for kind, code in _CODE_OF.items():
        if isinstance(error, kind):
            # An OSError names files of the server; a StoreError is written for clients.
            message = str(error) if isinstance(error, StoreError) else f"storage failed: {os.strerror(_errno(error))}"
            return Refused(code, message, details)
    return Refused("INTERNAL", "a mistake of the server, not of the request; its log says more", details)


def _errno(error: Exception) -> int:
    return (error.errno or 0) if isinstance(error, OSError) else 0


class Envelope(JSONResponse):
    """``{"status": "ok", "result": ..., "time": ...}``, or ``{"status": "error", "error": ..., "time": ...}``."""

    def render(self, content: Any) -> bytes:
        # ASCII only: what an extractor returned, or raised, may hold what UTF-8 cannot.
        return json.dumps(content, allow_nan=False, separators=(",", ":")).encode()


def success(result: object, took_s: float) -> Envelope:
    return Envelope({"status": "ok", "result": result, "time": round(took_s, 6)})


def failure(refused: Refused, took_s: float) -> Envelope:
    error = {"code": refused.code, "message": refused.message, "details": refused.details}
    content = {"status": "error", "error": error, "time": round(took_s, 6)}
    return Envelope(content, status_code=refused.status, headers=refused.headers)
