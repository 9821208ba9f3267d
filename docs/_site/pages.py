"""What the site has beside the pages of ``docs/``: README, CONTRIBUTING, the command line, the columns, and files that pages link to.

A hook of MkDocs. Pages are written for the repository, where ``../README.md`` is a file. Here such a link leads to a copy in the site, so
that everything can be read without a network, and nothing has to know where the repository lives.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from racewindow import frames
from racewindow.cli import app

ROOT = Path(__file__).parents[2]
COPIED = {"README.md": "docs/readme.md", "CONTRIBUTING.md": "docs/contributing.md"}
COMMAND_LINE = "reference/command-line.md"
COLUMNS = "reference/columns.md"
ELSEWHERE = re.compile(
    r"""<(?:script|img|iframe|link)\b[^>]*\b(?:src|href)=["']?(?:https?:)?//|@import|url\(["']?(?:https?:)?//"""
)
LINK = re.compile(r"(?P<text>\[[^\]]*\])\((?P<target>(?!\w+:|#)[^)#\s]+)(?P<anchor>#[^)]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what is not in ``docs/``."""
    for name, page in COPIED.items():
        text = relinked((ROOT / name).read_text(), written_in=name, shown_in=page)
        files.append(File.generated(config, page.removeprefix("docs/"), content=text))
    files.append(File.generated(config, COMMAND_LINE, content=command_line()))
    files.append(File.generated(config, COLUMNS, content=columns()))
    pages = {name: (ROOT / name).read_text() for name in COPIED}
    pages |= {f"docs/{file.src_uri}": file.content_string for file in files.documentation_pages() if file.abs_src_path}
    for path in sorted({path for name, text in pages.items() for path in _outside(name, text)}):
        files.append(File.generated(config, _copy(path).removeprefix("docs/"), content=(ROOT / path).read_bytes()))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let links that leave ``docs/`` lead to the copies."""
    written = f"docs/{page.file.src_uri}"
    return markdown if page.file.abs_src_path is None else relinked(markdown, written_in=written, shown_in=written)


def on_post_build(*, config: MkDocsConfig) -> None:
    """See that no page loads anything that is not in the site.

    Raises:
        PluginError: one does.
    """
    for path in sorted(Path(config.site_dir).rglob("*")):
        if path.suffix in (".html", ".css") and (found := ELSEWHERE.search(path.read_text())):
            raise PluginError(
                f"{path} cannot be read without a network, because of {found[0]!r}: have a copy in docs/assets"
            )


def relinked(text: str, *, written_in: str, shown_in: str) -> str:
    """The page with links as they have to be in the site.

    Args:
        text: of the page.
        written_in: path of the page in the repository; its links are relative to that.
        shown_in: where it would be in the repository, were it a page like the others.
    """

    def link(found: re.Match[str]) -> str:
        path = _target(written_in, found["target"])
        if (ROOT / path).is_dir():
            return found["text"].strip("[]")  # a folder cannot be read
        shown = COPIED.get(path) or (path if path.startswith("docs/") else _copy(path))
        return f"{found['text']}({posixpath.relpath(shown, posixpath.dirname(shown_in))}{found['anchor'] or ''})"

    return LINK.sub(link, text)


def _target(page: str, link: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(page), link))


def _outside(page: str, text: str) -> Iterator[str]:
    for found in LINK.finditer(text):
        path = _target(page, found["target"])
        if not path.startswith("docs/") and path not in COPIED and (ROOT / path).is_file():
            yield path


def _copy(path: str) -> str:
    """Where the site has its copy of a file: as text, which every browser shows."""
    return f"docs/files/{path.lstrip('.')}.txt"


def command_line() -> str:
    """The page of the command line, from what its help says."""
    group: Any = typer.main.get_command(app)
    sections = [
        "# The command line",
        group.help,
        "What exit codes mean is told [elsewhere](../verdicts.md#exit-codes).",
    ]
    for name, command in group.commands.items():
        sections += [f"## racewindow {name}", command.help]
        with command.context_class(command, info_name=name) as context:
            rows = [each.get_help_record(context) for each in command.get_params(context) if each.name != "help"]
        sections.append(_table(("argument or option", "meaning"), rows))
    return "\n\n".join(sections) + "\n"


def columns() -> str:
    """The page of the columns: what is in each frame."""
    sections = [
        "# Columns of the frames",
        "Each frame that an experiment makes has exactly these columns, also when it has no row. "
        "`racewindow.frames.describe(racewindow.frames.RUNS)` gives the same as a frame.",
    ]
    for name, value in vars(frames).items():
        if isinstance(value, tuple) and value and all(isinstance(each, frames.Column) for each in value):
            rows = [(each.name, each.meaning, f"`{each.dtype}`", each.unit) for each in value]
            sections += [
                f"## {name} {{ #racewindow.frames.{name} }}",
                _table(("column", "meaning", "dtype", "unit"), rows),
            ]
    return "\n\n".join(sections) + "\n"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown; the first column is code."""
    lines = [head, ["---"] * len(head), *([f"`{first}`", *rest] for first, *rest in rows)]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
