"""``python -m racewindow``."""

import sys

from racewindow.cli import main

if __name__ == "__main__":
    sys.exit(main())
