"""The comparison as one HTML page that stands alone: no network, no fonts, no libraries; light and dark."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from racewindow.charts import _style
from racewindow.charts._arrivals import arrivals as arrivals_chart
from racewindow.charts._crashes import crash_atlas
from racewindow.charts._first_bug import first_bug
from racewindow.charts._matrix import counts
from racewindow.charts._timeline_svg import timeline_svg
from racewindow.charts._timeline_text import timeline_text
from racewindow.charts._windows import atlas
from racewindow.frames import (
    ARRIVALS,
    CRASHES,
    MATRIX,
    RATES,
    RIBBON,
    SURVIVAL,
    VERDICTS,
    WINDOWS,
    Timeline,
    arrivals_frame,
    conform,
    crash_points,
    crashes_frame,
    kinds,
    rates_frame,
    require,
    spans,
    survival_frame,
    tally,
    widths,
)

TEMPLATES = Path(__file__).with_name("templates")

# Bytes of stories, as text and drawn (which takes five times as much): the page has to stay small enough to be mailed.
STORIES_MOST = 1_300_000

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
_REASON_MAX = 120  # characters that a cell of the matrix has room for
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
    crashes: pd.DataFrame | None = None,
    arrivals: pd.DataFrame | None = None,
    survival: pd.DataFrame | None = None,
    rates: pd.DataFrame | None = None,
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
        crashes: cells of crash maps, with the columns `racewindow.frames.CRASHES`.
        arrivals: probabilities, with the columns `racewindow.frames.ARRIVALS`, of one scenario, topology and granularity.
        survival, rates: curves and means of searches for the first violation, with the columns `racewindow.frames.SURVIVAL` and
            `racewindow.frames.RATES`.
        drawn: the gaps that the atlas shows, where all of ``windows`` would be too many; the table of widths has all.

    Raises:
        UsageError: a frame lacks a column.
    """
    # Imported here, so that a failing test can print a timeline without a template engine.
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    require(matrix, MATRIX, "report (matrix)")
    require(windows, WINDOWS, "report (windows)")
    matrix, windows = conform(matrix, MATRIX, "matrix"), conform(windows, WINDOWS, "windows")
    struck = crashes_frame() if crashes is None else conform(crashes, CRASHES, "report (crashes)")
    came = arrivals_frame() if arrivals is None else conform(arrivals, ARRIVALS, "report (arrivals)")
    curves = survival_frame() if survival is None else conform(survival, SURVIVAL, "report (survival)")
    found = rates_frame() if rates is None else conform(rates, RATES, "report (rates)")
    measured = widths(windows)
    timelines, drawings = _that_fit(matrix, timelines)
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
        overview=_overview(matrix, anchors),
        bound=bounds[0] if len(bounds) == 1 else "",
        key=_key(matrix, windows, struck, came),
        charts=_charts(windows if drawn is None else conform(drawn, WINDOWS, "windows"), scenarios),
        crash_charts=_crash_charts(struck),
        crashes=_crashes(struck, anchors),
        arrival_charts=_arrival_charts(came),
        arrivals=_arrivals(came, anchors),
        survival_charts=_twice("survival", "Survival curves", lambda width: first_bug(curves, width=width))
        if len(curves)
        else [],
        searches=_searches(found),
        widths=_widths(measured, spans(windows), anchors),
        implementations=_implementations(matrix, measured, implementations),
        scenarios=list(scenarios.items()),
        timelines=[_timeline(token, story, drawings, anchors) for token, story in timelines.items()],
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
            **_reason(str(cell["reason"])),
        }
    return list(rows.values())


def _reason(text: str) -> dict[str, str]:
    """What a cell says of why; of a long text the first words, and the others for who asks."""
    head, _, rest = text.partition(": ")
    return {"reason": head, "more": rest} if rest and len(text) > _REASON_MAX else {"reason": text, "more": ""}


def _overview(matrix: pd.DataFrame, anchors: Mapping[str, str]) -> list[dict[str, Any]]:
    """One row for each scenario: the worst verdict of its topologies and granularities. Empty where there is only one of these."""
    cells: dict[str, dict[str, list[dict[Any, Any]]]] = {}
    for cell in matrix.to_dict("records"):
        cells.setdefault(str(cell["scenario"]), {}).setdefault(str(cell["implementation"]), []).append(cell)
    if all(len(found) == 1 for row in cells.values() for found in row.values()):
        return []
    return [
        {"scenario": scenario, "where": "", "cells": {name: _worst(found, anchors) for name, found in row.items()}}
        for scenario, row in cells.items()
    ]


_WORST_FIRST = ("failed", "unknown", "passed", "sampled", "proved", "not-applicable")
assert set(_WORST_FIRST) == set(VERDICTS)


def _worst(found: Sequence[Mapping[Any, Any]], anchors: Mapping[str, str]) -> dict[str, Any]:
    worst = min((str(cell["verdict"]) for cell in found), key=_WORST_FIRST.index)
    like = [cell for cell in found if cell["verdict"] == worst]
    broken = dict.fromkeys(kind for cell in like for kind in kinds(cell["violation"])) if worst == "failed" else {}
    applicable = sum(cell["verdict"] != "not-applicable" for cell in found)
    return {
        "verdict": worst,
        "mark": _MARKS[worst],
        "word": _WORDS[worst],
        "broken": [_style.meaning(kind) for kind in broken],
        "counts": f"in {len(like)} of {applicable}" if len(like) < applicable else "",
        "anchor": anchors.get(like[0]["token"], ""),
        "bound": "",  # said of each in the next table
        **_reason(""),
    }


def _key(*frames: pd.DataFrame) -> list[tuple[str, str]]:
    found = [violation for frame in frames for violation in frame["violation"].astype("str").unique()]
    present = dict.fromkeys(kind for violation in found for kind in kinds(violation))
    return [(_style.meaning(kind), kind) for kind in present if _style.meaning(kind) != kind]


def _charts(windows: pd.DataFrame, scenarios: Mapping[str, str]) -> list[tuple[str, Markup]]:
    """The atlas twice, for wide and for narrow screens: scaled text is no longer text that one can read."""
    if windows.empty:
        return []
    return _twice("windows", "Race-window atlas", lambda width: atlas(windows, stories=scenarios, width=width))


def _crash_charts(struck: pd.DataFrame) -> list[tuple[str, Markup]]:
    if struck.empty:
        return []
    return _twice("crashes", "Crash maps", lambda width: crash_atlas(struck, width=width))


def _arrival_charts(came: pd.DataFrame) -> list[tuple[str, Markup]]:
    """The curves of those that harm can come to; of the others the table is enough, for all of them lie on the axis."""
    harmed = came[came["implementation"].isin(came.loc[came["failures"] > 0, "implementation"])]
    if harmed.empty:
        return []
    shown = conform(harmed, ARRIVALS, "arrivals")
    return _twice("arrivals", "Arrival curves", lambda width: arrivals_chart(shown, width=width))


def _twice(name: str, meant: str, draw: Callable[[float], Figure | Axes]) -> list[tuple[str, Markup]]:
    charts = []
    for size, width in (("wide", 10.2), ("narrow", 5.8)):
        drawing = draw(width)
        charts.append((size, _inline(_style.svg(drawing, fonttype="none"), f"{name}-{size}", meant)))
        plt.close(_style.figure_of(drawing))
    return charts


def _inline(svg: str, prefix: str, meant: str) -> Markup:
    """An SVG file made fit to stand inside a page: own identifiers, colours that follow the page, no namespaces."""
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", body)
    body = body.replace("xlink:href=", "href=")
    # Two thirds of what matplotlib writes says nothing here: names that nobody refers to, comments, digits, room between elements.
    body = re.sub(r"<!--.*?-->", "", body, flags=re.DOTALL)
    body = re.sub(r'<g id="[^"]*"', "<g", body)
    body = re.sub(r"(\.\d{3})\d+", r"\1", body)
    body = re.sub(r"\s*\n\s*", " ", body).replace("> <", "><")
    body = re.sub(r'\bid="', f'id="{prefix}-', body)
    body = re.sub(r'(href="#|url\(#)', rf"\g<1>{prefix}-", body)
    for colour, variable in _VARIABLES.items():
        body = body.replace(colour, variable)
    # The table below says the same in words, so that the picture itself needs no more than a name.
    return Markup(body.replace("<svg ", f'<svg role="img" aria-label="{meant}; the table below tells it" ', 1))


def _crashes(struck: pd.DataFrame, anchors: Mapping[str, str]) -> list[dict[str, Any]]:
    """One row for each ribbon: how many of its points fail, from where to where, and what breaks."""
    found: dict[tuple[str, ...], list[dict[Any, Any]]] = {}
    ribbon = ("implementation", "scenario", "topology", "disk", "fault", "policy", "twice")
    for point in (crash_points(struck) if len(struck) else struck).to_dict("records"):
        found.setdefault(tuple(str(point[name]) for name in ribbon), []).append(point)
    rows = []
    for (name, scenario, topology, disk, fault, policy, twice), points in found.items():
        failing = [point for point in points if point["failing"]]
        rows.append(
            {
                "implementation": name,
                "scenario": scenario,
                "where": f"{topology} · {disk}",
                "fault": " ".join(part for part in (fault, policy, "twice" if twice == "True" else "") if part),
                "failing": len(failing),
                "points": len(points),
                "broken": _broken(failing, anchors),
            }
        )
    return rows


def _broken(failing: Sequence[Mapping[Any, Any]], anchors: Mapping[str, str]) -> list[dict[str, Any]]:
    """What breaks, and at which steps: one entry for each kind of failure, with the story of its first one."""
    found: dict[str, list[Mapping[Any, Any]]] = {}
    for point in failing:
        found.setdefault(point["violation"], []).append(point)
    return [
        {
            "meant": ", ".join(_style.meaning(kind) for kind in kinds(violation)),
            "steps": [
                _breakable(step) for step in dict.fromkeys(each["before_step"] or "(at rest)" for each in points)
            ],
            "anchor": next((anchors[each["token"]] for each in points if each["token"] in anchors), ""),
        }
        for violation, points in found.items()
    ]


def _arrivals(came: pd.DataFrame, anchors: Mapping[str, str]) -> dict[str, Any]:
    """Implementations by delays, and what all of them have in common."""
    rows: dict[tuple[str, int], dict[str, Any]] = {}
    for one in came.to_dict("records"):
        row = rows.setdefault(
            (one["implementation"], one["load"]), {"name": one["implementation"], "load": one["load"], "cells": {}}
        )
        interval = "exact" if one["exact"] else f"{one['low']:.0%} to {one['high']:.0%}".replace("%", " %")
        row["cells"][one["delay_s"]] = {
            "told": f"{one['failures']} of {one['schedules']}",
            "interval": interval if one["schedules"] else "none accepted",
            "muted": not one["failures"],
            "anchor": anchors.get(one["token"], ""),
        }
    first = came.iloc[0] if len(came) else None
    return {
        "rows": list(rows.values()),
        "columns": {delay: f"{delay:g} s" for delay in sorted(set(came["delay_s"].tolist()))},
        "where": "" if first is None else f"{first['scenario']} · {first['topology']} · {first['disk']}",
        "confidence": "" if first is None else f"{first['confidence']:.0%}".replace("%", " %"),
        "latencies": [str(text) for text in dict.fromkeys(came["latency"].astype("str"))],
    }


def _searches(rates: pd.DataFrame) -> dict[str, Any]:
    """Implementations by strategies: schedules to the first violation."""
    rows: dict[str, dict[str, Any]] = {}
    for one in rates.to_dict("records"):
        row = rows.setdefault(str(one["subject"]), {"name": one["subject"], "load": 0, "cells": {}})
        row["cells"][str(one["strategy"])] = {
            "told": f"{one['mean']:.1f}" if one["finds"] else "none found",
            "interval": f"{one['mean_low']:.1f} to {one['mean_high']:.1f}",
            "muted": False,
            "anchor": "",
        }
    strategies = sorted({name for row in rows.values() for name in row["cells"]})
    return {"rows": list(rows.values()), "columns": {name: name for name in strategies}}


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


def _that_fit(matrix: pd.DataFrame, timelines: Mapping[str, Timeline]) -> tuple[dict[str, Timeline], dict[str, Markup]]:
    """The stories that there is room for, those of the verdicts first; and drawings of the first ones, with the room that is left."""
    room = STORIES_MOST
    fit = set()
    told = [token for token in dict.fromkeys(matrix["token"]) if token in timelines]
    for token in dict.fromkeys([*told, *timelines]):
        room -= len(Markup.escape(timeline_text(timelines[token]))) + 700  # what stands around it
        if room < 0:
            break
        fit.add(token)
    stories = {token: timeline for token, timeline in timelines.items() if token in fit}
    drawings = {}
    for token, timeline in stories.items():
        drawn = re.sub(r'\sxmlns="[^"]*"', "", timeline_svg(timeline))
        room -= len(drawn)
        if room < 0:
            break
        drawings[token] = Markup(drawn)
    return stories, drawings


def _timeline(
    token: str, timeline: Timeline, drawings: Mapping[str, Markup], anchors: Mapping[str, str]
) -> dict[str, Any]:
    return {
        "anchor": anchors[token],
        "title": timeline.title,
        "violation": timeline.violation,
        "replay": timeline.replay or token,
        "svg": drawings.get(token, ""),
        "text": timeline_text(timeline),
    }
