"""Draw the gallery: ``python docs/gallery/make.py [folder]``, or ``make gallery``.

Every public chart, at the widths of a column (3.3 in) and of a page (7 in) of a paper and of a screen (10 in), and
``README.md``, which shows each with its code. The code on the page is the code that was run, and the same code draws the same bytes.
"""

from __future__ import annotations

import inspect
import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from PIL import Image

import racewindow as rw
from racewindow import charts, experiments, frames

HERE = Path(__file__).parent
WIDTHS = {"column": 3.3, "page": 7.0, "screen": 10.0}  # inches
DPI = {"column": 200, "page": 120, "screen": 100}
COLOURS = 48  # of a picture: a quarter of the bytes of one that keeps every shade of a slanted line

STORES = ("reference", "commit-in-place", "copy-on-write", "path-lock")
STORIES = ("after-completion", "free-running")


def _quoted(names: tuple[str, ...]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def windows(width: float) -> Any:
    """Race windows of several stores in one story. A ribbon is a commit, a cell a gap; coloured and hatched is harm."""
    maps = [experiments.windows(rw.case(store, "free-running", topology="separate-stores")) for store in STORES]
    return charts.windows(frames.concat([each.frame for each in maps], frames.WINDOWS), width=width)


def atlas(width: float) -> Any:
    """The same for several stories, a panel each."""
    cases = [rw.case(store, story, topology="separate-stores") for story in STORIES for store in STORES]
    frame = frames.concat([experiments.windows(case).frame for case in cases], frames.WINDOWS)
    return charts.atlas(frame, stories={name: rw.story(name).text for name in STORIES}, width=width)


def double(width: float) -> Any:
    """Two preemptions: where the intruder starts (across), and after how many steps it is interrupted itself (upwards)."""
    case = rw.case("path-lock", "free-running", topology="separate-stores", disk="atomic")
    return charts.double(experiments.double(case).frame, width=width)


def matrix(width: float) -> Any:
    """The verdict of each store in each story: what was proved, what was sampled, and with how many schedules."""
    budget = experiments.Budget(preemptions=1, max_executions=300, schedules=100)
    found = experiments.compare(
        [rw.implementation(store) for store in STORES],
        [rw.story(name) for name in STORIES],
        topologies=["separate-stores"],
        disks=["atomic"],
        budget=budget,
    )
    return charts.matrix(found.matrix, width=width)


def crashes(width: float) -> Any:
    """What a crash at every point of one story leads to, in one store."""
    found = experiments.crashes(rw.case("redo-log", "a: add m1; commit nowait; wait"))
    return charts.crashes(found.frame, width=width)


def crash_atlas(width: float) -> Any:
    """The same for several stores, and for several policies of what a loss of power leaves."""
    maps = [
        experiments.crashes(rw.case(store, "a: add m1; commit", disk="atomic"), fault="power-loss")
        for store in ("reference", "reference-without-fsync")
    ]
    return charts.crash_atlas(frames.concat([each.frame for each in maps], frames.CRASHES), width=width)


def arrivals(width: float) -> Any:
    """How likely harm is when a second client comes a while after ``accepted``, under the latency model that stands below."""
    cases = [rw.case(store, "free-running", topology="separate-stores") for store in ("reference", "copy-on-write")]
    found = experiments.arrivals(cases, delays_s=(0.0, 0.1, 1.0, 3.0, 10.0), schedules=60)
    return charts.arrivals(found.frame, width=width)


def first_bug(width: float) -> Any:
    """The share of searches that have found nothing yet, for each strategy; a tick is a search that was cut off."""
    case = rw.case("copy-on-write-early-clear", "free-running", topology="separate-stores", disk="atomic")
    found = experiments.first_bug(
        {"early-clear": case}, strategies=["random-walk", "pct", "urw"], seeds=range(20), schedules=40
    )
    return charts.first_bug(found.survival, width=width)


CHARTS: tuple[Callable[[float], Any], ...] = (
    windows,
    atlas,
    double,
    matrix,
    crashes,
    crash_atlas,
    arrivals,
    first_bug,
)


def timeline() -> Any:
    """The story of one schedule, as text; ``timeline_svg`` draws the same as a picture."""
    case = rw.case("path-lock", "free-running", disk="atomic")
    return experiments.prove(case).timeline()


def report() -> Any:
    """A whole comparison as one page of HTML that needs no network; the command line writes it with ``racewindow compare``."""
    found = experiments.compare([rw.implementation("path-lock")], [rw.story("free-running")], disks=["atomic"])
    return found.report()


def make(folder: Path) -> None:
    """Draw everything into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    page = [_HEAD]
    for chart in CHARTS:
        for name, width in WIDTHS.items():
            _save(chart(width), folder / f"{chart.__name__}-{name}.png", dpi=DPI[name])
        pictures = [
            f"![{chart.__name__}, {width} in wide]({chart.__name__}-{name}.png)" for name, width in WIDTHS.items()
        ]
        page += [f"## `charts.{chart.__name__}`", inspect.getdoc(chart) or "", _code(chart), *reversed(pictures)]
        print(chart.__name__)
    told = timeline()
    (folder / "timeline.svg").write_text(charts.timeline_svg(told), encoding="utf-8")
    page += ["## `charts.timeline_text` and `charts.timeline_svg`", inspect.getdoc(timeline) or "", _code(timeline)]
    page += [f"```text\n{charts.timeline_text(told)}\n```", "![the same as a picture](timeline.svg)"]
    page += ["## `charts.report`", inspect.getdoc(report) or "", _code(report)]
    (folder / "README.md").write_text("\n\n".join(page) + "\n", encoding="utf-8")


def _code(chart: Callable[..., Any]) -> str:
    """The source of a chart without its docstring, which stands above it."""
    lines = inspect.getsource(chart).splitlines()
    return "\n".join(["```python", lines[0], *lines[2:], "```"])


def _save(drawing: Any, target: Path, *, dpi: int) -> None:
    charts.save(drawing, target, dpi=dpi)
    plt.close("all")
    picture = Image.open(io.BytesIO(target.read_bytes())).convert("RGB")
    picture.quantize(COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(target, "png", optimize=True)


_SHOWN = ", ".join(f"{name} = {width} in" for name, width in WIDTHS.items())
_HEAD = f"""# The charts

A chart takes a frame of `rw.experiments`, keyword-only options and `ax=None`, and gives back the Axes; an atlas, which has a panel for each
story, gives back the figure. Colour is never the only channel: hatches, letters and marks say the same in grey.

This page is written by `make gallery` (`python docs/gallery/make.py`), in three widths: {_SHOWN}. All code on it was run; it
begins with

```python
import racewindow as rw
from racewindow import charts, experiments, frames

STORES = ({_quoted(STORES)})
STORIES = ({_quoted(STORIES)})
```"""


if __name__ == "__main__":
    plt.switch_backend("Agg")
    make(Path(sys.argv[1]) if sys.argv[1:] else HERE)
