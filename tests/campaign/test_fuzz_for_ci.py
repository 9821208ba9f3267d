"""``racewindow fuzz`` as CI uses it: what it prints in each format, what it remembers, and with which exit code it ends."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree

import pytest

import racewindow as rw
from racewindow.campaign import ThisProcess
from racewindow.cli import main
from racewindow.cli.codes import CLEAN, INTERRUPTED, UNKNOWN, USAGE, VIOLATION
from racewindow.experiments import prove

Out = pytest.CaptureFixture[str]
RACE = "copy-on-write", "after-completion", "--topology", "same-store", "--disk", "atomic"
SAFE = "reference", "after-completion", "--topology", "same-store", "--disk", "atomic"
SMALL = "--profile", "dev", "--schedules", "20"


def run(out: Out, *argv: str) -> tuple[int, str, str]:
    code = main(["fuzz", *argv])
    said = out.readouterr()
    return code, said.out, said.err


class TestText:
    def test_what_was_proved_and_what_was_sampled_with_which_bound(self, capsys: Out) -> None:
        code, out, err = run(capsys, *SAFE, *SMALL)
        assert (code, err) == (CLEAN, "")
        lines = out.splitlines()
        assert lines[0] == "fuzz reference, profile dev, seed 0"
        assert lines[2].split("  ")[0] == "scenario"
        cells = re.split(r"\s{2,}", lines[3])
        assert cells == ["after-completion", "1", "1 preemptions<=1", "20", f"{1 - 0.05 ** (1 / 20):.2%}", "clean"]
        assert lines[-1].startswith("searches: 1 passed, 1 proved; schedules: ")

    def test_a_failure_is_shrunk_and_told(self, capsys: Out) -> None:
        code, out, _ = run(capsys, *RACE, *SMALL)
        assert code == VIOLATION
        assert "shrunk to a: add m1; commit nowait; wait; reload; commit" in out
        assert "X   " in out
        assert "failed extracted-once+completed-means-switched" in out

    def test_without_a_profile_there_is_no_proof(self, capsys: Out) -> None:
        code, out, _ = run(capsys, *SAFE, "--schedules", "20", "--jobs", "1", "--json")
        (result,) = json.loads(out)["results"]
        assert (code, result["verdict"], result["strategy"]) == (CLEAN, "passed", "random-walk")

    def test_a_profile_takes_every_story(self) -> None:
        from racewindow.cli.fuzz import _plan
        from racewindow.sessions import STORIES

        plan, limit_s = _plan("reference", None, ["all"], ["all"], "idle", None, None, 7, "ci")
        assert {job.case.scenario.name for job in plan.jobs} == set(STORIES)
        assert (plan.seed, limit_s, len({job.label for job in plan.jobs})) == (7, 100.0, 3)


class TestJUnit:
    def test_a_parser_reads_it(self, capsys: Out, tmp_path: Path) -> None:
        target = tmp_path / "races.xml"
        code, out, _ = run(capsys, *RACE, *SMALL, "--output", "text", "--output", f"junit={target}")
        assert code == VIOLATION
        suite = ElementTree.parse(target).getroot()[0]
        cases = suite.findall("testcase")
        assert [suite.attrib[name] for name in ("tests", "failures", "errors", "skipped")] == ["2", "2", "0", "0"]
        assert cases[1].attrib["name"] == "after-completion/same-store/atomic/random-walk"
        token = re.findall(r"racewindow replay (\S+)", out)[0]
        failures = [failure for case in cases for failure in case.findall("failure")]
        assert f"racewindow replay {token}" in (failures[0].text or "")
        told = {each.attrib["name"]: each.attrib["value"] for each in cases[1].iter("property")}
        assert (told["race_verdict"], told["race_schedules"]) == ("failed", "20")

    def test_what_xml_cannot_say_is_replaced(self) -> None:
        from racewindow.cli._formats import _xml

        assert _xml("a\x00b\x1b[0m\ud800<&>\n") == "a\ufffdb\ufffd[0m\ufffd<&>\n"


def commands_in(text: str) -> list[tuple[str, str, str]]:
    """As the runner reads them: one line each, what is escaped by percent signs undone."""
    found = [re.fullmatch(r"::(\w+) title=([^,:]*)::(.*)", line) for line in text.splitlines() if line.startswith("::")]
    assert all(found)
    return [(each[1], unquote(each[2]), unquote(each[3])) for each in found if each]


class TestGitHub:
    def test_annotations_and_the_table_of_the_step_summary(
        self, capsys: Out, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        summary = tmp_path / "summary.md"
        summary.write_text("before\n")
        monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
        code, out, _ = run(capsys, *RACE, *SMALL, "--output", "github")
        assert code == VIOLATION
        (error, notice) = commands_in(out)
        assert (error[0], notice[0]) == ("error", "notice")
        assert error[1].startswith("extracted-once+completed-means-switched: copy-on-write/")
        assert "X   " in error[2]
        assert "\nreplay     racewindow replay rw2~" in error[2]
        text = summary.read_text()
        assert text.startswith("before\n### fuzz copy-on-write, profile dev, seed 0\n")
        rows = [line for line in text.splitlines() if line.startswith("|")]
        assert len({row.replace("\\|", "").count("|") for row in rows}) == 1

    def test_without_a_summary_file_the_table_is_printed(self, capsys: Out, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
        scenario = "a: add m1; commit | b: reload"
        code, out, _ = run(capsys, "reference", scenario, *SAFE[2:], *SMALL, "--output", "github")
        assert code == CLEAN
        assert [each[0] for each in commands_in(out)] == ["notice"]
        assert "| a: add m1; commit \\| b: reload | 1 |" in out

    def test_whatever_a_message_holds_is_escaped(self) -> None:
        from racewindow.cli._formats import _command

        line = _command("error", "a:b,c%\n", "100 %\r\n::error::x")
        assert "\n" not in line
        assert commands_in(line) == [("error", "a:b,c%\n", "100 %\r\n::error::x")]


class TestCorpus:
    def test_a_planted_mutant_is_red_and_its_token_is_replayed_first(self, capsys: Out, tmp_path: Path) -> None:
        corpus = tmp_path / "corpus"
        argv = *RACE, *SMALL, "--corpus", str(corpus), "--json"
        code, out, _ = run(capsys, *argv)
        first = json.loads(out)
        assert (code, first["corpus"]) == (VIOLATION, [])
        (file,) = corpus.iterdir()
        entry = json.loads(file.read_text())
        assert entry["token"] == first["results"][0]["shrunk"]["token"]
        # Under the default order alone nothing would be found in this story; the token is of another one anyway.
        other = "copy-on-write", "a: add m1", *RACE[2:], *SMALL, "--corpus", str(corpus), "--json"
        code, out, _ = run(capsys, *other)
        again = json.loads(out)
        assert (code, again["failures"]) == (VIOLATION, 0)
        assert [(each["token"], each["outcome"]) for each in again["corpus"]] == [(entry["token"], "failed")]
        assert len(list(corpus.iterdir())) == 1

    def test_tokens_of_other_stores_are_left_alone(self, capsys: Out, tmp_path: Path) -> None:
        run(capsys, *RACE, *SMALL, "--corpus", str(tmp_path))
        before = [file.read_text() for file in tmp_path.iterdir()]
        code, out, _ = run(capsys, *SAFE, *SMALL, "--corpus", str(tmp_path))
        assert code == CLEAN
        assert "corpus" not in out
        assert [file.read_text() for file in tmp_path.iterdir()] == before

    def test_what_is_fixed_is_dropped_after_three_clean_runs(self, capsys: Out, tmp_path: Path) -> None:
        """The mutant's token, followed by a store of the same name without its fault."""
        from racewindow.campaign.corpus import Corpus, Entry

        case = rw.case("reference", "after-completion", disk="atomic")
        token = _any_token(case)
        Corpus(tmp_path).add(Entry(owner="reference", token=token, kinds=("nothing-lost",)))
        said = [run(capsys, *SAFE, *SMALL, "--corpus", str(tmp_path)) for _ in range(3)]
        assert [code for code, _, _ in said] == [CLEAN] * 3
        lines = [line for _, out, _ in said for line in out.splitlines() if line.startswith("corpus: ")]
        assert lines == ["corpus: 1 passed", "corpus: 1 passed", "corpus: 1 dropped"]
        assert list(tmp_path.iterdir()) == []

    def test_a_token_that_is_none_is_lost_and_no_pass(self, capsys: Out, tmp_path: Path) -> None:
        entry = {"owner": "reference", "token": "rw9~future", "kinds": ["x"], "clean": 0}
        (tmp_path / "a.json").write_text(json.dumps(entry))
        code, out, _ = run(capsys, *SAFE, *SMALL, "--corpus", str(tmp_path))
        assert code == UNKNOWN
        assert "corpus: lost rw9~future: " in out

    def test_a_foreign_file_is_a_usage_error_before_anything_is_run(self, capsys: Out, tmp_path: Path) -> None:
        (tmp_path / "a.json").write_text("{")
        code, out, err = run(capsys, *SAFE, *SMALL, "--corpus", str(tmp_path))
        assert (code, out) == (USAGE, "")
        assert "a.json is no entry of a corpus" in err


def _any_token(case: rw.Case) -> str:
    """Of a schedule of this case; there is none that fails."""
    from racewindow.kernel import token_of

    runs: list[rw.Run] = []
    options: dict[str, Any] = {"name": case.name, "checksum": case.checksum, "limits": case.limits}
    rw.explore(case.subject(), schedules=1, on_run=runs.append, **options)
    assert prove(case).verdict == "proved"
    return str(token_of(runs[0], subject=case.name, checksum=case.checksum))


class TestEnds:
    def test_an_interrupt_keeps_what_was_found(
        self, capsys: Out, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Ctrl-C while the second range of three is done: the first is told, and the corpus has its token."""
        submit, done = ThisProcess.submit, list[int]()

        def once(self: ThisProcess, *arguments: Any) -> Any:
            if done:
                raise KeyboardInterrupt
            done.append(1)
            return submit(self, *arguments)

        monkeypatch.setattr(ThisProcess, "submit", once)
        code, out, err = run(capsys, *RACE, *SMALL, "--corpus", str(tmp_path / "c"), "--json")
        told = json.loads(out)
        assert (code, err) == (INTERRUPTED, "interrupted: these are partial results\n")
        assert [each["verdict"] for each in told["results"]] == ["failed"]
        assert len(list((tmp_path / "c").iterdir())) == 1

    def test_time_that_is_up_is_told_and_nothing_at_all_is_unknown(self, capsys: Out) -> None:
        code, out, _ = run(capsys, *SAFE, *SMALL, "--time-limit", "0.000001")
        assert code == UNKNOWN
        assert "the time was up before 2 of 2 searches came to a verdict" in out
        assert "without any verdict: 1 cases (reference/after-completion/same-store/atomic)" in out

    def test_it_goes_on_where_it_stopped(self, capsys: Out, tmp_path: Path) -> None:
        argv = *SAFE, *SMALL, "--runs", str(tmp_path), "--json"
        first, second = (json.loads(run(capsys, *argv)[1]) for _ in range(2))
        assert (first["resumed"], second["resumed"], second["ranges"]) == (0, 2, 2)
        assert first["results"][1]["schedules"] == second["results"][1]["schedules"]
        code, _, err = run(capsys, *argv, "--seed", "1")
        assert code == USAGE
        assert "holds another campaign" in err

    @pytest.mark.parametrize(
        ("argv", "said"),
        [
            (("--profile", "hourly"), "unknown profile 'hourly': use dev, ci, nightly"),
            (("--output", "xml"), "unknown output 'xml': use text, json, junit, github"),
            (("--output", "json", "--output", "text"), "two outputs cannot share stdout"),
            (("--output", "junit=nowhere/at/all.xml"), "there is no folder nowhere/at"),
            (("--output", "text", "--json"), "--json is --output json"),
            (("--backend", "dask"), "give --scheduler tcp://host:port"),
            (("--backend", "ray", "--scheduler", "ray://127.0.0.1:9"), "no Ray cluster answers at 'ray://127.0.0.1:9'"),
            (("--backend", "slurm"), "unknown backend 'slurm'"),
            (("--jobs", "1", "--time-limit", "-1"), "give a positive number of seconds"),
            (("--jobs", "1", "--strategy", "luck"), "unknown strategy 'luck'"),
        ],
    )
    def test_what_makes_no_sense(self, capsys: Out, argv: tuple[str, ...], said: str) -> None:
        code, out, err = run(capsys, *SAFE, *argv)
        assert (code, out) == (USAGE, "")
        assert err.startswith("error: ")
        assert said in err
