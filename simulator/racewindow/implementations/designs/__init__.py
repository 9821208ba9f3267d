"""Small re-models of real stores' commit protocols, one file each. What goes wrong in them is for the simulator to find out."""

from racewindow.implementations.designs.commit_in_place import CommitInPlace as CommitInPlace
from racewindow.implementations.designs.copy_on_write import CopyOnWrite as CopyOnWrite
from racewindow.implementations.designs.copy_on_write_early_clear import CopyOnWriteEarlyClear as CopyOnWriteEarlyClear
from racewindow.implementations.designs.locked_intent import LockedIntent as LockedIntent
from racewindow.implementations.designs.path_lock import PathLock as PathLock

DESIGNS = (CommitInPlace, CopyOnWrite, CopyOnWriteEarlyClear, PathLock, LockedIntent)
