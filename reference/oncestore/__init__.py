"""The reference session store: messages are added to a live log, and each is committed and extracted once.

``open_store`` is where to start; ``_layout`` says what is on the disk, ``_live`` how messages get there and into an
archive, ``_extraction`` what becomes of archives.
"""

from ._archive import Claim as Claim
from ._archive import Outcome as Outcome
from ._archive import Status as Status
from ._directory import DirectoryStorage as DirectoryStorage
from ._errors import AlreadyExists as AlreadyExists
from ._errors import CommitPending as CommitPending
from ._errors import Conflict as Conflict
from ._errors import Corrupt as Corrupt
from ._errors import ExtractionInterrupted as ExtractionInterrupted
from ._errors import NotStored as NotStored
from ._errors import OutcomeUnknown as OutcomeUnknown
from ._errors import StoreClosed as StoreClosed
from ._errors import StoreError as StoreError
from ._errors import UnknownSession as UnknownSession
from ._errors import UnknownTask as UnknownTask
from ._errors import UsageError as UsageError
from ._extraction import Extract as Extract
from ._memory import MemoryStorage as MemoryStorage
from ._messages import Message as Message
from ._session import Session as Session
from ._session import SessionInfo as SessionInfo
from ._sqlite import SqliteStorage as SqliteStorage
from ._storage import FsyncFailed as FsyncFailed
from ._storage import Lock as Lock
from ._storage import Storage as Storage
from ._store import SessionStore as SessionStore
from ._store import open_store as open_store
from ._task import CommitTask as CommitTask
