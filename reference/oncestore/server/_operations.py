"""What a client can ask for: a table, from which requests are checked, routed and documented."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import trio

from oncestore._errors import StoreError, UnknownTask
from oncestore._messages import Message
from oncestore._store import SessionStore
from oncestore._task import CommitTask

from ._answers import Refused, refusal
from ._requests import ID, Call, Field


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request that makes sense: ``given`` holds what was in its path, query and body, checked."""

    store: SessionStore
    call: Call
    given: Mapping[str, str]
    hurry: trio.Event  # nobody may wait any longer, for the server is being stopped


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """A row of the table. ``codes`` are the errors beyond those that everything can end with."""

    method: str
    path: str
    run: Callable[[Asked], Awaitable[object]]
    summary: str
    result: str  # the name of its schema
    query: Mapping[str, Field] = field(default_factory=dict)
    body: Mapping[str, Field] | None = None
    codes: tuple[str, ...] = ()


_ID_SCHEMA = {"type": "string", "pattern": f"^{ID}$"}
_ID_RULE = "1 to 128 of A-Z a-z 0-9 . _ - (and neither '.' nor '..')"

IN_PATH: Mapping[str, Field] = {
    "session_id": Field(description="The session.", schema=_ID_SCHEMA, pattern=ID, rule=_ID_RULE),
    "archive": Field(
        description="The archive: 1 is the first commit of the session.",
        schema={"type": "integer", "minimum": 1, "maximum": 10**18 - 1},
        pattern=r"[1-9][0-9]{0,17}",
        rule="a positive integer",
    ),
    "task_id": Field(
        description="The task, as a commit returned it.",
        schema={"type": "string", "pattern": r"^[A-Za-z0-9._:-]{1,256}$"},
        pattern=r"[A-Za-z0-9._:-]{1,256}",
        rule="an id that a commit returned",
    ),
}
_NEW_SESSION: Mapping[str, Field] = {
    "session_id": Field(
        description="Left out, or null: the server makes one up.",
        schema={"type": ["string", "null"], "pattern": f"^{ID}$"},
        pattern=ID,
        rule=_ID_RULE,
        required=False,
    )
}
_NEW_MESSAGE: Mapping[str, Field] = {
    "role": Field(
        description="Who says it.",
        schema={"type": "string", "minLength": 1},
        pattern=".+",
        rule="text of at least one character",
    ),
    "content": Field(description="What is said. May be empty."),
    "message_id": Field(
        description=(
            "Makes a repetition safe: a message with an id is written once, whatever is retried, also when it has been "
            "archived since. Left out, or null: the server makes one up."
        ),
        schema={"type": ["string", "null"], "pattern": f"^{ID}$"},
        pattern=ID,
        rule=_ID_RULE,
        required=False,
    ),
}
_WAIT = {
    "wait": Field(
        description="Whether to answer after the extraction ended, instead of at once.",
        schema={"type": "string", "enum": ["true", "false"], "default": "false"},
        pattern="true|false",
        rule="'true' or 'false'",
        required=False,
    )
}


async def check_health(asked: Asked) -> object:
    await asked.store.storage.list("")
    return {"healthy": True}


async def create_session(asked: Asked) -> object:
    session = asked.given.get("session_id") or asked.store.make_id()
    asked.call.session = session
    await asked.store.create(session)
    return {"session_id": session}


async def list_sessions(asked: Asked) -> object:
    return await asked.store.sessions()


async def describe_session(asked: Asked) -> object:
    session = asked.store.session(asked.given["session_id"])
    info = await session.info()
    return {
        "session_id": session.id,
        "message_count": info.messages,
        "archive_count": info.archives,
        "pending_commits": info.pending,
    }


async def delete_session(asked: Asked) -> object:
    await asked.store.delete(asked.given["session_id"])
    return {"session_id": asked.given["session_id"]}


async def add_message(asked: Asked) -> object:
    given = asked.given
    session = asked.store.session(given["session_id"])
    return _shown(await session.add(given["role"], given["content"], given.get("message_id")))


async def list_messages(asked: Asked) -> object:
    return [_shown(message) for message in await asked.store.session(asked.given["session_id"]).reload()]


async def commit(asked: Asked) -> object:
    task = await asked.store.session(asked.given["session_id"]).commit()
    if task.status == "skipped":
        return {"session_id": task.session_id, "status": "skipped", "task_id": None, "archive": None}
    status = "accepted"
    if asked.given.get("wait") == "true":
        status = await _await_end(asked, task)
    return {"session_id": task.session_id, "status": status, "task_id": task.id, "archive": task.archive}


async def describe_task(asked: Asked) -> object:
    return await _described(await _find(asked, asked.given["task_id"]))


async def retry_task(asked: Asked) -> object:
    task = await _find(asked, asked.given["task_id"])
    await task.retry()
    return await _described(task)


async def show_archive(asked: Asked) -> object:
    session = asked.store.session(asked.given["session_id"])
    number = int(asked.given["archive"])
    messages = await session.archive(number)
    task = await _find(asked, f"{session.id}:{number}")
    outcome = await task.outcome()
    return {
        **await _described(task),
        "messages": [_shown(message) for message in messages],
        "extracted": None if outcome is None else outcome.text,
    }


async def _find(asked: Asked, id: str) -> CommitTask:
    asked.call.session = id.rpartition(":")[0]
    task = await asked.store.task(id)
    # Archive 0 stands for "there was nothing to claim", and 01 for 1. No commit has returned such an id.
    if task.id != id or not task.archive:
        raise UnknownTask(f"there is no task {id!r} here; an id is good as a commit returned it")
    return task


async def _described(task: CommitTask) -> dict[str, object]:
    claim = await task.claim()
    # Said from one record, lest a retry that ends meanwhile make a failure without an error of it.
    outcome = await task.outcome() if task.status in ("completed", "failed") else None
    assert claim is not None, "archive 0 is refused before"
    described: dict[str, object] = {
        "task_id": task.id,
        "session_id": task.session_id,
        "archive": task.archive,
        "status": task.status,
        "created_at": claim.time,
    }
    if outcome is not None:
        described |= {"status": "completed" if outcome.error is None else "failed", "finished_at": outcome.time}
        described |= {} if outcome.error is None else {"error": outcome.error}
    return described


async def _await_end(asked: Asked, task: CommitTask) -> str:
    """``completed``; Refused with the id of the task for anything else. Whatever happens here, the commit stands."""
    problem: StoreError | None = None
    async with trio.open_nursery() as nursery:
        for event in (asked.call.disconnected, asked.hurry):
            nursery.start_soon(_cancel_after, event, nursery.cancel_scope)
        try:
            await task.wait()
        except StoreError as error:
            problem = error
        nursery.cancel_scope.cancel()
    about = {"task_id": task.id, "session_id": task.session_id, "archive": task.archive}
    if problem is not None:
        raise refusal(problem, about) from problem
    described = await _described(task)
    if described["status"] == "completed":
        return "completed"
    if described["status"] == "failed":
        raise Refused(
            "EXTRACTION_FAILED",
            f"the commit stands, but its extraction failed ({described['error']}); see to the cause, "
            f"then POST /api/v1/tasks/{task.id}/retry",
            about,
        )
    raise Refused(
        "UNAVAILABLE",
        f"the server is being stopped, and the extraction has not ended; the commit stands: ask for task {task.id} later",
        about,
    )


async def _cancel_after(event: trio.Event, scope: trio.CancelScope) -> None:
    await event.wait()
    scope.cancel()


def _shown(message: Message) -> dict[str, object]:
    return {
        "message_id": message.id,
        "role": message.role,
        "content": message.content,
        "created_at": message.time,
    }


_STORING = ("NOT_STORED", "OUTCOME_UNKNOWN", "CORRUPT")
_READING = ("CORRUPT",)

OPERATIONS = (
    Operation(
        method="POST",
        path="/api/v1/sessions",
        run=create_session,
        summary="Make a session",
        body=_NEW_SESSION,
        result="NewSession",
        codes=("ALREADY_EXISTS", *_STORING),
    ),
    Operation(
        method="GET",
        path="/api/v1/sessions",
        run=list_sessions,
        summary="The ids of all sessions, sorted",
        result="SessionIds",
    ),
    Operation(
        method="GET",
        path="/api/v1/sessions/{session_id}",
        run=describe_session,
        summary="How much is in a session",
        result="Session",
        codes=("NOT_FOUND", *_READING),
    ),
    Operation(
        method="DELETE",
        path="/api/v1/sessions/{session_id}",
        run=delete_session,
        summary="Remove a session with all that is in it; refused while a commit is pending",
        result="NewSession",
        codes=("NOT_FOUND", "CONFLICT", *_STORING),
    ),
    Operation(
        method="POST",
        path="/api/v1/sessions/{session_id}/messages",
        run=add_message,
        summary="Add a message; it is durable when this is answered",
        body=_NEW_MESSAGE,
        result="Message",
        codes=("NOT_FOUND", "CONFLICT", *_STORING),
    ),
    Operation(
        method="GET",
        path="/api/v1/sessions/{session_id}/messages",
        run=list_messages,
        summary="The live messages: added, and not yet committed",
        result="Messages",
        codes=("NOT_FOUND", *_READING),
    ),
    Operation(
        method="POST",
        path="/api/v1/sessions/{session_id}/commit",
        run=commit,
        summary="Archive the live messages, and have them extracted once",
        query=_WAIT,
        body={},
        result="Commit",
        codes=("NOT_FOUND", "EXTRACTION_FAILED", "EXTRACTION_INTERRUPTED", *_STORING),
    ),
    Operation(
        method="GET",
        path="/api/v1/sessions/{session_id}/archives/{archive}",
        run=show_archive,
        summary="What a commit archived, and what was extracted from it",
        result="Archive",
        codes=("NOT_FOUND", *_READING),
    ),
    Operation(
        method="GET",
        path="/api/v1/tasks/{task_id}",
        run=describe_task,
        summary="How far the extraction of a commit is; good on every server on this root, also after a restart",
        result="Task",
        codes=("NOT_FOUND", *_READING),
    ),
    Operation(
        method="POST",
        path="/api/v1/tasks/{task_id}/retry",
        run=retry_task,
        summary="Have a failed extraction run again; anything else is left alone",
        body={},
        result="Task",
        codes=("NOT_FOUND", *_READING),
    ),
    Operation(
        method="GET",
        path="/healthz",
        run=check_health,
        summary="Whether the server is up, and its storage can be read; needs no token",
        result="Health",
    ),
)
