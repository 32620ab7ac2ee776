"""One SQLite file that threads, forked processes and unrelated processes use at the same time."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TypeVar

from ..errors import WebhookReceiverError
from ..forks import in_forked_process

T = TypeVar("T")

# Less than the platform waits for an answer.
_LOCK_SECONDS: Final = 8.0
# SQLite wants no connection to be used, or even closed, in a process that was forked from its own.
_INHERITED: Final[list[sqlite3.Connection]] = []


class SqliteFile:
    """Runs each operation in a transaction of its own: all of it is stored, or nothing.

    Readable by its owner only, for it may hold model outputs. When somebody removes the file, it is created again.
    ``upgrade`` is done before the schema, which creates what is not there.

    Raises:
        WebhookReceiverError: from every method, when the file cannot be read or written.
    """

    _open: _OpenFile | None

    def __init__(
        self,
        path: str | Path,
        *,
        schema: Sequence[str],
        upgrade: Callable[[sqlite3.Connection], None] | None = None,
    ) -> None:
        self.path = Path(path)
        self._schema = schema
        self._upgrade = upgrade
        self._forget_connection()
        in_forked_process(self._forget_connection)
        self.run(lambda connection: None)

    def run(self, operation: Callable[[sqlite3.Connection], T], *, is_durable: bool = False) -> T:
        """Do it while nobody else writes. What is durable survives a power cut, too, when this returns."""
        try:
            with self._lock:
                connection = self._connected()
                # In WAL, FULL makes the commit wait for the disk; NORMAL is safe when the process dies.
                connection.execute(f"PRAGMA synchronous = {'FULL' if is_durable else 'NORMAL'}")
                connection.execute("BEGIN IMMEDIATE")
                try:
                    outcome = operation(connection)
                    connection.execute("COMMIT")
                finally:
                    if connection.in_transaction:
                        connection.execute("ROLLBACK")
                return outcome
        except (sqlite3.Error, UnicodeError) as error:  # text with lone surrogates
            raise self._failed(str(error)) from error
        except OSError as error:
            raise self._failed(error.strerror or str(error)) from None

    def _connected(self) -> sqlite3.Connection:
        """The connection to the file that is there now."""
        if self._open is None or not self._open.is_current(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
            fresh = _OpenFile(self.path)
            fresh.connection.execute("BEGIN IMMEDIATE")
            if self._upgrade is not None:
                self._upgrade(fresh.connection)
            for statement in self._schema:
                fresh.connection.execute(statement)
            fresh.connection.execute("COMMIT")
            self._open = fresh
        return self._open.connection

    def _forget_connection(self) -> None:
        self._lock = threading.Lock()
        self._open = None

    def _failed(self, reason: str) -> WebhookReceiverError:
        return WebhookReceiverError(f"cannot use {self.path}: {reason}; it must be a writable SQLite file")


class _OpenFile:
    """A connection, and which file it is connected to."""

    def __init__(self, path: Path) -> None:
        self.connection = sqlite3.connect(
            path, timeout=_LOCK_SECONDS, isolation_level=None, check_same_thread=False
        )
        weakref.finalize(self, _close, self.connection, os.getpid())
        self.connection.row_factory = sqlite3.Row
        status = path.stat()
        self._identity = (status.st_dev, status.st_ino)
        # It fails when another process does it at this moment, and is done then.
        with contextlib.suppress(sqlite3.OperationalError):
            self.connection.execute("PRAGMA journal_mode = WAL")

    def is_current(self, path: Path) -> bool:
        """Whether the file was not removed, or replaced."""
        try:
            status = path.stat()
        except FileNotFoundError:
            return False
        return (status.st_dev, status.st_ino) == self._identity


def _close(connection: sqlite3.Connection, process_id: int) -> None:
    if process_id == os.getpid():
        connection.close()
    else:
        _INHERITED.append(connection)
