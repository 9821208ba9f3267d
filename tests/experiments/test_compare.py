"""Compare: every cell in its place whatever the others do, every file whole, the same with one worker and with two."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import racewindow as rw
from racewindow import charts
from racewindow.experiments import Budget, Comparison, compare, prepare, prove, windows
from racewindow.experiments._first_bug import STRATEGIES
from racewindow.frames import MATRIX, WINDOWS
from racewindow.implementations import implementation
from racewindow.implementations.designs import LockedIntent, PathLock
from racewindow.implementations.designs._model import DesignHandle
from racewindow.kernel import Token
from racewindow.sessions import Case, Environment, Observation, SessionStore, story

FILES = {
    *("summary.json", "matrix.parquet", "windows.parquet", "crashes.parquet", "arrivals.parquet", "first_bugs.parquet"),
    *("windows.svg", "windows.png", "matrix.png", "report.html"),
}
BUDGET = Budget(preemptions=1, max_executions=200, schedules=20, shrink_executions=40)
SMALL: dict[str, Any] = {"topologies": ["separate-stores"], "disks": ["atomic"], "budget": BUDGET}


class Forgetful(PathLock):
    """Breaks the protocol: different from one schedule to the next."""

    name = "forgetful"
    schedules = 0

    async def load(self) -> DesignHandle:
        Forgetful.schedules += 1
        await self.env.point(f"load {Forgetful.schedules}")
        return await super().load()


class Blind(PathLock):
    """Breaks the protocol: cannot say what is in its storage."""

    name = "blind"

    @classmethod
    def observe(cls, env: Environment) -> Observation:
        raise RuntimeError("nothing to see here")


class Incapable(PathLock):
    """Breaks the protocol: says only when it is asked that it cannot do it."""

    name = "incapable"

    async def load(self) -> DesignHandle:
        raise rw.Unsupported("no handles today")


def stories(*names: str) -> list[Any]:
    return [story(name) for name in names]


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    chosen = [implementation(name) for name in ("copy-on-write", "path-lock", "reference-without-fsync")]
    return compare(chosen, stories("after-completion", "free-running", "acknowledged-then-power-loss"), **SMALL)


class TestFirstViolation:
    def test_is_searched_for_where_there_is_one(self) -> None:
        """In the story that was asked for: the reference without violations has no searches, and no note says that anything is missing."""
        budget = Budget(
            preemptions=0, max_executions=200, schedules=20, shrink_executions=0, searches=2, search_schedules=20
        )
        chosen = [implementation(name) for name in ("copy-on-write", "reference")]
        result = compare(
            chosen, stories("after-completion"), searched=story("free-running"), **(SMALL | {"budget": budget})
        )
        found = result.first_bugs
        assert set(found["subject"].astype("str")) == {"copy-on-write"}
        assert found.groupby("strategy", observed=True).size().to_dict() == dict.fromkeys(STRATEGIES, 2)
        assert (found["schedules"] <= 20).all()
        assert result.notes == ()
        page = result.report()
        assert 'id="searches"' in page
        assert "First violation" in page
        for token in found.loc[found["found"], "token"]:
            assert "/free-running/separate-stores/atomic" in Token.parse(token).subject

    def test_is_not_there_unless_asked_for(self, comparison: Comparison) -> None:
        assert comparison.first_bugs.empty
        assert 'id="searches"' not in comparison.report()


def quick(figure: object, path: Path) -> None:
    """Stands in for drawing, where it does not matter what is drawn."""
    path.write_text("a picture")


class TestMatrix:
    def test_has_one_row_for_each_cell_in_the_order_asked_for(self, comparison: Comparison) -> None:
        matrix = comparison.matrix
        assert matrix.columns.tolist() == [column.name for column in MATRIX]
        assert list(zip(matrix["scenario"].astype("str"), matrix["implementation"].astype("str"), strict=True)) == [
            (scenario, name)
            for scenario in ("after-completion", "free-running", "acknowledged-then-power-loss")
            for name in ("copy-on-write", "path-lock", "reference-without-fsync")
        ]

    def test_each_cell_is_what_prove_says_of_it(self, comparison: Comparison) -> None:
        for row in comparison.matrix.to_dict("records"):
            case = Case(
                implementation=implementation(row["implementation"]),
                scenario=story(row["scenario"]),
                topology=row["topology"],
                disk=row["disk"],
            )
            alone = prove(case, preemptions=1, max_executions=200).shrink(max_executions=BUDGET.shrink_executions)
            assert row == alone.row | {"token": alone.shrunk.token if alone.shrunk else ""}

    def test_a_failure_is_told_as_it_was_found_where_somebody_wants_that(self) -> None:
        """By the token of the row's own story; otherwise by that of the simplest one."""
        chosen = [implementation("copy-on-write")]
        rows = {}
        for executions in (0, 600):
            budget = Budget(preemptions=0, max_executions=200, shrink_executions=executions)
            result = compare(chosen, stories("after-completion"), **(SMALL | {"budget": budget}))
            (rows[executions],) = result.matrix.to_dict("records")
            assert result.timeline(str(rows[executions]["token"])).violation.startswith("extracted-once")
        assert "/after-completion=" in str(rows[0]["token"])
        assert "/a=Am1=n=w=r=c=" in str(rows[600]["token"])

    def test_verdicts_are_of_all_kinds(self, comparison: Comparison) -> None:
        assert set(comparison.matrix["verdict"].astype("str")) >= {"proved", "failed", "not-applicable"}

    def test_what_cannot_be_proved_at_all_is_sampled(self) -> None:
        budget = Budget(preemptions=1, max_executions=1, schedules=50)
        result = compare([PathLock], stories("free-running"), **(SMALL | {"budget": budget}))
        (row,) = result.matrix.to_dict("records")
        assert (row["strategy"], row["schedules"], row["complete"]) == ("random-walk", 50, False)

    def test_nothing_to_compare_is_refused(self) -> None:
        with pytest.raises(rw.UsageError, match="nothing to compare"):
            compare([], stories("free-running"))
        with pytest.raises(rw.UsageError, match="nothing to compare"):
            compare([PathLock], stories("free-running"), topologies=[])


class TestWindows:
    def test_are_those_of_every_cell_with_a_pair_without_the_mutants(self, comparison: Comparison) -> None:
        frame = comparison.windows
        assert frame.columns.tolist() == [column.name for column in WINDOWS]
        pairs = set(zip(frame["scenario"].astype("str"), frame["implementation"].astype("str"), strict=True))
        assert pairs == {
            (scenario, name)
            for scenario in ("after-completion", "free-running")
            for name in ("copy-on-write", "path-lock")
        }
        case = Case(implementation=PathLock, scenario=story("free-running"), topology="separate-stores", disk="atomic")
        mine = frame[(frame["implementation"] == "path-lock") & (frame["scenario"] == "free-running")]
        assert mine.to_dict("records") == windows(case).frame.to_dict("records")

    def test_every_failing_cell_and_every_kind_of_window_has_its_story(self, comparison: Comparison) -> None:
        tokens = [token for token in comparison.matrix["token"] if token]
        tokens += [token for token in comparison.widths["token"] if token]
        assert len(tokens) > 4
        for token in tokens:
            assert comparison.timeline(token).violation

    def test_a_story_of_another_comparison_is_refused(self, comparison: Comparison) -> None:
        other = windows(Case(implementation=LockedIntent, scenario=story("two-commits"))).frame["token"].iloc[0]
        with pytest.raises(rw.UsageError, match="was not compared"):
            comparison.timeline(other)

    def test_every_gap_of_the_atlas_opens(self, comparison: Comparison) -> None:
        for token in comparison.windows["token"]:
            assert comparison.timeline(token).rows


class TestBreakingTheProtocol:
    @pytest.mark.parametrize(
        ("broken", "reason"),
        [
            (Forgetful, "ReplayDiverged: the subject does not repeat itself"),
            (Blind, "Unsupported: blind could not say what is in its storage: RuntimeError: nothing to see here"),
            (Incapable, "Unsupported: no handles today"),
        ],
    )
    def test_costs_its_own_cell_and_nobody_elses(self, broken: type[SessionStore], reason: str) -> None:
        chosen: list[type[SessionStore]] = [PathLock, broken, implementation("copy-on-write")]
        result = compare(chosen, stories("free-running"), **SMALL)
        rows = {row["implementation"]: row for row in result.matrix.to_dict("records")}
        assert rows[broken.name]["verdict"] == "unknown"
        assert reason in rows[broken.name]["reason"]
        without = compare([PathLock, implementation("copy-on-write")], stories("free-running"), **SMALL)
        assert [rows["path-lock"], rows["copy-on-write"]] == without.matrix.to_dict("records")
        assert broken.name not in set(result.windows["implementation"].astype("str"))


class TestJobs:
    @pytest.mark.slow
    def test_two_workers_find_what_one_finds(self, comparison: Comparison) -> None:
        chosen = [implementation(name) for name in comparison.implementations]
        two = compare(chosen, stories(*comparison.scenarios), jobs=2, **SMALL)
        pd.testing.assert_frame_equal(two.matrix, comparison.matrix)
        pd.testing.assert_frame_equal(two.windows, comparison.windows)
        assert two.timelines == comparison.timelines
        timeless = [{**each.settings, "seconds": 0} for each in (two, comparison)]
        assert timeless[0] == timeless[1]


class TestInterruption:
    @staticmethod
    def after(cells: int) -> Callable[[Iterable[Any], int], Iterable[Any]]:
        def progress(results: Iterable[Any], total: int) -> Iterator[Any]:
            assert total == 4
            for number, cell in enumerate(results):
                if number == cells:
                    raise KeyboardInterrupt
                yield cell

        return progress

    def test_keeps_the_cells_that_were_finished(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(charts, "save", quick)
        chosen: list[type[SessionStore]] = [PathLock, implementation("copy-on-write")]
        asked = stories("free-running", "after-completion")
        whole = compare(chosen, asked, **SMALL)
        part = compare(chosen, asked, progress=self.after(2), **SMALL)
        assert (whole.interrupted, part.interrupted) == (False, True)
        assert part.matrix.to_dict("records") == whole.matrix.head(2).to_dict("records")
        written = part.write(tmp_path)
        assert {path.name for path in written} == FILES
        assert json.loads((tmp_path / "summary.json").read_text())["interrupted"] is True

    def test_before_the_first_cell_leaves_empty_frames_that_can_be_written(self, tmp_path: Path) -> None:
        chosen: list[type[SessionStore]] = [PathLock, implementation("copy-on-write")]
        part = compare(chosen, stories("free-running", "after-completion"), progress=self.after(0), **SMALL)
        assert part.interrupted
        assert part.matrix.empty
        assert part.matrix.columns.tolist() == [column.name for column in MATRIX]
        assert {path.name for path in part.write(tmp_path)} == FILES

    def test_a_time_limit_stops_between_cells_and_says_so(self) -> None:
        result = compare([PathLock], stories("free-running", "after-completion"), time_limit_s=1e-9, **SMALL)
        assert (len(result.matrix), result.interrupted) == (1, True)


class TestWriting:
    def test_writes_every_file_and_leaves_nothing_else(self, comparison: Comparison, tmp_path: Path) -> None:
        folder = tmp_path / "deep" / "out"
        written = comparison.write(folder)
        assert {path.name for path in written} == FILES == set(os.listdir(folder))
        assert all(path.stat().st_size > 100 for path in written)
        pd.testing.assert_frame_equal(pd.read_parquet(folder / "matrix.parquet"), comparison.matrix)
        pd.testing.assert_frame_equal(pd.read_parquet(folder / "windows.parquet"), comparison.windows)
        summary = json.loads((folder / "summary.json").read_text())
        assert summary["matrix"] == comparison.matrix.to_dict("records")
        assert summary["settings"]["preemptions"] == 1
        report = (folder / "report.html").read_text()
        assert all(name in report for name in comparison.implementations)

    @pytest.mark.slow
    def test_the_same_comparison_is_written_the_same_way(self, comparison: Comparison, tmp_path: Path) -> None:
        for folder in ("one", "two"):
            comparison.write(tmp_path / folder)
        for name in ("summary.json", "windows.svg", "report.html"):
            assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name

    def test_a_file_that_cannot_be_made_is_not_half_there(
        self, comparison: Comparison, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def torn(figure: object, path: Path) -> None:
            path.write_text("half a pic")
            raise OSError("the disk is full")

        monkeypatch.setattr(charts, "save", quick)
        comparison.write(tmp_path)
        before = (tmp_path / "windows.svg").read_bytes()
        monkeypatch.setattr(charts, "save", torn)
        with pytest.raises(OSError, match="full"):
            comparison.write(tmp_path)
        assert (tmp_path / "windows.svg").read_bytes() == before
        assert set(os.listdir(tmp_path)) == FILES

    def test_a_folder_that_is_a_file_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "taken").write_text("")
        for folder in (tmp_path / "taken", tmp_path / "taken" / "inside"):
            with pytest.raises(rw.UsageError, match=r"cannot write to .*; choose another folder"):
                prepare(folder)
