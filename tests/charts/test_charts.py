from __future__ import annotations

import hashlib
import itertools
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from racewindow import charts
from racewindow.charts._style import PAPER, elide, looks, text_width, wrap
from racewindow.errors import UsageError
from racewindow.frames import matrix_frame, windows_frame


@pytest.fixture(autouse=True)
def closed() -> object:
    yield
    plt.close("all")


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def collisions(figure: Figure) -> list[str]:
    """Pairs of texts that overlap, and texts that are cut by the edge of the figure, as they were really drawn."""
    boxes: list[tuple[str, Bbox]] = []

    def record(gc: Any, x: float, y: float, s: str, prop: Any, angle: float, *_: Any, **__: Any) -> None:
        width, height, _descent = renderer.get_text_width_height_descent(s, prop, ismath=False)
        across, up = (width, height) if angle == 0 else (height, width)
        left = x if angle == 0 else x - height
        boxes.append((s, Bbox.from_bounds(left, y - up, across, up)))

    make: Any = RendererAgg  # matplotlib leaves it untyped
    renderer = make(figure.bbox.width, figure.bbox.height, figure.dpi)
    setattr(renderer, "draw_text", record)  # noqa: B010 (a plain assignment to a method is a type error)
    figure.draw(renderer)
    found = [
        f"{text!r} is cut"
        for text, box in boxes
        if box.x0 < 0 or box.x1 > figure.bbox.x1 or box.y0 < 0 or box.y1 > figure.bbox.y1
    ]
    for (one, a), (two, b) in itertools.combinations(boxes, 2):
        # Boxes hold room for accents and descenders: a pixel of that is no overlap of letters.
        if min(a.x1, b.x1) - max(a.x0, b.x0) > 1 and min(a.y1, b.y1) - max(a.y0, b.y0) > 2:
            found.append(f"{one!r} over {two!r}")
    assert boxes
    return found


class TestWindows:
    def test_returns_the_axes_it_was_given(self, one_panel: pd.DataFrame) -> None:
        """A chart can stand among others."""
        figure, (left, right) = plt.subplots(1, 2, figsize=(16, 7))
        assert charts.windows(one_panel, ax=right) is right
        assert right.get_figure() is figure
        assert not left.patches

    def test_fits_a_constrained_layout(self, one_panel: pd.DataFrame) -> None:
        """Names, numbers and the legend are known to the layout engine."""
        figure, ax = plt.subplots(figsize=(10, 9), layout="constrained")
        charts.windows(one_panel, ax=ax)
        assert collisions(figure) == []

    def test_names_fit_whatever_becomes_of_the_layout(self, one_panel: pd.DataFrame) -> None:
        """The second chart takes room from the first one, after that was drawn."""
        figure, axes = plt.subplots(1, 2, figsize=(14, 8), layout="constrained")
        for ax in axes:
            charts.windows(one_panel, ax=ax, legend=False)
        assert collisions(figure) == []
        figure.set_size_inches(9, 8)
        assert collisions(figure) == []

    def test_a_name_stands_under_its_own_window(self) -> None:
        """Where windows are dense, names are left out rather than put under a neighbour."""
        rows = [
            {
                "implementation": "store",
                "scenario": "dense",
                "topology": "same-store",
                "disk": "atomic",
                "gap": gap,
                "after_step": f"step-{gap - 1}" if gap else "",
                "before_step": f"step-{gap}",
                "phase": "accepted",
                "outcome": "failed" if gap % 3 == 0 or gap > 50 else "ok",
                "violation": "tasks-end" if gap % 3 == 0 or gap > 50 else "",
            }
            for gap in range(61)
        ]
        told = texts(charts.atlas(windows_frame(rows)))
        assert [text for text in told if text.startswith("step-")] == ["step-50 .. step-60"]

    def test_names_and_numbers(self, one_panel: pd.DataFrame) -> None:
        """Each implementation, its width in numbers, and what was done."""
        ax = charts.windows(one_panel)
        told = texts(ax.get_figure(root=True) or Figure())
        assert [label.get_text() for label in ax.get_yticklabels()][:2] == ["reference", "commit-in-place"]
        assert "5 of 8 gaps" in told
        assert "0 of 6 gaps" in told
        assert "commit/live.read .. task/live.clear" in told
        caption = " ".join(told)
        assert "intruder run to completion in every gap; disk=suspending" in caption

    def test_every_kind_in_the_legend(self, gaps: pd.DataFrame) -> None:
        """The legend has the kinds of the frame, and only those."""
        labels = [text for text in texts(charts.atlas(gaps)) if "(" in text]
        assert any("archived twice (committed-once)" in label for label in labels)
        assert not any("nothing-invented" in label for label in labels)

    def test_empty(self) -> None:
        """No gaps: an empty chart that says so."""
        assert "no gaps were measured" in texts(charts.atlas(windows_frame()))
        assert isinstance(charts.windows(windows_frame()), Axes)

    def test_one_gap(self, one_panel: pd.DataFrame) -> None:
        """A victim of no steps has one gap."""
        assert "0 of 1 gaps" in texts(charts.atlas(one_panel.head(1)))

    def test_many_implementations(self, one_panel: pd.DataFrame) -> None:
        """Forty ribbons: the figure grows, and nothing overlaps."""
        first = one_panel[one_panel["implementation"] == "path-lock"]
        many = windows_frame(
            row | {"implementation": f"path-lock-{number}"}
            for number in range(40)
            for row in first.astype("object").to_dict("records")
        )
        figure = charts.atlas(many)
        assert figure.get_figheight() > 20
        assert collisions(figure) == []

    @pytest.mark.parametrize("width", [5.8, 9, 14])
    def test_nothing_overlaps_or_is_cut(self, gaps: pd.DataFrame, stories: dict[str, str], width: float) -> None:
        """Narrow, on paper, and on a screen."""
        assert collisions(charts.atlas(gaps, stories=stories, width=width, title="A" * 30)) == []

    def test_long_names(self, one_panel: pd.DataFrame) -> None:
        """Names longer than there is room are shortened, not cut."""
        rows = one_panel.astype("object").to_dict("records")
        long = windows_frame(
            row
            | {
                "implementation": f"{row['implementation']}-" + "very-long-" * 8,
                "scenario": "a: add m1; commit nowait; wait | b: after a; reload; commit; " * 5,
                "after_step": row["after_step"] and "commit/" + "deeply." * 9 + str(row["gap"]),
            }
            for row in rows
        )
        assert collisions(charts.atlas(long)) == []

    def test_an_interrupted_map_shows_what_was_not_run(self, one_panel: pd.DataFrame) -> None:
        """A hole in the gap numbers is blank, and the legend tells what blank means."""
        told = texts(charts.atlas(one_panel.drop(index=[2, 3])))
        assert "blank: was not run" in told
        assert "every gap that is not blank" in " ".join(told)

    def test_several_panels_need_the_atlas(self, gaps: pd.DataFrame) -> None:
        """One Axes holds one scenario: the error says what to use instead."""
        with pytest.raises(UsageError, match=r"holds 2 .*after-completion.*use atlas"):
            charts.windows(gaps)
        assert len(charts.atlas(gaps).axes) == 2

    def test_order(self, one_panel: pd.DataFrame) -> None:
        """Widest first, or as the caller says."""
        by_width = charts.windows(one_panel, order="width").get_yticklabels()
        assert by_width[0].get_text() == "copy-on-write"
        given = charts.windows(one_panel, order=["path-lock", "reference"]).get_yticklabels()
        assert [label.get_text() for label in given][:2] == ["path-lock", "reference"]
        with pytest.raises(UsageError, match="order='best'"):
            charts.windows(one_panel, order="best")

    def test_missing_column(self, one_panel: pd.DataFrame) -> None:
        """The error names the column."""
        with pytest.raises(UsageError, match="'phase'"):
            charts.atlas(one_panel.drop(columns="phase"))

    def test_leaves_no_open_figures_or_settings_behind(self, gaps: pd.DataFrame) -> None:
        """A campaign that draws a thousand atlases does not fill pyplot, and the caller's style stays."""
        before = dict(plt.rcParams)
        charts.atlas(gaps)
        assert plt.get_fignums() == []
        assert dict(plt.rcParams) == before

    def test_does_not_change_the_frame(self, gaps: pd.DataFrame) -> None:
        """Charts read."""
        copy = gaps.copy()
        charts.atlas(gaps)
        pd.testing.assert_frame_equal(gaps, copy)


class TestMatrix:
    def test_words_and_counts(self, compared: pd.DataFrame) -> None:
        """Each verdict is a word and a number, not only a colour."""
        told = texts(charts.matrix(compared, width=14).get_figure(root=True) or Figure())
        for word in ("✓ proved", "○ passed", "✗ FAILED", "? unknown", "n/a"):
            assert word in told
        assert "all 1,204 schedules" in told
        assert "archived 2×, extracted 2×" in told
        assert any("within preemptions<=2" in text for text in told)

    @pytest.mark.parametrize("width", [6, 9, 14])
    def test_nothing_overlaps_or_is_cut(self, compared: pd.DataFrame, width: float) -> None:
        """Eight implementations by ten rows, from a narrow column to a screen."""
        assert collisions(charts.matrix(compared, width=width).get_figure(root=True) or Figure()) == []

    def test_empty_and_one_row(self, compared: pd.DataFrame) -> None:
        """Nothing compared says so; one cell is a matrix."""
        told = texts(charts.matrix(matrix_frame()).get_figure(root=True) or Figure())
        assert "nothing was compared" in told
        assert isinstance(charts.matrix(compared.head(1)), Axes)

    def test_given_axes(self, compared: pd.DataFrame) -> None:
        """Draws where it is told."""
        _, ax = plt.subplots()
        assert charts.matrix(compared, ax=ax) is ax

    def test_missing_column(self, compared: pd.DataFrame) -> None:
        """The error names the column."""
        with pytest.raises(UsageError, match="'failures'"):
            charts.matrix(compared.drop(columns="failures"))


class TestLooks:
    def test_every_known_kind_has_its_own_colour_and_hatch(self) -> None:
        """Two kinds never share colour and hatch, nor differ in colour alone."""
        every = looks(charts.MEANINGS)
        assert len({look.face for look in every.values()}) == len(every)
        assert len({(look.hatch, look.line) for look in every.values()}) == len(every)

    def test_unknown_kinds_get_looks_of_their_own(self) -> None:
        """Kinds of the generic API (lost-update, deadlock) do not depend on the order in which they come."""
        kinds = ["lost-update", "deadlock", "committed-once"]
        assert looks(kinds) == looks(reversed(kinds))
        assert len({(look.face, look.hatch) for look in looks(kinds).values()}) == 3

    def test_hatches_differ_from_their_ground(self) -> None:
        """A hatch line is never of the colour that it lies on."""
        for look in looks(charts.MEANINGS).values():
            assert look.face not in (look.line, PAPER)

    def test_eliding_keeps_both_ends(self) -> None:
        """The middle is left out, and what remains fits."""
        short = elide("commit/archive.write", 60, 8)
        assert short.startswith("co")
        assert short.endswith("te")
        assert text_width(short, 8) <= 60

    def test_wrapping_breaks_at_hyphens(self) -> None:
        """Names of implementations have no blanks."""
        lines = wrap("copy-on-write-early-clear", 70, 8)
        assert "".join(lines) == "copy-on-write-early-clear"
        assert len(lines) > 1


class TestSaving:
    @pytest.mark.parametrize("suffix", ["svg", "png", "pdf"])
    def test_same_bytes_twice(self, one_panel: pd.DataFrame, tmp_path: Path, suffix: str) -> None:
        """No date, no random identifiers."""
        one = charts.save(charts.windows(one_panel), tmp_path / f"one.{suffix}").read_bytes()
        two = charts.save(charts.windows(one_panel), tmp_path / f"two.{suffix}").read_bytes()
        assert one == two
        assert b"matplotlib" not in one[:2000].lower() or suffix == "svg"

    def test_unknown_suffix(self, one_panel: pd.DataFrame, tmp_path: Path) -> None:
        """Nothing is written for a format that is not known."""
        with pytest.raises(UsageError, match=r"end the name with .png"):
            charts.save(charts.windows(one_panel), tmp_path / "windows.bmp")
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.slow
    def test_same_bytes_in_another_process(self) -> None:
        """Neither the hash seed nor the process shows in a chart."""
        script = (
            "import hashlib, runpy, sys\n"
            "made = runpy.run_path(sys.argv[1])\n"
            "from racewindow import charts\n"
            "gaps, cells, told = made['atlas_frame'](), made['comparison'](), made['timelines']()\n"
            "page = charts.report(title='t', summary={}, matrix=cells, windows=gaps, timelines=told,\n"
            "                     implementations={}, scenarios=made['STORIES'])\n"
            "for text in (charts.svg(charts.atlas(gaps)), charts.svg(charts.matrix(cells)), page,\n"
            "             *map(charts.timeline_svg, told.values()), *map(charts.timeline_text, told.values())):\n"
            "    print(hashlib.sha256(text.encode()).hexdigest())\n"
        )
        processes = []
        for seed in ("1", "2"):
            environment = os.environ | {
                "PYTHONHASHSEED": seed,
                "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
                "MPLBACKEND": "Agg",
            }
            arguments = [sys.executable, "-c", script, str(Path(__file__).with_name("conftest.py"))]
            processes.append(subprocess.Popen(arguments, env=environment, stdout=subprocess.PIPE, text=True))
        outputs = [process.communicate()[0] for process in processes]
        assert [process.returncode for process in processes] == [0, 0]
        assert outputs[0] == outputs[1]
        assert len(outputs[0].split()) == 9

    def test_svg_has_no_date(self, one_panel: pd.DataFrame) -> None:
        """Nor anything else that changes with the time of day."""
        drawn = charts.svg(charts.windows(one_panel))
        assert "date" not in drawn.lower()
        assert (
            hashlib.sha256(drawn.encode()).hexdigest()
            == hashlib.sha256(charts.svg(charts.windows(one_panel)).encode()).hexdigest()
        )
