"""docs/http.md is run: its commands, in their order; its tables are those of the program.

When an output on the page is to change, let the page be rewritten, and read the difference::

    RACEWINDOW_REWRITE_DOCS=1 python -m pytest tests/server/test_page.py -p no:xdist
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from oncestore import _serve
from oncestore.server._answers import CODES
from oncestore.server._openapi import document

PAGE = Path(__file__).parents[2] / "docs" / "http.md"
REWRITE = "RACEWINDOW_REWRITE_DOCS" in os.environ
StartServer = Any


def agree(old: str, new: str) -> None:
    if REWRITE:
        PAGE.write_text(PAGE.read_text().replace(old, new, 1))
    else:
        assert old == new


def test_the_commands_print_what_the_page_shows(start_server: StartServer) -> None:
    if shutil.which("curl") is None:
        pytest.skip("the page uses curl")
    environment = {**os.environ, "api": f"{start_server().url}/api/v1"}
    for block in re.findall(r"(?ms)^```console\n(.*?)^```$", PAGE.read_text()):
        shown = ""
        for line in block.splitlines():
            if line.startswith("$ "):
                ran = subprocess.run(
                    ["bash", "-c", line[2:]], env=environment, capture_output=True, text=True, check=True
                )
                shown += f"{line}\n{without_times(ran.stdout)}\n"
        agree(block, shown)


def without_times(text: str) -> str:
    text = re.sub(r'"(created_at|finished_at)":[\d.]+', r'"\1":1795366526.54', text)
    text = re.sub(r'"message_id":"[0-9a-f]{32}"', '"message_id":"c16af9d27f7d4ca091e9100826183479"', text)
    return re.sub(r'"time":[\d.e-]+', '"time":0.003', text)


def table(head: str) -> Iterator[str]:
    """The rows of the table with this head."""
    yield from PAGE.read_text().partition(head)[2].partition("\n\n")[0].splitlines()


def test_the_calls_are_those_of_the_document() -> None:
    rows = [re.match(r"\| `(\w+) ([^`]+)`", row) for row in table("| call | body or query | result |\n|---|---|---|\n")]
    said = [(row[1].lower(), row[2]) for row in rows if row]
    assert sorted(said) == sorted((method, path) for path, calls in document()["paths"].items() for method in calls)


def test_the_codes_are_those_that_are_used() -> None:
    head = "| code | status | meaning |\n|---|---|---|\n"
    rows = [f"| `{code}` | {status} | {meaning} |" for code, (status, meaning) in CODES.items()]
    agree(head + "".join(f"{row}\n" for row in table(head)), head + "".join(f"{row}\n" for row in rows))


def test_the_options_are_those_of_the_command() -> None:
    parser = argparse.ArgumentParser()
    _serve.add_arguments(parser)
    actions = [action for action in parser._actions if action.option_strings and action.dest != "help"]
    head = "| option | |\n|---|---|\n"
    rows = [f"| `{action.option_strings[0]}` | {action.help % vars(action)} |" for action in actions if action.help]
    agree(head + "".join(f"{row}\n" for row in table(head)), head + "".join(f"{row}\n" for row in rows))
