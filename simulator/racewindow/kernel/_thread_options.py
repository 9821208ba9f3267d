"""What can be said about the thread host."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from racewindow.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Threads:
    """The thread host, with options: ``rw.explore(subject, host=rw.Threads(lines=[bank]))``. ``host="threads"`` has none.

    Args:
        lines: modules, or files, in which every line that can touch something shared is a point, and so is every store that follows a
            read in the same line (``counter.value += 1``): races on plain variables are found in code that has no points of its own.
        step_limit_s: wall-clock seconds after which a step that does not end is reported, with what it waits for.

    Raises:
        UsageError: a module has no file, a file does not exist, or the limit makes no sense.
    """

    lines: Iterable[ModuleType | str | Path] = ()
    step_limit_s: float = 20.0

    def __post_init__(self) -> None:
        if isinstance(self.lines, str | Path | ModuleType):
            raise UsageError(f"lines={self.lines!r}: give a list of modules or files")
        if not self.step_limit_s > 0:
            raise UsageError(f"step_limit_s={self.step_limit_s}: give a positive number of seconds")
        object.__setattr__(self, "lines", tuple(_file_of(each) for each in self.lines))


def _file_of(where: ModuleType | str | Path) -> str:
    """The name that code objects of a module or a file carry."""
    if isinstance(where, ModuleType):
        name = getattr(where, "__file__", None)
        if name is None:
            raise UsageError(f"lines=: {where.__name__} has no file of Python text, so its lines cannot be points")
        return str(name)
    if isinstance(where, str) and where in sys.modules:
        return _file_of(sys.modules[where])
    if not Path(where).is_file():
        raise UsageError(
            f"lines=: there is no file {str(where)!r}, and no module of that name is imported; give the module itself"
        )
    return str(where)
