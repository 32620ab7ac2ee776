"""Which results were handled: remembered in memory, in SQLite, or by a store of the user's own."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, Protocol

from ..clock import SYSTEM_CLOCK, stopwatch_of
from .sqlite_file import SqliteFile

if TYPE_CHECKING:
    import sqlite3
    from typing import TypeAlias

    from ..clock import TellsTime

    Claim: TypeAlias = Literal["claimed", "busy", "handled"]

# The same result comes again within seconds; and what is older than the tolerance is refused before.
REMEMBER_SECONDS: Final = 7 * 24 * 3600.0


class HandledStore(Protocol):
    """What a ``Deduplicator`` keeps its memory in. Each method is one atomic step for all who share the store."""

    def claim(self, request_id: str, owner: str, *, seconds: float) -> Claim:
        """``claimed``: it is the owner's for so many seconds from now, newly or still; ``busy``: another's;
        ``handled``: there is nothing left to do."""

    def finish(self, request_id: str, owner: str) -> None:
        """Remember it as handled, for days."""

    def release(self, request_id: str, owner: str) -> None:
        """Give it back unhandled, if it is still the owner's."""


@dataclass
class _Entry:
    owner: str
    until: float
    is_handled: bool = False


class MemoryHandledStore:
    """Remembers as long as the process lives, for its own threads."""

    def __init__(
        self, *, remember_seconds: float = REMEMBER_SECONDS, clock: TellsTime = SYSTEM_CLOCK
    ) -> None:
        self._entries: dict[str, _Entry] = {}
        self._remember_seconds = remember_seconds
        self._stopwatch = stopwatch_of(clock)
        self._lock = threading.Lock()

    def claim(self, request_id: str, owner: str, *, seconds: float) -> Claim:
        now = self._stopwatch()
        with self._lock:
            entry = self._entries.get(request_id)
            if entry is not None and entry.is_handled and entry.until > now:
                return "handled"
            if entry is not None and not entry.is_handled and entry.owner != owner and entry.until > now:
                return "busy"
            self._entries[request_id] = _Entry(owner, now + seconds)
            return "claimed"

    def finish(self, request_id: str, owner: str) -> None:
        now = self._stopwatch()
        with self._lock:
            self._entries.pop(request_id, None)
            self._entries[request_id] = _Entry(owner, now + self._remember_seconds, is_handled=True)
            self._forget(now)

    def release(self, request_id: str, owner: str) -> None:
        with self._lock:
            entry = self._entries.get(request_id)
            if entry is not None and entry.owner == owner and not entry.is_handled:
                del self._entries[request_id]

    def _forget(self, now: float) -> None:
        # The oldest come first: what was handled is put at the end.
        while self._entries:
            first = next(iter(self._entries))
            if self._entries[first].until > now:
                return
            del self._entries[first]


# A claim is measured on the stopwatch that the processes of a machine share: the time of day may be set meanwhile. One
# from before the machine was started anew, when the stopwatch stood higher, is nobody's any more.
_SCHEMA: Final = (
    """
    CREATE TABLE IF NOT EXISTS handled_results (
        request_id TEXT PRIMARY KEY,
        owner TEXT NOT NULL,
        noted_at REAL NOT NULL,       -- stopwatch: when it was claimed, or handled
        claimed_until REAL NOT NULL,  -- stopwatch
        forget_at REAL                -- time of day: of a handled one
    )""",
    "CREATE INDEX IF NOT EXISTS handled_results_forget ON handled_results (forget_at)",
)
# What an earlier version kept in a table of another form.
_OLD_TABLE: Final = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'handled'"
_TAKE_OVER: Final = """
INSERT OR IGNORE INTO handled_results (request_id, owner, noted_at, claimed_until, forget_at)
SELECT request_id, owner, :now, 0, until FROM handled WHERE is_handled"""
# The time of day alone would forget too early once it was set forward, the stopwatch once the machine was started anew.
_FORGET: Final = """
DELETE FROM handled_results WHERE forget_at <= :time_of_day AND (noted_at > :now OR noted_at + :remember <= :now)"""
# Take it when nobody has it, its claim has run out, it is the owner's already, or it was handled too long ago.
_CLAIM: Final = """
INSERT INTO handled_results (request_id, owner, noted_at, claimed_until)
VALUES (:request_id, :owner, :now, :until)
ON CONFLICT (request_id) DO UPDATE
SET owner = excluded.owner, noted_at = excluded.noted_at, claimed_until = excluded.claimed_until, forget_at = NULL
WHERE CASE WHEN forget_at IS NULL THEN owner = excluded.owner OR claimed_until <= :now OR noted_at > :now
ELSE forget_at <= :time_of_day AND (noted_at > :now OR noted_at + :remember <= :now) END"""
_FINISH: Final = """
INSERT INTO handled_results (request_id, owner, noted_at, claimed_until, forget_at)
VALUES (:request_id, :owner, :now, 0, :forget_at)
ON CONFLICT (request_id) DO UPDATE
SET owner = excluded.owner, noted_at = excluded.noted_at, forget_at = excluded.forget_at"""
_RELEASE: Final = """
DELETE FROM handled_results WHERE request_id = :request_id AND owner = :owner AND forget_at IS NULL"""


class SqliteHandledStore:
    """Remembers in one SQLite file, which all processes of one machine may share."""

    def __init__(
        self,
        path: str | Path,
        *,
        remember_seconds: float = REMEMBER_SECONDS,
        clock: TellsTime = SYSTEM_CLOCK,
    ) -> None:
        self._file = SqliteFile(path, schema=_SCHEMA)
        self._remember_seconds = remember_seconds
        self._clock = clock
        self._stopwatch = stopwatch_of(clock)
        self._file.run(self._take_over)

    def _take_over(self, connection: sqlite3.Connection) -> None:
        if connection.execute(_OLD_TABLE).fetchone():
            connection.execute(_TAKE_OVER, {"now": self._stopwatch()})
            connection.execute("DROP TABLE handled")

    def claim(self, request_id: str, owner: str, *, seconds: float) -> Claim:
        def operation(connection: sqlite3.Connection) -> Claim:
            now = self._now()
            wanted = {"request_id": request_id, "owner": owner, "until": now["now"] + seconds, **now}
            if connection.execute(_CLAIM, wanted).rowcount:
                return "claimed"
            query = "SELECT forget_at FROM handled_results WHERE request_id = ?"
            return "busy" if connection.execute(query, (request_id,)).fetchone()[0] is None else "handled"

        return self._file.run(operation)

    def finish(self, request_id: str, owner: str) -> None:
        def operation(connection: sqlite3.Connection) -> None:
            now = self._now()
            connection.execute(_FORGET, now)
            forget_at = now["time_of_day"] + self._remember_seconds
            finished = {"request_id": request_id, "owner": owner, "now": now["now"], "forget_at": forget_at}
            connection.execute(_FINISH, finished)

        self._file.run(operation)

    def release(self, request_id: str, owner: str) -> None:
        self._file.run(
            lambda connection: connection.execute(_RELEASE, {"request_id": request_id, "owner": owner})
        )

    def _now(self) -> dict[str, float]:
        """What the statements call now, by both measures."""
        time_of_day = self._clock.now().timestamp()
        return {"now": self._stopwatch(), "time_of_day": time_of_day, "remember": self._remember_seconds}
