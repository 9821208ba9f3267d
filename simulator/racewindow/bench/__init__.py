"""Measures the kernel's speed: ``racewindow bench``."""

from racewindow.bench._speed import Bench as Bench
from racewindow.bench._speed import Rate as Rate
from racewindow.bench._speed import Spread as Spread
from racewindow.bench._speed import bench as bench
