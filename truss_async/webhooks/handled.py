"""Which results were handled: remembered in memory, in SQLite, or by a store of the user's own."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, Protocol

from ..clock import SYSTEM_CLOCK, Clock
from .sqlite_file import SqliteFile

if TYPE_CHECKING:
    import sqlite3
    from typing import TypeAlias

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

    def __init__(self, *, remember_seconds: float = REMEMBER_SECONDS, clock: Clock = SYSTEM_CLOCK) -> None:
        self._entries: dict[str, _Entry] = {}
        self._remember_seconds = remember_seconds
        self._clock = clock
        self._lock = threading.Lock()

    def claim(self, request_id: str, owner: str, *, seconds: float) -> Claim:
        now = self._clock.now().timestamp()
        with self._lock:
            entry = self._entries.get(request_id)
            if entry is not None and entry.is_handled and entry.until > now:
                return "handled"
            if entry is not None and not entry.is_handled and entry.owner != owner and entry.until > now:
                return "busy"
            self._entries[request_id] = _Entry(owner, now + seconds)
            return "claimed"

    def finish(self, request_id: str, owner: str) -> None:
        now = self._clock.now().timestamp()
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


_SCHEMA: Final = (
    """
    CREATE TABLE IF NOT EXISTS handled (
        request_id TEXT PRIMARY KEY, owner TEXT NOT NULL, until REAL NOT NULL, is_handled INTEGER NOT NULL
    )""",
    "CREATE INDEX IF NOT EXISTS handled_until ON handled (until)",
)
# Take it when nobody has it, its claim has run out, it is the owner's already, or it was handled too long ago.
_CLAIM: Final = """
INSERT INTO handled (request_id, owner, until, is_handled) VALUES (:request_id, :owner, :until, 0)
ON CONFLICT (request_id) DO UPDATE SET owner = excluded.owner, until = excluded.until, is_handled = 0
WHERE until <= :now OR (owner = excluded.owner AND NOT is_handled)"""
_FINISH: Final = """
INSERT INTO handled (request_id, owner, until, is_handled) VALUES (:request_id, :owner, :until, 1)
ON CONFLICT (request_id) DO UPDATE SET owner = excluded.owner, until = excluded.until, is_handled = 1"""
_RELEASE: Final = "DELETE FROM handled WHERE request_id = :request_id AND owner = :owner AND NOT is_handled"
_FORGET: Final = "DELETE FROM handled WHERE until <= :now"


class SqliteHandledStore:
    """Remembers in one SQLite file, which all processes of one machine may share."""

    def __init__(
        self, path: str | Path, *, remember_seconds: float = REMEMBER_SECONDS, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self._file = SqliteFile(path, schema=_SCHEMA)
        self._remember_seconds = remember_seconds
        self._clock = clock

    def claim(self, request_id: str, owner: str, *, seconds: float) -> Claim:
        def operation(connection: sqlite3.Connection) -> Claim:
            now = self._clock.now().timestamp()
            wanted = {"request_id": request_id, "owner": owner, "now": now, "until": now + seconds}
            if connection.execute(_CLAIM, wanted).rowcount:
                return "claimed"
            query = "SELECT is_handled FROM handled WHERE request_id = ?"
            return "handled" if connection.execute(query, (request_id,)).fetchone()[0] else "busy"

        return self._file.run(operation)

    def finish(self, request_id: str, owner: str) -> None:
        def operation(connection: sqlite3.Connection) -> None:
            now = self._clock.now().timestamp()
            until = now + self._remember_seconds
            connection.execute(_FORGET, {"now": now})
            connection.execute(_FINISH, {"request_id": request_id, "owner": owner, "until": until})

        self._file.run(operation)

    def release(self, request_id: str, owner: str) -> None:
        self._file.run(
            lambda connection: connection.execute(_RELEASE, {"request_id": request_id, "owner": owner})
        )
