from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import pandas as pd
import pytest

from racewindow import charts
from racewindow.errors import UsageError
from racewindow.frames import Timeline, matrix_frame, windows_frame

VOID = {"meta", "br", "wbr", "link", "img", "hr", "input"}


class Page(HTMLParser):
    """Collects identifiers and links, and checks that elements are closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.identifiers: list[str] = []
        self.links: list[str] = []
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.cells: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if identifier := given.get("id"):
            self.identifiers.append(identifier)
        if link := given.get("href"):
            self.links.append(link)
        if tag == "td":
            self.cells.append(given.get("class") or "")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)


@pytest.fixture(scope="module")
def page(
    compared: pd.DataFrame, gaps: pd.DataFrame, told_by_token: dict[str, Timeline], stories: dict[str, str]
) -> str:
    return charts.report(
        title="Eight session stores",
        summary={"bounds": "preemptions<=2", "seed": 7, "granularity": ["suspending", "atomic"], "schedules": 123456},
        matrix=compared,
        windows=gaps,
        timelines=told_by_token,
        implementations={"reference": "Small, real, durable."},
        scenarios=stories,
    )


class TestReport:
    def test_needs_no_network(self, page: str) -> None:
        """No address at all, not even a namespace."""
        assert re.findall(r"https?:", page) == []
        assert re.findall(r"\b(?:src|srcset)=|@import|url\((?!#)", page) == []

    def test_is_small(self, page: str) -> None:
        """Under 5 MB, with two atlases in it."""
        assert len(page.encode()) < 5_000_000

    def test_is_well_formed(self, page: str) -> None:
        """Elements are closed in order, identifiers are unique, and every link inside the page leads somewhere."""
        read = Page(page)
        assert read.wrong == []
        assert read.open == []
        assert len(read.identifiers) == len(set(read.identifiers))
        assert {link for link in read.links if not link.startswith("#")} == set()
        assert {link.removeprefix("#") for link in read.links} <= set(read.identifiers)
        assert set(re.findall(r"url\(#([^)]+)\)", page)) <= set(read.identifiers)

    def test_is_a_table_with_headers(self, page: str, compared: pd.DataFrame) -> None:
        """A screen reader can tell scenario and implementation of each cell."""
        assert page.count('scope="row"') >= 10
        assert page.count('scope="col"') >= 9
        read = Page(page.partition('id="cells"')[2])  # above it is the table of the worst ones
        for verdict, count in compared["verdict"].value_counts().items():
            assert read.cells.count(str(verdict)) == count

    def test_every_failing_cell_leads_to_a_replay_line(self, page: str, compared: pd.DataFrame) -> None:
        """To its timeline where there is one, else to the line alone."""
        failing = compared[compared["verdict"] == "failed"]
        assert page.partition('id="cells"')[2].count("<strong>✗ FAILED</strong></a>") == len(failing)
        for token in failing["token"].unique():
            assert f"racewindow replay {token}" in page

    def test_a_long_reason_does_not_blow_up_its_row(self, compared: pd.DataFrame) -> None:
        """Its first words stand in the cell, the rest opens on request; a short one stands there whole."""
        cells = compared.astype("object").head(2).to_dict("records")
        long, short = "no map: " + "it takes too long to say why " * 5, "not begun: about 400"
        cells = [cell | {"reason": reason} for cell, reason in zip(cells, (long, short), strict=True)]
        html = charts.report(
            title="t",
            summary={},
            matrix=matrix_frame(cells),
            windows=windows_frame(),
            timelines={},
            implementations={},
            scenarios={},
        )
        assert "<summary><small>no map</small></summary><small>it takes too long" in html
        assert f"<small>{short}</small>" in html
        assert Page(html).wrong == []

    def test_says_what_was_found_and_compared(self, page: str) -> None:
        """The first paragraph is the result; bounds and seeds follow as given."""
        assert "6 of 8 implementations break an invariant" in page
        assert "The widest race window is that of copy-on-write in free-running: 12 of the 15 gaps" in page
        for text in ("preemptions&lt;=2", "suspending, atomic", "123,456", "Small, real, durable."):
            assert text in page

    def test_dark_and_light(self, page: str) -> None:
        """The page follows the reader's choice, and the charts follow the page."""
        assert "prefers-color-scheme: dark" in page
        assert "currentColor" in page
        assert 'fill: #ffffff"' not in page

    def test_escapes_markup(self, compared: pd.DataFrame, gaps: pd.DataFrame, told: Timeline) -> None:
        """Names, labels, reasons and tokens are data wherever they come from."""
        evil = "<script>alert(1)</script>"
        cells = compared.astype("object").head(1).to_dict("records")
        cells[0] |= {"implementation": evil, "scenario": evil, "reason": evil, "verdict": "failed", "token": evil}
        ribbons = [
            row | {"implementation": evil, "scenario": evil, "after_step": row["after_step"] and evil, "token": evil}
            for row in gaps[gaps["implementation"] == "copy-on-write"].astype("object").to_dict("records")
            if row["scenario"] == "free-running"
        ]
        html = charts.report(
            title=evil,
            summary={evil: [evil]},
            matrix=matrix_frame(cells),
            windows=windows_frame(ribbons),
            timelines={evil: replace(told, title=evil, subtitle=evil, violation=evil, replay=evil)},
            implementations={evil: evil},
            scenarios={evil: evil},
        )
        assert "<script>alert" not in html
        assert Page(html).wrong == []

    def test_nothing_compared(self) -> None:
        """Two empty frames make a page that says so."""
        html = charts.report(
            title="Nothing",
            summary={},
            matrix=matrix_frame(),
            windows=windows_frame(),
            timelines={},
            implementations={},
            scenarios={},
        )
        assert "Nothing was compared." in html
        assert Page(html).wrong == []

    def test_missing_column(self, compared: pd.DataFrame) -> None:
        """The error says which of the two frames lacks what."""
        with pytest.raises(UsageError, match=r"report \(windows\).*'gap'"):
            charts.report(
                title="",
                summary={},
                matrix=compared,
                windows=windows_frame().drop(columns="gap"),
                timelines={},
                implementations={},
                scenarios={},
            )
