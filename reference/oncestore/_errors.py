"""The errors of the store. Each message states the fact, the likely cause and the fix."""


class StoreError(Exception):
    """Whatever this package raises on purpose."""


class UsageError(StoreError, ValueError):
    """An argument that no store could accept."""


class UnknownSession(StoreError, LookupError):
    """A session that was never created here, or was deleted."""


class UnknownTask(StoreError, LookupError):
    """A task id for which there is no archive."""


class AlreadyExists(StoreError):
    """A session id that is, or was, in use."""


class Conflict(StoreError):
    """A message id that was already used for other content."""


class CommitPending(StoreError):
    """What was asked for has to wait for the extraction of a commit."""


class Corrupt(StoreError):
    """A file that this protocol cannot have written, with the line where it stops making sense."""

    def __init__(self, path: str, line: int, why: str) -> None:
        super().__init__(path, line, why)
        self.path = path
        self.line = line
        self.why = why

    def __str__(self) -> str:
        return (
            f"{self.path}, line {self.line}: {self.why}. Something other than the store, or a failing disk, changed "
            "it. Nothing was dropped: repair or remove that line, then repeat the operation"
        )


class NotStored(StoreError):
    """Storage refused, and nothing was changed: a full disk, a read-only root, a missing permission."""


class OutcomeUnknown(StoreError):
    """Storage failed to make a change durable: it may have happened or not."""


class StoreClosed(StoreError):
    """The store was left while, or before, the operation needed it."""


class ExtractionInterrupted(StoreError):
    """The extraction neither completed nor failed: storage refused. The archive is safe and can be retried."""
