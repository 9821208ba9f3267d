"""What ``racewindow fuzz`` does for CI and for long runs: the corpus first, then a campaign, then a report in any format."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from racewindow.cli._formats import Report, Story, write
from racewindow.cli._output import say
from racewindow.cli.codes import CLEAN, INTERRUPTED, UNKNOWN, VIOLATION
from racewindow.errors import RacewindowError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from racewindow.campaign import Part, Plan
    from racewindow.campaign.corpus import Corpus
    from racewindow.experiments import CaseResult
    from racewindow.kernel.violation import Violation


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What was asked for.

    Attributes:
        title: the command in a few words, for the head of reports.
        plan: the campaign.
        time_limit_s: for replays and campaign together; shrinking and reporting come after it.
        corpus: folder of failing tokens, or None.
        runs: folder that keeps every schedule, or None.
        jobs, backend, scheduler: who does the work.
        outputs: a format, and the file it goes to; None: stdout.
        shrink_executions: budget for making a failure as simple as it gets; 0: it is shown as it was found.
    """

    title: str
    plan: Plan
    time_limit_s: float | None = None
    corpus: Path | None = None
    runs: Path | None = None
    jobs: int = 1
    backend: str = "local"
    scheduler: str = ""
    outputs: Sequence[tuple[str, Path | None]] = field(default=(("text", None),))
    shrink_executions: int = 2_000


def run(order: Order) -> int:
    """Do it, report it, and give the exit code.

    Raises:
        UsageError: a folder, a corpus or a cluster is not as it should be; nothing was run then.
    """
    from racewindow.campaign import Folder, campaign, pool_of
    from racewindow.campaign.corpus import Corpus, Entry

    plan = order.plan
    corpus = None if order.corpus is None else Corpus(order.corpus)
    if corpus is not None:
        corpus.entries()  # whatever is wrong in there is said before an hour is spent
    folder = None if order.runs is None else Folder(order.runs, plan)
    pool = pool_of(order.jobs, backend=order.backend, scheduler=order.scheduler)
    started = time.monotonic()
    try:
        replays = [] if corpus is None else list(_replay(corpus, plan))
    except KeyboardInterrupt:
        pool.close(at_once=True)
        say("interrupted while the corpus was replayed")
        return INTERRUPTED
    left = None if order.time_limit_s is None else max(1e-9, order.time_limit_s - (time.monotonic() - started))
    with _progress(plan) as on_part:
        done = campaign(plan, pool=pool, folder=folder, time_limit_s=left, on_part=on_part, say=say)
    results, stories = _shrunk(done.results, executions=0 if done.interrupted else order.shrink_executions)
    if corpus is not None:
        known = {(one.owner, one.kinds) for one in replays if one.outcome == "failed"}
        for story in stories:
            if (story.owner, story.kinds) not in known:  # a second token of a bug that has one tells nothing new
                corpus.add(Entry(owner=story.owner, token=story.token, kinds=story.kinds))
    report = Report(
        title=order.title,
        campaign=done,
        results=tuple(results),
        replays=tuple(replays),
        stories=tuple(stories),
        seconds=time.monotonic() - started,
    )
    for form, target in order.outputs:
        write(report, form, target)
    return _code(report)


def _code(report: Report) -> int:
    done = report.campaign
    if done.lost:
        say(f"error: {done.lost}; what was found until then is kept")
    if done.interrupted:
        say("interrupted: these are partial results")
        return INTERRUPTED
    if any(result.verdict == "failed" for result in report.results) or any(
        one.outcome == "failed" for one in report.replays
    ):
        return VIOLATION
    # A time limit that cut the campaign short is told in the report, and is nothing to stop a merge; a run that shows nothing is.
    unknown = done.lost or not report.results or any(result.verdict == "unknown" for result in report.results)
    return UNKNOWN if unknown or any(one.outcome == "lost" for one in report.replays) else CLEAN


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What came of one token of the corpus.

    Attributes:
        owner, token, kinds: of the entry.
        outcome: ``failed``, ``passed``, ``dropped`` or ``lost``.
        reason: why it is lost.
        text: the story, where it failed.
    """

    owner: str
    token: str
    kinds: tuple[str, ...]
    outcome: str
    reason: str = ""
    text: str = ""


def _replay(corpus: Corpus, plan: Plan) -> Iterator[Replayed]:
    """The tokens of the implementations of a plan, whatever the scenario."""
    from racewindow import charts
    from racewindow.experiments import replay_and_tell
    from racewindow.kernel.token import Token
    from racewindow.sessions.case import Case

    stores = {job.case.implementation.name: job.case.implementation for job in plan.jobs}
    told: dict[str, str] = {}

    def resolve(name: str) -> Any:
        if name not in stores:
            raise UsageError(f"it belongs to {name!r}, which is not under test here")
        return stores[name]

    def follow(token: str) -> tuple[str, ...]:
        case = Case.named(Token.parse(token).subject, resolve)
        run, timeline = replay_and_tell(case, token, strict=False)
        told[token] = charts.timeline_text(timeline)
        return _kinds(run.violations)

    for name in stores:
        for entry, outcome in corpus.replay(name, follow):
            what, _, reason = outcome.partition(": ")
            text = told.get(entry.token, "") if what == "failed" else ""
            yield Replayed(owner=name, token=entry.token, kinds=entry.kinds, outcome=what, reason=reason, text=text)


def _shrunk(results: Sequence[CaseResult], *, executions: int) -> tuple[list[CaseResult], list[Story]]:
    """Shrink and tell one failure of each kind: the same bug shows in many cases, and its story is the same in all of them."""
    from racewindow import charts

    seen: set[tuple[str, ...]] = set()
    shown: list[CaseResult] = []
    stories: list[Story] = []
    for result in results:
        if result.first is not None and (kinds := _kinds(result.first.violations)) not in seen:
            seen.add(kinds)
            if executions:
                try:
                    result = result.shrink(max_executions=executions)
                except KeyboardInterrupt:
                    executions = 0
                    say("interrupted while shrinking: the others are shown as they were found")
                except RacewindowError as error:
                    say(f"not shrunk: {error}")
            small = result.shrunk
            stories.append(
                Story(
                    owner=result.case.implementation.name,
                    token=small.token if small else result.token,
                    kinds=_kinds(small.violations) if small else kinds,
                    text=charts.timeline_text(result.timeline()),
                )
            )
        shown.append(result)
    return shown, stories


def _kinds(violations: Sequence[Violation]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(violation.kind for violation in violations))


@contextmanager
def _progress(plan: Plan) -> Iterator[Callable[[Part, bool], None]]:
    """A bar on stderr with rate, time left and failures; none where stderr is no terminal."""
    from tqdm import tqdm

    with tqdm(
        total=plan.schedules, unit=" schedules", file=sys.stderr, disable=None, leave=False, smoothing=0.05
    ) as bar:
        failures = 0

        def on_part(part: Part, again: bool) -> None:
            nonlocal failures
            failures += part.failures
            bar.set_postfix(failures=failures, refresh=False)
            if again and not bar.disable:
                bar.initial += part.schedules  # what an earlier run did says nothing about the rate of this one
            bar.update(part.schedules)

        yield on_part
