"""A campaign on disk: one Parquet file for each range, so that a campaign that was killed goes on where it stopped.

A file appears whole or not at all (it is written beside its place, synced, and renamed), and its footer has the part in brief. So a range
either has its file or is done again, and no range is counted twice: a second file of a range replaces the first.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from racewindow.campaign._part import Part
from racewindow.campaign._plan import Plan
from racewindow.errors import UsageError
from racewindow.frames import CAMPAIGN, concat

if TYPE_CHECKING:
    import pandas as pd

_PLAN = "_campaign.json"  # what begins with an underscore is left out by whoever reads the folder as one data set
_PART = "part-{:07d}.parquet"
_KEY = b"racewindow"


class Folder:
    """The files of one campaign.

    Args:
        path: a folder; made when it does not exist.
        plan: the campaign.

    Raises:
        UsageError: the folder cannot be written, or holds another campaign.
    """

    def __init__(self, path: str | os.PathLike[str], plan: Plan) -> None:
        self.path = Path(path)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._claim(json.dumps(plan.signature, indent=1) + "\n")
        except OSError as error:
            raise UsageError(
                f"cannot write to {self.path}: {error.strerror or error}; choose another folder"
            ) from error

    def _claim(self, signature: str) -> None:
        mine = self.path / _PLAN
        if mine.exists():
            if mine.read_text() != signature:
                raise UsageError(
                    f"{self.path} holds another campaign (other implementation, scenarios, strategies, budget or seed): give the same "
                    "again to go on with it, or choose another folder"
                )
        elif next(self.path.glob("part-*.parquet"), None) is not None:
            raise UsageError(f"{self.path} has parts of a campaign without {_PLAN}: choose another folder")
        else:
            _write(mine, signature.encode())

    def write(self, part: Part) -> None:
        """Keep a part."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        assert part.rows is not None, "a campaign that keeps rows asks workers for them"
        table = pa.Table.from_pandas(part.rows, preserve_index=False)
        table = table.replace_schema_metadata({**(table.schema.metadata or {}), _KEY: part.to_json().encode()})
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink)
        _write(self.path / _PART.format(part.number), sink.getvalue().to_pybytes())

    def done(self) -> Iterator[Part]:
        """The ranges that are done, without their rows.

        Raises:
            UsageError: a file is none of ours.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        for file in self._files():
            try:
                part = Part.from_json(pq.read_schema(file).metadata[_KEY])
            except (pa.ArrowInvalid, KeyError, TypeError, ValueError, OSError) as error:
                raise UsageError(
                    f"{file} is no part of a campaign ({type(error).__name__}: {error}); delete it, and its range is done again"
                ) from error
            if part.whole:
                yield part

    def runs(self) -> pd.DataFrame:
        """All schedules that were run, with the columns :data:`racewindow.frames.CAMPAIGN`, in the order of the plan."""
        import pandas as pd

        return concat((pd.read_parquet(file) for file in self._files()), CAMPAIGN, "campaign")

    def _files(self) -> list[Path]:
        return sorted(self.path.glob("part-*.parquet"))


def _write(target: Path, content: bytes) -> None:
    """Write a file that appears whole or not at all, whatever is killed."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
