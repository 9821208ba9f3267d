"""``oncestore show ROOT [SESSION]``: what is in a store, without changing or locking anything; ``oncestore serve``."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import trio

from . import _layout as layout
from . import _serve
from ._archive import archive_numbers, read_outcome, status_of
from ._directory import DirectoryStorage
from ._errors import StoreError, UsageError
from ._log import read_messages
from ._sqlite import SqliteStorage, storage_at


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 0 when done, 1 when a file makes no sense, 2 when the request does not."""
    parser = argparse.ArgumentParser(prog="oncestore", description="Look into a session store, or serve it.")
    commands = parser.add_subparsers(dest="command", required=True)
    _serve.add_arguments(commands.add_parser("serve", help="serve a store over HTTP"))
    show = commands.add_parser("show", help="list sessions or one session")
    show.add_argument("root", type=Path, help="the directory of the store, or its SQLite file")
    show.add_argument("session", nargs="?", help="only this one, archive by archive")
    arguments = parser.parse_args(argv)
    try:
        if arguments.command == "serve":
            return _serve.run(arguments)
        print(trio.run(_show, storage_at(arguments.root), arguments.session))
    except (StoreError, OSError) as error:
        print(f"oncestore: {error}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    return 0


async def _show(storage: DirectoryStorage | SqliteStorage, session: str | None) -> str:
    try:
        if isinstance(storage, SqliteStorage) and not storage.root.stat().st_size:
            raise FileNotFoundError(storage.root)  # opening an empty file would make a store of it
        sessions = await storage.list(layout.SESSIONS)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UsageError(f"{storage.root} holds no store; give what open_store was given") from error
    if session is None:
        rows = [["session", "live", "archives", "unfinished", "failed"]]
        for name in sessions:
            live = await read_messages(storage, layout.log(layout.live(name)))
            numbers = await archive_numbers(storage, name)
            states = [status_of(await storage.list(layout.archive(name, number))) for number in numbers]
            failed = states.count("failed")
            counts = (len(live), len(states), len(states) - states.count("completed") - failed, failed)
            rows.append([name, *map(str, counts)])
    elif layout.check_session_id(session) not in sessions:
        raise UsageError(f"there is no session {session!r} here; 'oncestore show {storage.root}' lists those there are")
    else:
        rows = [["task", "messages", "status", "text or error"]]
        for number in await archive_numbers(storage, session):
            messages = await read_messages(storage, layout.log(layout.archive(session, number)))
            names = await storage.list(layout.archive(session, number))
            outcome = await read_outcome(storage, session, number, names)
            said = "" if outcome is None else json.dumps(outcome.text if outcome.error is None else outcome.error)
            rows.append([f"{session}:{number}", str(len(messages)), status_of(names), said])
        live = await read_messages(storage, layout.log(layout.live(session)))
        rows.append(["live", str(len(live)), "", ""])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
