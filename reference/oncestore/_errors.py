"""The errors of the store. Each message states the fact, the likely cause and the fix."""


class StoreError(Exception):
    """Whatever this package raises on purpose."""


class UsageError(StoreError, ValueError):
    """An argument that no store could accept."""


class Conflict(StoreError):
    """A message id that was already used for other content."""


class Corrupt(StoreError):
    """A file that this protocol cannot have written, with the line where it stops making sense."""

    def __init__(self, path: str, line: int, why: str) -> None:
        super().__init__(
            f"{path}, line {line}: {why}. Something other than the store, or a failing disk, changed it. "
            "Nothing was dropped: repair or remove that line, then repeat the operation"
        )
        self.path = path
        self.line = line


class UnknownTask(StoreError, LookupError):
    """A task id for which there is no archive."""


class StoreClosed(StoreError):
    """The store was left while, or before, the operation needed it."""


class ExtractionInterrupted(StoreError):
    """The extraction neither completed nor failed: storage refused. The archive is safe and can be retried."""
