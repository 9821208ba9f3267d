"""Small re-models of real stores' commit protocols, one file each. What goes wrong in them is for the simulator to find out."""

from racewindow.implementations.designs.archive_then_clear import ArchiveThenClear as ArchiveThenClear
from racewindow.implementations.designs.commit_in_place import CommitInPlace as CommitInPlace
from racewindow.implementations.designs.commit_in_place import CommitInPlaceUngated as CommitInPlaceUngated
from racewindow.implementations.designs.copy_on_write import CopyOnWrite as CopyOnWrite
from racewindow.implementations.designs.copy_on_write_early_clear import CopyOnWriteEarlyClear as CopyOnWriteEarlyClear
from racewindow.implementations.designs.durable_queue import DurableQueue as DurableQueue
from racewindow.implementations.designs.enqueue_after_unlock import EnqueueAfterUnlock as EnqueueAfterUnlock
from racewindow.implementations.designs.locked_intent import LockedIntent as LockedIntent
from racewindow.implementations.designs.path_lock import PathLock as PathLock
from racewindow.implementations.designs.redo_log import RedoLog as RedoLog
from racewindow.implementations.designs.two_phase import TwoPhase as TwoPhase
from racewindow.implementations.designs.two_phase import TwoPhaseUngated as TwoPhaseUngated
from racewindow.implementations.designs.two_phase_chained import TwoPhaseChained as TwoPhaseChained

DESIGNS = (
    CommitInPlace,
    CommitInPlaceUngated,
    CopyOnWrite,
    CopyOnWriteEarlyClear,
    RedoLog,
    PathLock,
    TwoPhase,
    TwoPhaseUngated,
    TwoPhaseChained,
    ArchiveThenClear,
    DurableQueue,
    LockedIntent,
    EnqueueAfterUnlock,
)
"""In the order in which the store went through them."""
