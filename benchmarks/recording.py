"""What the workers of a torture saw, written so that it survives them: one line for each fact, in one file each."""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Fact = dict[str, Any]


class Recording:
    """A file that is only appended to. What ``note`` returned from is there, whatever becomes of its process."""

    def __init__(self, path: Path) -> None:
        self.name = path.stem
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)

    def note(self, what: str, *, at: int | None = None, **members: Any) -> None:
        """Write a fact down. ``at`` is in nanoseconds, by the clock that all processes share; now, if not given."""
        fact = {"at": time.monotonic_ns() if at is None else at, "what": what, "worker": self.name} | members
        # One write, and no buffer of ours: the page cache survives the process.
        os.write(self._descriptor, json.dumps(fact).encode() + b"\n")

    def close(self) -> None:
        os.close(self._descriptor)


def read_recording(path: Path) -> Iterator[Fact]:
    """The facts of one worker. A line without an end was being written when it died, and says nothing."""
    *lines, _ = path.read_bytes().split(b"\n")
    yield from map(json.loads, lines)


def read_recordings(directory: Path) -> list[Fact]:
    """The facts of all workers, in the order in which they were noted."""
    return sorted(
        (fact for path in sorted(directory.glob("*.jsonl")) for fact in read_recording(path)),
        key=lambda fact: fact["at"],
    )
