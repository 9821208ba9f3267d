"""The pytest plugin, through pytest itself: what it collects, what it says, what it remembers."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import scipy.stats

import racewindow.campaign
import racewindow.charts
import racewindow.experiments
import racewindow.implementations

# pytester forgets what a run imported; these would be loaded again for each test, and numpy cannot be.
LOADED = (scipy.stats, racewindow.campaign, racewindow.charts, racewindow.experiments, racewindow.implementations)

pytest_plugins = ["pytester"]

# Where the package is installed the plugin is there by its entry point; from the source alone it has to be named.
INSTALLED = any(each.name == "racewindow" for each in entry_points(group="pytest11"))
QUIET = ("-p", "no:cacheprovider", "-p", "no:randomly", *(() if INSTALLED else ("-p", "racewindow.pytest_plugin")))

LOST = """
import pytest

@pytest.mark.race
async def test_counter(world):
    value = world.cell(0, name="v")

    async def increment():
        await value.write(await value.read() + 1)

    await world.together(increment, increment)
    world.check(value.value == 2, "lost-update")
"""
FIXED = LOST.replace(
    "    async def increment():\n", "    lock = trio.Lock()\n\n    async def increment():\n      async with lock:\n"
).replace("import pytest", "import pytest, trio")


def run(pytester: pytest.Pytester, *argv: str) -> pytest.RunResult:
    return pytester.runpytest_inprocess(*QUIET, *argv)


def token_in(result: pytest.RunResult) -> str:
    return str(re.findall(r"rw2~[^\s']+", result.stdout.str())[-1])


def collection_error(pytester: pytest.Pytester, source: str) -> str:
    pytester.makepyfile(test_it=source)
    result = run(pytester)
    result.assert_outcomes(errors=1)
    return result.stdout.str()


class TestMarker:
    def test_a_race_is_told_shrunk_with_one_line_to_paste(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile(test_it=LOST)
        result = run(pytester)
        result.assert_outcomes(failed=1)
        test = "test_it.py::test_counter"
        result.stdout.fnmatch_lines(
            [
                "racewindow: profile dev, seed 0",
                "lost-update in schedule 2 (auto, seed 0)",
                "shrunk: 1 preemption, 8 steps; no schedule with fewer fails in this way",
                ">    4  |             |          v.read",
                "        ^--- lost-update: certain here",
                f"replay     pytest {test} --race-replay *rw2~*",
                "1 failed, 2 schedules",
                f"  {test}: lost-update in schedule 2 (auto, seed 0)",
                f"FAILED {test} - lost-update in schedule 2 (auto, seed 0)",
            ]
        )

    def test_the_pasted_line_runs_that_schedule_and_nothing_else(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile(test_it=LOST, test_other="def test_other(): raise AssertionError('not asked for')")
        token = token_in(run(pytester, "-k", "counter"))
        result = run(pytester, "--race-replay", token)
        result.assert_outcomes(failed=1, deselected=1)
        result.stdout.fnmatch_lines(["lost-update, replayed", "1 failed, 1 schedules"])

    def test_what_is_small_is_proved_and_what_is_not_has_a_bound(self, pytester: pytest.Pytester) -> None:
        sampled = '\n@pytest.mark.race(strategy="random-walk", schedules=50)\nasync def test_two(world): await world.point("x")\n'
        pytester.makepyfile(test_it=FIXED + sampled)
        result = run(pytester, "-v")
        result.assert_outcomes(passed=2)
        result.stdout.fnmatch_lines(
            [
                "1 proved, * schedules",
                "  test_it.py::test_counter: every schedule, * executions",
                "1 passed, 50 schedules: at most 5.82% of what a strategy draws fails (95 %), the widest bound of them",
            ]
        )

    def test_without_a_verdict_a_test_is_no_pass(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile(test_it=LOST.replace("mark.race", 'mark.race(strategy="bounded:0", schedules=1)'))
        result = run(pytester)
        result.assert_outcomes(failed=1)
        result.stdout.fnmatch_lines(["unknown: the budget ended after 1 schedules*", "1 unknown, 1 schedules"])

    def test_a_test_that_does_not_repeat_itself_has_no_verdict(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile(
            test_it="""
            import pytest
            seen = []

            @pytest.mark.race
            async def test_stateful(world):
                seen.append(1)
                for _ in seen:
                    await world.point("again")
            """
        )
        result = run(pytester)
        result.assert_outcomes(failed=1)
        result.stdout.fnmatch_lines(["ReplayDiverged: the subject does not repeat itself*", "1 unknown*"])

    def test_parameters_fixtures_methods_and_asyncio(self, pytester: pytest.Pytester) -> None:
        """Fixtures are made once for a test, whatever the number of schedules."""
        pytester.makepyfile(
            test_it="""
            import asyncio, pytest
            made = []

            @pytest.fixture
            def box():
                made.append(1)
                yield {}

            class TestIt:
                @pytest.mark.race(schedules=20)
                @pytest.mark.parametrize("count", [1, 2])
                async def test_method(self, count, box, world):
                    async def step():
                        await world.point("x")

                    await world.together(*[step] * count)

            @pytest.mark.race(host="asyncio", schedules=20)
            async def test_on_asyncio(world):
                await asyncio.gather(asyncio.sleep(1), asyncio.sleep(1))

            def test_once_each():
                assert len(made) == 2
            """
        )
        run(pytester).assert_outcomes(passed=4)

    def test_xfail_and_skip_are_heard(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile(
            test_it=LOST.replace("@pytest.mark.race", "@pytest.mark.xfail(strict=True)\n@pytest.mark.race")
            + "\n@pytest.mark.skip\n@pytest.mark.race\nasync def test_skipped(world): ...\n"
        )
        run(pytester).assert_outcomes(xfailed=1, skipped=1)

    @pytest.mark.parametrize(
        ("marker", "function", "said"),
        [
            ("race", "def test(world): ...", "race is for async functions: write 'async def'"),
            ("race", "async def test(): ...", "a race test takes a world"),
            (
                "race(schedule=5)",
                "async def test(world): ...",
                "race has no keyword 'schedule' (did you mean 'schedules'?)",
            ),
            ("race('auto')", "async def test(world): ...", "race takes keywords only"),
            ("race(strategy='pctt')", "async def test(world): ...", "unknown strategy 'pctt' (did you mean 'pct'?)"),
            ("race(schedules=0)", "async def test(world): ...", "schedules=0: give a number above zero"),
            ("race(time='now')", "async def test(world): ...", "say 'idle' or 'adversarial'"),
            ("race(host='curio')", "async def test(world): ...", "unknown host 'curio'"),
        ],
    )
    def test_misuse_is_an_error_of_collection(
        self, pytester: pytest.Pytester, marker: str, function: str, said: str
    ) -> None:
        assert said in collection_error(pytester, f"import pytest\n\n@pytest.mark.{marker}\n{function}\n")

    def test_a_world_is_not_parametrized(self, pytester: pytest.Pytester) -> None:
        source = (
            "import pytest\n@pytest.mark.race\n@pytest.mark.parametrize('world', [1])\nasync def test(world): ...\n"
        )
        assert "it cannot be parametrized" in collection_error(pytester, source)

    def test_a_world_where_there_is_none(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile(
            test_it="""
            import pytest

            @pytest.fixture
            def cell(world): return world.cell(0)

            def test_sync(world): ...

            @pytest.mark.race
            async def test_too_early(cell, world): ...
            """
        )
        result = run(pytester)
        result.assert_outcomes(errors=2)
        result.stdout.fnmatch_lines(
            [
                "*world is for tests with the marker race*",
                "*world.cell was used before a schedule began: fixtures are made once*",
            ]
        )


class TestOptions:
    def test_command_line_then_marker_then_ini_then_profile(self, pytester: pytest.Pytester) -> None:
        source = (
            FIXED
            + "\n@pytest.mark.race(strategy='random-walk', schedules=7)\nasync def test_own(world): await world.point('x')\n"
        )
        pytester.makepyfile(test_it=source.replace("mark.race\n", "mark.race(strategy='random-walk')\n"))
        assert schedules(pytester, "--race-profile", "ci") == {"test_counter": 2000, "test_own": 7}
        pytester.makeini("[pytest]\nrace_schedules = 9\n")
        assert schedules(pytester) == {"test_counter": 9, "test_own": 7}
        assert schedules(pytester, "--race-schedules", "5") == {"test_counter": 5, "test_own": 5}

    def test_the_seed_is_in_the_header_and_decides(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile(test_it=LOST.replace("mark.race", "mark.race(strategy='random-walk')"))
        tokens = []
        for seed in ("1", "1", "2"):
            result = run(pytester, "--race-seed", seed, "--race-corpus", "none")
            result.stdout.fnmatch_lines([f"racewindow: profile dev, seed {seed}", f"*(random-walk, seed {seed})"])
            tokens.append(re.findall(r"in schedule (\d+)", result.stdout.str())[0])
        assert tokens[0] == tokens[1]

    @pytest.mark.parametrize(
        ("option", "said"),
        [
            (("--race-profile", "cii"), "unknown profile 'cii' (did you mean 'ci'?)"),
            (("--race-schedules", "many"), "--race-schedules: 'many' is no number"),
            (("--race-schedules", "0"), "--race-schedules: '0' is not above zero"),
            (("--race-time-limit", "nan"), "--race-time-limit: 'nan' is not above zero"),
            (("--race-strategy", "luck"), "unknown strategy 'luck'"),
            (("--race-replay", "rw2~broken"), "is truncated or altered"),
        ],
    )
    def test_what_makes_no_sense_is_a_usage_error(
        self, pytester: pytest.Pytester, option: tuple[str, str], said: str
    ) -> None:
        pytester.makepyfile(test_it=LOST)
        result = run(pytester, *option)
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines([f"*{said.replace('[', '[[]')}*"])

    def test_a_token_of_another_project(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile(test_it=LOST)
        token = token_in(run(pytester))
        pytester.makepyfile(test_elsewhere="def test_it(): ...")
        result = run(pytester, "test_elsewhere.py", "--race-replay", token)
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines(["*which is none of the collected tests*"])


def schedules(pytester: pytest.Pytester, *argv: str) -> dict[str, int]:
    run(pytester, "--junit-xml=out.xml", "-p", "no:warnings", *argv)
    return {name: int(each["race_schedules"]) for name, each in properties(pytester.path / "out.xml").items()}


def properties(path: Path) -> dict[str, dict[str, str]]:
    return {
        case.attrib["name"]: {each.attrib["name"]: each.attrib["value"] for each in case.iter("property")}
        for case in ElementTree.parse(path).iter("testcase")
    }


class TestCorpus:
    def test_what_failed_is_replayed_first_and_dropped_when_it_is_fixed_for_good(
        self, pytester: pytest.Pytester
    ) -> None:
        pytester.makepyfile(test_it=LOST)
        token = token_in(run(pytester))
        corpus = pytester.path / ".racewindow" / "corpus"
        (file,) = corpus.iterdir()
        assert json.loads(file.read_text())["token"] == token
        # A walk of one schedule would hardly find it.
        result = run(pytester, "--race-schedules", "1", "--race-strategy", "bounded:preemptions=0")
        result.assert_outcomes(failed=1)
        result.stdout.fnmatch_lines(["lost-update, replayed from the corpus"])
        pytester.makepyfile(test_it=FIXED)
        for clean in (1, 2):
            run(pytester).assert_outcomes(passed=1)
            assert json.loads(file.read_text())["clean"] == clean
        run(pytester).assert_outcomes(passed=1)
        assert list(corpus.iterdir()) == []

    def test_one_that_comes_back_starts_anew(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile(test_it=LOST)
        run(pytester)
        pytester.makepyfile(test_it=FIXED)
        run(pytester)
        pytester.makepyfile(test_it=LOST)
        run(pytester).assert_outcomes(failed=1)
        (file,) = (pytester.path / ".racewindow" / "corpus").iterdir()
        assert json.loads(file.read_text())["clean"] == 0

    def test_no_corpus(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile(test_it=LOST)
        run(pytester, "--race-corpus", "none").assert_outcomes(failed=1)
        assert not (pytester.path / ".racewindow").exists()

    def test_foreign_files_are_said(self, pytester: pytest.Pytester) -> None:
        """Tokens of other tests are left alone; what is no token at all has no place there."""
        pytester.makepyfile(test_it=FIXED)
        corpus = pytester.mkdir("tokens")
        other = {"owner": "elsewhere.py::test", "token": "rw2~x", "kinds": ["k"], "clean": 0}
        (corpus / "a.json").write_text(json.dumps(other))
        run(pytester, "--race-corpus", "tokens").assert_outcomes(passed=1)
        (corpus / "b.json").write_text("{}")
        result = run(pytester, "--race-corpus", "tokens")
        result.assert_outcomes(failed=1)
        result.stdout.fnmatch_lines(["*b.json is no entry of a corpus*take it out of the folder"])


class TestFixture:
    def test_stores_of_the_test_are_proved_and_fuzzed(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile(
            test_it="""
            import racewindow as rw
            from racewindow.implementations import BUILT_IN

            class Mine(BUILT_IN["path-lock"]):
                pass

            def test_proved(race):
                (result,) = race.prove(Mine, "a: add m1; commit", topology="same-store", disk="atomic")
                assert (result.verdict, result.case.implementation.name) == ("proved", "Mine")

            def test_fails(race):
                race.fuzz([Mine], ["free-running"], topology="same-store", disk="atomic")

            def test_nothing(race):
                race.prove([], "free-running")
            """
        )
        result = run(pytester)
        result.assert_outcomes(passed=1, failed=2)
        result.stdout.fnmatch_lines_random(
            [
                "extracted-once: Mine/free-running/same-store/atomic, in 1 of * schedules (auto)",
                "shrunk to a: add m1; commit nowait; reload; commit",
                "replay     pytest *::test_fails --race-replay *",
                "*nothing to ask*",
                "1 proved, *",
            ]
        )
        (file,) = (pytester.path / ".racewindow" / "corpus").iterdir()
        entry = json.loads(file.read_text())
        again = run(pytester, "-k", "fails")
        again.stdout.fnmatch_lines(
            ["extracted-once, replayed from the corpus: Mine/a: add m1; commit nowait; reload; commit/*"]
        )
        replayed = run(pytester, "--race-replay", entry["token"], "test_it.py::test_fails")
        replayed.assert_outcomes(failed=1)
        replayed.stdout.fnmatch_lines(["extracted-once, replayed: Mine/*"])

    def test_a_token_of_another_store_is_no_pass(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile(test_it="def test_it(race): race.prove('reference', 'a: add m1')")
        token = racewindow.experiments.prove(racewindow.case("copy-on-write", "after-completion", disk="atomic")).token
        result = run(pytester, "--race-replay", token, "-rs")
        result.assert_outcomes(skipped=1)
        result.stdout.fnmatch_lines(["SKIPPED*the token belongs to no store that this test asks about"])


class TestBesideOthers:
    def test_importing_it_imports_nothing_heavy(self) -> None:
        """It is loaded in every run of pytest where racewindow is installed."""
        heavy = {"trio", "hypothesis", "pandas", "numpy", "scipy", "asyncio", "matplotlib", "pyarrow", "joblib"}
        code = (
            "import pytest, sys; before = set(sys.modules); import racewindow.pytest_plugin; "
            f"print(sorted({heavy!r} & (set(sys.modules) - before)))"
        )
        out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        assert out == "[]\n"

    @pytest.mark.parametrize("rival", ["trio", "anyio", "asyncio"])
    def test_two_plugins_do_not_fight_over_the_loop(self, pytester: pytest.Pytester, rival: str) -> None:
        pytester.makeini("[pytest]\nmarkers =\n    asyncio\n")
        said = collection_error(
            pytester, f"import pytest\n@pytest.mark.{rival}\n@pytest.mark.race\nasync def test(world): ...\n"
        )
        assert f"race and {rival} both want to run it on a loop of their own: keep one of the markers" in said

    @pytest.mark.parametrize(
        ("plugin", "ini"), [("pytest_trio", "trio_mode = true"), ("pytest_asyncio", "asyncio_mode = auto")]
    )
    def test_plugins_that_take_all_async_tests_leave_races_alone(
        self, pytester: pytest.Pytester, plugin: str, ini: str
    ) -> None:
        pytest.importorskip(plugin)
        pytester.makeini(f"[pytest]\n{ini}\n")
        library = "trio" if plugin == "pytest_trio" else "asyncio"
        pytester.makepyfile(test_it=f"{FIXED}\nimport {library}\nasync def test_plain(): await {library}.sleep(0)\n")
        result = run(pytester, "-W", "ignore")
        result.assert_outcomes(passed=2)
        result.stdout.fnmatch_lines(["1 proved, *"])

    def test_beside_hypothesis(self, pytester: pytest.Pytester) -> None:
        pytest.importorskip("hypothesis")
        pytester.makepyfile(
            test_it=FIXED
            + "\nfrom hypothesis import given, settings, strategies as st\n@settings(database=None)\n@given(st.integers())\n"
            "def test_drawn(number): assert number == number\n"
        )
        run(pytester).assert_outcomes(passed=2)
        said = collection_error(
            pytester,
            "import pytest\nfrom hypothesis import given, strategies as st\n@pytest.mark.race\n@given(number=st.integers())\n"
            "async def test(world, number): ...\n",
        )
        assert "race and @given both want to run it many times" in said

    def test_properties_in_junit_xml(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile(test_it=LOST)
        token = token_in(run(pytester, "--junit-xml=out.xml"))
        told = properties(pytester.path / "out.xml")["test_counter"]
        assert told["race_verdict"] == "failed"
        assert told["race_violation"] == "lost-update"
        assert told["race_token"] == token
        assert told["race_seed"] == "0"
        failure = next(ElementTree.parse(pytester.path / "out.xml").iter("failure"))
        assert failure.attrib["message"] == "lost-update in schedule 2 (auto, seed 0)"
        assert f"--race-replay '{token}'" in (failure.text or "")

    @pytest.mark.exhaustive
    def test_with_xdist_the_summary_is_whole_and_workers_that_do_the_same_have_other_seeds(
        self, pytester: pytest.Pytester
    ) -> None:
        pytest.importorskip("xdist")
        pytester.makepyfile(test_it=LOST, test_fixed=FIXED)
        result = pytester.runpytest_subprocess(*QUIET, "-n", "2", "--race-seed", "3")
        result.assert_outcomes(passed=1, failed=1)
        result.stdout.fnmatch_lines(
            ["1 proved, *", "1 failed, 2 schedules", "*lost-update in schedule 2 (auto, seed 3)"]
        )
        each = pytester.runpytest_subprocess(
            *QUIET, "--dist", "each", "--tx", "2*popen", "--race-seed", "3", "--race-corpus", "none", "-k", "counter", "test_fixed.py",
            "--race-strategy", "random-walk", "--junit-xml=out.xml"
        )  # fmt: skip
        each.assert_outcomes(passed=2)
        cases: list[Any] = list(ElementTree.parse(pytester.path / "out.xml").iter("testcase"))
        seeds = [p.attrib["value"] for case in cases for p in case.iter("property") if p.attrib["name"] == "race_seed"]
        assert sorted(seeds) == ["6", "7"]
