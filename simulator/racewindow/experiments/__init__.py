"""Experiments: each returns a frozen result with tidy frames. They know no implementation by name."""

from racewindow.experiments._case_result import CaseResult as CaseResult
from racewindow.experiments._compare import Budget as Budget
from racewindow.experiments._compare import Comparison as Comparison
from racewindow.experiments._compare import compare as compare
from racewindow.experiments._compare import prepare as prepare
from racewindow.experiments._crashes import CrashesResult as CrashesResult
from racewindow.experiments._crashes import crashes as crashes
from racewindow.experiments._first_bug import FirstBug as FirstBug
from racewindow.experiments._first_bug import first_bug as first_bug
from racewindow.experiments._fuzz import fuzz as fuzz
from racewindow.experiments._prove import prove as prove
from racewindow.experiments._shrink import Fingerprint as Fingerprint
from racewindow.experiments._shrink import ShrunkCase as ShrunkCase
from racewindow.experiments._shrink import shrink as shrink
from racewindow.experiments._timeline import replay_and_tell as replay_and_tell
from racewindow.experiments._timeline import timeline as timeline
from racewindow.experiments._windows import WindowsResult as WindowsResult
from racewindow.experiments._windows import windows as windows
