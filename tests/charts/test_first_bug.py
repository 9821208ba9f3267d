"""The survival curves: what is drawn is the frame, and nothing is told by colour alone."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from racewindow import UsageError, charts
from racewindow.charts._style import figure_of
from racewindow.experiments import FirstBug
from racewindow.frames import first_bug_frame, survival_frame

TAKEN = {"urw": (2, 3, 5, 8), "burst": (4, 9, 17, 100), "pct:depth=2": (40, 100, 100, 100)}


@pytest.fixture(autouse=True)
def _close() -> object:
    yield
    plt.close("all")


@pytest.fixture
def survival() -> pd.DataFrame:
    rows = [
        {"subject": subject, "strategy": strategy, "seed": seed, "schedules": schedules, "found": schedules < 100}
        for subject in ("easy", "narrow")
        for strategy, taken in TAKEN.items()
        for seed, schedules in enumerate(taken)
    ]
    return FirstBug(frame=first_bug_frame(rows), schedules=100).survival


class TestFirstBug:
    def test_one_panel_for_each_subject(self, survival: pd.DataFrame) -> None:
        """Side by side, on one scale."""
        figure = figure_of(charts.first_bug(survival))
        assert [panel.get_title(loc="left") or panel.get_title() for panel in figure.axes] == ["easy", "narrow"]
        assert len({panel.get_ylim() for panel in figure.axes}) == 1

    def test_many_subjects_stand_in_rows_with_one_scale(self) -> None:
        """Three fit beside each other at nine inches; what is harder to find is further to the right in all of them."""
        rows = [
            {"subject": f"s{n}", "strategy": "urw", "seed": 0, "schedules": 10 * n + 1, "found": True, "violation": "v"}
            for n in range(5)
        ]
        figure = figure_of(charts.first_bug(FirstBug(frame=first_bug_frame(rows), schedules=100).survival))
        assert [panel.get_title(loc="left") or panel.get_title() for panel in figure.axes] == [
            f"s{n}" for n in range(5)
        ]
        assert len({round(panel.get_position().y0, 3) for panel in figure.axes}) == 2
        assert {panel.get_xlim() for panel in figure.axes} == {(0.8, 41 * 1.1)}
        assert [bool(panel.get_xlabel()) for panel in figure.axes] == [False, False, True, True, True]
        assert len(figure.legends) == 1

    def test_a_curve_is_that_of_the_frame(self, survival: pd.DataFrame) -> None:
        """Steps at the schedules, and heights of the survival."""
        _, ax = plt.subplots()
        assert charts.first_bug(survival, ax=ax, subject="easy") is ax
        (curve,) = [line for line in ax.get_lines() if line.get_label() == "burst"]
        assert np.asarray(curve.get_xdata()).tolist()[1:] == [4, 9, 17, 100]
        assert np.asarray(curve.get_ydata()).tolist() == pytest.approx([1, 0.75, 0.5, 0.25, 0.25])
        assert curve.get_drawstyle() == "steps-post"

    def test_colour_is_not_the_only_channel(self, survival: pd.DataFrame) -> None:
        """Dashes and markers tell strategies apart too."""
        legend = figure_of(charts.first_bug(survival)).axes[-1].get_legend()
        assert legend is not None
        assert [text.get_text() for text in legend.get_texts()] == list(TAKEN)
        lines = legend.get_lines()
        assert len({str(line.get_linestyle()) + str(line._dash_pattern) for line in lines}) == len(lines)  # type: ignore[attr-defined]
        assert len({line.get_marker() for line in lines}) == len(lines)

    def test_says_how_many_searches_there_were(self, survival: pd.DataFrame) -> None:
        """And what the tick at the end of a curve means."""
        assert charts.first_bug(survival).get_xlabel() == "schedules\n(4 searches each; | cut off there)"

    def test_intervals_are_shaded_where_there_is_room(self, survival: pd.DataFrame) -> None:
        """Up to four curves, or on request."""
        assert len(charts.first_bug(survival).collections) == 3
        assert len(charts.first_bug(survival, bands=False).collections) == 0

    def test_an_empty_frame_is_an_empty_chart(self) -> None:
        """A campaign that was stopped at once."""
        assert charts.first_bug(survival_frame()).get_legend() is None

    def test_wrong_use(self, survival: pd.DataFrame) -> None:
        """One clear line each."""
        _, ax = plt.subplots()
        with pytest.raises(UsageError, match="2: give subject="):
            charts.first_bug(survival, ax=ax)
        with pytest.raises(UsageError, match="no subject 'hard'; it has: easy, narrow"):
            charts.first_bug(survival, subject="hard")
        with pytest.raises(UsageError, match="survival"):
            charts.first_bug(survival.drop(columns="survival"))

    @pytest.mark.parametrize("suffix", ["svg", "png"])
    def test_same_bytes_twice(self, survival: pd.DataFrame, tmp_path: Path, suffix: str) -> None:
        """No date, no random identifiers."""
        one, other = tmp_path / f"one.{suffix}", tmp_path / f"other.{suffix}"
        charts.save(charts.first_bug(survival), one)
        charts.save(charts.first_bug(survival), other)
        assert one.read_bytes() == other.read_bytes()
