from __future__ import annotations

import io
from math import exp, isnan
from typing import Any

import pandas as pd
import pytest

from racewindow import frames
from racewindow.errors import UsageError


def gap(number: int, outcome: str, violation: str = "", *, name: str = "store") -> dict[str, object]:
    return {
        "implementation": name,
        "scenario": "free-running",
        "topology": "separate-stores",
        "disk": "suspending",
        "gap": number,
        "after_step": f"s{number - 1}" if number else "",
        "before_step": f"s{number}",
        "phase": "accepted",
        "outcome": outcome,
        "violation": violation,
        "token": f"t{number}" if "failed" in outcome else "",
    }


def ribbon(outcomes: str, *, name: str = "store") -> pd.DataFrame:
    """One letter for each gap: o ok, F failed, B blocked then failed, b blocked then ok, i infeasible, _ not run."""
    words = {"o": "ok", "F": "failed", "B": "blocked-then-failed", "b": "blocked-then-ok", "i": "infeasible"}
    rows = [
        gap(number, words[letter], "committed-once" if letter in "FB" else "", name=name)
        for number, letter in enumerate(outcomes)
        if letter != "_"
    ]
    if rows:
        rows[-1]["before_step"] = ""
    return frames.windows_frame(rows)


def failing_ranges(frame: pd.DataFrame) -> list[tuple[int, int]]:
    found = frames.spans(frame)
    return list(zip(found["first"].tolist(), found["last"].tolist(), strict=True))


class TestBuilders:
    @pytest.mark.parametrize(
        ("build", "columns"),
        [
            (frames.runs_frame, frames.RUNS),
            (frames.first_bug_frame, frames.FIRST_BUG),
            (frames.rates_frame, frames.RATES),
            (frames.survival_frame, frames.SURVIVAL),
            (frames.logrank_frame, frames.LOGRANK),
            (frames.windows_frame, frames.WINDOWS),
            (frames.double_frame, frames.DOUBLE),
            (frames.closings_frame, frames.CLOSINGS),
            (frames.measures_frame, frames.MEASURES),
            (frames.arrivals_frame, frames.ARRIVALS),
            (frames.matrix_frame, frames.MATRIX),
        ],
    )
    def test_zero_rows_have_the_documented_columns(self, build: object, columns: tuple[frames.Column, ...]) -> None:
        """A frame of nothing still has every column, in order, and the numbers are numbers."""
        assert callable(build)
        frame = build()
        assert list(frame.columns) == [column.name for column in columns]
        for column in columns:
            if column.dtype in ("int64", "bool", "str"):
                assert str(frame[column.name].dtype) == column.dtype

    def test_dtypes_do_not_depend_on_the_number_of_rows(self) -> None:
        """Shared categories, integers and strings are the same with one row as with none."""
        none, one = frames.runs_frame(), frames.runs_frame([(0, "failed", "committed-once", "m1", 14, 2, "t")])
        assert none.dtypes.to_dict() == one.dtypes.to_dict()
        assert one["verdict"].dtype == frames.RUN_VERDICT
        assert ribbon("oF")["outcome"].dtype == frames.OUTCOME
        assert ribbon("oF")["phase"].dtype == frames.PHASE
        assert str(ribbon("oF")["implementation"].cat.categories.dtype) == "str"

    def test_rows_may_be_mappings_and_leave_defaults_out(self) -> None:
        """A row says what it knows; an empty violation, token or reason need not be spelled."""
        frame = frames.runs_frame([{"schedule": 3, "verdict": "passed", "steps": 9, "preemptions": 0}])
        assert frame.loc[0, "token"] == ""
        assert frame.loc[0, "steps"] == 9

    @pytest.mark.parametrize(
        ("row", "message"),
        [
            ({"schedule": 0, "verdict": "passed", "steps": 9}, "does not give 'preemptions'"),
            ({"schedule": 0, "verdict": "passed", "steps": 9, "preemption": 1}, "Did you mean 'preemptions'"),
            ((0, "passed"), "has 2 values"),
            ((0, "proved", "", "", 1, 0, ""), "cannot hold 'proved'"),
            (("x", "passed", "", "", 1, 0, ""), "must hold int64"),
        ],
    )
    def test_a_wrong_row_is_named(self, row: frames.PlainRow, message: str) -> None:
        """The error says which row or column is wrong, and what would be right."""
        with pytest.raises(UsageError, match=message):
            frames.runs_frame([row])

    def test_csv_and_back(self) -> None:
        """CSV turns empty strings into missing values and forgets categories; conform gives all of it back."""
        frame = ribbon("oFbi")
        back = frames.conform(pd.read_csv(io.StringIO(frame.to_csv(index=False))), frames.WINDOWS, "windows")
        pd.testing.assert_frame_equal(back, frame)

    def test_joining_parts_keeps_the_categories(self) -> None:
        """Two results with different implementations become one frame with both."""
        both = frames.concat([ribbon("oF", name="a"), ribbon("ooo", name="b")], frames.WINDOWS)
        assert both["implementation"].cat.categories.tolist() == ["a", "b"]
        assert both["outcome"].dtype == frames.OUTCOME
        assert frames.concat([], frames.WINDOWS).empty

    def test_columns_are_documented(self) -> None:
        """Each column of each frame has a meaning, and the documentation is a frame itself."""
        first_bug = (frames.FIRST_BUG, frames.RATES, frames.SURVIVAL, frames.LOGRANK)
        for columns in (
            frames.RUNS,
            frames.WINDOWS,
            frames.MATRIX,
            frames.WIDTHS,
            frames.SPANS,
            frames.TALLY,
            *first_bug,
        ):
            told = frames.describe(columns)
            assert list(told.columns) == ["name", "dtype", "unit", "meaning"]
            assert told["meaning"].str.len().gt(0).all()
            assert told["name"].is_unique


class TestRequire:
    def test_a_missing_column_is_named_with_its_neighbour(self) -> None:
        """A misspelt column is found by the nearest name."""
        with pytest.raises(UsageError, match=r"atlas needs the column 'gap'.*Did you mean 'gaps'"):
            frames.require(pd.DataFrame({"gaps": [1]}), ["gap"], "atlas")

    def test_something_that_is_no_frame(self) -> None:
        """Passing the result instead of its frame is a common slip, and the message says so."""
        with pytest.raises(UsageError, match=r"DataFrame, but was given dict"):
            frames.require({}, ["gap"], "atlas")

    def test_all_there(self) -> None:
        """Nothing happens where nothing is missing."""
        frames.require(ribbon(""), frames.WINDOWS, "atlas")


class TestWidths:
    def test_one_window(self) -> None:
        """Width, share, opening and closing step of a single window."""
        row = frames.widths(ribbon("ooFFo")).iloc[0]
        assert (row["gaps"], row["feasible"], row["failing"], row["windows"]) == (5, 5, 2, 1)
        assert row["fraction"] == pytest.approx(0.4)
        assert (row["opens"], row["closes"]) == ("s1", "s3")
        assert (row["violation"], row["token"]) == ("committed-once", "t2")

    def test_windows_at_the_ends(self) -> None:
        """A window that nothing opens starts with the commit; one that nothing closes ends with it."""
        row = frames.widths(ribbon("FoF")).iloc[0]
        assert (row["opens"], row["closes"], row["windows"]) == ("start", "end", 2)

    def test_no_window(self) -> None:
        """An implementation without a window keeps its row: zero is a result."""
        row = frames.widths(ribbon("obi")).iloc[0]
        assert (row["failing"], row["windows"], row["opens"], row["closes"]) == (0, 0, "", "")
        assert (row["feasible"], row["blocked"]) == (2, 1)

    def test_blocked_and_failed_belongs_to_the_window(self) -> None:
        """That the intruder had to wait first does not part a window."""
        assert failing_ranges(ribbon("FBF")) == [(0, 2)]

    @pytest.mark.parametrize("between", ["i", "o", "b", "_"])
    def test_what_parts_windows(self, between: str) -> None:
        """Fine, infeasible and unexplored gaps part a window: nothing is known to fail there."""
        assert failing_ranges(ribbon(f"F{between}FF")) == [(0, 0), (2, 3)]

    def test_an_interrupted_map_is_not_a_short_one(self) -> None:
        """The number of gaps comes from the last gap's number, not from the number of rows."""
        row = frames.widths(ribbon("F___o")).iloc[0]
        assert (row["gaps"], row["feasible"], row["fraction"]) == (5, 2, pytest.approx(0.2))

    def test_kinds_in_order_of_appearance(self) -> None:
        """Kinds of several gaps are listed once each."""
        frame = frames.windows_frame([gap(0, "failed", "b+a"), gap(1, "failed", "a+c"), gap(2, "ok")])
        assert frames.widths(frame)["violation"].tolist() == ["b+a+c"]

    def test_order_of_rows_does_not_matter(self) -> None:
        """Gaps are sorted by their number; ribbons stay in the order of first appearance."""
        frame = frames.concat([ribbon("oFFo", name="z"), ribbon("oo", name="a")], frames.WINDOWS)
        backwards = pd.concat([frame.iloc[:4].iloc[::-1], frame.iloc[4:]])
        pd.testing.assert_frame_equal(frames.widths(backwards), frames.widths(frame))
        assert frames.widths(frame)["implementation"].tolist() == ["z", "a"]

    def test_zero_rows(self) -> None:
        """No gaps, no rows, and still every column."""
        frame = frames.widths(frames.windows_frame())
        assert list(frame.columns) == [column.name for column in frames.WIDTHS]
        assert frame.empty

    def test_two_rows_for_one_gap(self) -> None:
        """Several victims in one frame cannot be one map."""
        with pytest.raises(UsageError, match=r"gap 0 of store in free-running .* has two rows"):
            frames.widths(frames.windows_frame([gap(0, "ok"), gap(0, "failed", "x")]))

    def test_a_missing_column(self) -> None:
        """The error names the column."""
        with pytest.raises(UsageError, match="'outcome'"):
            frames.widths(ribbon("oF").drop(columns="outcome"))


class TestTally:
    def test_counts_every_verdict(self) -> None:
        """One row for each implementation, zero for verdicts it never had."""
        rows = [
            {"scenario": s, "topology": "t", "disk": "d", "implementation": "a", "verdict": v, "schedules": 5}
            for s, v in (("one", "failed"), ("two", "proved"), ("three", "proved"))
        ]
        rows[0]["violation"] = "nothing-lost"
        row = frames.tally(frames.matrix_frame(rows)).iloc[0]
        assert (row["proved"], row["failed"], row["unknown"], row["schedules"]) == (2, 1, 0, 15)
        assert row["violation"] == "nothing-lost"


def curve(delays: list[float], probabilities: list[float], **others: Any) -> pd.DataFrame:
    """A curve of arrivals, with intervals of a tenth to both sides."""
    common = {
        "implementation": "one",
        "scenario": "s",
        "topology": "same-store",
        "disk": "atomic",
        "load": 0,
        "schedules": 1000,
        "confidence": 0.95,
        "exact": False,
        "latency": "l",
        "seed": 0,
    } | others
    return frames.arrivals_frame(
        {
            **common,
            "delay_s": delay,
            "failures": 0 if isnan(p) else round(1000 * p),
            "probability": p,
            "low": max(0.0, p - 0.1),
            "high": min(1.0, p + 0.1),
        }
        for delay, p in zip(delays, probabilities, strict=True)
    )


class TestArrivalWidths:
    def test_the_area_under_an_exponential_is_its_mean(self) -> None:
        """A window that lasts 0.3 s on average, exponentially distributed: P(it still stands after d) = exp(-d / 0.3)."""
        delays = [n / 1000 for n in range(6001)]
        found = frames.arrival_widths(curve(delays, [exp(-d / 0.3) for d in delays])).iloc[0]
        assert found["seconds"] == pytest.approx(0.3, rel=1e-3)
        assert found["seconds_low"] < found["seconds"] < found["seconds_high"]
        assert (found["first_s"], found["last_s"], found["open"]) == (0.0, 6.0, False)

    def test_each_curve_has_its_width_in_any_order_of_rows(self) -> None:
        """Two triangles of height one; the second is cut off before it ends, and says so."""
        both = frames.concat(
            [curve([0.0, 2.0], [1.0, 0.0]), curve([0.0, 1.0], [1.0, 0.5], implementation="two")], frames.ARRIVALS
        )
        for frame in (both, both.iloc[::-1]):
            found = frames.arrival_widths(frame).set_index("implementation")
            assert found["seconds"].to_dict() == {"one": 1.0, "two": 0.75}
            assert found["open"].to_dict() == {"one": False, "two": True}

    def test_what_has_no_width(self) -> None:
        """A single delay; none at all; delays at which nothing was accepted."""
        assert frames.arrival_widths(curve([1.0], [1.0])).empty
        assert frames.arrival_widths(frames.arrivals_frame()).empty
        found = frames.arrival_widths(curve([0.0, 1.0, 2.0], [1.0, float("nan"), 0.0]))
        assert found["seconds"].tolist() == [1.0]

    def test_a_missing_column_is_named(self) -> None:
        """Before anything is measured."""
        with pytest.raises(UsageError, match="probability"):
            frames.arrival_widths(curve([0.0, 1.0], [1.0, 0.0]).drop(columns="probability"))
