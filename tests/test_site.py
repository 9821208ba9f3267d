"""What the site makes of links, of the command line and of docstrings. ``make docs`` builds it, and fails where anything is amiss."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer

from racewindow import cli, frames

ROOT = Path(__file__).parents[1]


def _module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"site_{name}", ROOT / "docs" / "_site" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def pages() -> Any:
    pytest.importorskip("mkdocs")
    return _module("pages")


class TestPages:
    @pytest.mark.parametrize(
        ("link", "leads_to"),
        [
            ("[x](verdicts.md#failed)", "[x](verdicts.md#failed)"),
            ("[x](../README.md#limits)", "[x](readme.md#limits)"),
            ("[x](../tests/races.py)", "[x](files/tests/races.py.txt)"),
            ("[x](../.ci/run)", "[x](files/ci/run.txt)"),
            ("[notebooks](../notebooks)", "notebooks"),
            ("[x](#here)", "[x](#here)"),
            ("[x](https://example.org/a.md)", "[x](https://example.org/a.md)"),
        ],
    )
    def test_links_that_leave_the_pages_lead_to_copies(self, pages: Any, link: str, leads_to: str) -> None:
        assert pages.relinked(link, written_in="docs/page.md", shown_in="docs/page.md") == leads_to

    def test_links_of_the_readme_are_those_of_a_page_in_docs(self, pages: Any) -> None:
        shown = pages.relinked("[x](docs/ci.md)", written_in="README.md", shown_in="docs/readme.md")
        assert shown == "[x](ci.md)"

    def test_the_command_line_is_told_whole(self, pages: Any) -> None:
        page = pages.command_line()
        group: Any = typer.main.get_command(cli.app)
        for name, command in group.commands.items():
            section = page.partition(f"## racewindow {name}\n")[2].partition("\n## ")[0]
            for parameter in command.params:
                assert (parameter.metavar or parameter.opts[0]) in section, (name, parameter)

    def test_every_column_is_told(self, pages: Any) -> None:
        section = pages.columns().partition("## WINDOWS ")[2].partition("\n## ")[0]
        assert re.findall(r"(?m)^\| `(\w+)` ", section) == [column.name for column in frames.WINDOWS]

    @pytest.mark.parametrize(
        "text",
        [
            '<script src="https://example.org/a.js">',
            '<link rel="stylesheet" href="//example.org/a.css">',
            "a { background: url(https://example.org/a.png) }",
        ],
    )
    def test_what_needs_a_network_is_noticed(self, pages: Any, text: str) -> None:
        assert pages.ELSEWHERE.search(text)
        assert not pages.ELSEWHERE.search('<a href="https://example.org"><img src="pictures/a.png">')


class TestDocstrings:
    @pytest.fixture
    def module(self, tmp_path: Path) -> Any:
        griffe = pytest.importorskip("griffe")
        (tmp_path / "package").mkdir()
        (tmp_path / "package" / "_inside.py").write_text(
            'def search(seed, jobs):\n    """Search, as :func:`~package.other` does.\n\n    >>> search(1, 2)\n\n'
            '    Args:\n        seed, jobs: how; and\n            how many.\n    """\n\ndef hidden(): ...\n'
        )
        (tmp_path / "package" / "__init__.py").write_text(
            '"""See :func:`other`."""\n'
            "from package._inside import search as search\nfrom package._inside import hidden\n\ndef other(): ...\n"
        )
        extensions = griffe.load_extensions(_module("docstrings").Docstrings())
        return griffe.load("package", search_paths=[tmp_path], extensions=extensions)

    def test_what_is_imported_under_its_own_name_is_public(self, module: Any) -> None:
        assert {name for name, member in module.members.items() if member.is_public} == {"search", "other"}

    def test_roles_are_links(self, module: Any) -> None:
        assert '<autoref identifier="package.other" optional><code>other</code>' in module["search"].docstring.value

    def test_roles_of_the_package_are_links_too(self, module: Any) -> None:
        assert (
            module.docstring.value == 'See <autoref identifier="package.other" optional><code>other</code></autoref>.'
        )

    def test_arguments_that_share_a_line_get_one_each(self, module: Any) -> None:
        (arguments,) = [each for each in module["search"].docstring.parse("google") if each.kind.value == "parameters"]
        assert [each.name for each in arguments.value] == ["seed", "jobs"]
        assert {each.description for each in arguments.value} == {"how; and\nhow many."}

    def test_examples_are_code(self, module: Any) -> None:
        assert "```pycon\n>>> search(1, 2)\n```" in module["search"].docstring.value
