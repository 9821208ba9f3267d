"""``python -m racewindow``."""

from racewindow.cli import entry

if __name__ == "__main__":
    entry()
