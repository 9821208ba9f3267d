"""The house of DESIGN.md, section 2: an arrow may only point down, and what is heavy is imported when it is used."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from racewindow.implementations import BUILT_IN

ROOT = Path(__file__).parents[1]
SOURCES = {"oncestore": ROOT / "reference", "racewindow": ROOT / "simulator"}
MODULES = {
    ".".join(path.relative_to(source).with_suffix("").parts).removesuffix(".__init__"): path
    for source in SOURCES.values()
    for path in sorted(source.rglob("*.py"))
}

# What each part of racewindow may import of racewindow; a longer name wins over a shorter one.
ALLOWED: dict[str, set[str]] = {
    "racewindow.errors": set(),
    "racewindow.statistics": set(),
    "racewindow.kernel": {"errors", "kernel"},
    "racewindow.search": {"errors", "kernel", "search", "frames", "statistics"},
    "racewindow.strategies": {"errors", "kernel", "search", "sessions"},
    "racewindow.frames": {"errors", "frames"},
    "racewindow.disk": {"errors", "kernel", "disk"},
    "racewindow.sessions": {"errors", "kernel", "disk", "sessions"},
    "racewindow.sessions.invariants": {"kernel.violation", "sessions"},
    "racewindow.experiments": {
        "errors",
        "kernel",
        "search",
        "disk",
        "sessions",
        "experiments",
        "frames",
        "charts",
        "statistics",
    },
    "racewindow.campaign": {"errors", "kernel", "search", "sessions", "experiments", "frames", "campaign"},
    "racewindow.bench": {"search", "bench"},
    "racewindow.adapters.templates": {"servers", "sessions", "adapters"},  # what users write
    "racewindow.adapters": {"errors", "kernel", "search", "sessions", "adapters"},
    "racewindow.servers": {"errors", "kernel.violation", "sessions", "frames", "statistics", "servers"},
    "racewindow.serving": {"errors", "kernel.task", "kernel.world", "disk", "sessions", "serving"},
    "racewindow.charts": {"errors", "frames", "charts"},
    "racewindow.implementations": {"errors", "kernel", "disk", "sessions", "implementations"},
    "racewindow.implementations.designs": {"errors", "kernel", "disk", "sessions", "implementations.designs"},
}
FACES = ("racewindow.cli", "racewindow.pytest_plugin", "racewindow.__main__")


@cache
def imports(name: str, *, at_load: bool = False) -> set[str]:
    """The modules that a module names in its imports.

    Args:
        name: of the module.
        at_load: only those that importing it imports: not in functions, not under TYPE_CHECKING.
    """
    path = MODULES[name]
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]

    def walk(node: ast.AST) -> Iterator[str]:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = package.split(".")
                up = ".".join(parts[: len(parts) - node.level + 1])
                base = f"{up}.{base}".rstrip(".")
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names if f"{base}.{alias.name}" in MODULES)
        elif at_load and isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            return
        elif at_load and isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            for other in node.orelse:
                yield from walk(other)
        else:
            for child in ast.iter_child_nodes(node):
                yield from walk(child)

    return set(walk(ast.parse(path.read_text())))


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def loaded_by(name: str) -> set[str]:
    """Everything that importing a module imports, near and far, as far as it is ours, and the roots of what is not."""
    seen: set[str] = set()
    queue = [name]
    while queue:
        module = queue.pop()
        if module in seen:
            continue
        seen.add(module)
        if module in MODULES:
            parents = [module.rsplit(".", depth)[0] for depth in range(1, module.count(".") + 1)]
            queue += [*parents, *imports(module, at_load=True)]
    return seen


def test_the_modules_are_found() -> None:
    assert {"oncestore", "oncestore._session", "racewindow", "racewindow.kernel.engine", "racewindow.cli"} <= set(
        MODULES
    )
    assert "racewindow.disk" in imports("racewindow.cli._arguments")
    assert "racewindow.charts" not in imports("racewindow.cli.compare", at_load=True)
    assert "oncestore._session" in imports("oncestore._store")


def _is_face(name: str) -> bool:
    return name == "racewindow" or any(within(name, face) for face in FACES)


@pytest.mark.parametrize("name", [name for name in MODULES if within(name, "racewindow") and not _is_face(name)])
def test_arrows_point_down(name: str) -> None:
    rule = max((prefix for prefix in ALLOWED if within(name, prefix)), key=len, default=None)
    assert rule is not None, f"{name} belongs to no part of the house: give it a line in ALLOWED"
    allowed = ALLOWED[rule]
    for imported in imports(name):
        if within(imported, "racewindow") and imported != "racewindow":
            assert any(within(imported, f"racewindow.{part}") for part in allowed), f"{name} imports {imported}"


@pytest.mark.parametrize("name", [name for name in MODULES if within(name, "racewindow")])
def test_only_an_adapter_knows_a_store(name: str) -> None:
    adapters = {f"racewindow.implementations.{each}" for each in ("reference", "disk_storage", "mutants")}
    if any(within(imported, "oncestore") for imported in imports(name)):
        assert name in adapters


@pytest.mark.parametrize("name", [name for name in MODULES if within(name, "racewindow.search")])
def test_search_looks_at_frames_only_when_somebody_asks_for_one(name: str) -> None:
    assert not any(within(imported, "racewindow.frames") for imported in imports(name, at_load=True))


def test_experiments_know_no_implementation_by_name() -> None:
    for name in MODULES:
        if within(name, "racewindow.experiments") or within(name, "racewindow.sessions"):
            texts = {
                node.value for node in ast.walk(ast.parse(MODULES[name].read_text())) if isinstance(node, ast.Constant)
            }
            assert not texts & set(BUILT_IN), name


@pytest.mark.parametrize("name", [name for name in MODULES if within(name, "oncestore")])
def test_the_reference_store_knows_nothing_of_the_simulator(name: str) -> None:
    assert not any(within(imported, "racewindow") for imported in imports(name))


@pytest.mark.parametrize("name", [name for name in MODULES if within(name, "oncestore")])
def test_the_store_needs_no_web_server(name: str) -> None:
    """What speaks HTTP is a face: it knows the store, the store does not know it, and it comes with an extra."""
    if within(name, "oncestore.server"):
        return
    assert not any(within(imported, "oncestore.server") for imported in imports(name, at_load=True))
    outside = {imported.partition(".")[0] for imported in imports(name)} - {"oncestore"}
    assert outside <= {*sys.stdlib_module_names, "trio"}


@pytest.mark.parametrize("name", [name for name in MODULES if within(name, "racewindow.sessions.invariants")])
def test_invariants_share_no_code_with_any_store(name: str) -> None:
    """Not even through others: one mistake cannot hide in both."""
    assert not any(within(each, "oncestore") or within(each, "racewindow.implementations") for each in loaded_by(name))
    own = {each for each in imports(name) if within(each, "racewindow")}
    helpers = ("racewindow.sessions.invariants", "racewindow.sessions.history", "racewindow.sessions.capabilities")
    assert all(each == "racewindow.kernel.violation" or any(within(each, helper) for helper in helpers) for each in own)


@pytest.mark.parametrize("name", MODULES)
def test_nobody_imports_through_the_names_of_the_roots(name: str) -> None:
    assert not any(within(imported, root) for imported in imports(name) for root in ("reference", "simulator"))


def test_nor_do_the_tests() -> None:
    for path in (ROOT / "tests").rglob("*.py"):
        tree = ast.parse(path.read_text())
        named = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        named |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        assert not any(within(each, root) for each in named for root in ("reference", "simulator")), path


@pytest.mark.parametrize("package", SOURCES)
def test_the_roots_are_no_packages_and_the_packages_are_typed(package: str) -> None:
    assert not (SOURCES[package] / "__init__.py").exists()
    assert sorted(path.name for path in SOURCES[package].iterdir() if path.is_dir() and path.name[0] not in "._") == [
        package
    ]
    assert (SOURCES[package] / package / "py.typed").exists()
    assert (SOURCES[package] / package / "__init__.py").exists()


HEAVY = {"pandas", "matplotlib", "scipy", "joblib", "jinja2", "pyarrow", "agents", "hypothesis", "pytest"} | {
    "starlette",
    "hypercorn",
}


@pytest.mark.parametrize(
    ("module", "may"),
    [
        ("racewindow", set()),
        ("racewindow.kernel", set()),
        ("racewindow.search", set()),
        ("racewindow.disk", set()),
        ("racewindow.sessions", set()),
        ("racewindow.cli", set()),
        ("racewindow.campaign", set()),
        ("racewindow.pytest_plugin", {"pytest"}),
        ("oncestore", set()),
        ("oncestore._cli", set()),
        ("racewindow.experiments", {"pandas", "pyarrow"}),
    ],
)
def test_what_is_heavy_is_imported_when_it_is_used(module: str, may: set[str]) -> None:
    """Asked of a fresh interpreter: what is in sys.modules counts, not what the source says."""
    code = f"import sys, {module}; print(*sorted({HEAVY!r} & set(sys.modules)))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(answer.stdout.split()) <= may


def test_no_package_under_test_is_imported_with_the_list_of_implementations() -> None:
    code = "import sys, racewindow.implementations; print('agents' in sys.modules, 'matplotlib' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.split() == ["False", "False"]
