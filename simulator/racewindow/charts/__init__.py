"""Draws frames, and computes nothing: data first, the rest keyword-only, ``ax=None``, and the Axes come back.

Colour is never the only channel (a hatch, a word or a shape says the same), and each chart tells what was proved, what
was sampled, and with how many schedules.
"""

from ._arrivals import arrivals as arrivals
from ._crashes import crash_atlas as crash_atlas
from ._crashes import crashes as crashes
from ._double import double as double
from ._first_bug import first_bug as first_bug
from ._matrix import matrix as matrix
from ._report import report as report
from ._style import MEANINGS as MEANINGS
from ._style import save as save
from ._style import svg as svg
from ._timeline_svg import timeline_svg as timeline_svg
from ._timeline_text import timeline_text as timeline_text
from ._windows import atlas as atlas
from ._windows import windows as windows

__all__ = [
    "MEANINGS",
    "arrivals",
    "atlas",
    "crash_atlas",
    "crashes",
    "double",
    "first_bug",
    "matrix",
    "report",
    "save",
    "svg",
    "timeline_svg",
    "timeline_text",
    "windows",
]
