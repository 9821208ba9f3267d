"""Diff: what became better, and what worse, from one comparison to the next."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from racewindow.errors import UsageError
from racewindow.experiments._compare import Comparison
from racewindow.frames import MATRIX, RIBBON, WINDOWS, Column, changes_frame, conform, kinds, ribbons, spans

_CELL = ("implementation", "scenario", "topology", "disk")

Row = Mapping[Any, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What is not as it was.

    Attributes:
        frame: one row for each change, with the columns :data:`racewindow.frames.CHANGES`.
        cells: how many cells both comparisons have, ribbons: how many ribbons.
    """

    frame: pd.DataFrame = field(repr=False)
    cells: int
    ribbons: int

    @property
    def worse(self) -> int:
        """How many changes are for the worse: new failures, and windows that opened or grew."""
        return int(self.frame["worse"].sum())

    def __repr__(self) -> str:
        return f"<Difference {len(self.frame)} changes, {self.worse} worse, in {self.cells} cells>"


def diff(old: str | os.PathLike[str] | Comparison, new: str | os.PathLike[str] | Comparison) -> Difference:
    """Compare two comparisons: verdicts cell by cell, windows ribbon by ribbon.

    Steps may come and go between the two, so windows are told by the steps that open and close them, not by the numbers of their gaps:
    one with the same two is the same, one with one of the two has moved, and what is left over was closed or opened. What only one of the
    comparisons has is said, and is neither better nor worse.

    Args:
        old, new: folders that ``racewindow compare`` wrote, or comparisons.

    Raises:
        UsageError: a folder is no comparison, or the two have no cell in common.
    """
    (old_matrix, old_windows), (new_matrix, new_windows) = _frames(old), _frames(new)
    before, after = _by(_CELL, old_matrix), _by(_CELL, new_matrix)
    both = [key for key in after if key in before]
    if not both:
        raise UsageError(
            "the two comparisons have no cell in common, so there is nothing to say about them: "
            "give two of the same implementations and scenarios"
        )
    old_ribbons = {tuple(key.values()) for key, _ in ribbons(old_windows)}
    new_ribbons = {tuple(key.values()) for key, _ in ribbons(new_windows)}
    rows = [*_verdicts(before, after), *_windows(old_windows, new_windows, old_ribbons & new_ribbons)]
    return Difference(frame=changes_frame(rows), cells=len(both), ribbons=len(old_ribbons & new_ribbons))


def _frames(given: str | os.PathLike[str] | Comparison) -> tuple[pd.DataFrame, pd.DataFrame]:
    if isinstance(given, Comparison):
        return given.matrix, given.windows
    return _read(Path(given), "matrix", MATRIX), _read(Path(given), "windows", WINDOWS)


def _read(folder: Path, name: str, columns: Sequence[Column]) -> pd.DataFrame:
    path = folder / f"{name}.parquet"
    try:
        return conform(pd.read_parquet(path), columns, name)
    except FileNotFoundError:
        why = f"there is no {path.name}" if folder.is_dir() else "there is no such folder"
    except UsageError as error:
        why = str(error)
    except Exception as error:  # whatever pyarrow says of a file that is none of its own
        why = f"{path.name} cannot be read: {error}".splitlines()[0]
    raise UsageError(
        f"{folder} is no comparison: {why}. Give a folder that 'racewindow compare --output' wrote"
    ) from None


def _by(names: Sequence[str], frame: pd.DataFrame) -> dict[tuple[str, ...], Row]:
    return {tuple(str(row[name]) for name in names): row for row in frame.to_dict("records")}


def _verdicts(
    before: Mapping[tuple[str, ...], Row], after: Mapping[tuple[str, ...], Row]
) -> Iterator[dict[str, object]]:
    for key in dict.fromkeys([*after, *before]):
        old, new = before.get(key), after.get(key)
        told: dict[str, object] = {
            "what": "verdict",
            **dict(zip(_CELL, key, strict=True)),
            "old": _verdict(old),
            "new": _verdict(new),
        }
        if old is None or new is None:
            yield told | {"change": "added" if old is None else "removed"}
        elif told["old"] != told["new"]:
            broken = _new_kinds(_failure(old), _failure(new))
            token = new["token"] if broken else ""
            yield told | {"change": "changed", "broken": "+".join(broken), "worse": bool(broken), "token": token}


def _verdict(row: Row | None) -> str:
    if row is None:
        return ""
    failure = _failure(row)
    # A bound that became smaller is a weaker proof, so it belongs to the verdict.
    added = failure or (str(row["bound"]) if str(row["verdict"]) == "proved" else "")
    return f"{row['verdict']} {added}".rstrip()


def _failure(row: Row) -> str:
    return str(row["violation"]) if str(row["verdict"]) == "failed" else ""


def _new_kinds(old: str, new: str) -> list[str]:
    return [kind for kind in kinds(new) if kind not in kinds(old)]


def _windows(old: pd.DataFrame, new: pd.DataFrame, common: Iterable[tuple[str, ...]]) -> Iterator[dict[str, object]]:
    before, after = _spans(old), _spans(new)
    order = dict.fromkeys([*after, *before])
    shared = set(common)
    for key in order:
        if key in shared:
            for one, other in _matched(before.get(key, []), after.get(key, [])):
                yield from _window(key, one, other)


def _spans(frame: pd.DataFrame) -> dict[tuple[str, ...], list[Row]]:
    found: dict[tuple[str, ...], list[Row]] = {}
    for span in spans(frame).to_dict("records"):
        found.setdefault(tuple(str(span[name]) for name in RIBBON), []).append(span)
    return found


def _matched(old: Sequence[Row], new: Sequence[Row]) -> Iterator[tuple[Row | None, Row | None]]:
    """Windows and what became of them: those with the same ends first, then those with one end, then the ones that are alone."""
    left, right = list(old), list(new)
    for ends in (("opens", "closes"), ("opens",), ("closes",)):
        for other in list(right):
            one = next((each for each in left if all(each[end] == other[end] for end in ends)), None)
            if one is not None:
                left.remove(one)
                right.remove(other)
                yield one, other
    yield from ((one, None) for one in left)
    yield from ((None, other) for other in right)


def _window(key: tuple[str, ...], old: Row | None, new: Row | None) -> Iterator[dict[str, object]]:
    if (
        old is not None
        and new is not None
        and all(old[name] == new[name] for name in ("opens", "closes", "width", "violation"))
    ):
        return
    cell = dict(zip(RIBBON, key, strict=True))
    broken = _new_kinds("" if old is None else old["violation"], "" if new is None else new["violation"])
    grew = new is not None and (old is None or new["width"] > old["width"])
    worse = grew or bool(broken)
    yield {
        "what": "window",
        "change": "opened" if old is None else "closed" if new is None else "moved",
        **{name: cell[name] for name in _CELL},
        "ribbon": f"{cell['intrusion'] or 'all'} of {cell['intruder']} in '{cell['operation']}' of {cell['victim']}",
        "old": _place(old),
        "new": _place(new),
        "broken": "+".join(broken),
        "worse": worse,
        "token": new["token"] if worse and new is not None else "",
    }


def _place(span: Row | None) -> str:
    if span is None:
        return ""
    return f"{span['opens']} .. {span['closes']} ({span['width']} gap{'' if span['width'] == 1 else 's'}, {span['violation']})"
