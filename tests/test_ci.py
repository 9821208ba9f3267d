"""docs/ci.md and the workflows: what they say is what there is."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from racewindow import cli
from racewindow.campaign.profiles import PROFILES

yaml = pytest.importorskip("yaml")

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "ci.md"
TEXT = PAGE.read_text()
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
REWRITE = "RACEWINDOW_REWRITE_DOCS" in os.environ


def block(language: str) -> str:
    found = re.search(rf"(?ms)^```{language}\n(.*?)^```$", TEXT)
    assert found is not None
    return found[1]


def commands(workflow: dict[str, Any]) -> list[list[str]]:
    """The racewindow commands of a workflow."""
    lines = [
        line
        for job in workflow["jobs"].values()
        for step in job["steps"]
        for line in step.get("run", "").splitlines()
        if line.startswith("racewindow ")
    ]
    return [shlex.split(re.sub(r"\$\{\{.*?\}\}", "7", line)) for line in lines]


def check(text: str) -> None:
    """It is YAML, it has the shape of a workflow, and its commands have arguments that exist."""
    workflow = yaml.safe_load(text)
    assert True in workflow, "'on' is a truth value in YAML 1.1"
    for job in workflow["jobs"].values():
        assert job["runs-on"]
        assert all(("uses" in step) != ("run" in step) for step in job["steps"])
    app: Any = typer.main.get_command(cli.app)
    for _, name, *arguments in commands(workflow):
        app.commands[name].make_context(name, arguments)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_the_workflows_are_workflows(path: Path) -> None:
    check(path.read_text())


def test_the_workflow_for_users_is_one_in_about_ten_lines() -> None:
    check(block("yaml"))
    assert len(block("yaml").splitlines()) <= 12


def test_the_nightly_keeps_its_corpus_and_fetches_it() -> None:
    (nightly,) = [yaml.safe_load(path.read_text()) for path in WORKFLOWS if path.stem == "nightly"]
    steps = nightly["jobs"]["fuzz"]["steps"]
    kept = [step["with"] for step in steps if step.get("uses", "").startswith("actions/upload-artifact")]
    assert {"corpus", "races"} == {each["name"] for each in kept}
    assert any("--name corpus --dir corpus" in step.get("run", "") for step in steps)
    assert "--corpus corpus" in " ".join(commands(nightly)[0])


def test_the_table_of_profiles() -> None:
    rows = []
    for name, each in PROFILES.items():
        sampled = f"{each.schedules} schedules" if each.schedules else "as many as there is time for"
        proof = f"preemptions<={each.preemptions}, {each.max_executions} executions"
        rows.append(f"| {name} | {proof} | {', '.join(each.strategies)} | {sampled} | {each.time_limit_s:.0f} s |")
    assert "\n".join(rows) in TEXT
    assert (
        ", ".join(str(each.test_schedules) for each in PROFILES.values()).replace("2000, 50000", "2000 or 50000")
        in TEXT
    )


def test_the_options_of_pytest_are_those_that_there_are() -> None:
    from racewindow.pytest_plugin._settings import _OPTIONS

    assert set(re.findall(r"`--race-([a-z-]+) ", TEXT)) == {*(name for name, _, _ in _OPTIONS), "replay"}


def test_the_transcript(monkeypatch: pytest.MonkeyPatch) -> None:
    line, _, expected = block("console").partition("\n")
    with contextlib.redirect_stdout(io.StringIO()) as out:
        assert cli.main(shlex.split(line.removeprefix("$ racewindow "))) == 0
    seconds = re.compile(r"\d+ s$", re.M)
    if REWRITE:
        PAGE.write_text(TEXT.replace(f"{line}\n{expected}", f"{line}\n{out.getvalue()}"))
    else:
        assert seconds.sub("", out.getvalue()) == seconds.sub("", expected)


def test_the_tests_on_the_page_run(tmp_path: Path) -> None:
    """By the plugin itself; they are what newcomers copy."""
    import subprocess
    import sys
    from importlib.metadata import entry_points

    (tmp_path / "test_races.py").write_text(block("python"))
    plugin = (
        ()
        if any(each.name == "racewindow" for each in entry_points(group="pytest11"))
        else ("-p", "racewindow.pytest_plugin")
    )
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *plugin, "test_races.py"]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "2 passed" in done.stdout, done.stdout


def test_every_link_leads_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", TEXT):
        assert (PAGE.parent / target).exists(), target
