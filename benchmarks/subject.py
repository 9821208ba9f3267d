"""The program that speed is measured on. It lies in the package, for ``racewindow bench`` has to find it in an installed wheel too."""

from racewindow.bench.subject import ArchivedTwice as ArchivedTwice
from racewindow.bench.subject import Store as Store
from racewindow.bench.subject import bare_schedule as bare_schedule
from racewindow.bench.subject import on_asyncio as on_asyncio
from racewindow.bench.subject import on_trio as on_trio
