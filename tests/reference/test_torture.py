"""The tortures of benchmarks/, small; and whether they would notice."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from judgement import judge_torture
from recording import Recording, read_recordings

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def run(script: str, *arguments: object) -> dict[str, object]:
    """What a torture printed. Its exit code is that of a torture that nothing was found in."""
    command = [sys.executable, BENCHMARKS / script, "--json", *arguments]
    done = subprocess.run([str(each) for each in command], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    judgement = json.loads(done.stdout)
    assert isinstance(judgement, dict)
    return judgement


@pytest.fixture(scope="module")
def tortured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a torture left on the disk."""
    directory = tmp_path_factory.mktemp("tortured")
    judgement = run("torture.py", "--kills", 15, "--seconds", 4, "--keep", directory)
    assert judgement["kills"] == 15
    assert judgement["acknowledged"]
    assert judgement["extracted"]
    return directory


class TestTorture:
    def test_kills_break_nothing(self, tortured: Path) -> None:
        judgement = judge_torture(tortured)
        assert (judgement.lost, judgement.twice, judgement.stranded, judgement.violations) == (0, 0, 0, [])

    @pytest.mark.exhaustive
    @pytest.mark.parametrize("storage", ["directory", "sqlite"])
    def test_more_kills_break_nothing(self, storage: str) -> None:
        assert run("torture.py", "--kills", 60, "--seconds", 20, "--storage", storage)["kills"] == 60

    def test_faults_of_the_storage_break_nothing(self) -> None:
        assert run("faults.py", "--faults", 60)["faults"]

    @pytest.mark.exhaustive
    def test_more_faults_break_nothing(self) -> None:
        assert run("faults.py", "--faults", 500, "--seed", 2)["faults"]


def first(store: Path, name: str) -> Path:
    """Some archive that has such a file, and more than one message."""
    return next(
        path.parent
        for path in sorted(store.glob(f"sessions/*/archives/*/{name}"))
        if (path.parent / "messages.jsonl").read_bytes().count(b"\n") > 1
    )


def lose_a_line(directory: Path) -> None:
    log = first(directory / "store", "extraction.json") / "messages.jsonl"
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[1:]))


def change_a_message(directory: Path) -> None:
    log = first(directory / "store", "extraction.json") / "messages.jsonl"
    log.write_bytes(log.read_bytes().replace("é".encode(), b"e", 1))


def turn_round(directory: Path) -> None:
    for log in directory.glob("store/sessions/*/archives/*/messages.jsonl"):  # one may hold a single add of each client
        log.write_bytes(b"".join(reversed(log.read_bytes().splitlines(keepends=True))))


def commit_twice(directory: Path) -> None:
    archive = first(directory / "store", "extraction.json")
    shutil.copytree(archive, archive.parent / "999999")


def forget_an_extraction(directory: Path) -> None:
    (first(directory / "store", "extraction.json") / "extraction.json").unlink()


def extract_other_messages(directory: Path) -> None:
    (first(directory / "store", "extraction.json") / "extraction.json").write_text('{"text": "m1"}')


def have_no_effect(directory: Path) -> None:
    claim = json.loads((first(directory / "store", "extraction.json") / "claim.json").read_bytes())
    (directory / "effects" / claim["key"]).unlink()


def extract_again(directory: Path) -> None:
    """By somebody who does not see that it was done a moment ago, and by whom."""
    archive = first(directory / "store", "extraction.json")
    key = json.loads((archive / "claim.json").read_bytes())["key"]
    ids = [json.loads(line)["id"] for line in (archive / "messages.jsonl").read_bytes().splitlines()]
    recordings = directory / "recordings"
    facts = [fact for fact in read_recordings(recordings) if fact.get("key") == key and fact["what"] == "extracted"]
    recording = Recording(recordings / "intruder.jsonl")
    members = {"session": archive.parts[-3], "key": key}
    recording.note("handed", at=facts[-1]["at"] + 1, messages=ids, **members)
    recording.note("extracted", at=facts[-1]["at"] + 2, **members)
    recording.close()


@pytest.mark.parametrize(
    ("plant", "kind", "count"),
    [
        (lose_a_line, "nothing-lost", "lost"),
        (change_a_message, "nothing-lost", "lost"),
        (turn_round, "order-kept", "other"),
        (commit_twice, "committed-once", "twice"),
        (forget_an_extraction, "nothing-stranded", "stranded"),
        (extract_other_messages, "nothing-stranded", "stranded"),
        (have_no_effect, "nothing-stranded", "stranded"),
        (extract_again, "extracted-once", "twice"),
    ],
)
def test_a_planted_fault_is_found(
    tortured: Path, tmp_path: Path, plant: Callable[[Path], None], kind: str, count: str
) -> None:
    directory = tmp_path / "planted"
    shutil.copytree(tortured, directory)
    plant(directory)
    judgement = judge_torture(directory)
    assert getattr(judgement, count)
    assert any(f": {kind}: " in violation for violation in judgement.violations)
    command = [sys.executable, str(BENCHMARKS / "torture.py"), "--judge", str(directory)]
    assert subprocess.run(command, capture_output=True).returncode == 1
