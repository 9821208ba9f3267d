"""Simulated storage: points, a volatile and a durable state, and every way in which a loss of power may leave it."""

from racewindow.disk._disk import GRANULARITIES as GRANULARITIES
from racewindow.disk._disk import Disk as Disk
from racewindow.disk._disk import DiskFile as DiskFile
from racewindow.disk._disk import DiskLock as DiskLock
from racewindow.disk._disk import Granularity as Granularity
from racewindow.disk._disk import LockBusy as LockBusy
from racewindow.disk._disk import Mode as Mode
from racewindow.disk._persistence import PERSISTENCE as PERSISTENCE
from racewindow.disk._persistence import Persistence as Persistence
from racewindow.disk._persistence import Unsynced as Unsynced
from racewindow.disk._persistence import answer as answer
from racewindow.disk._persistence import send as send
from racewindow.disk._tree import Node as Node
