"""Results that are stored before they are acknowledged, in one SQLite file, until somebody has handled them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..clock import stopwatch_of
from .handled import REMEMBER_SECONDS
from .sqlite_file import SqliteFile

if TYPE_CHECKING:
    import sqlite3

    from ..clock import TellsTime


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


# Waits are measured on the stopwatch that the processes of a machine share: the time of day may be set meanwhile. The
# stopwatch starts anew with the machine, which also ends whoever held a claim: see _RESUME.
_SCHEMA: Final = (
    """
    CREATE TABLE IF NOT EXISTS results (
        request_id TEXT PRIMARY KEY,
        state TEXT NOT NULL CHECK (state IN ('waiting', 'handled', 'failed')),
        body BLOB,                  -- until it is handled, or forgotten
        received_at REAL NOT NULL,  -- time of day
        noted_at REAL NOT NULL,     -- stopwatch: when the two waits below were last set
        due_at REAL NOT NULL,       -- stopwatch: not to be handled before
        claimed_until REAL NOT NULL DEFAULT 0,  -- stopwatch: how long the owner is to be believed
        owner TEXT,                 -- who handles it
        attempts INTEGER NOT NULL DEFAULT 0,
        error TEXT,
        forget_at REAL              -- time of day: of a handled one
    )""",
    "CREATE INDEX IF NOT EXISTS results_due ON results (state, due_at)",
    "CREATE INDEX IF NOT EXISTS results_forget ON results (forget_at)",
)
# An earlier version measured by the time of day: whatever waited then is due.
_UPGRADE: Final = (
    "ALTER TABLE results ADD COLUMN noted_at REAL NOT NULL DEFAULT 0",
    "ALTER TABLE results ADD COLUMN forget_at REAL",
    "UPDATE results SET forget_at = due_at WHERE state = 'handled'",
    "UPDATE results SET due_at = 0, claimed_until = 0, owner = NULL",
)
# The stopwatch stood lower: the machine was started anew, and nobody knows how much of a wait had passed.
_RESUME: Final = """
UPDATE results SET noted_at = :now, due_at = :now, claimed_until = 0, owner = NULL
WHERE state = 'waiting' AND noted_at > :now"""
# The time of day alone would forget too early once it was set forward, the stopwatch once the machine was started anew.
_FORGET: Final = """
DELETE FROM results
WHERE forget_at <= :time_of_day AND state = 'handled' AND (noted_at > :now OR noted_at + :remember <= :now)"""
_ADD: Final = """
INSERT INTO results (request_id, state, body, received_at, noted_at, due_at)
VALUES (:request_id, 'waiting', :body, :time_of_day, :now, :now) ON CONFLICT (request_id) DO NOTHING"""
_NEXT: Final = """
SELECT request_id, body, attempts FROM results
WHERE state = 'waiting' AND due_at <= :now AND claimed_until <= :now ORDER BY due_at LIMIT 1"""
# The attempt is counted before it is made: one that ends the process counts, too.
_CLAIM: Final = """
UPDATE results SET owner = :owner, claimed_until = :until, noted_at = :now, attempts = attempts + 1
WHERE request_id = :request_id"""
_RENEW: Final = """
UPDATE results SET claimed_until = :until, noted_at = :now
WHERE request_id = :request_id AND owner = :owner AND state = 'waiting'"""
_FINISH: Final = """
UPDATE results SET state = 'handled', body = CASE WHEN :keeps THEN body END, error = NULL, owner = NULL, noted_at = :now, forget_at = :forget_at
WHERE request_id = :request_id"""
_PUT_OFF: Final = """
UPDATE results SET owner = NULL, claimed_until = 0, due_at = :due_at, noted_at = :now, error = :error
WHERE request_id = :request_id AND owner = :owner AND state = 'waiting'"""
_GIVE_UP: Final = """
UPDATE results SET state = 'failed', owner = NULL, claimed_until = 0, error = :error
WHERE request_id = :request_id AND owner = :owner AND state = 'waiting'"""
_FAILED: Final = """
SELECT request_id, received_at, attempts, error, body FROM results WHERE state = 'failed' ORDER BY received_at, rowid"""
_RETRY: Final = """
UPDATE results SET state = 'waiting', attempts = 0, due_at = :now, noted_at = :now
WHERE request_id = :request_id AND state = 'failed'"""
_COUNT_WAITING: Final = "SELECT count(*) FROM results WHERE state = 'waiting'"


class StoredResults:
    """Each result once, by its request id. Safe to share between threads and processes of one machine.

    ``keeps``: a result that was handled can be read as long as it is remembered; else it is erased.

    Every method raises ``WebhookReceiverError`` when the file cannot be used.
    """

    def __init__(self, path: str | Path, *, clock: TellsTime, keeps: bool = False) -> None:
        self._keeps = keeps
        self._file = SqliteFile(path, schema=_SCHEMA, upgrade=_upgrade)
        self._clock = clock
        self._stopwatch = stopwatch_of(clock)
        self._file.run(self._resume)

    def _resume(self, connection: sqlite3.Connection) -> None:
        """Make due what waited for a moment that nobody can tell any more."""
        connection.execute(_RESUME, {"now": self._stopwatch()})

    def add(self, request_id: str, body: bytes) -> bool:
        """Store it, so that it survives a power cut; False when it was there already, handled or not."""
        time_of_day, now = self._time_of_day(), self._stopwatch()
        old = {"time_of_day": time_of_day, "now": now, "remember": REMEMBER_SECONDS}
        new = {"request_id": request_id, "body": body, "time_of_day": time_of_day, "now": now}

        def operation(connection: sqlite3.Connection) -> bool:
            connection.execute(_FORGET, old)
            return bool(connection.execute(_ADD, new).rowcount)

        return self._file.run(operation, is_durable=True)

    def claim(self, owner: str, *, seconds: float) -> ClaimedResult | None:
        """The one that has been due for longest, for the owner alone and for so long; None when nothing is due."""

        def operation(connection: sqlite3.Connection) -> ClaimedResult | None:
            now = self._stopwatch()
            row = connection.execute(_NEXT, {"now": now}).fetchone()
            if row is None:
                return None
            claim = {"request_id": row["request_id"], "owner": owner, "now": now, "until": now + seconds}
            connection.execute(_CLAIM, claim)
            return ClaimedResult(row["request_id"], row["body"], row["attempts"] + 1)

        return self._file.run(operation)

    def renew(self, request_id: str, owner: str, *, seconds: float) -> None:
        """Keep the claim for so long from now."""
        now = self._stopwatch()
        self._execute(_RENEW, request_id=request_id, owner=owner, now=now, until=now + seconds)

    def finish(self, request_id: str) -> None:
        """It is handled: erase the body, unless it is kept, and remember for days that it was."""
        forget_at = self._time_of_day() + REMEMBER_SECONDS
        self._execute(
            _FINISH, request_id=request_id, keeps=self._keeps, now=self._stopwatch(), forget_at=forget_at
        )

    def put_off(self, request_id: str, owner: str, *, seconds: float, error: str) -> None:
        """It could not be handled; it is due again in so many seconds."""
        now = self._stopwatch()
        waits = {"now": now, "due_at": now + seconds}
        self._execute(_PUT_OFF, request_id=request_id, owner=owner, error=error, **waits)

    def give_up(self, request_id: str, owner: str, *, error: str) -> None:
        """It could not be handled, and is set aside."""
        self._execute(_GIVE_UP, request_id=request_id, owner=owner, error=error)

    def retry(self, request_id: str) -> bool:
        """Make one that was set aside due again; False when there is no such."""
        return self._execute(_RETRY, request_id=request_id, now=self._stopwatch()) > 0

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

    def _time_of_day(self) -> float:
        return self._clock.now().timestamp()


def _upgrade(connection: sqlite3.Connection) -> None:
    """Bring the table of an earlier version into the form of this one."""
    columns = {row["name"] for row in connection.execute("PRAGMA table_info(results)")}
    if columns and "noted_at" not in columns:
        for statement in _UPGRADE:
            connection.execute(statement)
