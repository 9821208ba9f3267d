"""The corpus: tokens that failed once. They are replayed before anything else is tried, and dropped when they are fixed for good.

A folder with one small JSON file for each token, so that folders of two branches or two machines merge by copying. *Fixed for good*
means: :data:`CLEAN_RUNS` runs in a row followed the token and found nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from racewindow.errors import RacewindowError, UsageError

CLEAN_RUNS = 3
"""After so many clean replays in a row a token is dropped; one could be luck, when the code around it moved a point."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One token of the corpus.

    Attributes:
        owner: whom it concerns: an implementation's name, or a test's id.
        token: the schedule that failed.
        kinds: of its violations.
        clean: replays without a violation, in a row.
    """

    owner: str
    token: str
    kinds: tuple[str, ...]
    clean: int = 0


class Corpus:
    """A folder of failing tokens; nothing is created before there is one.

    Args:
        path: of the folder.

    Raises:
        UsageError: it is no folder.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        if self.path.exists() and not self.path.is_dir():
            raise UsageError(f"{self.path} is no folder: give one for the corpus")

    def entries(self, owner: str | None = None) -> list[Entry]:
        """The tokens of one owner, or all.

        Raises:
            UsageError: a file in the folder is no entry; the message names it.
        """
        found = [entry for _, entry in self._read()]
        return [entry for entry in found if owner in (None, entry.owner)]

    def add(self, entry: Entry) -> None:
        """Keep a token that failed; one that was about to be dropped starts anew.

        Raises:
            UsageError: the folder cannot be written.
        """
        self._write(replace(entry, clean=0))

    def passed(self, entry: Entry) -> bool:
        """A replay of the token found nothing; True: it was dropped, for that was so several times in a row."""
        if entry.clean + 1 >= CLEAN_RUNS:
            self._file(entry).unlink(missing_ok=True)
            return True
        self._write(replace(entry, clean=entry.clean + 1))
        return False

    def replay(self, owner: str, run: Callable[[str], tuple[str, ...]]) -> Iterator[tuple[Entry, str]]:
        """Replay the tokens of one owner.

        Args:
            owner: whose.
            run: replays a token as far as it goes, and gives the kinds of the violations.

        Yields:
            The entry and what came of it: ``failed``, ``passed``, ``dropped``, or after ``lost: `` why it could not be replayed.
        """
        for entry in self.entries(owner):
            try:
                kinds = run(entry.token)
            except RacewindowError as error:
                yield entry, f"lost: {error}"
                continue
            if kinds:
                if entry.clean or kinds != entry.kinds:
                    self.add(replace(entry, kinds=kinds))
                yield entry, "failed"
            else:
                yield entry, "dropped" if self.passed(entry) else "passed"

    def _read(self) -> Iterator[tuple[Path, Entry]]:
        for file in sorted(self.path.glob("*.json")):
            try:
                told = json.loads(file.read_text())
                entry = Entry(
                    owner=str(told["owner"]),
                    token=str(told["token"]),
                    kinds=tuple(told["kinds"]),
                    clean=int(told["clean"]),
                )
            except FileNotFoundError:  # another worker dropped it just now
                continue
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise UsageError(
                    f"{file} is no entry of a corpus ({type(error).__name__}: {error}); take it out of the folder"
                ) from error
            yield file, entry

    def _write(self, entry: Entry) -> None:
        target = self._file(entry)
        temporary = target.with_name(f".{target.name}.{os.getpid()}")
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            temporary.write_text(json.dumps(asdict(entry), indent=1) + "\n")
            os.replace(temporary, target)
        except OSError as error:
            raise UsageError(f"cannot write to the corpus {self.path}: {error.strerror or error}") from error

    def _file(self, entry: Entry) -> Path:
        return self.path / f"{hashlib.sha256(f'{entry.owner} {entry.token}'.encode()).hexdigest()[:16]}.json"

    def __repr__(self) -> str:
        return f"<Corpus {self.path}>"
