"""Controlled execution: points, tasks, choices, virtual time; one host per concurrency style. Knows no sessions."""

from racewindow.kernel.engine import Chooser as Chooser
from racewindow.kernel.engine import Engine as Engine
from racewindow.kernel.engine import Subject as Subject
from racewindow.kernel.run import Limits as Limits
from racewindow.kernel.run import Run as Run
from racewindow.kernel.run import Step as Step
from racewindow.kernel.task import Point as Point
from racewindow.kernel.task import Process as Process
from racewindow.kernel.task import Task as Task
from racewindow.kernel.thread_host import Threads as Threads
from racewindow.kernel.token import Segment as Segment
from racewindow.kernel.token import Token as Token
from racewindow.kernel.token import token_of as token_of
from racewindow.kernel.violation import Violation as Violation
from racewindow.kernel.world import Cell as Cell
from racewindow.kernel.world import World as World
