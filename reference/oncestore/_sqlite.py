"""Storage in one SQLite file: every change is one transaction, and durable when it returns."""

import errno
import fcntl
import os
import sqlite3
import weakref
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, TypeVar, TypeVarTuple

from ._directory import DirectoryStorage
from ._errors import UsageError
from ._locks import FileLock, FileLocks
from ._storage import FsyncFailed, check_path
from ._threads import Threads

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_BUSY_S = 30.0
_CHUNK = 1 << 18
_LOG_MOST = 1 << 26  # bytes that the write-ahead log keeps once its transactions are in the database
_FORMAT = (int.from_bytes(b"once"), 1)  # application_id, user_version
_ROOT = 0  # has no row: nobody can move it
# A directory is its row, and its entries point to it: however much is in it, a rename changes one row. A file is its
# row and its pieces: to append is to add one, whatever is there.
_SCHEMA = f"""
BEGIN;
CREATE TABLE nodes (
    id INTEGER PRIMARY KEY, parent INTEGER NOT NULL, name TEXT NOT NULL, is_directory INTEGER NOT NULL,
    UNIQUE (parent, name)
);
CREATE TABLE pieces (
    node INTEGER NOT NULL, start INTEGER NOT NULL, data BLOB NOT NULL,
    PRIMARY KEY (node, start)
) WITHOUT ROWID;
PRAGMA application_id = {_FORMAT[0]};
PRAGMA user_version = {_FORMAT[1]};
COMMIT;
"""
_ERRNO = {
    sqlite3.SQLITE_FULL: errno.ENOSPC,
    sqlite3.SQLITE_READONLY: errno.EROFS,
    sqlite3.SQLITE_CANTOPEN: errno.EACCES,
    sqlite3.SQLITE_PERM: errno.EACCES,
    sqlite3.SQLITE_BUSY: errno.EBUSY,
}


class SqliteStorage:
    """A database file, possibly shared with other processes; the first call makes it when it is missing.

    Locks are files in ``<path>-locks``: one of SQLite's own would end with its transaction, and a lease is held for as
    long as an extractor takes. Connections are closed when the object is forgotten, or the interpreter ends.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.root = Path(path).absolute()  # later connections must find the same file
        self._locks = FileLocks(Path(f"{self.root}-locks"))
        # By process: SQLite forbids to use, after a fork, what the parent has open.
        self._idle: dict[int, list[sqlite3.Connection]] = {}
        self._readers = Threads()
        self._writer = Threads(1)  # here those who write queue up; before a locked database they would poll
        weakref.finalize(self, _close, self._idle)

    def __repr__(self) -> str:
        return f"<SqliteStorage {str(self.root)!r}>"

    async def make_root(self) -> None:
        await self._readers.run(self._run, "BEGIN", _directory, "")  # whoever connects makes the file

    async def read(self, path: str) -> bytes:
        return await self._readers.run(self._run, "BEGIN", _read, path)

    async def chunks(self, path: str, start: int = 0) -> AsyncGenerator[bytes]:
        # One transaction from the first piece to the last: whoever reads without a lock takes the file as it was.
        with ExitStack() as stack:

            def begin() -> sqlite3.Cursor:
                connection = stack.enter_context(self._transaction("BEGIN"))
                return stack.enter_context(closing(_pieces(connection, path, start)))

            pieces = await self._readers.run(begin)
            while chunk := await self._readers.run(_gather, pieces):
                yield chunk

    async def list(self, path: str) -> list[str]:
        return await self._readers.run(self._run, "BEGIN", _list, path)

    async def append(self, path: str, data: bytes) -> None:
        await self._change(_put, path, data, False)

    async def write(self, path: str, data: bytes) -> None:
        await self._change(_put, path, data, True)

    async def make_directory(self, path: str) -> None:
        await self._change(_make_directory, path)

    async def rename(self, source: str, target: str) -> None:
        await self._change(_rename, source, target)

    async def remove(self, path: str) -> None:
        await self._change(_remove, path)

    async def fsync_directory(self, path: str) -> None:
        await self._readers.run(self._run, "BEGIN", _directory, path)  # what can be seen is durable

    def lock(self, path: str, *, wait: bool = True) -> AbstractAsyncContextManager[FileLock]:
        return self._locks.hold(check_path(path), wait=wait)

    async def _change(self, change: Callable[[sqlite3.Connection, *Ts], None], *arguments: *Ts) -> None:
        await self._writer.run(self._run, "BEGIN IMMEDIATE", change, *arguments)

    # -- in a worker thread: a visit cannot be cancelled, so that none leaves a transaction open -----------------------

    def _run(self, begin: str, act: Callable[[sqlite3.Connection, *Ts], T], *arguments: *Ts) -> T:
        with self._transaction(begin) as connection:
            return act(connection, *arguments)

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[sqlite3.Connection]:
        """A connection of one's own, with a transaction that ends as the block does."""
        idle = self._idle.setdefault(os.getpid(), [])
        try:
            connection = idle.pop()
        except IndexError:
            connection = _connect(self.root)
        kind: type[OSError] = OSError
        try:
            connection.execute(begin)
            yield connection
            # The log may hold the whole transaction by the time that its fsync fails. It cannot be seen, and the next
            # change overwrites it; but when everybody dies first, it will be found there.
            kind = FsyncFailed
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            connection.close()  # rolls back, whatever state it is in
            raise _refusal(error, self.root, kind) from error
        except BaseException:
            connection.rollback()
            idle.append(connection)
            raise
        idle.append(connection)


def storage_at(path: Path) -> DirectoryStorage | SqliteStorage:
    """By what is there: a file is a database, and anything else is, or becomes, a directory."""
    return SqliteStorage(path) if path.is_file() else DirectoryStorage(path)


def _code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF  # without the details


def _refusal(error: sqlite3.Error, path: Path, kind: type[OSError] = OSError) -> OSError:
    """What a database error is in a directory; of ``kind`` when it was the device that failed."""
    number = _ERRNO.get(_code(error), errno.EIO)
    return (kind if number == errno.EIO else OSError)(number, str(error), str(path))


def _close(idle: dict[int, list[sqlite3.Connection]]) -> None:
    for connection in idle.pop(os.getpid(), ()):
        connection.close()


def _connect(path: Path) -> sqlite3.Connection:
    """Open the database, made when it is missing. Raises UsageError for a file that is something else, and OSError."""
    parent = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        # One at a time: two that turn a new file into a database with a log disturb each other.
        fcntl.flock(parent, fcntl.LOCK_EX)
        connection = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
        try:
            _prepare(connection, path)
        except BaseException:
            connection.close()
            raise
    except sqlite3.Error as error:
        if _code(error) == sqlite3.SQLITE_NOTADB:
            raise UsageError(f"{path} is no SQLite database; give the file of a store, or a new one") from error
        raise _refusal(error, path) from error
    finally:
        os.close(parent)
    return connection


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA journal_size_limit = {_LOG_MOST}")
    found = _one(connection, "PRAGMA application_id")[0], _one(connection, "PRAGMA user_version")[0]
    if found != _FORMAT:
        if found != (0, 0) or _one(connection, "SELECT count(*) FROM sqlite_schema")[0]:
            raise UsageError(
                f"{path} is the database of another program, or of another version of this one "
                f"(application_id and user_version are {found}, and have to be {_FORMAT}); give another file"
            )
        if _one(connection, "PRAGMA journal_mode = WAL")[0] != "wal":
            raise UsageError(f"{path} is at a place where SQLite cannot keep a write-ahead log; choose a local file")
        connection.executescript(_SCHEMA)
    # Who is the first after a crash finds transactions in the log whose writer died before their fsync. From here on
    # what can be seen is durable.
    connection.execute("PRAGMA wal_checkpoint(PASSIVE)")


def _one(connection: sqlite3.Connection, query: str, *values: object) -> Any:
    return connection.execute(query, values).fetchone()


# -- in a transaction ------------------------------------------------------------------------------------------------


def _no(number: int, path: str) -> OSError:
    return OSError(number, os.strerror(number), path)  # FileNotFoundError and so on: Python knows which


def _find(connection: sqlite3.Connection, path: str) -> tuple[int, bool]:
    """The id of a node, and whether it is a directory."""
    node, is_directory = _ROOT, True
    for name in check_path(path).split("/") if path else ():
        if not is_directory:
            raise _no(errno.ENOTDIR, path)
        row = _one(connection, "SELECT id, is_directory FROM nodes WHERE parent = ? AND name = ?", node, name)
        if row is None:
            raise _no(errno.ENOENT, path)
        node, is_directory = row
    return node, is_directory


def _file(connection: sqlite3.Connection, path: str) -> int:
    node, is_directory = _find(connection, path)
    if is_directory:
        raise _no(errno.EISDIR, path)
    return node


def _directory(connection: sqlite3.Connection, path: str) -> int:
    node, is_directory = _find(connection, path)
    if not is_directory:
        raise _no(errno.ENOTDIR, path)
    return node


def _place(connection: sqlite3.Connection, path: str) -> tuple[int, str]:
    """Where the entry of a path is, or would be: the directory and the name."""
    parent, _, name = check_path(path).rpartition("/")
    if not name:
        raise _no(errno.EEXIST, path)  # the root
    return _directory(connection, parent), name


def _pieces(connection: sqlite3.Connection, path: str, start: int) -> sqlite3.Cursor:
    return connection.execute(
        "SELECT substr(data, max(0, :start - start) + 1) FROM pieces WHERE node = :node AND start >= "
        "coalesce((SELECT max(start) FROM pieces WHERE node = :node AND start <= :start), 0) ORDER BY start",
        {"node": _file(connection, path), "start": start},
    )


def _gather(pieces: sqlite3.Cursor) -> bytes:
    """The next pieces, as one that is worth a visit to a thread; nothing at the end."""
    chunk = bytearray()
    for (data,) in pieces:
        chunk += data
        if len(chunk) >= _CHUNK:
            break
    return bytes(chunk)


def _read(connection: sqlite3.Connection, path: str) -> bytes:
    return b"".join(data for (data,) in _pieces(connection, path, 0))


def _list(connection: sqlite3.Connection, path: str) -> list[str]:
    names = "SELECT name FROM nodes WHERE parent = ? ORDER BY name"
    return [name for (name,) in connection.execute(names, (_directory(connection, path),))]


def _make(connection: sqlite3.Connection, path: str, *, is_directory: bool) -> bool:
    """Make an entry; False when there is one."""
    insert = "INSERT OR IGNORE INTO nodes (parent, name, is_directory) VALUES (?, ?, ?)"
    return bool(connection.execute(insert, (*_place(connection, path), is_directory)).rowcount)


def _make_directory(connection: sqlite3.Connection, path: str) -> None:
    if not _make(connection, path, is_directory=True):
        raise _no(errno.EEXIST, path)


def _put(connection: sqlite3.Connection, path: str, data: bytes, anew: bool) -> None:
    _make(connection, path, is_directory=False)
    node = _file(connection, path)
    if anew:
        connection.execute("DELETE FROM pieces WHERE node = ?", (node,))
    last = _one(connection, "SELECT start + length(data) FROM pieces WHERE node = ? ORDER BY start DESC LIMIT 1", node)
    end = last[0] if last else 0
    for at in range(0, len(data), _CHUNK):
        connection.execute("INSERT INTO pieces VALUES (?, ?, ?)", (node, end + at, data[at : at + _CHUNK]))


def _rename(connection: sqlite3.Connection, source: str, target: str) -> None:
    node, is_directory = _find(connection, source)
    parent, name = _place(connection, target)
    if target.startswith(f"{source}/"):
        raise _no(errno.EINVAL, target)
    there = _one(connection, "SELECT id, is_directory FROM nodes WHERE parent = ? AND name = ?", parent, name)
    if there and there != (node, False):
        if there[1] or is_directory:
            raise _no(errno.EEXIST if there[1] else errno.ENOTDIR, target)
        _delete(connection, there[0])
    connection.execute("UPDATE nodes SET parent = ?, name = ? WHERE id = ?", (parent, name, node))


def _remove(connection: sqlite3.Connection, path: str) -> None:
    node, _ = _find(connection, path)
    if _one(connection, "SELECT 1 FROM nodes WHERE parent = ?", node):
        raise _no(errno.ENOTEMPTY, path)
    _delete(connection, node)


def _delete(connection: sqlite3.Connection, node: int) -> None:
    connection.execute("DELETE FROM pieces WHERE node = ?", (node,))
    connection.execute("DELETE FROM nodes WHERE id = ?", (node,))
