"""The frames that experiments make and charts draw: their columns, their exact dtypes, and window arithmetic.

Everything here is plain data: no experiment, no chart and no session store is known. A frame made by a builder has the
same columns and dtypes whether it has a million rows or none, so that a chart of an empty campaign is an empty chart
and not a ``KeyError``. One module for each experiment.
"""

from racewindow.frames._arrivals import ARRIVAL_WIDTHS as ARRIVAL_WIDTHS
from racewindow.frames._arrivals import ARRIVALS as ARRIVALS
from racewindow.frames._arrivals import arrival_widths as arrival_widths
from racewindow.frames._arrivals import arrivals_frame as arrivals_frame
from racewindow.frames._changes import CHANGES as CHANGES
from racewindow.frames._changes import changes_frame as changes_frame
from racewindow.frames._closing import CLOSINGS as CLOSINGS
from racewindow.frames._closing import closings_frame as closings_frame
from racewindow.frames._columns import BLOCKED as BLOCKED
from racewindow.frames._columns import CRASH_OUTCOMES as CRASH_OUTCOMES
from racewindow.frames._columns import FAILING as FAILING
from racewindow.frames._columns import OUTCOME as OUTCOME
from racewindow.frames._columns import OUTCOMES as OUTCOMES
from racewindow.frames._columns import PHASE as PHASE
from racewindow.frames._columns import PHASES as PHASES
from racewindow.frames._columns import RUN_VERDICT as RUN_VERDICT
from racewindow.frames._columns import VERDICT as VERDICT
from racewindow.frames._columns import VERDICTS as VERDICTS
from racewindow.frames._columns import Column as Column
from racewindow.frames._columns import PlainRow as PlainRow
from racewindow.frames._columns import concat as concat
from racewindow.frames._columns import conform as conform
from racewindow.frames._columns import describe as describe
from racewindow.frames._columns import kinds as kinds
from racewindow.frames._columns import require as require
from racewindow.frames._crashes import CRASH_POINTS as CRASH_POINTS
from racewindow.frames._crashes import CRASHES as CRASHES
from racewindow.frames._crashes import crash_points as crash_points
from racewindow.frames._crashes import crashes_frame as crashes_frame
from racewindow.frames._double import DOUBLE as DOUBLE
from racewindow.frames._double import DOUBLE_WIDTHS as DOUBLE_WIDTHS
from racewindow.frames._double import double_frame as double_frame
from racewindow.frames._double import double_widths as double_widths
from racewindow.frames._double import matrices as matrices
from racewindow.frames._first_bug import FIRST_BUG as FIRST_BUG
from racewindow.frames._first_bug import LOGRANK as LOGRANK
from racewindow.frames._first_bug import RATES as RATES
from racewindow.frames._first_bug import SURVIVAL as SURVIVAL
from racewindow.frames._first_bug import first_bug_frame as first_bug_frame
from racewindow.frames._first_bug import logrank_frame as logrank_frame
from racewindow.frames._first_bug import rates_frame as rates_frame
from racewindow.frames._first_bug import survival_frame as survival_frame
from racewindow.frames._matrix import MATRIX as MATRIX
from racewindow.frames._matrix import TALLY as TALLY
from racewindow.frames._matrix import matrix_frame as matrix_frame
from racewindow.frames._matrix import tally as tally
from racewindow.frames._measures import MEASURES as MEASURES
from racewindow.frames._measures import measures_frame as measures_frame
from racewindow.frames._runs import CAMPAIGN as CAMPAIGN
from racewindow.frames._runs import RUNS as RUNS
from racewindow.frames._runs import campaign_frame as campaign_frame
from racewindow.frames._runs import runs_frame as runs_frame
from racewindow.frames._timeline import Row as Row
from racewindow.frames._timeline import Timeline as Timeline
from racewindow.frames._tries import TRIES as TRIES
from racewindow.frames._tries import tries_frame as tries_frame
from racewindow.frames._windows import RIBBON as RIBBON
from racewindow.frames._windows import SPANS as SPANS
from racewindow.frames._windows import WIDTHS as WIDTHS
from racewindow.frames._windows import WINDOWS as WINDOWS
from racewindow.frames._windows import ribbons as ribbons
from racewindow.frames._windows import spans as spans
from racewindow.frames._windows import widths as widths
from racewindow.frames._windows import windows_frame as windows_frame
