"""Which object of a listing speaks for which request. A listing may be larger than memory: it is kept in a scratch file."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from .columns import microseconds

if TYPE_CHECKING:
    from datetime import datetime

    from ..layout import KeyLayout
    from ..protocol import ObjectInfo

_CHUNK: Final = 1000
_COARSE_SECONDS: Final = 2_000_000
"""A store that knows whole seconds may write an object twice within one, and tell the same of both."""

_SCHEMA: Final = """
CREATE TABLE objects (
    request_id TEXT PRIMARY KEY,
    key TEXT NOT NULL,
    is_error INTEGER NOT NULL,
    modified_us INTEGER NOT NULL,
    is_settled INTEGER NOT NULL,  -- whoever writes it once more does so at another moment
    size_bytes INTEGER NOT NULL,
    partition TEXT NOT NULL,
    is_done INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID"""
# A result speaks before an error, and the newest before others.
_ADD: Final = """
INSERT INTO objects (request_id, key, is_error, modified_us, is_settled, size_bytes, partition) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (request_id) DO UPDATE SET
    key = excluded.key, is_error = excluded.is_error, modified_us = excluded.modified_us,
    is_settled = excluded.is_settled, size_bytes = excluded.size_bytes, partition = excluded.partition
WHERE (excluded.is_error, -excluded.modified_us) < (is_error, -modified_us)"""
_KNOWN: Final = """
SELECT objects.request_id, objects.key, is_error, modified_us, is_settled, size_bytes, partition
FROM json_each(?) AS asked JOIN objects ON objects.request_id = asked.value"""
_DONE: Final = "UPDATE objects SET is_done = 1 WHERE request_id IN (SELECT value FROM json_each(?))"
_PENDING: Final = """
SELECT request_id, key, is_error, modified_us, is_settled, size_bytes, partition FROM objects
WHERE NOT is_done AND request_id > ? AND (? IS NULL OR partition = ?) ORDER BY request_id LIMIT ?"""
_PARTITION: Final = "SELECT request_id, is_error, modified_us, is_settled FROM objects WHERE partition = ? ORDER BY request_id"

_OUTSIDE: Final = """
SELECT request_id FROM objects WHERE partition NOT IN (SELECT value FROM json_each(?)) LIMIT ?"""


@dataclass(frozen=True, slots=True)
class Entry:
    """The object that speaks for a request."""

    request_id: str
    key: str
    is_error: bool
    modified_us: int
    is_settled: bool
    size_bytes: int
    partition: str

    @property
    def stored_at_us(self) -> int | None:
        """As ``Row`` has it."""
        return self.modified_us if self.is_settled else None


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What tells whether the objects of a partition are still those that they were; None while nobody can tell."""

    objects: int
    digest: str | None


class Catalog:
    """The results and errors of one listing. To be closed."""

    def __init__(
        self,
        listing: Iterable[ObjectInfo],
        layout: KeyLayout,
        *,
        listed_at: datetime,
        partition_of: Callable[[int], str] = lambda _: "",
    ) -> None:
        # A private file that SQLite keeps in memory while it is small, and that goes with the connection.
        self._database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._database.execute(_SCHEMA)
        self._database.execute("CREATE INDEX by_partition ON objects (partition)")
        self._layout = layout
        self._listed_at_us = microseconds(listed_at)
        self._partition_of = partition_of
        self._add(listing)

    def close(self) -> None:
        self._database.close()

    def is_empty(self) -> bool:
        """Whether there is no result and no error."""
        return self._database.execute("SELECT 1 FROM objects LIMIT 1").fetchone() is None

    def known(self, request_ids: list[str]) -> dict[str, Entry]:
        """The entries of those of the requests that have an object."""
        rows = self._database.execute(_KNOWN, (json.dumps(request_ids),))
        return {row[0]: _entry(row) for row in rows}

    def mark_done(self, request_ids: list[str]) -> None:
        """Those need no more looking at."""
        self._database.execute(_DONE, (json.dumps(request_ids),))

    def mark_partition_done(self, partition: str) -> None:
        """The same for all of a partition."""
        self._database.execute("UPDATE objects SET is_done = 1 WHERE partition = ?", (partition,))

    def pending(self, *, partition: str | None = None) -> Iterator[Entry]:
        """Those that are not done, by request id; of all partitions or of one."""
        last = ""
        while rows := self._database.execute(_PENDING, (last, partition, partition, _CHUNK)).fetchall():
            yield from map(_entry, rows)
            last = rows[-1][0]

    def pending_partitions(self) -> list[str]:
        """Where there is something that is not done, in order."""
        rows = self._database.execute(
            "SELECT DISTINCT partition FROM objects WHERE NOT is_done ORDER BY partition"
        )
        return [partition for (partition,) in rows]

    def ids_outside(self, partitions: Iterable[str], *, most: int) -> list[str] | None:
        """The requests whose objects are in other partitions than these; None when there are more than that."""
        rows = self._database.execute(_OUTSIDE, (json.dumps(list(partitions)), most + 1)).fetchall()
        return None if len(rows) > most else [request_id for (request_id,) in rows]

    def fingerprint(self, partition: str) -> Fingerprint:
        """Of all objects in the partition, done or not."""
        digest, count, is_settled = hashlib.sha256(), 0, True
        for request_id, is_error, modified_us, settled in self._database.execute(_PARTITION, (partition,)):
            digest.update(f"{request_id} {is_error} {modified_us}\n".encode())
            count, is_settled = count + 1, is_settled and bool(settled)
        return Fingerprint(count, digest.hexdigest() if is_settled else None)

    def _add(self, listing: Iterable[ObjectInfo]) -> None:
        self._database.execute("BEGIN")
        self._database.executemany(_ADD, (row for info in listing if (row := self._row(info)) is not None))
        self._database.execute("COMMIT")

    def _row(self, info: ObjectInfo) -> tuple[str, str, bool, int, bool, int, str] | None:
        failed = self._layout.failed_request_id_of(info.key)
        request_id = failed or self._layout.request_id_of(info.key)
        if request_id is None:
            return None
        if info.modified_at is None:
            modified_us, is_settled = self._listed_at_us, False
        else:
            modified_us = microseconds(info.modified_at)
            margin = 0 if info.modified_at.microsecond else _COARSE_SECONDS
            is_settled = modified_us < self._listed_at_us - margin
        return (
            request_id,
            info.key,
            failed is not None,
            modified_us,
            is_settled,
            info.size_bytes,
            self._partition_of(modified_us),
        )


def _entry(row: tuple[str, str, int, int, int, int, str]) -> Entry:
    request_id, key, is_error, modified_us, is_settled, size_bytes, partition = row
    return Entry(request_id, key, bool(is_error), modified_us, bool(is_settled), size_bytes, partition)
