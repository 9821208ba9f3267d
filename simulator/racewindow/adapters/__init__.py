"""Adapters of one's own: templates to start from, and a suite that says what an adapter gets wrong."""

from racewindow.adapters._conformance import CHECKS as CHECKS
from racewindow.adapters._conformance import Conformance as Conformance
from racewindow.adapters._conformance import check_adapter as check_adapter
from racewindow.adapters._finding import Finding as Finding
from racewindow.adapters._styles import STYLES as STYLES
from racewindow.adapters._styles import new_adapter as new_adapter
