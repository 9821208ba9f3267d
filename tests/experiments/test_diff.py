"""Diff: two real comparisons of a store and of its repaired sibling under the same name."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

import racewindow as rw
from racewindow.cli import main
from racewindow.experiments import Budget, Comparison, Difference, compare, diff
from racewindow.frames import CHANGES
from racewindow.implementations import implementation
from racewindow.implementations.designs import LockedIntent, PathLock
from racewindow.sessions import story


class Repaired(LockedIntent):
    """The lock, and what was written under it, is kept for the whole commit."""

    name = "path-lock"


def compared(store: type[rw.SessionStore], *names: str) -> Comparison:
    budget = Budget(preemptions=1, max_executions=300, schedules=10, shrink_executions=0)
    return compare(
        [store], [story(name) for name in names], topologies=["separate-stores"], disks=["atomic"], budget=budget
    )


@pytest.fixture(scope="module")
def broken() -> Comparison:
    return compared(PathLock, "free-running", "after-completion")


@pytest.fixture(scope="module")
def repaired() -> Comparison:
    return compared(Repaired, "free-running", "after-completion")


def windows_of(difference: Difference) -> list[tuple[str, bool]]:
    rows = difference.frame[difference.frame["what"] == "window"]
    return list(zip(rows["change"].astype("str"), rows["worse"], strict=True))


class TestChanges:
    def test_a_repair_closes_the_window_and_changes_the_verdict(self, broken: Comparison, repaired: Comparison) -> None:
        found = diff(broken, repaired)
        assert found.frame.columns.tolist() == [column.name for column in CHANGES]
        assert (windows_of(found), found.worse) == ([("closed", False)], 0)
        (verdict,) = found.frame[
            (found.frame["what"] == "verdict") & (found.frame["scenario"] == "free-running")
        ].to_dict("records")
        assert verdict["old"].startswith("failed extracted-once")
        assert verdict["new"].startswith("proved")

    def test_the_other_way_round_it_is_worse_and_the_tokens_show_it(
        self, broken: Comparison, repaired: Comparison
    ) -> None:
        found = diff(repaired, broken)
        assert windows_of(found) == [("opened", True)]
        assert found.worse == 2
        for row in found.frame[found.frame["worse"]].to_dict("records"):
            assert broken.timeline(row["token"]).violation.startswith("extracted-once")

    def test_nothing_changes_from_a_comparison_to_itself(self, broken: Comparison) -> None:
        found = diff(broken, broken)
        assert (len(found.frame), found.worse, found.cells, found.ribbons) == (0, 0, 2, 2)

    def test_a_window_of_which_one_end_stays_has_moved_and_is_worse_where_it_grew(self) -> None:
        early, late = (
            compared(renamed(name), "free-running") for name in ("copy-on-write-early-clear", "copy-on-write")
        )
        assert ("moved", True) in windows_of(diff(early, late))
        assert ("moved", False) in windows_of(diff(late, early))

    def test_what_only_one_has_is_told_and_is_not_worse(self, broken: Comparison) -> None:
        part = compared(PathLock, "after-completion")
        assert diff(broken, part).frame["change"].tolist() == ["removed"]
        found = diff(part, broken)
        assert (found.frame["change"].tolist(), found.worse) == (["added"], 0)

    def test_two_that_have_nothing_in_common_are_refused(self, broken: Comparison) -> None:
        with pytest.raises(rw.UsageError, match="no cell in common"):
            diff(broken, compared(LockedIntent, "free-running"))


def renamed(name: str) -> type[rw.SessionStore]:
    return type("Renamed", (implementation(name),), {"name": "a-store"})


class TestCommand:
    @pytest.fixture
    def folders(self, broken: Comparison, repaired: Comparison, tmp_path: Path) -> tuple[str, str]:
        for name, each in (("broken", broken), ("repaired", repaired)):
            (tmp_path / name).mkdir()
            each.matrix.to_parquet(tmp_path / name / "matrix.parquet")
            each.windows.to_parquet(tmp_path / name / "windows.parquet")
        return str(tmp_path / "broken"), str(tmp_path / "repaired")

    def test_exits_with_1_when_something_got_worse(
        self, folders: tuple[str, str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        bad, good = folders
        assert main(["diff", bad, good]) == 0
        out = capsys.readouterr().out
        assert "window closed: path-lock  free-running  separate-stores, disk=atomic" in out
        assert "0 for the worse" in out
        assert main(["diff", good, bad]) == 1
        out = capsys.readouterr().out
        assert "worse  window opened: path-lock" in out
        assert "racewindow timeline rw2~path-lock/free-running" in out
        assert main(["diff", bad, bad]) == 0

    def test_as_json(self, folders: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
        bad, good = folders
        assert main(["diff", good, bad, "--json"]) == 1
        told = json.loads(capsys.readouterr().out)
        frame = diff(good, bad).frame
        assert told["worse"] == 2
        assert told["changes"] == frame.to_dict("records")

    @pytest.mark.parametrize("why", ["no such folder", "no matrix.parquet", "cannot be read", "needs the column"])
    def test_a_folder_that_is_no_comparison_is_wrong_usage(
        self, folders: tuple[str, str], why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        other = tmp_path / "other"
        if why != "no such folder":
            other.mkdir()
        if why == "cannot be read":
            (other / "matrix.parquet").write_text("nonsense")
        if why == "needs the column":
            pd.DataFrame({"scenario": ["x"]}).to_parquet(other / "matrix.parquet")
        assert main(["diff", folders[0], str(other)]) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.startswith("error: ")
        assert "is no comparison" in captured.err
        assert why in captured.err
