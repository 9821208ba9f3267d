"""``oncestore serve``: from the options of the command line to a server that runs."""

import argparse
import functools
import importlib
import inspect
import json
import logging
import math
import os
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import cast

import trio

from oncestore._errors import UsageError
from oncestore._extraction import Extract
from oncestore._sqlite import SqliteStorage

from ._digest import digest
from ._gate import Limits
from ._running import serve

_REQUEST = ("method", "path", "status", "ms", "session")


def run(arguments: argparse.Namespace) -> int:
    """Serve until a signal comes; then 0. Raises what ``serve`` raises, and UsageError."""
    if not 0 <= arguments.port <= 65535:
        raise UsageError(f"--port is {arguments.port}; a port is a number from 0 to 65535")
    for option in ("body_most_bytes", "requests_most", "read_timeout_s", "grace_s"):
        given = getattr(arguments, option)
        if not (given > 0 or (given == 0 and option == "grace_s")):  # nan is neither
            raise UsageError(f"--{option.replace('_', '-')} is {given!r}; it has to be a positive number")
    _log_to_stderr()
    work = functools.partial(
        serve,
        # A path is a directory to the store, which makes it when it is missing.
        SqliteStorage(arguments.root) if arguments.sqlite or arguments.root.is_file() else arguments.root,
        find_extractor(arguments.extractor) if arguments.extractor else digest,
        host=arguments.host,
        port=arguments.port,
        token=_check_token(os.environ.get("ONCESTORE_TOKEN") if arguments.token is None else arguments.token),
        limits=Limits(
            body_most_bytes=arguments.body_most_bytes,
            requests_most=arguments.requests_most,
            read_timeout_s=arguments.read_timeout_s,
        ),
        grace_s=arguments.grace_s,
        ready=lambda url: print(f"oncestore serves {arguments.root} at {url}", flush=True),
        extractors_most=arguments.extractors_most,
        extract_timeout_s=arguments.extract_timeout_s,
    )
    trio.run(work)
    return 0


def find_extractor(place: str) -> Extract:
    """The extractor at ``module:function``, also of a module in the working directory. Raises UsageError.

    A plain function is run in a thread.
    """
    module, _, name = place.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        found = functools.reduce(getattr, name.split("."), cast(object, importlib.import_module(module)))
    except (ImportError, AttributeError, ValueError) as error:
        raise UsageError(
            f"there is no extractor at {place!r} ({error}); give it as module:function, with a module that "
            "'python -c \"import module\"' finds from here"
        ) from error
    if not callable(found):
        raise UsageError(f"{place!r} is a {type(found).__name__}; an extractor is a function of messages and a key")
    if inspect.iscoroutinefunction(found) or inspect.iscoroutinefunction(getattr(found, "__call__", None)):  # noqa: B004
        return cast(Callable[..., Awaitable[str]], found)
    plain = cast(Callable[..., str], found)
    # Not the threads that storage uses: those that hang would be missing there, and in the end nothing could be stored.
    # How many run at once is limited by the store.
    threads = trio.CapacityLimiter(math.inf)

    async def extract(messages: object, key: str) -> str:
        # Abandoned at the time limit, and when the server ends: nothing can end a thread.
        return await trio.to_thread.run_sync(plain, messages, key, abandon_on_cancel=True, limiter=threads)

    return extract


def _check_token(token: str | None) -> str | None:
    if token is not None and not (token and token.isascii() and token.isprintable() and " " not in token):
        # Not taken for "no token": an empty variable would open the store to everybody.
        raise UsageError("the token is empty, or holds what no header can; give one of visible ASCII, or none at all")
    return token


class _JsonLines(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: getattr(record, name) for name in _REQUEST if hasattr(record, name)}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


def _log_to_stderr() -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(_JsonLines())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("oncestore").setLevel(logging.INFO)
