"""Templates of adapters by style. Another style is one file in ``templates/`` and one line in ``STYLES``.

A template is a module like any other, which is linted, typed and run; making an adapter of it is putting the name in.
"""

from __future__ import annotations

import keyword
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from racewindow.errors import UsageError

_TEMPLATES = Path(__file__).parent / "templates"
_STORE_MODULE = re.compile(r"racewindow\.adapters\.templates\.\w+_store")  # where a test's template finds a store


@dataclass(frozen=True, slots=True)
class Style:
    """A concurrency style to write an adapter in.

    Attributes:
        name: on the command line.
        summary: one line for a person.
        template: file in ``templates/``.
        test: file of the test that goes with it.
        conforms: whether :func:`check_adapter` can be asked of it: whether it is run under the kernel.
    """

    name: str
    summary: str
    template: str
    test: str = "store_test.py"
    conforms: bool = True


STYLES: Mapping[str, Style] = MappingProxyType(
    {
        style.name: style
        for style in (
            Style("trio", "trio code, on a simulated disk that can crash and lose its power", "trio_store.py"),
            Style("asyncio", "asyncio code, whose blocking calls run in threads", "asyncio_store.py"),
            Style("threads", "synchronous code, on real files and threads", "threads_store.py"),
            Style(
                "http",
                "a server, started and sampled through HTTP",
                "http_store.py",
                test="http_test.py",
                conforms=False,
            ),
        )
    }
)


def new_adapter(name: str, *, style: str = "trio", directory: Path | None = None) -> tuple[Path, Path]:
    """Write an adapter and its test, which pass as they are.

    Args:
        name: of the store: ``chat_log``, ``chat-log`` or ``ChatLog``; the module becomes ``chat_log.py`` and the class ``ChatLog``.
        style: one of ``STYLES``.
        directory: where to; default: the current one.

    Returns:
        The paths of the adapter and of the test.

    Raises:
        UsageError: the name cannot be that of a module, there is no such style or directory, or a file is there already. Nothing is
            written then.
    """
    if style not in STYLES:
        raise UsageError(f"there is no style {style!r}: use {', '.join(STYLES)}")
    module, class_name = _names(name)
    home = directory or Path.cwd()
    if not home.is_dir():
        raise UsageError(f"there is no directory {str(home)!r}: make it first")
    texts = {
        home / f"{module}.py": STYLES[style].template,
        home / f"test_{module}.py": STYLES[style].test,
    }
    for path in texts:
        if path.exists():
            raise UsageError(
                f"{path.name} is there already, and is not overwritten; move it away, or take another name"
            )
    for path, template in texts.items():
        text = _STORE_MODULE.sub(module, (_TEMPLATES / template).read_text(encoding="utf-8"))
        with path.open("x", encoding="utf-8") as file:
            file.write(
                text.replace("MyStore", class_name)
                .replace("my_store", module)
                .replace("MyHandle", f"{class_name}Handle")
            )
    adapter, test = texts
    return adapter, test


def _names(name: str) -> tuple[str, str]:
    """The names of the module and of the class."""
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+|[0-9]+", name)
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9]*(?:[_-][A-Za-z0-9]+)*", name):
        raise UsageError(
            f"{name!r} cannot be the name of a module: use letters, digits and _ or -, and begin with a letter"
        )
    module = "_".join(word.lower() for word in words)
    if keyword.iskeyword(module) or module in sys.stdlib_module_names or module in ("racewindow", "trio", "pytest"):
        raise UsageError(
            f"{name!r} would hide the module {module!r}, or is a word of Python: take another name, {module}_store"
        )
    return module, "".join(word if word.isupper() else word.capitalize() for word in words)
