"""A campaign's report as text, JSON, JUnit XML, or for GitHub Actions."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from racewindow.cli._output import line_of, plain
from racewindow.errors import UsageError

if TYPE_CHECKING:
    from racewindow.campaign import Campaign
    from racewindow.cli._campaign import Replayed
    from racewindow.experiments import CaseResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """One failure as text.

    Attributes:
        owner: name of the implementation.
        token: replays it.
        kinds: of its violations.
        text: its timeline, with the line that runs it again.
    """

    owner: str
    token: str
    kinds: tuple[str, ...]
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All that a command has to say.

    Attributes:
        title: the command in a few words.
        campaign: what was done.
        results: its results, failures shrunk where that was asked for.
        replays: what came of the corpus.
        stories: of one failure of each kind.
        seconds: wall-clock time taken in all.
    """

    title: str
    campaign: Campaign
    results: tuple[CaseResult, ...]
    replays: tuple[Replayed, ...]
    stories: tuple[Story, ...]
    seconds: float

    @property
    def without_verdict(self) -> tuple[str, ...]:
        """Cases that came to no verdict, because the time was up or the workers were gone."""
        begun = {result.case.name for result in self.results}
        return tuple(dict.fromkeys(job.case.name for job in self.campaign.plan.jobs if job.case.name not in begun))

    @property
    def bad(self) -> list[CaseResult]:
        """Results that are neither clean nor beside the point."""
        return [result for result in self.results if result.verdict in ("failed", "unknown")]

    @property
    def table(self) -> list[dict[str, str]]:
        """One row per scenario: what was proved, and what was sampled with which upper bound."""
        by_story: dict[str, list[CaseResult]] = {}
        for result in self.results:
            by_story.setdefault(result.case.scenario.name, []).append(result)
        return [{"scenario": name, **_row(results)} for name, results in by_story.items()]

    @property
    def notes(self) -> list[str]:
        """What else a person should know, a line each."""
        done, lines = self.campaign, []
        counts = {
            what: sum(one.outcome == what for one in self.replays) for what in ("failed", "passed", "dropped", "lost")
        }
        if self.replays:
            lines.append("corpus: " + ", ".join(f"{count} {what}" for what, count in counts.items() if count))
        lines += [f"corpus: lost {one.token}: {one.reason}" for one in self.replays if one.outcome == "lost"]
        if done.resumed:
            lines.append(f"went on where an earlier run stopped: {done.resumed} of {done.ranges} ranges were done")
        if done.deaths:
            lines.append(
                f"{done.deaths} worker{'s' if done.deaths > 1 else ''} died on the way; what they were at was done again"
            )
        if done.timed_out:
            waiting = len(done.plan.jobs) - len(self.results)
            of = f" before {waiting} of {len(done.plan.jobs)} searches came to a verdict" if waiting else ""
            lines.append(f"the time was up{of}")
        if done.lost:
            lines.append(done.lost)
        if self.without_verdict:
            names = ", ".join(self.without_verdict[:3]) + (", ..." if len(self.without_verdict) > 3 else "")
            lines.append(f"without any verdict: {len(self.without_verdict)} cases ({names})")
        return lines

    @property
    def total(self) -> str:
        """The whole report in one line."""
        verdicts = [result.verdict for result in self.results]
        said = ", ".join(f"{verdicts.count(each)} {each}" for each in dict.fromkeys(sorted(verdicts)))
        done = self.campaign
        return f"searches: {said or 'none'}; schedules: {done.schedules}, {done.failures} failed; {self.seconds:.0f} s"


def _row(results: Sequence[CaseResult]) -> dict[str, str]:
    from racewindow.statistics import upper_bound

    proved: dict[str, int] = {}
    for result in results:
        if result.verdict == "proved":
            bound = result.bound or "without a bound"
            proved[bound] = proved.get(bound, 0) + 1
    samples = [
        (result.schedules - result.sampled_from, result) for result in results if result.sampled_from is not None
    ]
    clean = [drawn for drawn, result in samples if drawn and not result.failures]
    verdicts = [result.verdict for result in results]
    worst = next((each for each in ("failed", "unknown", "passed", "proved", "not-applicable") if each in verdicts), "")
    kinds = "+".join(dict.fromkeys(kind for result in results for kind in result.kinds))
    return {
        "cases": str(len({result.case.name for result in results})),
        "proved": ", ".join(f"{count} {bound}" for bound, count in proved.items()) or "-",
        "sampled": str(sum(drawn for drawn, _ in samples)) if samples else "-",
        "at most": f"{upper_bound(min(clean)):.2%}" if clean else "-",
        "verdict": {"passed": "clean", "proved": "clean"}.get(worst, worst) + (f" {kinds}" if kinds else ""),
    }


_FOOT = (
    "proved: cases of which every schedule within that bound was run; sampled: schedules drawn at random; at most: how many of those "
    "that a strategy draws of one case may still fail (95 %, the worst case of the row)"
)


def text_of(report: Report) -> str:
    """For a terminal or a log."""
    lines = [report.title, "", *_columns(report.table)]
    lines += ["", _FOOT] if report.table else []
    for result in report.bad:
        lines += ["", f"{result.case.scenario.name}:", line_of(result)]
        if result.shrunk is not None:
            lines += [f"  shrunk to {result.shrunk.case.scenario.text}", f"  {result.shrunk.says}"]
        if result.token:
            lines.append(f"  racewindow replay {result.token if result.shrunk is None else result.shrunk.token}")
    for one in report.replays:
        if one.outcome == "failed":
            lines += ["", f"still fails, from the corpus: {'+'.join(one.kinds)}", f"  racewindow replay {one.token}"]
    for story in _told(report):
        lines += ["", story.text]
    return "\n".join([*lines, "", *report.notes, report.total])


def _told(report: Report) -> list[Story]:
    """The stories to tell: those of this run, and of the corpus those of a kind that this run has none of."""
    told = {story.kinds: story for story in report.stories}
    for one in report.replays:
        if one.text and one.kinds not in told:
            told[one.kinds] = Story(owner=one.owner, token=one.token, kinds=one.kinds, text=one.text)
    return list(told.values())


def _columns(rows: Sequence[dict[str, str]]) -> list[str]:
    if not rows:
        return []
    table = [list(rows[0]), *([row[name] for name in rows[0]] for row in rows)]
    widths = [max(len(line[column]) for line in table) for column in range(len(table[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in table]


def json_of(report: Report) -> str:
    """For programs."""
    done = report.campaign
    told = {
        "title": report.title,
        "results": [plain(result) for result in report.results],
        "corpus": [
            {"token": one.token, "kinds": list(one.kinds), "outcome": one.outcome, "reason": one.reason}
            for one in report.replays
        ],
        "schedules": done.schedules,
        "failures": done.failures,
        "ranges": done.ranges,
        "resumed": done.resumed,
        "deaths": done.deaths,
        "lost": done.lost,
        "interrupted": done.interrupted,
        "timed_out": done.timed_out,
        "without_verdict": list(report.without_verdict),
        "seed": done.plan.seed,
        "seconds": round(report.seconds, 2),
    }
    return json.dumps(told, indent=1, default=str)


def junit_of(report: Report) -> str:
    """JUnit XML, as CI servers read it: a test case for each case and strategy, and for each token of the corpus."""
    suite = ElementTree.Element("testsuite", name=_xml(report.title))
    counts = {"failures": 0, "errors": 0, "skipped": 0}
    stories = {story.token: story.text for story in report.stories}
    for one in report.replays:
        case = ElementTree.SubElement(suite, "testcase", classname="corpus", name=_xml(one.token), time="0")
        if one.outcome == "failed":
            _problem(case, "failure", "+".join(one.kinds), f"still fails: {'+'.join(one.kinds)}", one.text)
            counts["failures"] += 1
        elif one.outcome == "lost":
            _problem(case, "error", "lost", one.reason, one.reason)
            counts["errors"] += 1
    for result in report.results:
        name = "/".join((result.case.scenario.name, result.case.topology, result.case.disk, result.strategy or "-"))
        case = ElementTree.SubElement(
            suite,
            "testcase",
            classname=_xml(result.case.implementation.name),
            name=_xml(name),
            time=f"{result.seconds:.3f}",
        )
        properties = ElementTree.SubElement(case, "properties")
        for key in ("verdict", "schedules", "failures", "strategy", "bound", "violation", "token"):
            ElementTree.SubElement(properties, "property", name=f"race_{key}", value=_xml(str(result.row[key])))
        best = result.token if result.shrunk is None else result.shrunk.token
        if result.verdict == "failed":
            kinds = "+".join(result.kinds)
            body = stories.get(best, f"racewindow timeline {best}")
            _problem(case, "failure", kinds, line_of(result), body)
            counts["failures"] += 1
        elif result.verdict == "unknown":
            _problem(case, "error", "unknown", result.reason, result.reason)
            counts["errors"] += 1
        elif result.verdict == "not-applicable":
            ElementTree.SubElement(case, "skipped", message=_xml(result.reason))
            counts["skipped"] += 1
    for name in report.without_verdict:
        case = ElementTree.SubElement(suite, "testcase", classname="without a verdict", name=_xml(name), time="0")
        ElementTree.SubElement(case, "skipped", message=_xml("; ".join(report.notes)))
        counts["skipped"] += 1
    suite.attrib |= {"tests": str(len(suite)), "time": f"{report.seconds:.3f}"}
    suite.attrib |= {name: str(count) for name, count in counts.items()}
    root = ElementTree.Element("testsuites")
    root.append(suite)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, encoding="unicode")


def _problem(case: ElementTree.Element, tag: str, kind: str, message: str, body: str) -> None:
    ElementTree.SubElement(case, tag, type=_xml(kind), message=_xml(message)).text = _xml(body)


def _xml(text: str) -> str:
    """XML has no way at all to say most control characters; what a store's error text brings must not break the report."""
    return re.sub("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\ufffd", text)


def github_of(report: Report) -> str:
    """Workflow commands: an annotation for each kind of failure. The table goes to the step summary, if there is one."""
    stories = {story.token: story.text for story in report.stories}
    lines = []
    for result in report.bad:
        best = result.token if result.shrunk is None else result.shrunk.token
        if result.verdict == "unknown":
            lines.append(_command("warning", f"unknown: {result.case.name}", result.reason))
        elif best in stories:
            lines.append(
                _command(
                    "error", f"{'+'.join(result.kinds)}: {result.case.name}", f"{line_of(result)}\n{stories[best]}"
                )
            )
    for one in report.replays:
        if one.outcome == "failed":
            lines.append(_command("error", f"still fails: {'+'.join(one.kinds)}", one.text or one.token))
        elif one.outcome == "lost":
            lines.append(_command("warning", "a token of the corpus is lost", f"{one.token}\n{one.reason}"))
    lines.append(_command("notice", report.title, "\n".join([report.total, *report.notes])))
    summary = _markdown(report)
    target = os.environ.get("GITHUB_STEP_SUMMARY", "")
    if target:
        try:
            with open(target, "a", encoding="utf-8") as file:
                file.write(summary + "\n")
        except OSError as error:
            raise UsageError(f"cannot write the step summary to {target}: {error.strerror or error}") from error
        return "\n".join(lines)
    return "\n".join([*lines, "", summary])


def _command(what: str, title: str, message: str) -> str:
    data = message.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    head = title.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A").replace(":", "%3A").replace(",", "%2C")
    return f"::{what} title={head}::{data}"


def _markdown(report: Report) -> str:
    lines = [f"### {_cell(report.title)}", ""]
    if report.table:
        names = list(report.table[0])
        lines += ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
        lines += ["| " + " | ".join(_cell(row[name]) for name in names) + " |" for row in report.table]
        lines += ["", _FOOT, ""]
    lines += [*(f"- {note}" for note in report.notes), f"- {report.total}"]
    for story in _told(report):
        lines += ["", "```text", story.text.replace("```", "'''"), "```"]
    return "\n".join(lines)


def _cell(text: str) -> str:
    """A scenario's text has bars between its clients, and a table has them between its cells."""
    return text.replace("|", "\\|").replace("\n", " ")


FORMATS: dict[str, Callable[[Report], str]] = {
    "text": text_of,
    "json": json_of,
    "junit": junit_of,
    "github": github_of,
}


def parsed(outputs: Sequence[str]) -> list[tuple[str, Path | None]]:
    """What ``--output`` was given: ``format`` or ``format=file``.

    Raises:
        UsageError: there is no such format, a file's folder is not there, or two formats want stdout.
    """
    found: list[tuple[str, Path | None]] = []
    for text in outputs:
        form, _, target = text.partition("=")
        if form not in FORMATS:
            raise UsageError(
                f"unknown output {form!r}: use {', '.join(FORMATS)}, or one of them with a file, as in junit=races.xml"
            )
        if target and not Path(target).absolute().parent.is_dir():
            raise UsageError(f"cannot write {target}: there is no folder {Path(target).parent}")
        found.append((form, Path(target) if target else None))
    if sum(target is None for _, target in found) > 1:
        raise UsageError("two outputs cannot share stdout: give all but one a file, as in junit=races.xml")
    return found


def write(report: Report, form: str, target: Path | None) -> None:
    """Write a report to a file, whole or not at all, or print it.

    Raises:
        UsageError: the file cannot be written.
    """
    content = FORMATS[form](report)
    if target is None:
        print(content)
        return
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        temporary.write_text(content + "\n", encoding="utf-8")
        os.replace(temporary, target)
    except OSError as error:
        raise UsageError(f"cannot write {target}: {error.strerror or error}") from error
