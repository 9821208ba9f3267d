"""The domain: scenarios, the implementation protocol, histories, invariants and goals. Knows the kernel, and no implementation."""

from racewindow.sessions.capabilities import Capabilities as Capabilities
from racewindow.sessions.case import Case as Case
from racewindow.sessions.history import Archive as Archive
from racewindow.sessions.history import History as History
from racewindow.sessions.history import Observation as Observation
from racewindow.sessions.implementation import EndedTicket as EndedTicket
from racewindow.sessions.implementation import Environment as Environment
from racewindow.sessions.implementation import Handle as Handle
from racewindow.sessions.implementation import Refused as Refused
from racewindow.sessions.implementation import SessionStore as SessionStore
from racewindow.sessions.implementation import Ticket as Ticket
from racewindow.sessions.scenario import Operation as Operation
from racewindow.sessions.scenario import Scenario as Scenario
from racewindow.sessions.stories import STORIES as STORIES
from racewindow.sessions.stories import story as story
from racewindow.sessions.synchronous import SynchronousHandle as SynchronousHandle
from racewindow.sessions.synchronous import SynchronousStore as SynchronousStore
from racewindow.sessions.synchronous import SynchronousTicket as SynchronousTicket
