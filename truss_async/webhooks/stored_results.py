"""Results that are stored before they are acknowledged, in one SQLite file, until somebody has handled them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Final

from .handled import REMEMBER_SECONDS
from .sqlite_file import SqliteFile

if TYPE_CHECKING:
    import sqlite3

    from ..clock import Clock


@dataclass(frozen=True)
class ClaimedResult:
    """A result to handle now. ``attempts`` counts this one."""

    request_id: str
    body: bytes
    attempts: int


@dataclass(frozen=True)
class FailedResult:
    """A result that was tried too often, and is kept until somebody decides about it."""

    request_id: str
    received_at: datetime
    attempts: int
    error: str
    body: bytes


_SCHEMA: Final = (
    """
    CREATE TABLE IF NOT EXISTS results (
        request_id TEXT PRIMARY KEY,
        state TEXT NOT NULL CHECK (state IN ('waiting', 'handled', 'failed')),
        body BLOB,             -- until it is handled
        received_at REAL NOT NULL,
        due_at REAL NOT NULL,  -- not to be handled before; of a handled one: when it may be forgotten
        attempts INTEGER NOT NULL DEFAULT 0,
        owner TEXT,            -- who handles it, and how long that is to be believed
        claimed_until REAL NOT NULL DEFAULT 0,
        error TEXT
    )""",
    "CREATE INDEX IF NOT EXISTS results_due ON results (state, due_at)",
)
_FORGET: Final = "DELETE FROM results WHERE state = 'handled' AND due_at <= :now"
_ADD: Final = """
INSERT INTO results (request_id, state, body, received_at, due_at)
VALUES (:request_id, 'waiting', :body, :now, :now) ON CONFLICT (request_id) DO NOTHING"""
_NEXT: Final = """
SELECT request_id, body, attempts FROM results
WHERE state = 'waiting' AND due_at <= :now AND claimed_until <= :now ORDER BY due_at LIMIT 1"""
# The attempt is counted before it is made: one that ends the process counts, too.
_CLAIM: Final = """
UPDATE results SET owner = :owner, claimed_until = :until, attempts = attempts + 1 WHERE request_id = :request_id"""
_RENEW: Final = """
UPDATE results SET claimed_until = :until WHERE request_id = :request_id AND owner = :owner AND state = 'waiting'"""
_FINISH: Final = """
UPDATE results SET state = 'handled', body = NULL, error = NULL, owner = NULL, due_at = :forget_at
WHERE request_id = :request_id"""
_PUT_OFF: Final = """
UPDATE results SET owner = NULL, claimed_until = 0, due_at = :due_at, error = :error
WHERE request_id = :request_id AND owner = :owner AND state = 'waiting'"""
_GIVE_UP: Final = """
UPDATE results SET state = 'failed', owner = NULL, claimed_until = 0, error = :error
WHERE request_id = :request_id AND owner = :owner AND state = 'waiting'"""
_FAILED: Final = """
SELECT request_id, received_at, attempts, error, body FROM results WHERE state = 'failed' ORDER BY received_at"""
_RETRY: Final = """
UPDATE results SET state = 'waiting', attempts = 0, due_at = :now
WHERE request_id = :request_id AND state = 'failed'"""
_COUNT_WAITING: Final = "SELECT count(*) FROM results WHERE state = 'waiting'"


class StoredResults:
    """Each result once, by its request id. Safe to share between threads and processes.

    Every method raises ``WebhookReceiverError`` when the file cannot be used.
    """

    def __init__(self, path: str | Path, *, clock: Clock) -> None:
        self._file = SqliteFile(path, schema=_SCHEMA)
        self._clock = clock

    def add(self, request_id: str, body: bytes) -> bool:
        """Store it, so that it survives a power cut; False when it was there already, handled or not."""

        def operation(connection: sqlite3.Connection) -> bool:
            connection.execute(_FORGET, {"now": self._now()})
            new = {"request_id": request_id, "body": body, "now": self._now()}
            return bool(connection.execute(_ADD, new).rowcount)

        return self._file.run(operation, is_durable=True)

    def claim(self, owner: str, *, seconds: float) -> ClaimedResult | None:
        """The one that has been due for longest, for the owner alone and for so long; None when nothing is due."""

        def operation(connection: sqlite3.Connection) -> ClaimedResult | None:
            now = self._now()
            row = connection.execute(_NEXT, {"now": now}).fetchone()
            if row is None:
                return None
            claim = {"request_id": row["request_id"], "owner": owner, "until": now + seconds}
            connection.execute(_CLAIM, claim)
            return ClaimedResult(row["request_id"], row["body"], row["attempts"] + 1)

        return self._file.run(operation)

    def renew(self, request_id: str, owner: str, *, seconds: float) -> None:
        """Keep the claim for so long from now."""
        self._execute(_RENEW, request_id=request_id, owner=owner, until=self._now() + seconds)

    def finish(self, request_id: str) -> None:
        """It is handled: erase the body, and remember for days that it was."""
        self._execute(_FINISH, request_id=request_id, forget_at=self._now() + REMEMBER_SECONDS)

    def put_off(self, request_id: str, owner: str, *, seconds: float, error: str) -> None:
        """It could not be handled; it is due again in so many seconds."""
        due_at = self._now() + seconds
        self._execute(_PUT_OFF, request_id=request_id, owner=owner, due_at=due_at, error=error)

    def give_up(self, request_id: str, owner: str, *, error: str) -> None:
        """It could not be handled, and is set aside."""
        self._execute(_GIVE_UP, request_id=request_id, owner=owner, error=error)

    def retry(self, request_id: str) -> bool:
        """Make one that was set aside due again; False when there is no such."""
        return self._execute(_RETRY, request_id=request_id, now=self._now()) > 0

    def failed(self) -> list[FailedResult]:
        """What was set aside, oldest first."""
        rows = self._file.run(lambda connection: connection.execute(_FAILED).fetchall())
        return [
            FailedResult(
                request_id=row["request_id"],
                received_at=datetime.fromtimestamp(row["received_at"], timezone.utc),
                attempts=row["attempts"],
                error=row["error"],
                body=row["body"],
            )
            for row in rows
        ]

    def count_waiting(self) -> int:
        """How many are not handled yet, and not set aside."""
        return int(self._file.run(lambda connection: connection.execute(_COUNT_WAITING).fetchone()[0]))

    def _execute(self, statement: str, **values: object) -> int:
        return self._file.run(lambda connection: connection.execute(statement, values).rowcount)

    def _now(self) -> float:
        return self._clock.now().timestamp()
