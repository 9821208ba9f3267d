"""Adapters of one's own: the templates work as they are, and the suite notices every mistake that it is there for."""

from __future__ import annotations

import json
import os
import re
import runpy
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

import pytest
import trio

import racewindow as rw
from racewindow.adapters import CHECKS, STYLES, check_adapter, new_adapter
from racewindow.adapters.templates import asyncio_store, threads_store, trio_store
from racewindow.cli import main
from racewindow.cli.codes import CLEAN, USAGE, VIOLATION
from racewindow.implementations import DESIGNS, Reference

TEMPLATES: dict[str, type[rw.SessionStore]] = {
    "trio": trio_store.MyStore,
    "asyncio": asyncio_store.MyStore,
    "threads": threads_store.MyStore,
}


class TestNewAdapter:
    def test_every_style_has_a_template(self) -> None:
        """And no other; that of ``http`` is no implementation of the kernel's."""
        assert {*TEMPLATES, "http"} == set(STYLES)

    @pytest.mark.parametrize("style", STYLES)
    def test_what_is_written(self, style: str, tmp_path: Path) -> None:
        """A module and a test with the name in it, in the style asked for, and no trace of the template's."""
        adapter, test = new_adapter("chat-log", style=style, directory=tmp_path)
        assert (adapter.name, test.name) == ("chat_log.py", "test_chat_log.py")
        for path in (adapter, test):
            text = path.read_text()
            compile(text, path, "exec")
            assert "ChatLog" in text
            assert "MyStore" not in text
            assert "my_store" not in text
            assert "templates" not in text
        if STYLES[style].conforms:
            assert rw.implementation(f"{adapter}:ChatLog").host == style

    @pytest.mark.exhaustive
    def test_it_passes_as_it_is_and_fails_without_its_lock(self, tmp_path: Path) -> None:
        """Every style, as a user runs it: pytest in an empty directory; then what the comment says about the lock is tried."""
        for style in STYLES:
            new_adapter(f"log_{style}", style=style, directory=tmp_path)
        assert self._pytest(tmp_path) == (0, "8 passed")
        adapter = tmp_path / "log_threads.py"
        assert "with self.locked():" in adapter.read_text()
        text = adapter.read_text().replace("with self.locked():", "with contextlib.nullcontext():")
        adapter.write_text(text.replace("import json", "import contextlib\nimport json"))
        # Two threads in one file leave one that nobody can read: check-adapter says so, and messages are lost.
        assert self._pytest(tmp_path / "test_log_threads.py") == (1, "2 failed")

    @staticmethod
    def _pytest(where: Path) -> tuple[int, str]:
        directory = where if where.is_dir() else where.parent
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", str(where)]
        result = subprocess.run(command, env=environment, cwd=directory, capture_output=True, text=True, timeout=300)
        return result.returncode, result.stdout.splitlines()[-1].partition(" in ")[0]

    @pytest.mark.parametrize(
        ("name", "says"),
        [
            ("", "cannot be the name of a module"),
            ("1st", "begin with a letter"),
            ("chat log", "cannot be the name of a module"),
            ("../chat", "cannot be the name of a module"),
            ("chat_", "cannot be the name of a module"),
            ("class", "a word of Python"),
            ("json", "would hide the module 'json'"),
            ("Racewindow", "would hide the module 'racewindow'"),
        ],
    )
    def test_bad_names(self, name: str, says: str, tmp_path: Path) -> None:
        """A clear error, and nothing is written."""
        with pytest.raises(rw.UsageError, match=says):
            new_adapter(name, directory=tmp_path)
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize(
        ("name", "module", "class_name"), [("ChatLog", "chat_log", "ChatLog"), ("DBStore2", "db_store2", "DBStore2")]
    )
    def test_names_become_those_of_a_module_and_a_class(
        self, name: str, module: str, class_name: str, tmp_path: Path
    ) -> None:
        """However they are written."""
        adapter, _ = new_adapter(name, directory=tmp_path)
        assert adapter.name == f"{module}.py"
        assert f"class {class_name}(" in adapter.read_text()

    def test_nothing_is_overwritten(self, tmp_path: Path) -> None:
        """Neither of the two files; and then the other one is not written either."""
        (tmp_path / "test_mine.py").write_text("precious")
        with pytest.raises(rw.UsageError, match=r"test_mine\.py is there already"):
            new_adapter("mine", directory=tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["test_mine.py"]
        assert (tmp_path / "test_mine.py").read_text() == "precious"

    def test_styles_and_directories_that_do_not_exist(self, tmp_path: Path) -> None:
        """Said, with those that do."""
        with pytest.raises(rw.UsageError, match="no style 'gevent': use trio, asyncio, threads, http"):
            new_adapter("mine", style="gevent", directory=tmp_path)
        with pytest.raises(rw.UsageError, match="no directory"):
            new_adapter("mine", directory=tmp_path / "none")


# -- adapters with one mistake each --------------------------------------------------------------------------------------


class _Handle(trio_store.MyHandle):
    """The template's, with room for a mistake."""

    def __init__(self, store: _Store) -> None:
        super().__init__(store.env)
        self.store = store


class _Store(trio_store.MyStore):
    handle: ClassVar[type[_Handle]] = _Handle

    async def load(self) -> _Handle:
        return self.handle(self)


def _wrong(handle: type[_Handle] = _Handle, **members: Any) -> type[rw.SessionStore]:
    """A store with one mistake, in its handle or its class."""
    return type("Wrong", (_Store,), {"__doc__": "Wrong.", "handle": handle, "name": "wrong", **members})


class _Forgets(_Handle):
    async def add(self, message: str) -> None:
        await self.read()


class _Keeps(_Handle):
    async def commit(self, *, wait: bool) -> rw.Ticket | None:
        await self.env.extract((await self.read())["live"])
        return rw.EndedTicket(self.env.serial("commit"))


class _Reverses(_Handle):
    async def reload(self) -> list[str]:
        return (await super().reload())[::-1]


class _Invents(_Handle):
    async def add(self, message: str) -> None:
        await super().add(f"{message}-{self.env.serial('copy')}")


class _Fails(_Handle):
    async def reload(self) -> list[str]:
        raise OSError("no")


class _SaysNothing(_Handle):
    async def commit(self, *, wait: bool) -> rw.Ticket | None:
        await super().commit(wait=wait)
        return None


class _Unextracted(_Handle):
    async def commit(self, *, wait: bool) -> rw.Ticket | None:
        state = await self.read()
        if not state["live"]:
            return None
        await self.write({"live": [], "archives": [*state["archives"], state["live"]]})
        return rw.EndedTicket(self.env.serial("commit"))


class _ExtractsTwice(_Handle):
    async def commit(self, *, wait: bool) -> rw.Ticket | None:
        live = (await self.read())["live"]
        if live:
            await self.env.extract(live)
        return await super().commit(wait=wait)


class _SameId(_Handle):
    async def commit(self, *, wait: bool) -> rw.Ticket | None:
        ticket = await super().commit(wait=wait)
        return None if ticket is None else rw.EndedTicket("commit")


class _NeverEnds(_Handle):
    async def commit(self, *, wait: bool) -> rw.Ticket | None:
        ticket = await super().commit(wait=wait)
        return None if ticket is None else rw.EndedTicket(ticket.id, result="running")


class _Pointless(_Handle):
    """Reads and writes storage behind the simulator's back."""

    async def read(self) -> dict[str, Any]:
        return dict(json.loads(self.env.disk.peek(trio_store.FILE) or b'{"live": [], "archives": []}'))

    async def reload(self) -> list[str]:
        return list((await self.read())["live"])


class _Random(_Handle):
    async def add(self, message: str) -> None:
        await self.env.point(f"add-{os.urandom(4).hex()}")
        await super().add(message)


class _Outlives(_Handle):
    """Commits in a process of its own."""

    async def commit(self, *, wait: bool) -> rw.Ticket | None:
        world = self.env.world

        async def work() -> None:
            await super(_Outlives, self).commit(wait=True)

        await world.point("start")
        world.start(work, name="late", process=world.process("nobody's"))
        return rw.EndedTicket(self.env.serial("commit"))


class _HoldsOn(_Handle):
    """A lock that does not die with its process."""

    async def commit(self, *, wait: bool) -> rw.Ticket | None:
        lock: trio.Lock = self.env.shared.setdefault("lock", trio.Lock())
        await lock.acquire()
        ticket = await super().commit(wait=wait)
        lock.release()
        return ticket


class _Remembers(_Handle):
    """Memory that outlives the process, and is written only when somebody commits."""

    def _memory(self) -> list[str]:
        memory: list[str] = self.env.shared.setdefault("memory", [])
        return memory

    async def add(self, message: str) -> None:
        await self.env.point("remember")
        self._memory().append(message)

    async def reload(self) -> list[str]:
        return [*await super().reload(), *self._memory()]


class _WritesLate(_Handle):
    """Acknowledges what is in its own memory only."""

    def __init__(self, store: _Store) -> None:
        super().__init__(store)
        self.late: list[str] = []

    async def add(self, message: str) -> None:
        await self.env.point("later")
        self.late.append(message)

    async def reload(self) -> list[str]:
        return [*await super().reload(), *self.late]


class _Stuck(_Handle):
    async def commit(self, *, wait: bool) -> rw.Ticket | None:
        await trio.sleep_forever()
        return None


def _nothing(cls: Any, env: rw.Environment) -> rw.Observation:
    return rw.Observation()


def _stale(cls: Any, env: rw.Environment) -> rw.Observation:
    return rw.Observation(live=("m1", "m2", "m3"))


def _moving(cls: Any, env: rw.Environment) -> rw.Observation:
    count = int(env.serial("looks").partition("-")[2])
    return rw.Observation(live=("m1",) * count)


def _raises(cls: Any, env: rw.Environment) -> rw.Observation:
    raise LookupError("where is it?")


@asynccontextmanager
async def _refuses(self: Any) -> AsyncIterator[None]:
    raise OSError("no storage")
    yield


def claiming(**claims: bool) -> rw.Capabilities:
    """What the template claims, and more."""
    return rw.Capabilities(**{"background": False, "durable": False, **claims})


WRONG: dict[str, tuple[str, type[rw.SessionStore], str]] = {
    # name: the check that notices, the adapter, and what it says
    "no name": ("described", _wrong(name=""), "has no name"),
    "no docstring": ("described", _wrong(__doc__=None), "has no docstring"),
    "does not open": (
        "runs",
        _wrong(running=_refuses),
        "could not be opened, loaded and reloaded: OSError: no storage",
    ),
    "forgets": ("sequential", _wrong(_Forgets), "reload after the adds does not show m1 m2"),
    "keeps": ("sequential", _wrong(_Keeps), "reload after the commit still shows m1 m2"),
    "commits again": ("sequential", _wrong(_Keeps), "handed messages over again"),
    "reverses": ("sequential", _wrong(_Reverses), "shows m2 m1: not the order"),
    "invents": ("sequential", _wrong(_Invents), "shows m1-copy-1"),
    "fails": ("sequential", _wrong(_Fails), "ended as error (OSError: no)"),
    "says nothing": ("sequential", _wrong(_SaysNothing), "there was nothing to commit"),
    "unextracted": ("sequential", _wrong(_Unextracted), "the extractor never got anything"),
    "extracts twice": ("sequential", _wrong(_ExtractsTwice), "the extractor got m1 m2 m3 more than once"),
    "stuck": ("sequential", _wrong(_Stuck), "ended as pending"),
    "observes nothing": ("sequential", _wrong(observe=classmethod(_nothing)), "shows no message at all"),
    "observes something else": ("sequential", _wrong(observe=classmethod(_stale)), "and reload showed nothing"),
    "observes with effect": (
        "sequential",
        _wrong(observe=classmethod(_moving)),
        "something else when it is asked again",
    ),
    "no archives": (
        "sequential",
        _wrong(observe=classmethod(_stale)),
        "claims archives=True, but observe() shows none",
    ),
    "same id": ("sequential", _wrong(_SameId), "claims tasks=True, but two commits have the same task id"),
    "never ends": ("sequential", _wrong(_NeverEnds), "is 'running' when all is over"),
    "pointless": ("points", _wrong(_Pointless), "reload never reaches a point"),
    "outlives": ("fence", _wrong(_Outlives), "after the crash of its store, late still takes steps"),
    "holds on": ("fence", _wrong(_HoldsOn), "something is still held by the dead one"),
    "remembers": ("memory", _wrong(_Remembers), "storage holds nothing live, and the next store shows m1"),
    "writes late": ("memory", _wrong(_WritesLate), "m1 was acknowledged, and is gone after a crash"),
    "background": ("claims", _wrong(capabilities=claiming(background=True)), "claims background=True"),
    "durable": ("claims", _wrong(capabilities=claiming(durable=True)), "gone after a loss of power"),
    "storage nowhere": (
        "claims",
        type("Nowhere", (asyncio_store.MyStore,), {"__doc__": "Nowhere.", "capabilities": claiming(storage=True)}),
        "nothing of it is on the simulated disk, which can fail",
    ),
    "durable nowhere": (
        "claims",
        type("Nowhere", (asyncio_store.MyStore,), {"__doc__": "Nowhere.", "capabilities": claiming(durable=True)}),
        "nothing of it is on the simulated disk, whose power can be lost",
    ),
}


class TestCheckAdapter:
    @pytest.mark.parametrize("style", TEMPLATES)
    def test_the_templates_conform(self, style: str) -> None:
        """In every check there is."""
        found = check_adapter(TEMPLATES[style])
        assert found.findings == (), str(found)
        assert found.checks == tuple(CHECKS)

    @pytest.mark.exhaustive
    @pytest.mark.parametrize("implementation", [Reference, *DESIGNS], ids=lambda each: str(each.name))
    def test_what_comes_with_racewindow_conforms(self, implementation: type[rw.SessionStore]) -> None:
        """A design with a race is a good adapter all the same."""
        found = check_adapter(implementation)
        assert found.findings == (), str(found)

    @pytest.mark.parametrize("mistake", WRONG)
    def test_a_mistake_is_noticed(self, mistake: str) -> None:
        """By the check that is there for it, and the right adapter passes that one."""
        check, adapter, says = WRONG[mistake]
        findings = list(CHECKS[check](adapter))
        assert any(says in finding.what for finding in findings), "\n".join(map(str, findings))
        assert all(finding.why and finding.do for finding in findings)

    def test_every_check_is_killed_by_a_mistake(self) -> None:
        """What escapes control ends a check, so that one is below."""
        assert {check for check, _, _ in WRONG.values()} == set(CHECKS) - {"control"}

    @pytest.mark.parametrize(
        ("wrong", "says"),
        [
            (_wrong(_Random), "the subject does not repeat itself"),
            (_wrong(observe=classmethod(_raises)), "could not say what is in its storage: LookupError: where is it?"),
        ],
        ids=["random", "observer"],
    )
    def test_what_escapes_control(self, wrong: type[rw.SessionStore], says: str) -> None:
        """A finding, not an error of the suite's."""
        found = check_adapter(wrong)
        assert any(says in finding.what for finding in found.findings)

    def test_the_first_thing_first(self) -> None:
        """A store that does not open is not asked for anything else."""
        found = check_adapter(_wrong(running=_refuses))
        assert found.checks == ("described", "runs")
        assert len(found.findings) == 1

    def test_in_words(self) -> None:
        """What, why, and what to do."""
        found = check_adapter(_wrong(__doc__=None))
        assert repr(found) == "<Conformance wrong checks=1 findings=1>"
        assert str(found).splitlines() == [
            "wrong: 1 finding in 1 checks",
            "described: Wrong has no docstring",
            "  why: tokens, tables and charts call it by its name, and 'racewindow list' by the first line of its docstring",
            "  do:  give the class a docstring",
        ]


class TestCommandLine:
    def test_from_nothing_to_a_checked_adapter(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """The two commands, as the first prints the second."""
        monkeypatch.chdir(tmp_path)
        assert main(["new-adapter", "chat_log"]) == CLEAN
        line = next(
            line for line in capsys.readouterr().out.splitlines() if line.startswith("check it with: racewindow ")
        )
        assert main(line.removeprefix("check it with: racewindow ").split()) == CLEAN
        assert capsys.readouterr().out == "chat_log.py:ChatLog: conforms in 8 checks\n"
        assert main(["new-adapter", "chat_log"]) == USAGE
        assert "is there already" in capsys.readouterr().err

    def test_what_is_wrong_is_an_exit_code(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """1, in words and as JSON."""
        path = tmp_path / "mine.py"
        path.write_text("import racewindow as rw\n\n\nclass Mine(rw.SessionStore):\n    pass\n")
        assert main(["check-adapter", f"{path}:Mine"]) == VIOLATION
        assert "do:  give the class a docstring" in capsys.readouterr().out
        assert main(["check-adapter", f"{path}:Mine", "--json"]) == VIOLATION
        (finding, *_) = json.loads(capsys.readouterr().out)["findings"]
        assert set(finding) == {"check", "what", "why", "do"}

    @pytest.mark.parametrize(
        "arguments",
        [
            ["check-adapter", "none.py:None"],
            ["check-adapter", "nothing"],
            ["new-adapter", "a b"],
            ["new-adapter", "x", "--style", "y"],
        ],
        ids=" ".join,
    )
    def test_bad_arguments(
        self, arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """One line each, and nothing is written."""
        monkeypatch.chdir(tmp_path)
        assert main(arguments) == USAGE
        assert capsys.readouterr().err.startswith("error: ")
        assert not list(tmp_path.iterdir())


# -- the page ------------------------------------------------------------------------------------------------------------

PAGE = Path(__file__).parents[1] / "docs" / "own-adapter.md"
BLOCKS = re.findall(r"(?ms)^```(\w+)\n(.*?)^```$", PAGE.read_text())
FILES = {text.split()[1]: text for language, text in BLOCKS if language == "python"}
REWRITE = "RACEWINDOW_REWRITE_DOCS" in os.environ


class TestPage:
    @pytest.mark.parametrize("name", [name for name in FILES if name != "counter.py"])
    def test_a_program_prints_what_the_page_shows(
        self, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Word for word."""
        for each, text in FILES.items():
            (tmp_path / each).write_text(text)
        monkeypatch.syspath_prepend(tmp_path)
        runpy.run_path(str(tmp_path / name))
        sys.modules.pop("counter", None)
        printed = capsys.readouterr().out
        page = PAGE.read_text()
        start = page.index("```text\n", page.index(f"# {name}\n")) + len("```text\n")
        end = page.index("```", start)
        if REWRITE:
            PAGE.write_text(page[:start] + printed + page[end:])
        else:
            assert printed == page[start:end]

    def test_commands_print_what_the_page_shows(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """One after the other."""
        monkeypatch.chdir(tmp_path)
        (block,) = [text for language, text in BLOCKS if language == "console"]
        for command in block.removeprefix("$ ").split("\n$ "):
            line, _, shown = f"{command.rstrip()}\n".partition("\n")
            assert main(line.split()[1:]) == CLEAN
            assert capsys.readouterr().out == shown

    def test_the_tables_have_every_check_and_every_style(self) -> None:
        """A new one has to be explained."""
        text = PAGE.read_text()
        assert set(re.findall(r"(?m)^\| `(\w+)` \| ", text)) == {*CHECKS, *STYLES}
