"""Exit codes, as the head of :mod:`racewindow.cli` explains them."""

from __future__ import annotations

CLEAN, VIOLATION, USAGE, UNKNOWN, INTERNAL, INTERRUPTED = 0, 1, 2, 3, 4, 130
