"""Real servers, black boxes behind HTTP: the same stories and invariants, in wall-clock time; what comes of it is a sample.

Needs the ``server`` extra.
"""

from racewindow.servers._arrivals import ServerArrivals as ServerArrivals
from racewindow.servers._arrivals import arrivals as arrivals
from racewindow.servers._client import ServerClient as ServerClient
from racewindow.servers._fleet import TOKEN as TOKEN
from racewindow.servers._fleet import Fleet as Fleet
from racewindow.servers._fleet import connect as connect
from racewindow.servers._fleet import name_of as name_of
from racewindow.servers._fleet import reach as reach
from racewindow.servers._fleet import start as start
from racewindow.servers._sample import ServerResult as ServerResult
from racewindow.servers._sample import Try as Try
from racewindow.servers._sample import sample as sample
from racewindow.servers._trial import Pace as Pace
from racewindow.servers._trial import Trial as Trial
