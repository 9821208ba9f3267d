"""The file system, call by call: every call that others can notice is a point.

Files are opened with a raw file of ours underneath, whose reads and writes are the system calls that the operating system would see: what
a program writes becomes visible when its buffer is flushed, and that is where the point is. ``os`` functions are replaced one by one, which
covers :mod:`pathlib`, :mod:`shutil` and :mod:`tempfile`. An audit hook would see less (no reads, writes and syncs), and could never be
taken away again.

For a proof all files are one resource: two names can mean one file, and a rename changes what others mean.
"""

from __future__ import annotations

import errno
import io
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

from racewindow.errors import Unsupported
from racewindow.kernel._thread_primitives import FileLock
from racewindow.kernel._thread_workers import here

try:
    import fcntl
except ImportError:  # pragma: no cover - not on Windows
    fcntl = None  # type: ignore[assignment]

RESOURCE = "files"

_real_open = io.open
_real_fstat = os.fstat
_real_flock = fcntl.flock if fcntl is not None else None
_real_os_open = os.open
_real_rmtree, _real_mkdtemp = shutil.rmtree, tempfile.mkdtemp
_PYTHON = (".py", ".pyc", ".pyi")  # the interpreter's own business, for example to show a line of a traceback
_names: dict[int, str] = {}  # of open files, by descriptor


def _name(path: Any) -> str:
    """What a file is called in labels; empty: nobody wants to know about it."""
    if isinstance(path, int):
        return _names.get(path, "fd")
    name = os.path.basename(os.fsdecode(path).rstrip("/")) or "/"
    return "" if name.endswith(_PYTHON) else name


def _point(path: Any, verb: str, *, write: bool) -> None:
    """Give up control before a call. What is being taken apart must not touch a file any more."""
    name = _name(path)
    if name:
        resources = (RESOURCE,)
        here.engine.stop_at(f"{name}.{verb}", () if write else resources, resources if write else ())


class _Raw(io.FileIO):
    """A file whose system calls are points."""

    def _before(self, verb: str, *, write: bool) -> bool:
        """False: the call must not happen, for whoever makes it is being taken apart."""
        if here.task is None:
            return True
        if here.engine.closed:
            return False
        _point(self.fileno(), verb, write=write)
        return True

    def readall(self) -> Any:
        return super().readall() if self._before("read", write=False) else b""

    def readinto(self, buffer: Any, /) -> Any:
        return super().readinto(buffer) if self._before("read", write=False) else 0

    def write(self, data: Any, /) -> Any:
        return super().write(data) if self._before("write", write=True) else len(data)

    def close(self) -> None:
        if self.closed:
            return
        with _claimed(self.fileno()):
            super().close()

    def truncate(self, size: int | None = None, /) -> int:
        return super().truncate(size) if self._before("truncate", write=True) else 0


@wraps(_real_open)
def _open(
    file: Any,
    mode: str = "r",
    buffering: int = -1,
    encoding: str | None = None,
    errors: str | None = None,
    newline: str | None = None,
    closefd: bool = True,
    opener: Any = None,
) -> Any:
    if here.task is None or not _name(file) or not _usual(mode, buffering):
        return _real_open(file, mode, buffering, encoding, errors, newline, closefd, opener)
    writes = any(letter in mode for letter in "wax")
    if not isinstance(file, int) and opener is None:  # an opener makes a point of its own
        _point(file, "open", write=writes)
    raw = _Raw(file, mode.replace("b", "").replace("t", ""), closefd, opener)
    if not isinstance(file, int) and opener is None:
        _names[raw.fileno()] = _name(file)
    if buffering == 0:
        return raw
    buffer = (io.BufferedRandom if "+" in mode else io.BufferedWriter if writes else io.BufferedReader)(
        raw, buffering if buffering > 1 else io.DEFAULT_BUFFER_SIZE
    )
    if "b" in mode:
        return buffer
    text: Any = io.TextIOWrapper(buffer, io.text_encoding(encoding), errors, newline, line_buffering=buffering == 1)
    text.mode = mode
    return text


def _usual(mode: Any, buffering: Any) -> bool:
    """Whether the call makes sense; the real ``open`` says what is wrong with one that does not."""
    if not isinstance(mode, str) or not isinstance(buffering, int):
        return False
    kinds = [letter for letter in mode if letter in "rwax"]
    rest = sorted(letter for letter in mode if letter not in "rwax")
    binary = "b" in rest
    return len(kinds) == 1 and rest in ([], ["b"], ["t"], ["+"], ["+", "b"], ["+", "t"]) and (buffering != 0 or binary)


@wraps(_real_os_open)
def _os_open(path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
    if here.task is None:
        return _real_os_open(path, flags, mode, dir_fd=dir_fd)
    _point(path, "open", write=bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC)))
    descriptor = _real_os_open(path, flags, mode, dir_fd=dir_fd)
    _names[descriptor] = _name(path)
    return descriptor


def _call(verb: str, *, write: bool) -> tuple[Any, Any]:
    real = getattr(os, verb)

    @wraps(real)
    def call(*args: Any, **options: Any) -> Any:
        if here.task is not None:
            _point(next(iter((*args, *options.values())), "."), verb, write=write)
        return real(*args, **options)

    return real, call


_CHANGING = (
    "replace",
    "rename",
    "remove",
    "unlink",
    "mkdir",
    "rmdir",
    "link",
    "symlink",
    "truncate",
    "ftruncate",
    "write",
    "pwrite",
)
_SYNCING = ("fsync", "fdatasync")
_LOOKING = ("read", "pread", "stat", "lstat", "listdir", "scandir", "access")
_CALLS: tuple[tuple[Any, Any], ...] = tuple(
    _call(verb, write=verb in _CHANGING + _SYNCING) for verb in (*_CHANGING, *_SYNCING, *_LOOKING) if hasattr(os, verb)
)


@contextmanager
def _claimed(descriptor: int) -> Iterator[None]:
    """Whatever lock a descriptor has goes with it."""
    try:
        yield
    finally:
        if here.task is not None:
            _unlock(descriptor)
        _names.pop(descriptor, None)


_real_close = os.close


@wraps(_real_close)
def _close(fd: int) -> None:
    with _claimed(fd):
        _real_close(fd)


def _flock(fd: Any, operation: int, /) -> None:
    """``fcntl.flock``: the kernel's lock in place of the operating system's, one for each file, released when its process dies."""
    assert fcntl is not None
    if here.task is None:
        _real_flock(fd, operation)
        return
    engine = here.engine
    descriptor = fd if isinstance(fd, int) else fd.fileno()
    if operation & fcntl.LOCK_UN:
        _unlock(descriptor)
        return
    if operation & fcntl.LOCK_SH:
        raise Unsupported("the thread host knows exclusive file locks only: flock(file, LOCK_EX), not LOCK_SH")
    status = _real_fstat(descriptor)
    file = status.st_dev, status.st_ino
    lock = engine.file_locks.get(file)
    if lock is None:
        lock = engine.file_locks[file] = FileLock(_name(descriptor))
    if descriptor in engine.file_locked:
        return
    if not lock.acquire(blocking=not operation & fcntl.LOCK_NB):
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
    process = engine.running.process
    engine.file_locked[descriptor] = lock, process
    process.on_crash.append(lock.release)


def _unlock(descriptor: int) -> None:
    lock, process = here.engine.file_locked.pop(descriptor, (None, None))
    if lock is not None and process is not None and not process.crashed:
        process.on_crash.remove(lock.release)
        lock.release()


class _Candidates:
    """Names of temporary files: random ones would differ from schedule to schedule."""

    def __init__(self) -> None:
        self._real: Iterator[str] = tempfile._RandomNameSequence()  # type: ignore[attr-defined]

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if here.task is None:
            return next(self._real)
        return here.engine.name("temporary").replace(":", "-").replace("/", "-")


def functions() -> Iterator[tuple[Any, Callable[..., Any]]]:
    """``(real, ours)`` of what is replaced wherever somebody has it under a name of its own."""
    yield _real_open, _open
    yield _real_os_open, _os_open
    yield _real_close, _close
    if fcntl is not None:
        yield _real_flock, _flock
    yield from _CALLS


def attributes() -> Iterator[tuple[Any, str, Any]]:
    """``(owner, name, ours)`` of what is replaced in one place."""
    yield tempfile, "_name_sequence", _Candidates()


class Directory:
    """A directory on the real disk, empty at the beginning of every schedule; there is none until somebody asks for it."""

    def __init__(self) -> None:
        self._path: Path | None = None
        self._used = False

    def path(self) -> Path:
        """Where it is. The running step touches files, as far as anybody can tell."""
        if self._path is None:
            task, here.task = here.task, None
            self._path = (
                Path(_real_mkdtemp(prefix="racewindow-")) / "files"
            )  # its own name shows in labels, and must not be random
            self._path.mkdir()
            here.task = task
        self._used = True
        return self._path

    def without(self, text: str) -> str:
        """The text without the random part of the directory's name."""
        return text if self._path is None else text.replace(f"{self._path.parent}/", "")

    def empty(self) -> None:
        """Throw away what a schedule left in it."""
        if self._used and self._path is not None:
            for entry in self._path.iterdir():
                if entry.is_dir() and not entry.is_symlink():
                    _real_rmtree(entry)
                else:
                    entry.unlink()
        self._used = False

    def remove(self) -> None:
        """It is not needed any more."""
        if self._path is not None:
            _real_rmtree(self._path.parent, ignore_errors=True)
            self._path = None
