"""What a subject is: an async function, known in tokens by its name and a checksum of its text."""

from __future__ import annotations

import inspect
import zlib
from functools import partial
from typing import Any

from racewindow.errors import UsageError
from racewindow.kernel.engine import Subject, function_name
from racewindow.kernel.hosts import Host, name_of
from racewindow.kernel.run import Limits

NOT_REPEATED = (
    "Usual causes: wall-clock time, random numbers, the order of a set, state that survives from one schedule to the next, or a "
    "thread outside the kernel's control"
)
"""What makes a subject behave differently in the same schedule."""


def identify(subject: Subject, name: str, checksum: str, limits: Limits, host: Host = "trio") -> tuple[str, str]:
    """The name and checksum of a subject, where they are not given.

    Raises:
        UsageError: it is not an async function, or, for the thread host, no function at all.
    """
    check_subject(subject, host)
    name = name or function_name(subject)
    return name, checksum or subject_checksum(name, _definition(subject), limits)


def subject_checksum(name: str, definition: str, limits: Limits) -> str:
    """Eight hex digits over what a token depends on besides the schedule."""
    return f"{zlib.crc32(f'{name}|{definition}|{limits.time}|{limits.timers_max}'.encode()):08x}"


def _definition(subject: Subject) -> str:
    """The subject's own text, so that a token of a changed subject is known as such; its name where there is no source."""
    try:
        return inspect.getsource(subject)
    except (OSError, TypeError):
        return function_name(subject)


def check_subject(subject: Any, host: Host = "trio") -> None:
    if name_of(host) == "threads" and callable(subject):
        return
    function = subject
    while isinstance(function, partial):
        function = function.func
    if not inspect.isroutine(function):
        function = type(function).__call__ if callable(function) else None
    if not inspect.iscoroutinefunction(function):
        raise UsageError(
            f"the subject must be an async function that takes a world, not {subject!r}; write 'async def subject(world): ...' "
            "and pass the function itself (synchronous code needs host='threads', a session case goes to racewindow.experiments)"
        )
