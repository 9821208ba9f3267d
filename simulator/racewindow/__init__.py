"""Find, prove, measure and draw race conditions in session stores, and in any async code."""

from racewindow.errors import InvariantViolation as InvariantViolation
from racewindow.errors import RacewindowError as RacewindowError
from racewindow.errors import ReplayDiverged as ReplayDiverged
from racewindow.errors import Unsupported as Unsupported
from racewindow.errors import UsageError as UsageError
from racewindow.kernel import Cell as Cell
from racewindow.kernel import Limits as Limits
from racewindow.kernel import Run as Run
from racewindow.kernel import Violation as Violation
from racewindow.kernel import World as World
from racewindow.search import Bounded as Bounded
from racewindow.search import Exploration as Exploration
from racewindow.search import RandomWalk as RandomWalk
from racewindow.search import Replay as Replay
from racewindow.search import explore as explore
from racewindow.search import prove as prove
from racewindow.search import replay as replay
