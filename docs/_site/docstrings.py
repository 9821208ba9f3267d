"""What the reference shows of modules and docstrings. An extension of Griffe, which reads them for mkdocstrings.

Docstrings name things with roles, as ``:func:`explore```: here they become links. ``seed, jobs: ...`` documents two
arguments, and what begins with ``>>>`` is an example. ``from x import name as name`` makes a name public, as type checkers
have it: modules without ``__all__`` export what they import in that way.
"""

from __future__ import annotations

import ast
import re
from typing import Any

import griffe

SHARED = re.compile(r"(?m)^ {4}(?P<names>\w+(?:, \w+)+): (?P<text>.*(?:\n {5,}\S.*)*)")
EXAMPLE = re.compile(r"(?m)^>>> .*(?:\n.+)*")
ROLE = re.compile(r":(?:attr|class|data|exc|func|meth|mod|obj):`(?P<name>[^`]+)`")


class Docstrings(griffe.Extension):
    """See the module."""

    def on_module_members(self, *, node: ast.AST | griffe.ObjectNode, mod: griffe.Module, **kwargs: Any) -> None:
        """Export what is imported under its own name."""
        if isinstance(node, ast.Module) and mod.exports is None:
            imports = (each for each in ast.walk(node) if isinstance(each, ast.ImportFrom))
            names = [alias.name for each in imports for alias in each.names if alias.asname == alias.name]
            own = [name for name, member in mod.members.items() if not member.is_alias and not name.startswith("_")]
            if names:
                mod.exports = [*names, *own]

    def on_package(self, *, pkg: griffe.Module, **kwargs: Any) -> None:
        """The same for a package's own docstring: it is nobody's member."""
        self.on_object(obj=pkg)

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Say in Markdown what the docstring says in our way."""
        if obj.docstring is not None:
            text = SHARED.sub(_one_each, obj.docstring.value)
            text = EXAMPLE.sub(lambda found: f"```pycon\n{found[0]}\n```", text)
            obj.docstring.value = ROLE.sub(lambda found: _link(obj, found["name"]), text)


def _one_each(found: re.Match[str]) -> str:
    return "\n".join(f"    {name}: {found['text']}" for name in found["names"].split(", "))


def _link(obj: griffe.Object, name: str) -> str:
    shown = name.removeprefix("~")
    text = shown.rpartition(".")[2] if name.startswith("~") else shown
    try:
        path = obj.resolve(shown)
    except griffe.NameResolutionError:
        path = shown
    return f'<autoref identifier="{path}" optional><code>{text}</code></autoref>'
