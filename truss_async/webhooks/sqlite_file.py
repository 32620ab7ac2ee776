"""One SQLite file that threads, forked processes and unrelated processes use at the same time."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from ..errors import WebhookReceiverError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")

# Less than the platform waits for an answer.
_LOCK_SECONDS: Final = 8.0


class SqliteFile:
    """Runs each operation in a transaction of its own, which is on the disk when ``run`` returns.

    Each has its own connection, too: nothing is held between two of them that a fork could duplicate, a thread could
    misuse, or somebody would have to close. Readable by its owner only, for it may hold model outputs.

    Raises:
        WebhookReceiverError: from every method, when the file cannot be read or written.
    """

    def __init__(self, path: str | Path, *, schema: Sequence[str]) -> None:
        self.path = Path(path)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
        except OSError as error:
            raise self._failed(error.strerror or str(error)) from None
        self.run(lambda connection: [connection.execute(statement) for statement in schema])

    def run(self, operation: Callable[[sqlite3.Connection], T]) -> T:
        """Do it while nobody else writes; all of it is stored, or nothing."""
        try:
            with closing(
                sqlite3.connect(self.path, timeout=_LOCK_SECONDS, isolation_level=None)
            ) as connection:
                connection.row_factory = sqlite3.Row
                # EXTRA: what is committed survives a power cut, too.
                connection.execute("PRAGMA synchronous = EXTRA")
                connection.execute("BEGIN IMMEDIATE")
                outcome = operation(connection)
                connection.execute("COMMIT")
                return outcome
        except sqlite3.Error as error:
            raise self._failed(str(error)) from error

    def _failed(self, reason: str) -> WebhookReceiverError:
        return WebhookReceiverError(f"cannot use {self.path}: {reason}; it must be a writable SQLite file")
