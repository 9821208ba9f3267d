"""Names for where asyncio's own code makes a task wait."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from pathlib import Path
from types import CodeType
from typing import Any

_FOLDER = str(Path(asyncio.__file__).parent)
_NAMES = {"TaskGroup.__aexit__": "taskgroup.exit", "_ContextManagerMixin.__aenter__": "", "_wrap_awaitable": ""}
_known: dict[
    int, tuple[str, bool, CodeType]
] = {}  # by the address of the code, which is held on to: hashing it takes long


def is_plumbing(coroutine: Any) -> bool:
    """Whether a task of this coroutine is nothing but one wait: ``ensure_future(to_thread(f))`` is no unit of concurrency."""
    code = _code(coroutine)
    return code is not None and _about(code)[1]


def await_label(coroutine: Any, role_of: Callable[[asyncio.Task[Any]], str]) -> str:
    """Name of the outermost call into asyncio that a suspended coroutine stands in, for example ``Lock.acquire``."""
    if (
        inspect.iscoroutine(coroutine)
        and coroutine.cr_await is None
        and inspect.getcoroutinestate(coroutine) == inspect.CORO_CREATED
    ):
        return "start"
    awaitable = coroutine
    while awaitable is not None:
        code = _code(awaitable)
        if code is not None:
            label = _about(code)[0]
            if label:
                return label
        elif isinstance(awaitable, asyncio.Task):
            return f"join {role_of(awaitable)}"
        awaitable = getattr(awaitable, "cr_await", None) or getattr(awaitable, "gi_yieldfrom", None)
    return "await"


def _code(awaitable: Any) -> CodeType | None:
    code: CodeType | None = getattr(awaitable, "cr_code", None) or getattr(awaitable, "gi_code", None)
    return code


def _about(code: CodeType) -> tuple[str, bool, CodeType]:
    """The label of a wait in this code, empty where it is not asyncio's, and whether it is nothing but one wait."""
    known = _known.get(id(code))
    if known is None:
        label, plumbing = "", False
        if code.co_filename.startswith(_FOLDER):
            label = _NAMES.get(code.co_qualname, code.co_qualname.strip("_"))
            plumbing = code.co_name in ("to_thread", "_wrap_awaitable")
        known = _known[id(code)] = label, plumbing, code
    return known
