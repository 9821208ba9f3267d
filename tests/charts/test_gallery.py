"""The gallery: every public chart, at three widths, with the code that drew it."""

from __future__ import annotations

import importlib.util
import inspect
import re
from pathlib import Path
from types import ModuleType

import matplotlib
import pytest
from matplotlib.image import imread

from racewindow import charts

ROOT = Path(__file__).parents[2]
GALLERY = ROOT / "docs" / "gallery"
CONSTRAINTS = ROOT / "constraints.txt"
TOOLS = {"save", "svg"}
"""Public, but they write what others draw."""


@pytest.fixture(scope="module")
def gallery() -> ModuleType:
    spec = importlib.util.spec_from_file_location("gallery", GALLERY / "make.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def public() -> set[str]:
    return {name for name in charts.__all__ if inspect.isfunction(getattr(charts, name))} - TOOLS


def test_every_public_chart_has_a_heading_of_its_own() -> None:
    page = (GALLERY / "README.md").read_text(encoding="utf-8")
    headings = " ".join(re.findall(r"(?m)^## .*$", page))
    assert set(re.findall(r"charts\.(\w+)", headings)) == public()


def test_the_pictures_on_the_page_are_those_in_the_folder(gallery: ModuleType) -> None:
    page = (GALLERY / "README.md").read_text(encoding="utf-8")
    shown = set(re.findall(r"\]\(([\w-]+\.(?:png|svg))\)", page))
    assert shown == {path.name for path in GALLERY.iterdir() if path.suffix in (".png", ".svg")}
    assert {f"{chart.__name__}-{width}.png" for chart in gallery.CHARTS for width in gallery.WIDTHS} < shown


def test_the_page_shows_the_code_that_draws(gallery: ModuleType) -> None:
    """A chart whose code was changed has to be drawn again."""
    page = (GALLERY / "README.md").read_text(encoding="utf-8")
    for chart in (*gallery.CHARTS, gallery.timeline, gallery.report):
        assert gallery._code(chart) in page, f"{chart.__name__}: run 'make gallery'"


def test_the_gallery_is_small() -> None:
    assert sum(path.stat().st_size for path in GALLERY.iterdir() if path.is_file()) < 2_000_000


def test_a_chart_is_drawn_into_a_folder_of_choice(
    gallery: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One chart at one width, by the command's own code, gives the page and its pictures."""
    monkeypatch.setattr(gallery, "CHARTS", (gallery.double,))
    monkeypatch.setattr(gallery, "WIDTHS", {"column": 3.3})
    gallery.make(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"README.md", "double-column.png", "timeline.svg"}
    drawn, stored = (folder / "double-column.png" for folder in (tmp_path, GALLERY))
    assert imread(drawn).shape == imread(stored).shape
    if f"matplotlib=={matplotlib.__version__}" in CONSTRAINTS.read_text().split():  # another one may set type otherwise
        assert drawn.read_bytes() == stored.read_bytes()
