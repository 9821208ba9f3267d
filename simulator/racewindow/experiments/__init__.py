"""Experiments: each returns a frozen result with tidy frames. They know no implementation by name."""

from racewindow.experiments._case_result import CaseResult as CaseResult
from racewindow.experiments._closing import ClosingResult as ClosingResult
from racewindow.experiments._closing import closing as closing
from racewindow.experiments._compare import Budget as Budget
from racewindow.experiments._compare import Comparison as Comparison
from racewindow.experiments._compare import compare as compare
from racewindow.experiments._compare import prepare as prepare
from racewindow.experiments._double import DoubleResult as DoubleResult
from racewindow.experiments._double import double as double
from racewindow.experiments._first_bug import FirstBug as FirstBug
from racewindow.experiments._first_bug import first_bug as first_bug
from racewindow.experiments._fuzz import fuzz as fuzz
from racewindow.experiments._intrusion import Pair as Pair
from racewindow.experiments._intrusion import Section as Section
from racewindow.experiments._intrusion import pair_of as pair_of
from racewindow.experiments._intrusion import pairs_of as pairs_of
from racewindow.experiments._prove import prove as prove
from racewindow.experiments._shrink import Fingerprint as Fingerprint
from racewindow.experiments._shrink import ShrunkCase as ShrunkCase
from racewindow.experiments._shrink import shrink as shrink
from racewindow.experiments._timeline import replay_and_tell as replay_and_tell
from racewindow.experiments._timeline import timeline as timeline
from racewindow.experiments._windows import WindowsResult as WindowsResult
from racewindow.experiments._windows import windows as windows
