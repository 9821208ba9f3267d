"""How to choose: one strategy per module, all behind one protocol. Knows only the kernel."""

from racewindow.search._exploration import Exploration as Exploration
from racewindow.search._exploration import Found as Found
from racewindow.search._exploration import SearchVerdict as SearchVerdict
from racewindow.search._explore import explore as explore
from racewindow.search._explore import prove as prove
from racewindow.search._reproduce import check_token as check_token
from racewindow.search._reproduce import replay as replay
from racewindow.search._reproduce import replayed as replayed
from racewindow.search.bounded import Bounded as Bounded
from racewindow.search.counting import Count as Count
from racewindow.search.counting import count as count
from racewindow.search.curve import Curve as Curve
from racewindow.search.curve import CurvePoint as CurvePoint
from racewindow.search.curve import probability_curve as probability_curve
from racewindow.search.dpor import DPOR as DPOR
from racewindow.search.random_walk import RandomWalk as RandomWalk
from racewindow.search.replay import Replay as Replay
from racewindow.search.strategy import Strategy as Strategy
