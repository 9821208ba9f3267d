"""The corpus: what it keeps, what it drops, what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

import racewindow as rw
from racewindow.campaign.corpus import CLEAN_RUNS, Corpus, Entry
from racewindow.campaign.profiles import profile_named

ENTRY = Entry(owner="store", token="rw2~store~m~1.x", kinds=("lost",))


def test_nothing_is_made_before_there_is_a_token(tmp_path: Path) -> None:
    corpus = Corpus(tmp_path / "deep" / "corpus")
    assert corpus.entries() == []
    assert not corpus.path.exists()
    corpus.add(ENTRY)
    assert corpus.entries("store") == [ENTRY]
    assert corpus.entries("other") == []


def test_a_token_is_kept_once(tmp_path: Path) -> None:
    corpus = Corpus(tmp_path)
    corpus.add(ENTRY)
    corpus.add(ENTRY)
    assert len(list(tmp_path.iterdir())) == 1


def test_clean_runs_in_a_row_drop_it_and_a_failure_between_counts_anew(tmp_path: Path) -> None:
    corpus = Corpus(tmp_path)
    corpus.add(ENTRY)
    verdicts = [(), ("lost",), *[()] * CLEAN_RUNS]
    seen = [outcome for kinds in verdicts for _, outcome in corpus.replay("store", lambda token, kinds=kinds: kinds)]  # type: ignore[misc]
    assert seen == ["passed", "failed", "passed", "passed", "dropped"]
    assert corpus.entries() == []


def test_a_token_that_cannot_be_followed_is_lost_and_stays(tmp_path: Path) -> None:
    corpus = Corpus(tmp_path)
    corpus.add(ENTRY)

    def diverges(token: str) -> tuple[str, ...]:
        raise rw.ReplayDiverged("changed")

    assert [outcome for _, outcome in corpus.replay("store", diverges)] == ["lost: changed"]
    assert corpus.entries() == [ENTRY]


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"owner": "a", "token": "b", "kinds": 3, "clean": 0}', "\x00"])
def test_a_foreign_file_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "alien.json").write_text(content)
    with pytest.raises(rw.UsageError, match=r"alien.json is no entry of a corpus .* take it out of the folder"):
        Corpus(tmp_path).entries()


def test_a_file_in_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "corpus").write_text("")
    with pytest.raises(rw.UsageError, match="is no folder"):
        Corpus(tmp_path / "corpus")


def test_profiles_have_names() -> None:
    assert profile_named("ci").time_limit_s < 120
    with pytest.raises(
        rw.UsageError, match=r"unknown profile 'nigthly' \(did you mean 'nightly'\?\): use dev, ci, nightly"
    ):
        profile_named("nigthly")
