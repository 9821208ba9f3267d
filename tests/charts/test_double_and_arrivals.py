"""The heat map of two preemptions and the curves of arrivals: what is drawn is the frame, and nothing is told by colour alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from racewindow import UsageError, charts
from racewindow.charts._style import figure_of
from racewindow.frames import arrivals_frame, double_frame

WIDTHS = (3.3, 7.0, 12.0)


@pytest.fixture(autouse=True)
def _close() -> object:
    yield
    plt.close("all")


def matrix(name: str = "path-lock") -> pd.DataFrame:
    """Six gaps: one of them infeasible, two with violations, one with waiting."""
    rows: list[dict[str, object]] = []
    for gap in range(6):
        cell = {
            "implementation": name,
            "scenario": "free-running",
            "topology": "separate-stores",
            "disk": "suspending",
            "victim": "a",
            "operation": "commit nowait",
            "intruder": "b",
            "gap": gap,
        }
        if gap == 0:
            rows.append(cell | {"intruder_steps": 0, "outcome": "infeasible"})
            continue
        for step in range(1, 5):
            outcome = "failed" if gap in (2, 3) and step > 1 else "blocked-then-ok" if gap == 4 else "ok"
            violation = "committed-once" if gap == 2 else "committed-once+extracted-once"
            rows.append(
                cell
                | {
                    "intruder_steps": step,
                    "outcome": outcome,
                    "violation": violation if outcome == "failed" else "",
                    "whole": step == 4,
                    "waited": "victim" if gap == 4 else "",
                }
            )
    return double_frame(rows)


def curves(*, loads: tuple[int, ...] = (0,), exact: bool = False) -> pd.DataFrame:
    rows = [
        {
            "implementation": name,
            "scenario": "free-running",
            "topology": "separate-stores",
            "disk": "suspending",
            "load": load,
            "delay_s": delay,
            "schedules": 1 if exact else 200,
            "failures": 0,
            "probability": top / (1 + delay),
            "low": 0.8 * top / (1 + delay),
            "high": min(1.0, 1.1 * top / (1 + delay)),
            "confidence": 0.95,
            "exact": exact,
            "latency": "exponential: *extract/answer 2.6 s, any other step 0.15 ms",
            "seed": 7,
        }
        for load in loads
        for name, top in (("reference", 0.0), ("copy-on-write-early-clear", 0.6), ("commit-in-place", 1.0))
        for delay in (0.0, 0.01, 1.0, 10.0)
    ]
    return arrivals_frame(rows)


def cut(figure: Figure) -> list[str]:
    """Texts that stick out of the figure."""
    canvas: Any = FigureCanvasAgg(figure)  # matplotlib leaves it untyped
    renderer = canvas.get_renderer()
    figure.draw(renderer)
    found = []
    for text in figure.findobj(Text):
        if text.get_text() and text.get_visible():
            box = text.get_window_extent(renderer)
            if box.x0 < -1 or box.y0 < -1 or box.x1 > figure.bbox.x1 + 1 or box.y1 > figure.bbox.y1 + 1:
                found.append(text.get_text())
    return found


def told(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


class TestDouble:
    def test_a_cell_stands_where_the_frame_says(self) -> None:
        """A letter for each failing cell, at its gap and its number of steps; a plus where several invariants broke."""
        ax = charts.double(matrix())
        letters = {text.get_position(): text.get_text() for text in ax.texts if len(text.get_text()) <= 2}
        expected = {(gap, step): "A" if gap == 2 else "A+" for gap in (2, 3) for step in (2, 3, 4)}
        assert letters == expected

    def test_colour_is_not_the_only_channel(self) -> None:
        """Letters, a bar and hatching say the same, and the legend explains them."""
        texts = told(figure_of(charts.double(matrix())))
        assert {"A  archived twice", "B  extracted twice", "no harm", "infeasible: it cannot start here"} <= set(texts)
        assert "bar: one had to wait for the other" in texts
        hatched = [each for each in plt.gca().patches if isinstance(each, Rectangle) and each.get_hatch()]
        assert len(hatched) == 1

    def test_says_how_many_schedules_fail(self) -> None:
        """Of those in which the intruder could start."""
        assert "6 of 20 schedules fail" in told(figure_of(charts.double(matrix())))

    def test_draws_where_it_is_told(self) -> None:
        """The Axes given come back."""
        _, ax = plt.subplots()
        assert charts.double(matrix(), ax=ax, legend=False) is ax

    @pytest.mark.parametrize("width", WIDTHS)
    def test_nothing_is_cut(self, width: float) -> None:
        """On paper, in one column and in two, and on a screen."""
        assert cut(figure_of(charts.double(matrix("a-store-with-a-rather-long-name"), width=width))) == []

    def test_an_empty_frame_is_an_empty_chart(self) -> None:
        """It says so."""
        assert "no cells were run" in told(figure_of(charts.double(double_frame())))

    def test_wrong_use(self) -> None:
        """One clear line each."""
        with pytest.raises(UsageError, match="one matrix, but this frame holds 2"):
            charts.double(pd.concat([matrix(), matrix("other")]))
        with pytest.raises(UsageError, match="two rows"):
            charts.double(pd.concat([matrix(), matrix()]))
        with pytest.raises(UsageError, match="needs the column 'outcome'"):
            charts.double(matrix().drop(columns="outcome"))


class TestArrivals:
    def test_a_curve_is_that_of_the_frame(self) -> None:
        """Its heights are the probabilities; no delay stands at the left end of a logarithmic axis."""
        ax = charts.arrivals(curves())
        (line,) = [each for each in ax.get_lines() if each.get_label() == "commit-in-place"]
        assert np.asarray(line.get_ydata()).tolist() == pytest.approx([1, 1 / 1.01, 0.5, 1 / 11])
        assert np.asarray(line.get_xdata()).tolist() == [0.0025, 0.01, 1.0, 10.0]
        assert ax.get_xticklabels()[0].get_text() == "0"
        assert ax.get_xscale() == "log"

    def test_intervals_are_those_of_the_frame(self) -> None:
        """A line from the lower to the upper end at each delay."""
        ax = charts.arrivals(curves())
        ends = [segment[:, 1].tolist() for segment in ax.collections[2].get_segments()]  # type: ignore[attr-defined]
        frame = curves()
        mine = frame[frame["implementation"] == "commit-in-place"]
        assert ends == [list(pair) for pair in zip(mine["low"], mine["high"], strict=True)]

    def test_all_parameters_stand_on_the_chart(self) -> None:
        """The latency model, the number of schedules, the kind of interval, the seed and the granularity."""
        caption = " ".join(told(figure_of(charts.arrivals(curves()))))
        for part in (
            "exponential: *extract/answer 2.6 s",
            "200 schedules",
            "95 % intervals",
            "seed 7",
            "disk=suspending",
        ):
            assert part in caption

    def test_exact_points_are_hollow_and_said_so(self) -> None:
        """Nothing was sampled, so nothing is said of a sample."""
        figure = figure_of(charts.arrivals(curves(exact=True)))
        caption = " ".join(told(figure))
        assert "Hollow: exact" in caption
        assert "sampled" not in caption

    def test_colour_is_not_the_only_channel(self) -> None:
        """Dashes and markers tell curves apart too."""
        legend = charts.arrivals(curves()).get_legend()
        assert legend is not None
        lines = legend.get_lines()
        assert len({str(line._dash_pattern) for line in lines}) == len(lines)  # type: ignore[attr-defined]
        assert len({line.get_marker() for line in lines}) == len(lines)

    def test_a_panel_for_each_load(self) -> None:
        """Below each other, with the load in the title."""
        figure = figure_of(charts.arrivals(curves(loads=(0, 3))))
        assert [ax.get_title(loc="left") for ax in figure.axes] == ["free-running", "free-running + load of 3"]
        _, ax = plt.subplots()
        assert charts.arrivals(curves(loads=(0, 3)), ax=ax, load=3) is ax

    @pytest.mark.parametrize("width", WIDTHS)
    def test_nothing_is_cut(self, width: float) -> None:
        """On paper, in one column and in two, and on a screen."""
        assert cut(figure_of(charts.arrivals(curves(loads=(0, 2)), width=width))) == []

    def test_an_empty_frame_is_an_empty_chart(self) -> None:
        """A campaign that was stopped at once."""
        assert charts.arrivals(arrivals_frame()).get_legend() is None

    def test_wrong_use(self) -> None:
        """One clear line each."""
        _, ax = plt.subplots()
        two = curves(loads=(0, 1))
        with pytest.raises(UsageError, match="has 2: give load="):
            charts.arrivals(two, ax=ax)
        with pytest.raises(UsageError, match="no load 5; it has: 0, 1"):
            charts.arrivals(two, load=5)
        with pytest.raises(UsageError, match="needs the column 'low'"):
            charts.arrivals(two.drop(columns="low"))
        with pytest.raises(UsageError, match="one scenario, topology and granularity"):
            charts.arrivals(pd.concat([two, two.assign(disk="atomic")]))


@pytest.mark.parametrize("suffix", ["svg", "png"])
def test_same_bytes_twice(tmp_path: Path, suffix: str) -> None:
    """No date, no random identifiers."""
    for number in (1, 2):
        charts.save(charts.double(matrix()), tmp_path / f"double{number}.{suffix}")
        charts.save(charts.arrivals(curves()), tmp_path / f"arrivals{number}.{suffix}")
    for name in ("double", "arrivals"):
        assert (tmp_path / f"{name}1.{suffix}").read_bytes() == (tmp_path / f"{name}2.{suffix}").read_bytes()
