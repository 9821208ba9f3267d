"""The comparison as one HTML page that stands alone: no network, no fonts, no libraries; light and dark."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from racewindow.charts import _style
from racewindow.charts._matrix import counts
from racewindow.charts._timeline_svg import timeline_svg
from racewindow.charts._timeline_text import timeline_text
from racewindow.charts._windows import atlas
from racewindow.frames import MATRIX, RIBBON, WINDOWS, Timeline, conform, kinds, require, spans, tally, widths

TEMPLATES = Path(__file__).with_name("templates")

# The colours of the chart that must follow the page into the dark.
_VARIABLES = {
    _style.INK: "currentColor",
    _style.MUTED: "var(--muted)",
    _style.PAPER: "var(--page)",
    _style.OK: "var(--calm)",
    _style.INFEASIBLE: "var(--faint)",
    _style.INFEASIBLE_HATCH: "var(--edge)",
}
_WORDS = {
    "proved": "proved",
    "passed": "passed",
    "sampled": "sampled",
    "failed": "FAILED",
    "unknown": "unknown",
    "not-applicable": "n/a",
}
_MARKS = {"proved": "✓", "passed": "○", "sampled": "◔", "failed": "✗", "unknown": "?", "not-applicable": "–"}


def report(
    *,
    title: str,
    summary: Mapping[str, object],
    matrix: pd.DataFrame,
    windows: pd.DataFrame,
    timelines: Mapping[str, Timeline],
    implementations: Mapping[str, str],
    scenarios: Mapping[str, str],
    drawn: pd.DataFrame | None = None,
) -> str:
    """Write a comparison as one self-contained HTML page.

    Args:
        title: of the page.
        summary: what was compared (bounds, seeds, granularity, ...), shown as given, in order.
        matrix: verdicts, with the columns `racewindow.frames.MATRIX`.
        windows: gaps, with the columns `racewindow.frames.WINDOWS`; may be empty.
        timelines: the story behind a token; cells of the matrix and of the table of widths link to it.
        implementations: one line about each implementation, by name.
        scenarios: text of each scenario, by name.
        drawn: the gaps that the atlas shows, where all of ``windows`` would be too many; the table of widths has all.

    Raises:
        UsageError: a frame lacks a column.
    """
    # Imported here, so that a failing test can print a timeline without a template engine.
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    require(matrix, MATRIX, "report (matrix)")
    require(windows, WINDOWS, "report (windows)")
    matrix, windows = conform(matrix, MATRIX, "matrix"), conform(windows, WINDOWS, "windows")
    measured = widths(windows)
    rest = _without_story(matrix, timelines)
    anchors = {token: _anchor(token) for token in (*timelines, *(row["token"] for row in rest))}
    bounds = [bound for bound in dict.fromkeys(matrix["bound"]) if bound]
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html").render(
        title=title,
        headline=_headline(matrix, measured),
        summary=[(str(name), _plain(value)) for name, value in summary.items()],
        names=list(dict.fromkeys(matrix["implementation"].astype("str"))),
        rows=_rows(matrix, anchors, bounds),
        bound=bounds[0] if len(bounds) == 1 else "",
        key=_key(matrix, windows),
        charts=_charts(windows if drawn is None else conform(drawn, WINDOWS, "windows"), scenarios),
        widths=_widths(measured, spans(windows), anchors),
        implementations=_implementations(matrix, measured, implementations),
        scenarios=list(scenarios.items()),
        timelines=[_timeline(token, timeline, anchors[token]) for token, timeline in timelines.items()],
        rest=[row | {"anchor": anchors[row["token"]]} for row in rest],
    )


def _without_story(matrix: pd.DataFrame, timelines: Mapping[str, Timeline]) -> list[dict[str, str]]:
    """The failing cells whose story was not told: their links lead to the line that replays them."""
    rows: dict[str, dict[str, str]] = {}
    for cell in matrix.to_dict("records"):
        token = cell["token"]
        if cell["verdict"] == "failed" and token and token not in timelines:
            where = " · ".join(str(cell[name]) for name in ("implementation", "scenario", "topology", "disk"))
            rows.setdefault(token, {"token": token, "where": where, "replay": f"racewindow replay {token}"})
    return list(rows.values())


def _anchor(token: str) -> str:
    return "t-" + hashlib.sha256(token.encode()).hexdigest()[:10]


def _plain(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_plain(inner)}" for name, inner in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_plain(inner) for inner in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) and abs(value) >= 10_000 else str(value)


def _headline(matrix: pd.DataFrame, measured: pd.DataFrame) -> str:
    """What the page found, in two sentences."""
    totals = tally(matrix)
    if totals.empty:
        return "Nothing was compared."
    hurt = totals.loc[totals["failed"] > 0, "implementation"].astype("str").tolist()
    told = f"{len(hurt)} of {len(totals)} implementations break an invariant in at least one scenario"
    told += f": {', '.join(hurt)}." if hurt else "."
    widest = measured.sort_values("fraction", ascending=False, kind="stable").head(1).to_dict("records")
    if widest and widest[0]["failing"]:
        row = widest[0]
        told += (
            f" The widest race window is that of {row['implementation']} in {row['scenario']}: {row['failing']} of the "
            f"{row['gaps']} gaps of a commit, {row['opens']} .. {row['closes']}."
        )
    return told


def _rows(matrix: pd.DataFrame, anchors: Mapping[str, str], bounds: Sequence[str]) -> list[dict[str, Any]]:
    rows: dict[tuple[str, str, str], dict[str, Any]] = {}
    for cell in matrix.to_dict("records"):
        key = (str(cell["scenario"]), str(cell["topology"]), str(cell["disk"]))
        row = rows.setdefault(
            key, {"scenario": key[0], "where": " · ".join(part for part in key[1:] if part), "cells": {}}
        )
        row["cells"][str(cell["implementation"])] = {
            "verdict": cell["verdict"],
            "mark": _MARKS[cell["verdict"]],
            "word": _WORDS[cell["verdict"]],
            "broken": [_style.meaning(kind) for kind in kinds(cell["violation"])]
            if cell["verdict"] == "failed"
            else [],
            "counts": "".join(counts(cell)[1:2]),
            "anchor": anchors.get(cell["token"], ""),
            # A bound that all cells share is told once, above the table.
            "bound": cell["bound"] if len(bounds) > 1 else "",
            "reason": cell["reason"],
        }
    return list(rows.values())


def _key(matrix: pd.DataFrame, windows: pd.DataFrame) -> list[tuple[str, str]]:
    found = [*matrix["violation"].astype("str"), *windows["violation"].astype("str").unique()]
    present = dict.fromkeys(kind for violation in found for kind in kinds(violation))
    return [(_style.meaning(kind), kind) for kind in present if _style.meaning(kind) != kind]


def _charts(windows: pd.DataFrame, scenarios: Mapping[str, str]) -> list[tuple[str, Markup]]:
    """The atlas twice, for wide and for narrow screens: scaled text is no longer text that one can read."""
    if windows.empty:
        return []
    return [
        (name, _inline(_style.svg(atlas(windows, stories=scenarios, width=width)), name))
        for name, width in (("wide", 10.2), ("narrow", 5.8))
    ]


def _inline(svg: str, prefix: str) -> Markup:
    """An SVG file made fit to stand inside a page: own identifiers, colours that follow the page, no namespaces."""
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", body)
    body = body.replace("xlink:href=", "href=")
    body = re.sub(r'\bid="', f'id="{prefix}-', body)
    body = re.sub(r'(href="#|url\(#)', rf"\g<1>{prefix}-", body)
    for colour, variable in _VARIABLES.items():
        body = body.replace(colour, variable)
    # The table of widths says the same in words, so that the picture itself needs no more than a name.
    return Markup(body.replace("<svg ", '<svg role="img" aria-label="Race-window atlas; the table below tells it" ', 1))


def _widths(measured: pd.DataFrame, found: pd.DataFrame, anchors: Mapping[str, str]) -> list[dict[str, Any]]:
    named: dict[tuple[str, ...], list[Markup]] = {}
    for span in found.to_dict("records"):
        name = f"{span['opens']} .. {span['closes']}"
        named.setdefault(tuple(span[part] for part in RIBBON), []).append(_breakable(name))
    rows: list[dict[str, Any]] = []
    for row in measured.to_dict("records"):
        rows.append(
            {
                **row,
                "named": named.get(tuple(row[part] for part in RIBBON), []),
                "share": f"{row['fraction']:.0%}".replace("%", " %"),
                "meant": ", ".join(_style.meaning(kind) for kind in kinds(row["violation"])),
                "anchor": anchors.get(row["token"], ""),
            }
        )
    return rows


def _breakable(label: str) -> Markup:
    """A label that may break after a slash, and nowhere else."""
    return Markup("/<wbr>").join(label.split("/"))


def _implementations(matrix: pd.DataFrame, measured: pd.DataFrame, told: Mapping[str, str]) -> list[dict[str, str]]:
    lines = []
    totals = {str(row["implementation"]): row for row in tally(matrix).to_dict("records")}
    for name in dict.fromkeys([*totals, *told]):
        found = ""
        if name in totals:
            row = totals[name]
            parts = [f"{row[verdict]} {_WORDS[verdict]}" for verdict in _WORDS if row[verdict]]
            found = ", ".join(parts) + f" ({row['schedules']:,} schedules)"
            if row["violation"]:
                found += ": " + ", ".join(_style.meaning(kind) for kind in kinds(row["violation"]))
        mine = measured[measured["implementation"].astype("str") == name]
        widest = mine.sort_values("fraction", ascending=False, kind="stable").head(1).to_dict("records")
        if widest:
            top = widest[0]
            found += f"; widest window {top['failing']} of {top['gaps']} gaps" if top["failing"] else "; no window"
        lines.append({"name": name, "told": told.get(name, ""), "found": found.removeprefix("; ")})
    return lines


def _timeline(token: str, timeline: Timeline, anchor: str) -> dict[str, Any]:
    drawn = re.sub(r'\sxmlns="[^"]*"', "", timeline_svg(timeline))
    return {
        "anchor": anchor,
        "title": timeline.title,
        "violation": timeline.violation,
        "replay": timeline.replay or token,
        "svg": Markup(drawn),
        "text": timeline_text(timeline),
    }
