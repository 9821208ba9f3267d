"""The command line: what it says where, and with which exit code."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

import racewindow as rw
from racewindow import experiments
from racewindow.cli import main
from racewindow.cli.codes import CLEAN, INTERNAL, INTERRUPTED, UNKNOWN, USAGE, VIOLATION
from racewindow.implementations import BUILT_IN, DESIGNS, PACKAGES, names
from racewindow.kernel import Segment, Token
from racewindow.sessions import STORIES

Out = pytest.CaptureFixture[str]
RACE = "copy-on-write", "after-completion"
ONE = "--topology", "same-store", "--disk", "atomic"

# The thirty lines of the README: a store that writes everything into one file, without a lock.
OWN = dedent('''
    """A store of my own."""

    import racewindow as rw


    class Ticket:
        id, messages = "t", ()

        async def wait(self):
            return "completed"

        status = wait


    class Handle:
        def __init__(self, env):
            self.env = env

        async def reload(self):
            return (self.env.disk.peek("live") or b"").decode().split()

        async def add(self, message):
            live = await self.reload()
            await self.env.disk.write("live", " ".join([*live, message]).encode())

        async def commit(self, *, wait):
            live = await self.reload()
            if not live:
                return None
            await self.env.extract(live)
            old = (self.env.disk.peek("archive") or b"").decode().split()
            await self.env.disk.write("archive", " ".join([*old, *live]).encode())
            await self.env.disk.write("live", b"")
            return Ticket()


    class Mine(rw.SessionStore):
        """Everything in two files."""

        name = "mine"
        capabilities = rw.Capabilities(background=False, tasks=False, durable=False)

        async def load(self):
            return Handle(self.env)

        @classmethod
        def observe(cls, env):
            archived = (env.disk.peek("archive") or b"").decode().split()
            archives = [rw.Archive(number=1, messages=tuple(archived), state="extracted")] if archived else []
            return rw.Observation(live=tuple((env.disk.peek("live") or b"").decode().split()), archives=tuple(archives))
''')


def run(out: Out, *argv: str) -> tuple[int, str, str]:
    code = main(argv)
    said = out.readouterr()
    return code, said.out, said.err


def one_clear_line(err: str) -> bool:
    return err.startswith(("error: ", "diverged: ")) and "Traceback" not in err


@pytest.fixture(scope="module")
def token() -> str:
    case = rw.case(*RACE, disk="atomic")
    return experiments.prove(case).token


class TestList:
    def test_shows_every_implementation_and_story(self, capsys: Out) -> None:
        code, out, err = run(capsys, "list")
        assert (code, err) == (CLEAN, "")
        for name in (*names(), *STORIES):
            assert f"  {name} " in out

    def test_as_json(self, capsys: Out) -> None:
        code, out, _ = run(capsys, "list", "--json")
        told = json.loads(out)
        assert code == CLEAN
        assert [each["name"] for each in told["implementations"]] == list(names())
        assert {each["name"]: each["text"] for each in told["stories"]} == {
            name: scenario.text for name, scenario in STORIES.items()
        }

    def test_designs_only(self, capsys: Out) -> None:
        _, out, _ = run(capsys, "list", "--designs", "--json")
        assert [each["name"] for each in json.loads(out)["implementations"]] == [design.name for design in DESIGNS]


class TestExamining:
    @pytest.mark.parametrize("command", ["fuzz", "prove"])
    def test_a_violation_ends_with_the_timeline_and_the_replay_line(self, capsys: Out, command: str) -> None:
        code, out, _ = run(capsys, command, *RACE, *ONE, "--schedules", "100")
        assert code == VIOLATION
        assert out.startswith("failed         copy-on-write  same-store, disk=atomic, time=idle: ")
        assert (
            "  shrunk to a: add m1; commit nowait; wait; reload; commit\n  0 preemptions, 32 steps; no schedule" in out
        )
        last = out.rstrip().splitlines()[-1]
        assert "racewindow replay rw2~copy-on-write/a=Am1=n=w=r=c=2=5~" in last
        replayed, again, _ = run(capsys, "replay", last.split()[-1])
        assert (replayed, "verdict: failed" in again) == (VIOLATION, True)

    @pytest.mark.parametrize("command", ["fuzz", "prove"])
    def test_a_failure_as_it_was_found(self, capsys: Out, command: str) -> None:
        code, out, _ = run(capsys, command, *RACE, *ONE, "--schedules", "100", "--no-shrink")
        assert code == VIOLATION
        assert "shrunk" not in out
        assert "racewindow replay rw2~copy-on-write/after-completion=2=5~" in out.rstrip().splitlines()[-1]

    def test_how_much_shrinking_may_cost(self, capsys: Out) -> None:
        """What is not certified for lack of a budget says so."""
        argv = "fuzz", *RACE, *ONE, "--schedules", "100", "--json", "--shrink-executions", "2"
        _, out, _ = run(capsys, *argv)
        shrunk = json.loads(out)["results"][0]["shrunk"]
        assert (shrunk["executions"], shrunk["certified"]) == (2, False)
        assert shrunk["reason"].startswith("the budget of 2 executions ended")

    def test_both_tokens_are_in_the_json(self, capsys: Out) -> None:
        _, out, _ = run(capsys, "fuzz", *RACE, *ONE, "--schedules", "100", "--json")
        (result,) = json.loads(out)["results"]
        shrunk = result["shrunk"]
        assert shrunk["raw"] == result["token"]
        assert (shrunk["scenario"], shrunk["certified"]) == ("a: add m1; commit nowait; wait; reload; commit", True)
        for token in (shrunk["raw"], shrunk["token"]):
            assert run(capsys, "replay", token)[0] == VIOLATION
        _, out, _ = run(capsys, "fuzz", *RACE, *ONE, "--schedules", "100", "--json", "--no-shrink")
        assert json.loads(out)["results"][0]["shrunk"] is None

    def test_a_clean_proof_says_within_what(self, capsys: Out) -> None:
        code, out, err = run(capsys, "prove", "reference", "after-completion", *ONE)
        assert (code, err) == (CLEAN, "")
        assert out.splitlines() == [
            "proved         reference  same-store, disk=atomic, time=idle: every schedule within preemptions<=2, 6 executions"
        ]

    def test_a_clean_sample_says_how_little_that_proves(self, capsys: Out) -> None:
        code, out, _ = run(capsys, "fuzz", "reference", "a: add m1; commit", *ONE, "--schedules", "100")
        assert code == CLEAN
        assert "no violation in 100 schedules, so at most 2.95% of them (95 %) under random-walk" in out

    def test_any_strategy_by_name(self, capsys: Out) -> None:
        argv = "fuzz", "path-lock", "free-running", *ONE, "--schedules", "60", "--strategy"
        for strategy in (
            "urw",
            "burst:mean=3",
            "pct:depth=2",
            "pos",
            "timed:0.01",
            "surw:live*",
            "bounded",
            "delays:3",
        ):
            code, out, _ = run(capsys, *argv, strategy)
            assert code in (CLEAN, VIOLATION, UNKNOWN)
            assert strategy.partition(":")[0].replace("delays", "bounded") in out

    def test_auto_says_what_it_did(self, capsys: Out) -> None:
        code, out, _ = run(capsys, "fuzz", "reference", "after-completion", *ONE, "--strategy", "auto")
        assert code == CLEAN
        assert out.startswith("proved         reference  same-store, disk=atomic, time=idle: every schedule")
        assert "auto: exhausts" in out
        argv = "fuzz", "reference", "free-running", "--topology", "same-store", "--disk", "suspending"
        code, out, _ = run(capsys, *argv, "--strategy", "auto", "--schedules", "40")
        assert code == CLEAN
        assert re.search(
            r"after \d+ run to exhaust them the others were split between urw \d+ \(0 failed\), burst \d+ \(0 failed\)",
            out,
        )
        assert "no violation in 40 schedules, so at most 7.98% of them (95 %) under auto" in out

    def test_notes_are_in_the_json_too(self, capsys: Out) -> None:
        argv = "fuzz", "path-lock", "free-running", *ONE, "--strategy", "pct", "--schedules", "20", "--json"
        (result,) = json.loads(run(capsys, *argv)[1])["results"]
        assert result["notes"][0].startswith("pct of depth 3: n=")

    def test_a_budget_that_ended_is_unknown(self, capsys: Out) -> None:
        code, out, _ = run(capsys, "prove", "reference", "free-running", *ONE, "--schedules", "1")
        assert code == UNKNOWN
        assert out.startswith("unknown        ")
        assert "the budget ended after 1 schedules" in out

    def test_a_scenario_that_does_not_apply_is_said_to(self, capsys: Out) -> None:
        code, out, _ = run(capsys, "prove", "path-lock", "acknowledged-then-power-loss", *ONE)
        assert code == CLEAN
        assert "not-applicable" in out
        assert "does not promise to survive a loss of power" in out

    @pytest.mark.parametrize("command", ["fuzz", "prove"])
    def test_as_json_nothing_but_json(self, capsys: Out, command: str) -> None:
        code, out, err = run(capsys, command, *RACE, *ONE, "--schedules", "100", "--json")
        (result,) = json.loads(out)["results"]
        assert (code, err) == (VIOLATION, "")
        assert result["verdict"] == "failed"
        assert result["goals"] == {"completed-observed-before-reload": True, "commit-after-completed": True}
        assert rw.replay(
            rw.case(*RACE, disk="atomic").subject(),
            result["token"],
            name="copy-on-write/after-completion/same-store/atomic",
            checksum=rw.case(*RACE, disk="atomic").checksum,
        ).violations

    def test_the_same_seed_says_the_same(self, capsys: Out) -> None:
        argv = "fuzz", "path-lock", "free-running", *ONE, "--schedules", "50", "--no-shrink"
        assert run(capsys, *argv, "--seed", "1") == run(capsys, *argv, "--seed", "1")
        assert run(capsys, *argv, "--seed", "1") != run(capsys, *argv, "--seed", "2")

    def test_all_topologies_and_granularities(self, capsys: Out) -> None:
        argv = "fuzz", "reference", "a: add m1", "--schedules", "1", "--json"
        _, out, _ = run(capsys, *argv)
        assert len(json.loads(out)["results"]) == 6
        _, out, _ = run(capsys, *argv, "--topology", "same-store", "--disk", "atomic", "--disk", "suspending")
        assert [(each["topology"], each["disk"]) for each in json.loads(out)["results"]] == [
            ("same-store", "atomic"),
            ("same-store", "suspending"),
        ]


class TestWindows:
    def test_draws_the_map_in_text_and_into_a_file(self, capsys: Out, tmp_path: Path) -> None:
        target = tmp_path / "new" / "map.svg"
        code, out, err = run(capsys, "windows", *RACE, *ONE, "--output", str(target))
        assert code == VIOLATION
        assert "racewindow timeline rw2~" in out
        assert "XX" in out
        assert err == f"drawn: {target}\n"
        assert target.read_text().lstrip().startswith("<?xml")

    def test_without_a_window_is_clean(self, capsys: Out) -> None:
        code, out, _ = run(capsys, "windows", "reference", "after-completion", *ONE)
        assert code == CLEAN
        assert "0 of" in out

    def test_as_json(self, capsys: Out) -> None:
        code, out, _ = run(capsys, "windows", *RACE, *ONE, "--json")
        rows = json.loads(out)["windows"]
        assert code == VIOLATION
        assert [row["gap"] for row in rows] == list(range(len(rows)))
        assert {row["outcome"] for row in rows} >= {"failed", "infeasible"}

    def test_the_matrix_the_repair_and_the_widths(self, capsys: Out, tmp_path: Path) -> None:
        """All of it for one small case, as text and as JSON."""
        argv = "windows", "path-lock", "free-running", *ONE, "--double", "--closing", "--measure"
        code, out, err = run(capsys, *argv, "--output", str(tmp_path / "double.svg"))
        assert code == VIOLATION
        assert "closed by making atomic: commit/start .. commit/lock.acquire" in out
        assert "is interrupted after so many steps (upwards):" in out
        assert "virtual seconds (means)" in out
        assert err == f"drawn: {tmp_path / 'double.svg'}\n"
        _, out, _ = run(capsys, *argv, "--json")
        tables = json.loads(out)
        assert list(tables) == ["windows", "double", "closing", "measures"]
        assert all(tables.values())

    def test_every_pair(self, capsys: Out) -> None:
        """A map for each, under the other."""
        code, out, _ = run(capsys, "windows", "path-lock", "free-running", *ONE, "--every")
        assert code == VIOLATION
        assert out.count("gaps fail") == 12
        assert "b: commit in every gap of 'add m1' of a:" in out

    def test_draws_into_pictures_only(self, capsys: Out, tmp_path: Path) -> None:
        code, _, err = run(capsys, "windows", *RACE, "--output", str(tmp_path / "map.txt"))
        assert code == USAGE
        assert one_clear_line(err)
        assert os.listdir(tmp_path) == []


class TestCrashes:
    def test_maps_every_fault_and_draws_them(self, capsys: Out, tmp_path: Path) -> None:
        target = tmp_path / "new" / "crashes.svg"
        code, out, err = run(capsys, "crashes", "path-lock", *ONE, "--output", str(target))
        assert code == VIOLATION
        assert "process-crash of a" in out
        assert "not applicable: it does not promise to survive a loss of power" in out
        assert err == f"drawn: {target}\n"
        token = next(word for word in out.split() if word.startswith("rw2~"))
        assert run(capsys, "replay", token)[0] == VIOLATION

    def test_without_a_failing_cell_is_clean(self, capsys: Out) -> None:
        argv = "crashes", "reference", "a: add m1", "--fault", "power-loss", "--policy", "torn", *ONE
        code, out, _ = run(capsys, *argv)
        assert code == CLEAN
        assert "0 of" in out

    def test_as_json(self, capsys: Out) -> None:
        code, out, _ = run(capsys, "crashes", "path-lock", "a: add m1", "--fault", "cancel", *ONE, "--json")
        told = json.loads(out)
        assert code == CLEAN
        assert [row["cell"] for row in told["crashes"]] == list(range(len(told["crashes"])))
        assert [each["complete"] for each in told["maps"]] == [True]

    def test_what_there_was_no_time_for_is_said(self, capsys: Out) -> None:
        code, _, err = run(capsys, "crashes", "reference", "--time-limit", "0.05")
        assert code == UNKNOWN
        assert "the time limit was up" in err

    @pytest.mark.parametrize(
        "argv",
        [("--fault", "fire"), ("--policy", "half"), ("--victim", "q"), ("--time-limit", "0"), ("--output", "map.txt")],
    )
    def test_wrong_arguments_are_one_clear_line(self, capsys: Out, argv: tuple[str, ...]) -> None:
        code, _, err = run(capsys, "crashes", "reference", *ONE, *argv)
        assert code == USAGE
        assert one_clear_line(err)


class TestReplayAndTimeline:
    def test_replay_prints_the_trace_the_violation_and_the_verdict(self, capsys: Out, token: str) -> None:
        code, out, err = run(capsys, "replay", token)
        lines = out.splitlines()
        assert (code, err) == (VIOLATION, "")
        assert lines[0] == f"copy-on-write: {STORIES['after-completion'].text}"
        assert any(line.startswith("violation: extracted-once") for line in lines)
        assert lines[-1].startswith("verdict: failed, fingerprint ")

    def test_replay_as_json(self, capsys: Out, token: str) -> None:
        code, out, _ = run(capsys, "replay", token, "--json")
        told = json.loads(out)
        assert (code, told["verdict"]) == (VIOLATION, "failed")
        assert [step["step"] for step in told["trace"]] == list(range(len(told["trace"])))
        assert "extracted-once" in [violation["kind"] for violation in told["violations"]]

    def test_timeline_in_text_json_and_svg(self, capsys: Out, token: str, tmp_path: Path) -> None:
        code, out, _ = run(capsys, "timeline", token)
        assert code == VIOLATION
        assert f"racewindow replay {token}" in out
        target = tmp_path / "new" / "story.svg"
        code, out, err = run(capsys, "timeline", token, "--json", "--svg", str(target))
        assert code == VIOLATION
        assert json.loads(out)["replay"] == f"racewindow replay {token}"
        assert err == f"drawn: {target}\n"
        assert "<svg" in target.read_text()

    @pytest.mark.parametrize("command", ["replay", "timeline"])
    @pytest.mark.parametrize(
        ("spoil", "says"),
        [
            (lambda token: "nonsense", "is not a racewindow token"),
            (lambda token: token[:-1], "truncated or altered"),
            (lambda token: token[: len(token) // 2], "truncated or altered"),
            (lambda token: token.replace("=2", "=1"), "truncated or altered"),
            (lambda token: token.replace("rw2~", "rw9~"), "has the token version 'rw9'"),
        ],
    )
    def test_what_is_no_token_is_refused(self, capsys: Out, token: str, command: str, spoil: Any, says: str) -> None:
        code, out, err = run(capsys, command, spoil(token))
        assert (code, out) == (USAGE, "")
        assert one_clear_line(err)
        assert says in err

    @pytest.mark.parametrize(
        ("subject", "says"),
        [
            ("lost_update", "no session case"),
            ("copy-on-rite/after-completion/same-store/atomic", "did you mean 'copy-on-write'?"),
            ("copy-on-write/after-completions/same-store/atomic", "did you mean 'after-completion'?"),
            ("copy-on-write/after-completion/one-store/atomic", "unknown topology 'one-store'"),
        ],
    )
    def test_a_token_of_something_else_is_refused(self, capsys: Out, token: str, subject: str, says: str) -> None:
        foreign = str(dataclasses.replace(Token.parse(token), subject=subject))
        code, out, err = run(capsys, "replay", foreign)
        assert (code, out) == (USAGE, "")
        assert one_clear_line(err)
        assert says in err

    def test_a_token_of_a_changed_scenario_diverges(self, capsys: Out, token: str) -> None:
        changed = str(dataclasses.replace(Token.parse(token), checksum="00000000"))
        code, out, err = run(capsys, "replay", changed)
        assert (code, out) == (UNKNOWN, "")
        assert one_clear_line(err)
        assert "changed since the token was made" in err
        code, out, _ = run(capsys, "replay", changed, "--best-effort")
        assert (code, "verdict: failed" in out) == (VIOLATION, True)

    def test_a_token_that_cannot_be_followed_diverges_and_says_what_was_runnable(self, capsys: Out, token: str) -> None:
        parsed = Token.parse(token)
        lost = str(dataclasses.replace(parsed, segments=(Segment(role="nobody"), *parsed.segments)))
        code, out, err = run(capsys, "replay", lost)
        assert (code, out) == (UNKNOWN, "")
        assert one_clear_line(err)
        assert "expects nobody to run, but runnable are: " in err


class TestCurve:
    def test_names_the_choice_that_decided(self, capsys: Out, token: str) -> None:
        """Here it is sampled: there are more states than may be counted."""
        code, out, _ = run(capsys, "curve", token, "--states", "50", "--schedules", "10")
        first, how, *lines, last = out.splitlines()
        assert (code, first) == (VIOLATION, Token.parse(token).subject)
        assert how == "probability of extracted-once under random-walk, 10 walks from each choice, with 95 % intervals"
        assert "100.00%" in lines[-1]
        assert [line[0] for line in lines].count("^") == 1
        assert last == "^ the choice that raised it most"

    def test_as_json(self, capsys: Out, token: str) -> None:
        argv = "curve", token, "--states", "50", "--schedules", "5", "--json"
        told = json.loads(run(capsys, *argv)[1])
        assert (told["violation"], told["exact"]) == ("extracted-once", False)
        assert told["points"][-1]["probability"] == 1
        assert told["jump"] in told["points"]

    def test_a_sampler_that_cannot_be_sampled_is_refused(self, capsys: Out, token: str) -> None:
        code, _, err = run(capsys, "curve", token, "--states", "50", "--sampler", "urw")
        assert code == USAGE
        assert one_clear_line(err)


class TestWrongUsage:
    @pytest.mark.parametrize("command", ["fuzz", "prove", "windows", "compare"])
    def test_an_unknown_implementation_suggests_the_nearest(self, capsys: Out, command: str, tmp_path: Path) -> None:
        output = ("--output", str(tmp_path / "out")) if command == "compare" else ()
        code, out, err = run(capsys, command, "pathlock", *output)
        assert (code, out) == (USAGE, "")
        assert one_clear_line(err)
        assert "there is no implementation 'pathlock'; did you mean 'path-lock'?" in err
        assert os.listdir(tmp_path) == []

    def test_an_unparsable_scenario_is_pointed_at(self, capsys: Out) -> None:
        code, out, err = run(capsys, "fuzz", "reference", "a: add m1 | b: comit")
        assert (code, out) == (USAGE, "")
        first, text, pointer = err.splitlines()
        assert first.startswith("error: scenario, column 16: unknown operation 'comit' (did you mean 'commit'?)")
        assert text[pointer.index("^") :] == "comit"

    @pytest.mark.parametrize(
        "argv",
        [
            ("fuzz", "reference", "--topology", "nowhere"),
            ("fuzz", "reference", "--disk", "floppy"),
            ("fuzz", "reference", "--time", "tomorrow"),
            ("fuzz", "reference", "--strategy", "clever"),
            ("fuzz", "reference", "--strategy", "pct:depth=0"),
            ("fuzz", "reference", "--strategy", "pct:dept=2"),
            ("fuzz", "reference", "--strategy", "delays:-1"),
            ("fuzz", "reference", "--strategy", "burst:mean=0"),
            ("first-bug", "reference", "--strategy", "bounded"),
            ("first-bug", "reference", "--strategy", "surw:"),
            ("first-bug", "reference", "--output", "curves.txt"),
            ("fuzz", "reference", "--time-limit", "0"),
            ("prove", "reference", "--preemptions", "-1"),
            ("windows", "reference", "a: add m1"),
            ("windows", "reference", "--latency", "extract=-1"),
            ("windows", "reference", "--double", "--topology", "all", "--output", "double.png"),
            ("arrivals", "reference", "--delays", "soon"),
            ("arrivals", "reference", "--delays", "-1"),
            ("arrivals", "reference", "--latency", "*=-0.1"),
            ("arrivals", "reference", "--distribution", "normal"),
            ("arrivals", "reference", "--scenario", "a: add m1; commit"),
            ("arrivals", "reference", "--output", "curves.txt"),
            ("fuzz", "no/such/file.py:Mine"),
            ("fuzz", "json:JSONDecoder"),
            ("fuzz", "json:Nothing"),
        ],
    )
    def test_is_one_clear_line(self, capsys: Out, argv: tuple[str, ...]) -> None:
        code, out, err = run(capsys, *argv)
        assert (code, out) == (USAGE, "")
        assert one_clear_line(err)

    @pytest.mark.parametrize(
        "argv", [("fuzz",), ("fuzz", "reference", "--bogus"), ("fuzz", "reference", "--schedules", "none"), ("dance",)]
    )
    def test_of_the_command_line_itself_shows_how(self, capsys: Out, argv: tuple[str, ...]) -> None:
        code, out, err = run(capsys, *argv)
        assert (code, out) == (USAGE, "")
        assert "Usage: racewindow" in err

    def test_first_bug_compares_strategies(self, capsys: Out, tmp_path: Path) -> None:
        argv = "first-bug", "path-lock", "free-running", *ONE, "--seeds", "3", "--schedules", "50", "--strategy", "urw"
        code, out, err = run(capsys, *argv, "--strategy", "burst:mean=3", "--output", str(tmp_path / "curves.svg"))
        assert code == VIOLATION
        assert "burst:mean=3" in out
        assert "pvalue" in out
        assert err == f"drawn: {tmp_path / 'curves.svg'}\n"
        assert (tmp_path / "curves.svg").read_text().startswith("<?xml")
        code, out, _ = run(capsys, *argv, "--json")
        told = json.loads(out)
        assert [each["seed"] for each in told["searches"]] == [0, 1, 2]
        assert told["rates"][0]["finds"] == 3
        assert run(capsys, "first-bug", "reference", "a: add m1", *ONE, "--seeds", "2", "--schedules", "3")[0] == CLEAN

    def test_help_is_no_mistake(self, capsys: Out) -> None:
        code, out, _ = run(capsys, "--help")
        assert code == CLEAN
        assert all(
            command in out
            for command in ("list", "compare", "fuzz", "prove", "windows", "arrivals", "replay", "timeline")
        )

    def test_a_missing_extra_says_the_install_line(self, capsys: Out, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, package in PACKAGES.items():
            monkeypatch.setattr(type(package), "installed", property(lambda self: False))
            code, out, err = run(capsys, "fuzz", name)
            assert (code, out) == (USAGE, "")
            assert f"pip install 'racewindow[{package.extra}]'" in err
            _, out, _ = run(capsys, "list")
            assert "[not installed]" in out

    @pytest.mark.slow
    def test_a_real_server_is_drawn_beside_the_simulator(self, tmp_path: Path, capsys: Out) -> None:
        served = f"{sys.executable} -m oncestore serve {{root}} --port {{port}}"
        options = "--delays", "0,0.01", "--disk", "atomic", "--schedules", "2", "--jobs", "1", "--server", served
        assert main(["arrivals", "reference", *options, "--output", str(tmp_path / "both.png")]) == CLEAN
        assert (tmp_path / "both.png").stat().st_size > 0
        out = capsys.readouterr().out
        _, simulated, _, measured, _, *widths = out.splitlines()
        assert simulated.split()[0] == "reference"
        assert "oncestore" in measured
        assert "for 0 virtual seconds on average" in widths[0]
        assert "for 0 wall-clock seconds on average" in widths[1]

    def test_arrivals_draws_and_tells(self, capsys: Out, tmp_path: Path) -> None:
        argv = "arrivals", "path-lock", "commit-in-place", "--disk", "atomic", "--schedules", "3", "--jobs", "1"
        code, out, err = run(capsys, *argv, "--delays", "0,20", "--output", str(tmp_path / "curves.svg"))
        assert code == VIOLATION
        assert "latencies, exponential:" in out
        assert "path-lock, load 0: an arrival does harm for " in out
        assert " virtual seconds on average (" in out
        assert "racewindow timeline 'rw2~" in out
        assert err.endswith(f"drawn: {tmp_path / 'curves.svg'}\n")
        code, out, _ = run(capsys, *argv, "--delays", "20", "--distribution", "fixed", "--json")
        assert code == CLEAN
        told = json.loads(out)
        assert [row["probability"] for row in told["arrivals"]] == [0.0, 0.0]
        assert told["widths"] == []  # a single delay has no width

    @pytest.mark.parametrize(
        "argv",
        [
            ("compare", "path-lock", "--output", "{file}/out"),
            ("windows", *RACE, "--output", "{file}/map.png"),
            ("timeline", "{token}", "--svg", "{file}/story.svg"),
        ],
    )
    def test_an_unwritable_folder_is_refused_before_any_work(
        self, capsys: Out, tmp_path: Path, token: str, monkeypatch: pytest.MonkeyPatch, argv: tuple[str, ...]
    ) -> None:
        def work(*args: object, **options: object) -> None:
            raise AssertionError("work was done")

        for name in ("compare", "windows", "replay_and_tell"):
            monkeypatch.setattr(experiments, name, work)
        (tmp_path / "file").write_text("")
        code, out, err = run(capsys, *(each.format(file=tmp_path / "file", token=token) for each in argv))
        assert (code, out) == (USAGE, "")
        assert one_clear_line(err)
        assert "cannot write to" in err
        assert os.listdir(tmp_path) == ["file"]


class TestCompare:
    @pytest.mark.slow
    def test_writes_the_folder_and_is_clean_whatever_it_found(self, capsys: Out, tmp_path: Path) -> None:
        folder = tmp_path / "out"
        argv = "compare", "copy-on-write", "path-lock", "--scenario", "after-completion", *ONE, "--jobs", "1"
        code, out, err = run(capsys, *argv, "--output", str(folder))
        assert code == CLEAN
        assert "copy-on-write" in out
        assert "2 cells in" in err
        assert "report.html" in err
        assert set(os.listdir(folder)) >= {"summary.json", "windows.png", "windows.svg", "report.html"}
        code, out, _ = run(capsys, *argv, "--output", str(folder), "--json")
        told = json.loads(out)
        assert [row["verdict"] for row in told["matrix"]] == ["failed", "proved"]
        written = json.loads((folder / "summary.json").read_text())
        assert written["matrix"] == told["matrix"]

    def test_all_stories_and_some_stories_exclude_each_other(self, capsys: Out, tmp_path: Path) -> None:
        argv = "compare", "path-lock", "--all", "--scenario", "free-running", "--output", str(tmp_path / "out")
        code, out, err = run(capsys, *argv)
        assert (code, out) == (USAGE, "")
        assert one_clear_line(err)
        assert os.listdir(tmp_path) == []


class TestOwnImplementation:
    @pytest.fixture
    def own(self, tmp_path: Path) -> str:
        (tmp_path / "store.py").write_text(OWN)
        return f"{tmp_path / 'store.py'}:Mine"

    def test_is_given_as_a_file_and_a_class(self, capsys: Out, own: str) -> None:
        code, out, _ = run(capsys, "prove", own, "two-commits", *ONE)
        assert code == VIOLATION
        assert "extracted-once" in out
        token = out.rstrip().split()[-1]
        code, out, _ = run(capsys, "replay", token)
        assert (code, "verdict: failed" in out) == (VIOLATION, True)

    def test_alone_it_is_clean(self, capsys: Out, own: str) -> None:
        code, out, _ = run(capsys, "prove", own, "a: add m1; commit; add m2; commit", *ONE)
        assert code == CLEAN, out

    @pytest.mark.slow
    def test_is_compared_with_workers_that_cannot_import_it(self, capsys: Out, own: str, tmp_path: Path) -> None:
        argv = "compare", own, "path-lock", "--scenario", "two-commits", *ONE, "--jobs", "2", "--json"
        code, out, _ = run(capsys, *argv, "--output", str(tmp_path / "out"))
        assert code == CLEAN
        rows = {row["implementation"]: row for row in json.loads(out)["matrix"]}
        assert rows[own]["verdict"] == "failed"
        assert rows["path-lock"]["verdict"] in ("proved", "failed")

    def test_a_package_of_ones_own_is_given_as_a_module_and_a_class(
        self, capsys: Out, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "my_own_store.py").write_text(OWN)
        monkeypatch.syspath_prepend(tmp_path)
        code, out, _ = run(capsys, "prove", "my_own_store:Mine", "two-commits", *ONE)
        assert (code, "extracted-once" in out) == (VIOLATION, True)

    @pytest.mark.parametrize("text", ["def (", "import no_such_module", "nonsense", "1 / 0"])
    def test_a_file_that_cannot_be_imported_is_wrong_usage(self, capsys: Out, tmp_path: Path, text: str) -> None:
        (tmp_path / "bad.py").write_text(text)
        code, out, err = run(capsys, "fuzz", f"{tmp_path / 'bad.py'}:Mine")
        assert (code, out) == (USAGE, "")
        assert one_clear_line(err)
        assert "could not be imported" in err


class TestTrouble:
    def test_our_own_mistake_is_an_internal_error(self, capsys: Out, monkeypatch: pytest.MonkeyPatch) -> None:
        def broken(*args: object, **options: object) -> None:
            raise ZeroDivisionError

        monkeypatch.setattr(experiments, "fuzz", broken)
        code, out, err = run(capsys, "fuzz", "reference")
        assert (code, out) == (INTERNAL, "")
        assert "internal error, please report it" in err
        assert "ZeroDivisionError" in err

    def test_an_interrupt_before_anything_was_found_is_said(self, capsys: Out, monkeypatch: pytest.MonkeyPatch) -> None:
        def interrupted(*args: object, **options: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(experiments, "fuzz", interrupted)
        assert run(capsys, "fuzz", "reference") == (INTERRUPTED, "", "interrupted: these are partial results\n")
        monkeypatch.setattr(experiments, "windows", interrupted)
        partial = "interrupted after 0 of 1 maps: these are partial results\n"
        assert run(capsys, "windows", "reference") == (INTERRUPTED, "", partial)

    def test_an_observer_that_fails_is_said_in_one_line(self, capsys: Out, tmp_path: Path) -> None:
        (tmp_path / "blind.py").write_text(OWN.replace("def observe(", "def look("))
        code, _, err = run(capsys, "fuzz", f"{tmp_path / 'blind.py'}:Mine", "a: add m1", *ONE)
        assert code == USAGE
        assert one_clear_line(err)
        assert "could not say what is in its storage" in err


# -- in a process of its own -------------------------------------------------------------------------------------------


def python(*argv: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([sys.executable, *argv], capture_output=True, check=False, env=os.environ | environment)


class TestProcesses:
    def test_a_replay_says_the_same_to_the_byte_in_any_process(self, token: str) -> None:
        face = "import sys; from racewindow.cli import main; sys.exit(main(sys.argv[1:]))"
        runs = [
            python("-m", "racewindow", "replay", token, PYTHONHASHSEED="0"),
            python("-c", f"import hypothesis; {face}", "replay", token, PYTHONHASHSEED="12345"),
        ]
        assert {run.returncode for run in runs} == {VIOLATION}
        assert {run.stderr for run in runs} == {b""}
        assert len({run.stdout for run in runs}) == 1
        assert b"verdict: failed" in runs[0].stdout

    @pytest.mark.slow
    def test_ctrl_c_keeps_what_was_found_and_says_so(self) -> None:
        process = subprocess.Popen(
            [sys.executable, "-u", "-m", "racewindow", "fuzz", "reference", "a: add m1", "--schedules", "400"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert process.stdout is not None
        first = process.stdout.readline()  # the first of six cases is done, and the second one has begun
        process.send_signal(signal.SIGINT)
        rest, err = process.communicate()
        assert first.startswith(
            b"passed         reference  same-handle, disk=suspending, time=idle: no violation in 400"
        )
        assert process.returncode == INTERRUPTED
        assert err == b"interrupted: these are partial results\n"
        told = rest.splitlines()
        assert len(told) < 5, "the rest was not run"

    def test_a_reader_that_goes_away_is_no_error(self) -> None:
        with subprocess.Popen(
            [sys.executable, "-m", "racewindow", "list"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            process.stdout.close()
            assert process.stderr is not None
            err = process.stderr.read()
        assert (process.returncode, err) == (CLEAN, b"")


def test_every_built_in_can_be_asked_for_by_its_name(capsys: Out) -> None:
    for name in BUILT_IN:
        code, out, _ = run(capsys, "fuzz", name, "a: add m1", *ONE, "--schedules", "2")
        assert (code, name in out) == (CLEAN, True)
