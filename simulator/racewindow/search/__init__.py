"""How to choose: one strategy per module, all behind one protocol. Knows only the kernel."""

from racewindow.search._exploration import Exploration as Exploration
from racewindow.search._exploration import Found as Found
from racewindow.search._exploration import SearchVerdict as SearchVerdict
from racewindow.search._explore import explore as explore
from racewindow.search._explore import prove as prove
from racewindow.search._reproduce import check_token as check_token
from racewindow.search._reproduce import replay as replay
from racewindow.search._reproduce import replayed as replayed
from racewindow.search.auto import Auto as Auto
from racewindow.search.bounded import Bounded as Bounded
from racewindow.search.burst import Burst as Burst
from racewindow.search.pct import PCT as PCT
from racewindow.search.pos import POS as POS
from racewindow.search.random_walk import RandomWalk as RandomWalk
from racewindow.search.registry import STRATEGIES as STRATEGIES
from racewindow.search.registry import strategy_named as strategy_named
from racewindow.search.replay import Replay as Replay
from racewindow.search.strategy import Strategy as Strategy
from racewindow.search.surw import SURW as SURW
from racewindow.search.timed import Timed as Timed
from racewindow.search.urw import URW as URW
