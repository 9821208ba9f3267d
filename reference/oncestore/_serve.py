"""The options of ``oncestore serve``. What it does is in ``server``, which needs more than the store does."""

import argparse
from pathlib import Path

from ._errors import UsageError


def add_arguments(serve: argparse.ArgumentParser) -> None:
    """The options, without importing what they are for."""
    add = serve.add_argument
    add("root", type=Path, help="the directory of the store, or its SQLite file; made when it is missing")
    add("--sqlite", action="store_true", help="a root that is missing becomes an SQLite file instead of a directory")
    add("--host", default="127.0.0.1", help="address to listen at (%(default)s); beyond loopback, give it a token")
    add("--port", type=int, default=8000, help="port to listen at (%(default)s); 0: any free one, which is printed")
    add("--token", help="bearer token that clients have to send; better in the environment, as ONCESTORE_TOKEN")
    add("--extractor", metavar="MODULE:FUNCTION", help="what archives are handed to (a digest without any model)")
    add("--extractors-most", type=int, default=8, help="sessions that are extracted at once (%(default)s)")
    add("--extract-timeout-s", type=float, default=600.0, help="time limit of an extraction (%(default)s)")
    add("--body-most-bytes", type=int, default=1 << 20, help="size limit of a request (%(default)s)")
    add("--requests-most", type=int, default=1000, help="requests at once (%(default)s)")
    add("--read-timeout-s", type=float, default=30.0, help="time limit for a request to arrive (%(default)s)")
    add("--grace-s", type=float, default=30.0, help="after a signal, time for what is under way (%(default)s)")


def run(arguments: argparse.Namespace) -> int:
    """Serve. Raises UsageError when the extra is not installed, and what serving raises."""
    try:
        from .server import _command as command
    except ModuleNotFoundError as error:
        raise UsageError(
            f"'oncestore serve' needs {error.name}, which is not installed: pip install 'racewindow[server]'"
        ) from error
    return command.run(arguments)
