"""Searches for the first bug: one row for each, and what is reckoned from them."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from racewindow.frames._columns import TOKEN, VIOLATION, Column, PlainRow, build

_SUBJECT = Column(name="subject", dtype="category", unit="", meaning="what was searched: a case, or an async function")
_STRATEGY = Column(name="strategy", dtype="category", unit="", meaning="how schedules were chosen, with its parameters")

FIRST_BUG: tuple[Column, ...] = (
    _SUBJECT,
    _STRATEGY,
    Column(name="seed", dtype="int64", unit="", meaning="of this search"),
    Column(
        name="schedules", dtype="int64", unit="schedules", meaning="run up to the first violation, that one included"
    ),
    Column(name="found", dtype="bool", unit="", meaning="whether there was one; if not, the search is censored"),
    VIOLATION,
    TOKEN,
)

RATES: tuple[Column, ...] = (
    _SUBJECT,
    _STRATEGY,
    Column(name="searches", dtype="int64", unit="searches", meaning="with different seeds"),
    Column(name="finds", dtype="int64", unit="searches", meaning="that came to a violation"),
    Column(
        name="schedules", dtype="int64", unit="schedules", meaning="run in all searches, the censored ones included"
    ),
    Column(name="mean", dtype="float64", unit="schedules", meaning="schedules / finds; infinite without a find"),
    Column(name="mean_low", dtype="float64", unit="schedules", meaning="lower end of its 95 % interval"),
    Column(name="mean_high", dtype="float64", unit="schedules", meaning="upper end of its 95 % interval"),
    Column(
        name="median",
        dtype="float64",
        unit="schedules",
        meaning="Kaplan-Meier median; infinite where it was not reached",
    ),
)

SURVIVAL: tuple[Column, ...] = (
    _SUBJECT,
    _STRATEGY,
    Column(name="schedules", dtype="int64", unit="schedules", meaning="so many schedules without a violation"),
    Column(
        name="survival", dtype="float64", unit="probability", meaning="Kaplan-Meier: that no violation came until then"
    ),
    Column(name="low", dtype="float64", unit="probability", meaning="lower end of the 95 % interval, pointwise"),
    Column(name="high", dtype="float64", unit="probability", meaning="upper end of the 95 % interval, pointwise"),
    Column(name="censored", dtype="int64", unit="searches", meaning="searches that ended here without a violation"),
    Column(name="searches", dtype="int64", unit="searches", meaning="all searches of this subject and strategy"),
)

LOGRANK: tuple[Column, ...] = (
    _SUBJECT,
    Column(name="one", dtype="str", unit="", meaning="a strategy"),
    Column(name="other", dtype="str", unit="", meaning="another one"),
    Column(
        name="statistic", dtype="float64", unit="", meaning="log-rank: above zero where the first one finds earlier"
    ),
    Column(
        name="pvalue", dtype="float64", unit="probability", meaning="two-sided, of two equal strategies; not corrected"
    ),
)


def first_bug_frame(rows: Iterable[PlainRow] = ()) -> pd.DataFrame:
    """Build a frame of searches with the columns `FIRST_BUG` from mappings, or from sequences in column order."""
    return build(FIRST_BUG, rows, "first_bug")


def rates_frame(rows: Iterable[PlainRow] = ()) -> pd.DataFrame:
    """Build a frame of strategies with the columns `RATES` from mappings, or from sequences in column order."""
    return build(RATES, rows, "rates")


def survival_frame(rows: Iterable[PlainRow] = ()) -> pd.DataFrame:
    """Build a frame of survival curves with the columns `SURVIVAL` from mappings, or from sequences in column order."""
    return build(SURVIVAL, rows, "survival")


def logrank_frame(rows: Iterable[PlainRow] = ()) -> pd.DataFrame:
    """Build a frame of comparisons with the columns `LOGRANK` from mappings, or from sequences in column order."""
    return build(LOGRANK, rows, "logrank")
