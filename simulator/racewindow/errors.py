"""The errors racewindow raises on purpose. A violation of the *subject* is a verdict, not one of these."""

from __future__ import annotations


class RacewindowError(Exception):
    """Base of every error that racewindow raises on purpose."""


class UsageError(RacewindowError):
    """The caller asked for something that makes no sense; the message says what, why, and what to do instead."""


class Unsupported(RacewindowError):
    """The subject did something that the kernel cannot control (or an implementation cannot do)."""


class ReplayDiverged(RacewindowError):
    """The subject did not follow a recorded schedule: it changed, or something outside the kernel's control decides."""


class InvariantViolation(RacewindowError, AssertionError):
    """Raised inside a subject by ``world.check`` so that the run stops where the invariant broke."""
