"""The command line: a thin face of the experiments.

Machine-readable output (``--json``, traces, timelines) goes to stdout, prose and progress to stderr. Exit codes: 0 clean, 1 a violation
was found, 2 wrong usage, 3 unknown or diverged, 4 an internal error, 130 interrupted (what was found until then is kept and shown).
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Iterable, Sequence
from math import inf
from pathlib import Path
from time import monotonic
from typing import Annotated, Any

import typer

from racewindow.disk import GRANULARITIES
from racewindow.errors import RacewindowError, ReplayDiverged, UsageError
from racewindow.sessions.scenario import TOPOLOGIES, Scenario
from racewindow.sessions.stories import STORIES, story

CLEAN, VIOLATION, USAGE, UNKNOWN, INTERNAL, INTERRUPTED = 0, 1, 2, 3, 4, 130

# Typer shows click's base class of wrong arguments through its descendants only (newer ones bring a click of their own).
_BAD_ARGUMENTS: Any = next(each for each in typer.BadParameter.__mro__ if each.__name__ == "ClickException")

TWO_CLIENTS = "a: add m1; commit; reload | b: add m2; commit; reload"
COMPARED = (
    "after-completion",
    "free-running",
    "add-during-commit",
    "add-during-extraction",
    "crash-during-commit",
    "acknowledged-then-power-loss",
)

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Find, prove, measure and draw race conditions in session stores.",
)

SAMPLERS = ("random-walk", "burst", "pct", "pos", "urw")
_STRATEGY_HELP = "random-walk, burst, pct, pos, urw, surw, timed, bounded, delays, auto or replay; parameters after a colon: pct:depth=5"

Implementation = Annotated[
    str, typer.Argument(help="name of an implementation ('racewindow list'), module:Class or file.py:Class")
]
ScenarioText = Annotated[
    str, typer.Argument(help="name of a story, or a text like 'a: add m1; commit | b: reload; commit'")
]
Topologies = Annotated[list[str], typer.Option("--topology", help=f"{', '.join(TOPOLOGIES)} or all; may be repeated")]
Disks = Annotated[
    list[str], typer.Option("--disk", help=f"granularity: {', '.join(GRANULARITIES)} or all; may be repeated")
]
Time = Annotated[str, typer.Option("--time", help="idle, or adversarial: a timer may fire at any moment")]
Strategies = Annotated[list[str], typer.Option("--strategy", help=f"{_STRATEGY_HELP}; may be repeated")]
Json = Annotated[bool, typer.Option("--json", help="machine-readable result on stdout")]
Seed = Annotated[int, typer.Option("--seed", help="schedule i depends on the seed and i only")]
Schedules = Annotated[int, typer.Option("--schedules", min=1, help="how many schedules to sample at most")]
TimeLimit = Annotated[float | None, typer.Option("--time-limit", help="wall-clock seconds")]
Preemptions = Annotated[int, typer.Option("--preemptions", help="prove up to this many preemptions")]
NoShrink = Annotated[bool, typer.Option("--no-shrink", help="show a failure as it was found, not the simplest like it")]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: arguments without the program's name; default: those of the process.

    Returns:
        The exit code.
    """
    # Not app(): typer would turn an interrupt into an exit without a word, and a reader that went away into "violation".
    command = typer.main.get_command(app)
    try:
        with command.make_context("racewindow", list(sys.argv[1:] if argv is None else argv)) as context:
            code = command.invoke(context)
            sys.stdout.flush()
        return code if isinstance(code, int) else CLEAN
    except ReplayDiverged as error:
        _say(f"diverged: {error}")
        return UNKNOWN
    except RacewindowError as error:
        _say(f"error: {error}")
        return USAGE
    except typer.Exit as stop:
        return stop.exit_code
    except (typer.Abort, KeyboardInterrupt):
        _say("interrupted")
        return INTERRUPTED
    except _BAD_ARGUMENTS as error:
        error.show()
        return USAGE
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left in the buffer goes nowhere
        return CLEAN
    except Exception:
        _say(f"internal error, please report it:\n{traceback.format_exc()}")
        return INTERNAL


@app.command("list")
def list_(
    designs: Annotated[bool, typer.Option("--designs", help="only the designs")] = False,
    as_json: Json = False,
) -> int:
    """Show implementations and stories, with one line each."""
    from racewindow.implementations import BUILT_IN, DESIGNS, PACKAGES

    shown = [design.name for design in DESIGNS] if designs else list(BUILT_IN)
    rows = [{"name": name, "summary": BUILT_IN[name].summary(), "installed": True} for name in shown]
    if not designs:
        rows += [
            {"name": each.name, "summary": each.summary, "installed": each.installed} for each in PACKAGES.values()
        ]
    stories = (
        []
        if designs
        else [{"name": each.name, "text": each.text, "summary": each.summary} for each in STORIES.values()]
    )
    if as_json:
        _print_json({"implementations": rows, "stories": stories})
        return CLEAN
    print("implementations")
    for row in rows:
        print(f"  {row['name']:<34} {row['summary']}{'' if row['installed'] else '  [not installed]'}")
    if stories:
        print("\nstories")
        for each in stories:
            print(f"  {each['name']:<34} {each['text']}\n  {'':<34} {each['summary']}")
    return CLEAN


@app.command()
def fuzz(
    implementation: Implementation,
    scenario: ScenarioText = TWO_CLIENTS,
    topology: Topologies = ["all"],  # noqa: B006 - typer wants a list
    disk: Disks = ["all"],  # noqa: B006
    time: Time = "idle",
    strategy: Annotated[str, typer.Option("--strategy", help=_STRATEGY_HELP)] = "random-walk",
    schedules: Schedules = 1000,
    seed: Seed = 0,
    time_limit: TimeLimit = None,
    no_shrink: NoShrink = False,
    as_json: Json = False,
) -> int:
    """Sample schedules, and count what breaks."""
    from racewindow import experiments
    from racewindow.search import strategy_named

    chosen = strategy_named(strategy)
    cases = _cases(implementation, scenario, topology, disk, time)
    return _examine(
        (
            experiments.fuzz(
                case, strategy=chosen, schedules=schedules, seed=seed, time_limit_s=_share(time_limit, cases)
            )
            for case in cases
        ),
        shrink=not no_shrink,
        as_json=as_json,
    )


@app.command("first-bug")
def first_bug(
    implementation: Implementation,
    scenario: ScenarioText = TWO_CLIENTS,
    topology: Topologies = ["separate-stores"],  # noqa: B006
    disk: Disks = ["suspending"],  # noqa: B006
    time: Time = "idle",
    strategy: Strategies = list(SAMPLERS),  # noqa: B006
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="searches with each strategy")] = 30,
    schedules: Annotated[int, typer.Option("--schedules", min=1, help="cut a search off here")] = 1000,
    output: Annotated[
        Path | None, typer.Option("--output", help="draw the curves into this file (.png or .svg)")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="of the first search; the others follow")] = 0,
    time_limit: TimeLimit = None,
    as_json: Json = False,
) -> int:
    """Compare strategies: how many schedules until the first violation."""
    from racewindow import charts, experiments

    if output is not None:
        _drawable(output)
    cases = _cases(implementation, scenario, topology, disk, time)
    result = experiments.first_bug(
        {case.name: case for case in cases},
        strategies=strategy,
        seeds=range(seed, seed + seeds),
        schedules=schedules,
        time_limit_s=time_limit,
    )
    if as_json:
        tables = {"searches": result.frame, "rates": result.rates, "logrank": result.logrank}
        _print_json({name: table.to_dict("records") for name, table in tables.items()})
    elif len(result.frame):
        print(result.rates.round(2).to_string(index=False))
        if len(result.logrank):
            print()
            print(result.logrank.round(4).to_string(index=False))
    if output is not None:
        charts.save(charts.first_bug(result.survival), output)
        _say(f"drawn: {output}")
    if result.interrupted:
        _say(f"stopped after {len(result.frame)} searches: these are partial results")
        return INTERRUPTED if time_limit is None else UNKNOWN
    return VIOLATION if result.frame["found"].any() else CLEAN


@app.command()
def prove(
    implementation: Implementation,
    scenario: ScenarioText = TWO_CLIENTS,
    topology: Topologies = ["same-store", "separate-stores"],  # noqa: B006
    disk: Disks = ["all"],  # noqa: B006
    time: Time = "idle",
    preemptions: Preemptions = 2,
    unbounded: Annotated[
        bool, typer.Option("--unbounded", help="no bound on preemptions: reduce instead (DPOR)")
    ] = False,
    schedules: Annotated[
        int, typer.Option("--schedules", min=1, help="give up a bound beyond this many executions")
    ] = 100_000,
    seed: Annotated[int, typer.Option("--seed", help="changes nothing: every schedule is run")] = 0,
    time_limit: TimeLimit = None,
    no_shrink: NoShrink = False,
    as_json: Json = False,
) -> int:
    """Run every schedule within a bound on preemptions, or all of them up to the order of independent steps."""
    from racewindow import experiments

    cases = _cases(implementation, scenario, topology, disk, time)
    return _examine(
        (
            experiments.prove(
                case,
                preemptions=None if unbounded else preemptions,
                max_executions=schedules,
                time_limit_s=_share(time_limit, cases),
            )
            for case in cases
        ),
        shrink=not no_shrink,
        as_json=as_json,
    )


@app.command()
def windows(
    implementation: Implementation,
    scenario: ScenarioText = "after-completion",
    topology: Topologies = ["separate-stores"],  # noqa: B006
    disk: Disks = ["suspending"],  # noqa: B006
    time: Time = "idle",
    output: Annotated[Path | None, typer.Option("--output", help="draw the map into this file (.png or .svg)")] = None,
    seed: Annotated[int, typer.Option("--seed", help="changes nothing: the map is exact")] = 0,
    schedules: Annotated[int, typer.Option("--schedules", help="changes nothing: one schedule for each gap")] = 0,
    time_limit: TimeLimit = None,
    as_json: Json = False,
) -> int:
    """Map the race windows: the intruder runs to completion in every gap of the victim's commit."""
    from racewindow import charts, experiments
    from racewindow.frames import FAILING, WINDOWS, concat

    if output is not None:
        _drawable(output)
    cases = _cases(implementation, scenario, topology, disk, time)
    _share(time_limit, cases)
    deadline = monotonic() + (time_limit or inf)
    results: list[experiments.WindowsResult] = []
    interrupted = False
    try:
        for case in cases:
            if monotonic() < deadline:
                results.append(experiments.windows(case))
    except KeyboardInterrupt:
        interrupted = True
    frame = concat([result.frame for result in results], WINDOWS)
    if as_json:
        _print_json({"windows": frame.to_dict("records")})
    else:
        for result in results:
            _print_map(result)
    if output is not None:
        charts.save(charts.atlas(frame), output)
        _say(f"drawn: {output}")
    if interrupted:
        _say(f"interrupted after {len(results)} of {len(cases)} maps: these are partial results")
        return INTERRUPTED
    if len(results) < len(cases):
        _say(f"the time limit was up after {len(results)} of {len(cases)} maps: these are partial results")
        return UNKNOWN
    return VIOLATION if frame["outcome"].isin(FAILING).any() else CLEAN


@app.command()
def replay(
    token: Annotated[str, typer.Argument(help="the token")],
    best_effort: Annotated[bool, typer.Option("--best-effort", help="follow the token as far as it goes")] = False,
    as_json: Json = False,
) -> int:
    """Run the one schedule that a token describes, and print its trace."""
    from racewindow.experiments import replay_and_tell

    run, told = replay_and_tell(_case_of(token), token, strict=not best_effort)
    if as_json:
        _print_json(
            {
                "verdict": run.verdict,
                "violations": [_violation(violation) for violation in run.violations],
                "fingerprint": run.fingerprint,
                "trace": [
                    {
                        "step": step.index,
                        "task": step.task,
                        "label": step.label,
                        "preempted": step.preempted,
                        "notes": step.notes,
                    }
                    for step in run.trace
                ],
            }
        )
    else:
        print(f"{told.title}\n{told.subtitle}")
        for step in run.trace:
            print(step)
        for violation in run.violations:
            print(f"violation: {violation}")
        print(f"verdict: {run.verdict}, fingerprint {run.fingerprint}")
    return {"failed": VIOLATION, "unknown": UNKNOWN}.get(run.verdict, CLEAN)


@app.command()
def timeline(
    token: Annotated[str, typer.Argument(help="the token")],
    best_effort: Annotated[bool, typer.Option("--best-effort", help="follow the token as far as it goes")] = False,
    svg: Annotated[Path | None, typer.Option("--svg", help="draw it into this file")] = None,
    as_json: Json = False,
) -> int:
    """Tell the story of the schedule that a token describes."""
    from dataclasses import asdict

    from racewindow import charts
    from racewindow.experiments import prepare, replay_and_tell

    if svg is not None:
        prepare(svg.parent)
    run, told = replay_and_tell(_case_of(token), token, strict=not best_effort)
    if as_json:
        _print_json(asdict(told))
    else:
        print(charts.timeline_text(told))
    if svg is not None:
        svg.write_text(charts.timeline_svg(told))
        _say(f"drawn: {svg}")
    return {"failed": VIOLATION, "unknown": UNKNOWN}.get(run.verdict, CLEAN)


@app.command()
def bench(
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="how often each form is measured, in turns")] = 15,
    schedules: Annotated[int, typer.Option("--schedules", min=20, help="how many each form runs in a round")] = 1000,
    seed: Seed = 0,
    as_json: Json = False,
) -> int:
    """Measure the kernel's speed beside bare coroutines, which no kernel can beat."""
    from dataclasses import asdict

    from racewindow.bench import bench as measure

    result = measure(rounds=rounds, schedules=schedules, seed=seed)
    if as_json:
        _print_json(asdict(result))
        return CLEAN
    print(f"{'form':<9}{'schedules/s':>12}{'steps/s':>12}{'steps':>7}{'peak KiB':>10}{'kept B':>8}   to the limit")
    for name, rate in result.rates.items():
        ratio = result.ratios.get(f"{name}/limit")
        told = f"   {ratio.median:.3f} ({ratio.low:.3f} to {ratio.high:.3f})" if ratio else ""
        print(
            f"{name:<9}{rate.schedules_per_s.median:>12,.0f}{rate.steps_per_s.median:>12,.0f}{rate.steps:>7.1f}"
            f"{rate.memory_peak_kib:>10,.0f}{rate.memory_kept_bytes:>8,.0f}{told}"
        )
    return CLEAN


@app.command()
def compare(
    implementations: Annotated[
        list[str] | None, typer.Argument(help="which; default: all that come with racewindow and are installed")
    ] = None,
    scenario: Annotated[list[str], typer.Option("--scenario", help="story or text; may be repeated")] = list(COMPARED),  # noqa: B006
    topology: Topologies = ["same-store", "separate-stores"],  # noqa: B006
    disk: Disks = ["all"],  # noqa: B006
    preemptions: Preemptions = 2,
    max_executions: Annotated[int, typer.Option("--max-executions", min=1, help="of one bound in one cell")] = 250,
    schedules: Schedules = 200,
    seed: Seed = 0,
    jobs: Annotated[int, typer.Option("--jobs", min=1, help="worker processes")] = 2,
    time_limit: TimeLimit = None,
    output: Annotated[Path, typer.Option("--output", help="folder for the report, the frames and the charts")] = Path(
        "out/compare"
    ),
    as_json: Json = False,
) -> int:
    """Compare implementations side by side: one matrix, one atlas, one report."""
    from tqdm import tqdm

    from racewindow import experiments
    from racewindow.frames import tally
    from racewindow.implementations import BUILT_IN, PACKAGES, implementation

    whole = [name for name, each in BUILT_IN.items() if not each.mutant]
    names = implementations or [*whole, *(name for name, package in PACKAGES.items() if package.installed)]
    chosen = [implementation(name) for name in names]
    stories = [story(text) for text in scenario]
    topologies, disks = _several(topology, TOPOLOGIES, "topology"), _several(disk, GRANULARITIES, "granularity")
    experiments.prepare(output)

    def progress(cells: Iterable[Any], total: int) -> Iterable[Any]:
        shown: Iterable[Any] = tqdm(cells, total=total, unit="cell", file=sys.stderr, disable=None, leave=False)
        return shown

    result = experiments.compare(
        chosen,
        stories,
        topologies=topologies,
        disks=disks,
        budget=experiments.Budget(
            preemptions=preemptions, max_executions=max_executions, schedules=schedules, seed=seed
        ),
        jobs=jobs,
        time_limit_s=time_limit,
        progress=progress,
    )
    if result.matrix.empty:
        _say("nothing was finished; nothing is written")
        return INTERRUPTED
    written = result.write(output)
    if as_json:
        _print_json(result.summary)
    else:
        print(tally(result.matrix).to_string(index=False))
        print()
        wide = result.widths[result.widths["failing"] > 0]
        columns = ["implementation", "scenario", "topology", "disk", "failing", "gaps", "opens", "closes"]
        print(wide[columns].to_string(index=False) if len(wide) else "no race window is wider than zero")
    for name in PACKAGES:
        if not implementations and name not in names:
            _say(f"left out: {name} is not installed (pip install 'racewindow[{PACKAGES[name].extra}]')")
    _say(f"{len(result.matrix)} cells in {result.settings['seconds']} s; open {output / 'report.html'}")
    _say("written: " + ", ".join(str(path) for path in written))
    if result.interrupted:
        _say("stopped before the end: these are partial results")
        return INTERRUPTED
    return CLEAN


# -- helpers -----------------------------------------------------------------------------------------------------------


def _cases(implementation_name: str, text: str, topology: list[str], disk: list[str], time: str) -> list[Any]:
    from racewindow.implementations import implementation
    from racewindow.sessions.case import Case

    scenario: Scenario = story(text)
    return [
        Case(
            implementation=implementation(implementation_name),
            scenario=scenario,
            topology=one,
            disk=other,
            time=time,  # type: ignore[arg-type]
        )
        for one in _several(topology, TOPOLOGIES, "topology")
        for other in _several(disk, GRANULARITIES, "granularity")
    ]


def _case_of(token: str) -> Any:
    from racewindow.implementations import implementation
    from racewindow.kernel.token import Token
    from racewindow.sessions.case import Case

    return Case.named(Token.parse(token).subject, implementation)


def _drawable(output: Path) -> None:
    from racewindow.experiments import prepare

    if output.suffix not in (".png", ".svg"):
        raise UsageError(f"cannot draw into {output}: give a file that ends in .png or .svg")
    prepare(output.parent)


def _several(given: list[str], known: Sequence[Any], what: str) -> list[Any]:
    if "all" in given:
        return list(known)
    for value in given:
        if value not in known:
            raise UsageError(f"unknown {what} {value!r}: use {', '.join(known)} or all")
    return list(dict.fromkeys(given))


def _share(time_limit: float | None, cases: Sequence[object]) -> float | None:
    if time_limit is not None and time_limit <= 0:
        raise UsageError(f"--time-limit {time_limit}: give a positive number of seconds")
    return None if time_limit is None else time_limit / len(cases)


def _examine(results: Iterable[Any], *, shrink: bool, as_json: bool) -> int:
    """Run the cases, shrink what fails, report each, and end with the story of the first violation."""
    from racewindow import charts

    seen = []
    interrupted = False
    try:
        for result in results:
            seen.append(result)
            interrupted = result.interrupted
            if shrink and not interrupted:
                seen[-1] = result = result.shrink()
            if not as_json:
                _print_result(result)
            if interrupted:
                break
    except KeyboardInterrupt:  # between two cases, where there is nothing partial
        interrupted = True
    if as_json:
        _print_json({"results": [_plain(result) for result in seen]})
    failed = next((result for result in seen if result.verdict == "failed"), None)
    if failed is not None and not as_json:
        print()
        print(charts.timeline_text(failed.timeline()))
    if interrupted:
        _say("interrupted: these are partial results")
        return INTERRUPTED
    if failed is not None:
        return VIOLATION
    return UNKNOWN if any(result.verdict == "unknown" for result in seen) else CLEAN


def _print_result(result: Any) -> None:
    from racewindow.statistics import interval, upper_bound

    case = result.case
    sampled = 0 if result.sampled_from is None else max(0, result.schedules - result.sampled_from)
    line = f"{result.verdict:<14} {case.implementation.name}  {case.topology}, disk={case.disk}, time={case.time}: "
    if result.verdict == "proved":
        bound = f" within {result.bound}" if result.bound else ""
        line += f"every schedule{bound}, {result.schedules} executions"
        line += f" ({result.reason})" if result.reason else ""
        line += _reduction(result) if result.classes is not None else ""
    elif result.verdict == "failed":
        how = f"{result.strategy} {result.bound}".rstrip()
        line += f"{'+'.join(result.kinds)} in {result.failures} of {result.schedules} schedules ({how})"
        if sampled == result.schedules:
            low, high = interval(result.schedules, result.failures)
            line += f", {low:.2%} to {high:.2%} of them (95 %)"
    elif result.verdict == "passed":
        line += f"no violation in {result.schedules} schedules"
        if sampled:
            line += f", so at most {upper_bound(sampled):.2%} of them (95 %) under {result.strategy}"
    else:
        line += result.reason
    if result.noted.get("re_extracted"):
        line += f"; re-extracted after a crash in {result.noted['re_extracted']}"
    if result.noted.get("errors"):
        line += f"; operations raised in {result.noted['errors']}"
    print(line)
    for note in result.notes:
        print(f"  {note}")
    if result.shrunk is not None:
        print(f"  shrunk to {result.shrunk.case.scenario.text}\n  {result.shrunk.says}")


def _reduction(result: Any) -> str:
    """What one execution stands for, and what that rests on."""
    factor = ""
    if result.interleavings is not None:
        factor = f" of {result.interleavings} interleavings, 1 in {result.interleavings / result.schedules:.3g}"
    return f"{factor}; {result.classes} happens-before classes, footprints {result.footprints}"


def _plain(result: Any) -> dict[str, Any]:
    seconds = round(result.seconds, 2)
    shrunk = None if result.shrunk is None else result.shrunk.row
    told = {"goals": result.goals, "noted": result.noted, "notes": result.notes, "seconds": seconds}
    return {**result.row, "shrunk": shrunk, **told}


def _print_map(result: Any) -> None:
    marks = {"ok": ".", "failed": "X", "blocked-then-ok": "b", "blocked-then-failed": "B", "infeasible": "-"}
    case = result.case
    row = result.widths.iloc[0] if len(result.frame) else None
    print(f"{case.implementation.name}  {case.scenario.name}  {case.topology}, disk={case.disk}")
    if row is None:
        print(f"  not applicable: {case.not_applicable}")
        return
    print(f"  {''.join(marks[str(outcome)] for outcome in result.frame['outcome'])}")
    print(
        f"  {result.intruder} in every gap of '{result.operation}' of {result.victim}: {row['failing']} of {row['gaps']} gaps fail"
    )
    if row["failing"]:
        print(f"  {row['violation']}: {row['opens']} .. {row['closes']}\n  racewindow timeline {row['token']}")
    print("  . ok   X failed   b blocked, then ok   B blocked, then failed   - infeasible")


def _violation(violation: Any) -> dict[str, object]:
    return {
        "kind": violation.kind,
        "detail": violation.detail,
        "messages": list(violation.messages),
        "step": violation.step,
    }


def _print_json(value: object) -> None:
    print(json.dumps(value, indent=1, default=str))


def _say(text: str) -> None:
    print(text, file=sys.stderr)
