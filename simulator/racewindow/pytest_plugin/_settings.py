"""What the command line, the marker, the ini file and the profile say, in this order of precedence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from racewindow.campaign.profiles import PROFILES, Profile, profile_named
from racewindow.errors import RacewindowError, UsageError

_OPTIONS: tuple[tuple[str, Any, str], ...] = (
    ("schedules", int, "how many schedules each race test runs at most"),
    ("seed", int, "of all race tests (default: 0)"),
    ("strategy", str, "how schedules are chosen, as on racewindow's command line (default: auto)"),
    ("time-limit", float, "wall-clock seconds for each race test"),
    ("profile", str, f"a budget by name: {', '.join(PROFILES)} (default: dev)"),
    (
        "corpus",
        str,
        "folder of failing tokens, replayed first (default: .racewindow/corpus in the root; none: no corpus)",
    ),
)
_TYPES = {name.replace("-", "_"): kind for name, kind, _ in _OPTIONS}
_NO_CORPUS = "none"


def add_options(parser: pytest.Parser) -> None:
    """Every option is an ini key, too, with underscores; but for the token, which is of one moment."""
    group = parser.getgroup("racewindow", "race tests")
    for name, _, says in _OPTIONS:
        group.addoption(f"--race-{name}", default=None, metavar=name.upper(), help=says)
        parser.addini(f"race_{name.replace('-', '_')}", says, default="")
    group.addoption(
        "--race-replay", default="", metavar="TOKEN", help="run only the schedule of this token, and its test"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What holds for a session of pytest.

    Attributes:
        line, ini: what was given on the command line and in the ini file.
        profile_name, profile: the budget.
        corpus: its folder, or None.
        replay: the token to replay, or empty.
        share, shares: which of several workers this is that all run every test (``--dist each``), and how many there are.
    """

    line: Mapping[str, Any]
    ini: Mapping[str, Any]
    profile_name: str
    profile: Profile
    corpus: Path | None
    replay: str
    share: int = 0
    shares: int = 1

    @classmethod
    def of(cls, config: pytest.Config) -> Settings:
        """Read them.

        Raises:
            pytest.UsageError: a value makes no sense.
        """
        try:
            line = {name: _read(name, config.getoption(f"race_{name}"), f"--race-{_dashed(name)}") for name in _TYPES}
            ini = {
                name: _read(name, config.getini(f"race_{name}") or None, f"race_{name} in the ini file")
                for name in _TYPES
            }
            given = {name: line[name] if line[name] is not None else ini[name] for name in _TYPES}
            profile_name = given["profile"] or "dev"
            profile = profile_named(profile_name)
            replay = str(config.getoption("race_replay"))
            if given["strategy"]:
                _strategy(given["strategy"])
            if replay:
                from racewindow.kernel.token import Token

                Token.parse(replay)
        except RacewindowError as error:
            raise pytest.UsageError(str(error)) from error
        corpus = given["corpus"] or ".racewindow/corpus"
        share, shares = getattr(config, "workerinput", {}).get("race_share", (0, 1))
        return cls(
            line=line,
            ini=ini,
            profile_name=profile_name,
            profile=profile,
            corpus=None if corpus == _NO_CORPUS else config.rootpath / corpus,
            replay=replay,
            share=share,
            shares=shares,
        )

    def pick(self, name: str, marker: Mapping[str, Any], default: Any) -> Any:
        """A value for one test."""
        for source in (self.line, marker, self.ini):
            if source.get(name) is not None:
                return source[name]
        return default

    def seed(self, marker: Mapping[str, Any]) -> int:
        """Workers that all run every test have seeds of their own: of n workers, those that leave the remainder 0, 1, ... n - 1."""
        return int(self.pick("seed", marker, 0)) * self.shares + self.share

    @property
    def header(self) -> str:
        """For the head of pytest's report."""
        seed = self.pick("seed", {}, 0)
        return f"racewindow: profile {self.profile_name}, seed {seed}" + (
            f", replays {self.replay}" if self.replay else ""
        )


def _dashed(name: str) -> str:
    return name.replace("_", "-")


def _read(name: str, text: str | None, where: str) -> Any:
    if text is None:
        return None
    try:
        value = _TYPES[name](text)
    except ValueError as error:
        raise UsageError(f"{where}: {text!r} is no number") from error
    if name in ("schedules", "time_limit") and not value > 0:
        raise UsageError(f"{where}: {text!r} is not above zero")
    return value


def _strategy(name: str) -> object:
    from racewindow.search import strategy_named

    return strategy_named(name)
