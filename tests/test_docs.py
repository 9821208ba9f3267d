"""The pages are run: their programs, their command lines, their numbers, their links.

``docs/ci.md``, ``docs/http.md`` and ``docs/own-adapter.md`` are run by tests of their own: ``test_ci.py``, ``server/test_page.py`` and
``test_adapters.py``. Their links are looked at here.

When an output on the page is to change, let the page be rewritten with what the commands print now, and read the difference::

    RACEWINDOW_REWRITE_DOCS=1 python -m pytest tests/test_docs.py -p no:xdist
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import runpy
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib.image
import pytest
import typer

import racewindow as rw
from racewindow import cli
from racewindow.cli import codes
from racewindow.cli.compare import COMPARED
from racewindow.disk import GRANULARITIES
from racewindow.implementations import BUILT_IN, DESIGNS, PACKAGES
from racewindow.sessions.invariants import INVARIANTS

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
CONTRIBUTING = ROOT / "CONTRIBUTING.md"
DOCS = sorted((ROOT / "docs").glob("*.md"))
RUN_ELSEWHERE = {"ci.md", "http.md", "own-adapter.md"}
RUN_HERE = [README, *(page for page in DOCS if page.name not in RUN_ELSEWHERE)]
REWRITE = "RACEWINDOW_REWRITE_DOCS" in os.environ


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of a page."""

    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.stem}-line{self.line}"


def _blocks(page: Path) -> list[Block]:
    text = page.read_text()
    return [
        Block(page, text[: found.start()].count("\n") + 1, found[1], found[2])
        for found in re.finditer(r"(?ms)^```(\w+)\n(.*?)^```$", text)
    ]


BLOCKS = {page: _blocks(page) for page in [*RUN_HERE, CONTRIBUTING]}
CONSOLES = [block for page in RUN_HERE for block in BLOCKS[page] if block.language == "console"]
PROGRAMS = [
    (block, after)
    for page in RUN_HERE
    for block, after in pairwise(BLOCKS[page])
    if block.language == "python" and after.language == "text"
]
SHELL = [
    (block, line)
    for page in [README, CONTRIBUTING, *DOCS]
    for block in _blocks(page)
    if block.language == "sh"
    for line in re.sub(r"\\\n\s*", "", block.text).splitlines()
    if line.startswith("racewindow ")
]


def _files(page: Path) -> list[Block]:
    """The files that a page shows, each with its name in its first line."""
    return [each for each in BLOCKS[page] if each.language == "python" and re.match(r"# \w+\.py", each.text)]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Path:
    """A folder with the files that the page shows (README, where no block of another one is run), where its commands are run."""
    block = request.node.callspec.params.get("block") if hasattr(request.node, "callspec") else None
    for file in _files(README if block is None else block.page):
        head, _, rest = file.text.partition("\n")
        name, _, continued = head.removeprefix("# ").partition(", ")
        with (tmp_path / name).open("a" if continued else "w") as written:
            written.write(rest)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _run(line: str) -> tuple[int, str]:
    """A command as in a terminal, where stdout and stderr are one."""
    program, *arguments = shlex.split(line)
    assert program == "racewindow", f"the page may only run racewindow, not {program!r}"
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(out):
        code = cli.main(arguments)
    return code, out.getvalue()


def _transcript(text: str) -> str:
    """What the terminal shows when the commands of a transcript are typed again."""
    shown, code = "", 0
    for line in text.splitlines():
        if not line.startswith("$ "):
            continue
        if line == "$ echo $?":
            output = f"{code}\n"
        else:
            code, output = _run(line.removeprefix("$ "))
        shown += f"{line}\n{output}"
    return shown


def _agree(block: Block, now: str) -> None:
    if REWRITE and now != block.text:
        lines = block.page.read_text().splitlines(keepends=True)
        start = _blocks(block.page)[BLOCKS[block.page].index(block)].line  # what was rewritten above may have moved it
        end = start + block.text.count("\n")
        block.page.write_text("".join([*lines[:start], now, *lines[end:]]))
    else:
        assert now == block.text, f"{block.page.name}, line {block.line}"


@pytest.mark.usefixtures("folder")
class TestSnippets:
    @pytest.mark.parametrize("block", CONSOLES, ids=str)
    def test_a_command_prints_what_the_page_shows(self, block: Block) -> None:
        _agree(block, _transcript(block.text))

    @pytest.mark.parametrize(("block", "output"), PROGRAMS, ids=str)
    def test_a_program_prints_what_the_page_shows(self, folder: Path, block: Block, output: Block) -> None:
        file = folder / "program.py"  # a token depends on the text of its subject, so there has to be one
        file.write_text(block.text)
        with contextlib.redirect_stdout(io.StringIO()) as out:
            runpy.run_path(str(file))
        _agree(output, out.getvalue())

    @pytest.mark.slow
    def test_the_own_store_can_be_compared_with_the_reference(self, folder: Path) -> None:
        """The page says so, in a sentence; here with a small budget."""
        stores = ["reference", "my_store.py:TinyStore", "my_store.py:FixedStore"]
        small = "--scenario two-commits --topology same-store --disk atomic --max-executions 30 --schedules 10"
        code, output = _run(f"racewindow compare {' '.join(stores)} {small} --output out")
        assert code == 0, output
        assert (folder / "out" / "report.html").exists()
        assert all(name in output for name in stores)

    @pytest.mark.exhaustive
    def test_the_picture_is_made_by_the_command_on_the_page(self, folder: Path) -> None:
        pytest.importorskip("agents")
        line = next(block.text for block in BLOCKS[README] if "--output out/picture" in block.text).replace("\\\n", "")
        code, output = _run(line)
        assert code == 0, output
        made = matplotlib.image.imread(folder / "out/picture/windows.png")
        stored = matplotlib.image.imread(ROOT / "docs/pictures/race-windows.png")
        assert made.shape == stored.shape, "make docs/pictures/race-windows.png again"


def _rows() -> Iterator[tuple[str, str, str]]:
    table = (
        README.read_text().partition("| implementation | after-completion | free-running |\n")[2].partition("\n\n")[0]
    )
    for line in table.splitlines()[1:]:
        name, after, free = (cell.strip() for cell in line.strip("|").split("|"))
        yield name, after, free


class TestNumbers:
    @pytest.mark.parametrize(("name", "after", "free"), list(_rows()), ids=lambda text: str(text))
    def test_the_table_holds_the_numbers_of_the_chart(self, name: str, after: str, free: str) -> None:
        if name in PACKAGES and not PACKAGES[name].installed:
            pytest.skip(PACKAGES[name].install_line)
        now = []
        for story in ("after-completion", "free-running"):
            result = rw.experiments.windows(rw.case(name, story, topology="separate-stores"))
            row: Any = result.widths.iloc[0]
            now.append(f"{row['failing']} of {row['gaps']}")
        if REWRITE:
            old, new = f"| {name} | {after} | {free} |", f"| {name} | {now[0]} | {now[1]} |"
            README.write_text(README.read_text().replace(old, new, 1))
        else:
            assert [after, free] == now

    def test_the_table_has_the_reference_the_designs_and_the_packages(self) -> None:
        assert [name for name, _, _ in _rows()] == ["reference", *(design.name for design in DESIGNS), *PACKAGES]

    def test_the_introduction_counts_designs_and_those_with_a_window(self) -> None:
        designs = [design.name for design in DESIGNS]
        wide = [
            name for name, *cells in _rows() if name in designs and not all(cell.startswith("0 ") for cell in cells)
        ]
        words = {4: "four", 5: "five", 9: "nine", 10: "ten", 11: "eleven", 12: "twelve", 13: "thirteen", 14: "fourteen"}
        assert f"{words[len(designs)]} re-modelled designs of which {words[len(wide)]} have some" in README.read_text()

    def test_the_cells_of_make_compare_are_counted(self) -> None:
        stores = sum(not each.mutant for each in BUILT_IN.values()) + len(PACKAGES)
        stories, topologies, disks = len(COMPARED), 2, len(GRANULARITIES)
        said = f"{stores} implementations x {stories} stories x {topologies} topologies x {disks} granularities"
        assert f"{stores * stories * topologies * disks} cells ({said})" in README.read_text()

    def test_the_lines_of_the_own_store_are_counted(self) -> None:
        lines = [line for line in _files(README)[0].text.splitlines()[1:] if line.strip()]
        assert f"## Your own store, in {len(lines)} lines" in README.read_text()

    def test_the_invariants_are_those_that_are_judged(self) -> None:
        section = (ROOT / "docs" / "verdicts.md").read_text().partition("## What is judged")[2].partition("\n## ")[0]
        assert set(re.findall(r"(?m)^\| `([\w-]+)` \|", section)) == set(INVARIANTS)

    @pytest.mark.parametrize("page", [README, ROOT / "docs" / "verdicts.md"], ids=lambda page: page.stem)
    def test_the_exit_codes_are_those_of_the_command_line(self, page: Path) -> None:
        section = page.read_text().partition("## Exit codes")[2]
        assert [int(code) for code in re.findall(r"(?m)^\| (\d+) \|", section)] == [
            codes.CLEAN,
            codes.VIOLATION,
            codes.USAGE,
            codes.UNKNOWN,
            codes.INTERNAL,
            codes.INTERRUPTED,
        ]


@pytest.mark.parametrize(("block", "line"), SHELL, ids=str)
def test_a_command_that_is_only_shown_has_arguments_that_exist(block: Block, line: str) -> None:
    name, *arguments = shlex.split(line, comments=True)[1:]
    group: Any = typer.main.get_command(cli.app)
    group.commands[name].make_context(name, arguments)


@pytest.mark.parametrize(
    "block", [each for blocks in BLOCKS.values() for each in blocks if each.language == "python"], ids=str
)
def test_a_program_that_is_only_shown_compiles(block: Block) -> None:
    compile(block.text, str(block), "exec")


@pytest.mark.parametrize("page", [README, CONTRIBUTING, *DOCS], ids=lambda page: page.stem)
class TestPages:
    def test_every_link_leads_somewhere(self, page: Path) -> None:
        """A file, and in it a heading; the reference is made for the site, and building that looks at its links."""
        for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", page.read_text()):
            path = page.parent / target if target else page
            if target.startswith("reference/"):
                continue
            assert path.exists(), target
            assert not anchor or anchor in _anchors(path), f"{target}#{anchor}"

    def test_every_make_target_exists(self, page: Path) -> None:
        targets = set(re.findall(r"(?m)^([\w-]+):", (ROOT / "Makefile").read_text()))
        wanted = set(re.findall(r"(?m)(?:^|`)make ([a-z][\w-]*)", page.read_text()))
        assert wanted <= targets

    def test_every_path_in_code_exists(self, page: Path) -> None:
        """`simulator/racewindow/cli.py` and the like; `<name>` stands for one of many."""
        for path in re.findall(
            r"`((?:reference|simulator|tests|notebooks|docs|benchmarks)/[\w./-]*)`", page.read_text()
        ):
            assert (ROOT / path).exists(), path

    def test_lines_are_not_endless(self, page: Path) -> None:
        outside = re.sub(r"(?ms)^```.*?^```$", "", page.read_text())
        for line in outside.splitlines():
            row = page in DOCS and line.startswith("|")  # cannot be broken
            assert row or len(line) <= 240, line


def _anchors(page: Path) -> set[str]:
    """Of headings, as they are made for the repository and for the site."""
    headings = re.findall(r"(?m)^#+ (.*)$", re.sub(r"(?ms)^```.*?^```$", "", page.read_text()))
    return {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}
