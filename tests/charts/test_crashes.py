"""Crash ribbons: what stands in the frame stands in the chart."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from matplotlib.axes import Axes

from racewindow import charts
from racewindow.errors import UsageError
from racewindow.frames import crashes_frame

STEPS = ("add m1", "commit/live.rename", "commit/extract", "")


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    plt.close("all")


def cells(implementation: str = "one", **outcomes: str) -> list[dict[str, Any]]:
    """Three policies at four points; in ``outcomes`` stands by policy what happens at the second point."""
    rows: list[dict[str, Any]] = []
    for policy, point in product(("lose-unsynced", "any"), range(len(STEPS))):
        outcome = outcomes.get(policy.replace("-", "_"), "ok") if point == 1 else "ok"
        rows.append(
            {
                "cell": len(rows),
                "implementation": implementation,
                "scenario": "a: add m1; commit",
                "topology": "same-store",
                "disk": "suspending",
                "fault": "power-loss",
                "policy": policy,
                "victim": "a",
                "point": point,
                "before_step": STEPS[point],
                "phase": "accepted" if point > 1 else "before-accepted",
                "outcome": outcome,
                "violation": "nothing-lost" if outcome == "failed" else "",
            }
        )
    return rows


def texts(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts] + [label.get_text() for label in axes.get_xticklabels()]


def marks(axes: Axes) -> list[str]:
    return [str(line.get_marker()) for line in axes.lines if line.get_linestyle() == "None"]


class TestCrashes:
    def test_rows_points_and_counts_are_named(self) -> None:
        axes = charts.crashes(crashes_frame(cells(any="failed")))
        for said in ("one", "power-loss lose-unsynced", "0 of 4 cells", "1 of 4 cells", "accepted"):
            assert said in texts(axes)
        assert [label.get_text() for label in axes.get_xticklabels()] == [*STEPS[:-1], "(at rest)"]

    def test_every_outcome_has_a_mark_of_its_own(self) -> None:
        axes = charts.crashes(crashes_frame(cells(any="failed")))
        assert sorted(marks(axes)) == [".", ".", ".", ".", ".", ".", ".", "x"]
        assert sorted(marks(charts.crashes(crashes_frame(cells(any="infeasible"))))).count("_") == 1
        assert sorted(marks(charts.crashes(crashes_frame(cells(any="unknown"))))).count("$?$") == 1

    def test_what_broke_is_in_the_legend_and_what_did_not_is_not(self) -> None:
        legend = charts.crashes(crashes_frame(cells(any="failed"))).get_legend()
        assert legend is not None
        said = [text.get_text() for text in legend.get_texts()]
        assert "lost" in said
        assert "archived twice" not in said

    def test_the_worst_of_the_cells_of_a_point_is_shown(self) -> None:
        rows = cells()
        rows.append({**rows[5], "cell": 99, "persisted": "f kept", "outcome": "failed", "violation": "nothing-lost"})
        axes = charts.crashes(crashes_frame(rows))
        assert marks(axes).count("x") == 1
        assert "1 of 5 cells" in texts(axes)

    def test_an_axes_of_ones_own_is_drawn_into(self) -> None:
        _, mine = plt.subplots()
        assert charts.crashes(crashes_frame(cells()), ax=mine, legend=False) is mine
        assert mine.get_legend() is None

    def test_several_maps_are_one_panel_each(self) -> None:
        frame = crashes_frame([*cells("one"), *cells("two")])
        with pytest.raises(UsageError, match="crash_atlas"):
            charts.crashes(frame)
        assert len(charts.crash_atlas(frame).axes) == 2

    def test_an_empty_map_is_an_empty_chart(self) -> None:
        assert "no cells" in texts(charts.crashes(crashes_frame()))

    def test_a_frame_without_a_needed_column_is_refused(self) -> None:
        with pytest.raises(UsageError, match="'outcome'"):
            charts.crashes(crashes_frame(cells()).drop(columns="outcome"))

    def test_nothing_is_cut_off_and_the_picture_is_the_same_each_time(self) -> None:
        frame = crashes_frame(cells("an-implementation-with-a-long-name", any="failed"))
        for width in (5.0, 9.0):
            figure = charts.crash_atlas(frame, width=width)
            figure.draw_without_rendering()
            box = figure.bbox
            for axes in figure.axes:
                for artist in [*axes.texts, *axes.get_xticklabels(), axes.get_legend()]:
                    if artist is not None:
                        inner = artist.get_window_extent()
                        assert box.x0 - 1 <= inner.x0 <= inner.x1 <= box.x1 + 1, artist
                        assert box.y0 - 1 <= inner.y0 <= inner.y1 <= box.y1 + 1, artist
        assert charts.svg(charts.crash_atlas(frame)) == charts.svg(charts.crash_atlas(pd.DataFrame(frame)))
