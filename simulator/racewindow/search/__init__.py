"""How to choose: one strategy per module, all behind one protocol. Knows only the kernel."""

from racewindow.search.bounded import Bounded as Bounded
from racewindow.search.explore import Exploration as Exploration
from racewindow.search.explore import Found as Found
from racewindow.search.explore import explore as explore
from racewindow.search.explore import prove as prove
from racewindow.search.explore import replay as replay
from racewindow.search.random_walk import RandomWalk as RandomWalk
from racewindow.search.replay import Replay as Replay
from racewindow.search.strategy import Strategy as Strategy
