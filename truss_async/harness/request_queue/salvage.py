"""Saves from a damaged database what can be read, into a new one that takes its place; the damaged one is kept aside."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ...contract import ErrorCode, ErrorDetail, RequestStatus, WebhookStatus
from .checksums import head_checksum
from .damage import NOBODY
from .rows import errors_json, number

MAX_CHECKED_BYTES: Final = 64 * 1024 * 1024
MAX_CHECKED_CLOSELY_BYTES: Final = 4 * 1024 * 1024
_MAX_BEYOND: Final = 1_000
"""So many numbers after the last one that was found are looked for."""
_LOST: Final = (
    "the request was damaged on the disk of the harness, and nothing of it could be read; submit it again"
)
_ROWS: Final = {
    "requests": "SELECT * FROM requests",
    "model_inputs": "SELECT * FROM model_inputs",
    "model_outputs": "SELECT * FROM model_outputs",
    "deliveries": "SELECT * FROM deliveries",
    "owners": "SELECT * FROM owners",
    "kept_results": "SELECT * FROM kept_results",
}
_INTO: Final = {table: f"INSERT INTO {table}" for table in _ROWS}
_STATUSES: Final = {status.value for status in RequestStatus}


@dataclass(frozen=True, slots=True)
class Salvaged:
    """How many requests were saved, and the ids of those of which nothing but that was."""

    requests: int
    lost: list[str]


def check(connection: sqlite3.Connection, path: Path) -> bool:
    """Look for damage, as closely as it takes no time that somebody would wait for. False: the file is too large for that.

    Raises:
        sqlite3.DatabaseError: there is some.
    """
    size = path.stat().st_size
    if size > MAX_CHECKED_BYTES:
        return False
    how = "integrity_check" if size <= MAX_CHECKED_CLOSELY_BYTES else "quick_check"
    (found,) = connection.execute(f"PRAGMA {how}(1)").fetchone()
    if found != "ok":
        raise sqlite3.DatabaseError(f"malformed: {found}")
    return True


def salvage(
    path: Path, aside: Path, *, now: int, version: int, prepare: Callable[[sqlite3.Connection], None]
) -> Salvaged:
    """Put a whole database in the place of the damaged one, which nobody has open; ``prepare`` makes
    an empty one of that version.

    Raises:
        sqlite3.Error: nothing of it can be read, or the new one cannot be written. Nothing was changed.
    """
    new = path.with_name(f"{path.name}-salvaged")
    for each in (new, Path(f"{new}-wal"), Path(f"{new}-shm")):
        each.unlink(missing_ok=True)
    with closing(sqlite3.connect(path, isolation_level=None)) as damaged:
        damaged.text_factory = lambda text: text.decode("utf-8", "replace")
        damaged.row_factory = sqlite3.Row
        damaged.execute("PRAGMA writable_schema = ON")  # read what is there, also of a file that was cut off
        with suppress(sqlite3.Error):
            damaged.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        damaged.execute("SELECT name FROM sqlite_master").fetchall()
        if damaged.execute("PRAGMA user_version").fetchone()[0] != version:
            raise sqlite3.DatabaseError("malformed, and of a version without checksums")
        os.close(os.open(new, os.O_CREAT | os.O_RDWR, 0o600))
        with closing(sqlite3.connect(new, isolation_level=None)) as whole:
            prepare(whole)
            whole.execute("BEGIN")
            salvaged = _copy(damaged, whole, now)
            whole.execute("COMMIT")
    aside.unlink(missing_ok=True)
    os.link(path, aside)
    for suffix in ("-wal", "-shm"):  # its log is in the database, or cannot be read
        with suppress(FileNotFoundError):
            Path(f"{path}{suffix}").replace(f"{aside}{suffix}")
    new.replace(path)
    return salvaged


def _copy(damaged: sqlite3.Connection, whole: sqlite3.Connection, now: int) -> Salvaged:
    orders: set[int] = set()
    for row in _rows(damaged, "requests", beyond=0):
        values = _mended(dict(row))
        with suppress(sqlite3.IntegrityError):
            _insert(whole, "requests", values)
            orders.add(row["seq"])
    lost = _insert_lost(damaged, whole, orders, now)
    last = max(orders, default=0)
    for table in ("model_inputs", "model_outputs"):
        for row in _rows(damaged, table, beyond=last):
            if row["seq"] in orders:
                with suppress(sqlite3.IntegrityError):
                    _insert(whole, table, dict(row))
    for table in ("deliveries", "owners", "kept_results"):
        for row in _forward(damaged, _ROWS[table]):
            with suppress(sqlite3.IntegrityError):
                _insert(whole, table, dict(row))
    return Salvaged(len(orders), lost)


def _insert_lost(
    damaged: sqlite3.Connection, whole: sqlite3.Connection, orders: set[int], now: int
) -> list[str]:
    """What only an index knows of failed; it gets the deployment that another index tells. Return the ids."""
    queued = {
        row["seq"]: (row["deployment_id"], row["priority"])
        for row in _forward(
            damaged,
            "SELECT seq, deployment_id, priority FROM requests INDEXED BY queued WHERE status = 'QUEUED'",
        )
    }
    ids = "SELECT seq, request_id FROM requests INDEXED BY sqlite_autoindex_requests_1 ORDER BY request_id"
    errors = errors_json([ErrorDetail.of(ErrorCode.INTERNAL_SERVER_ERROR, _LOST)])
    known = {row["seq"]: row["request_id"] for row in _both_ways(damaged, ids)}
    lost = []
    for order in sorted((known.keys() | queued.keys()) - orders):
        deployment_id, priority = queued.get(order, ("", 0))
        head = {
            "request_id": known.get(order, f"damaged-{order}"),
            "deployment_id": deployment_id,
            "priority": number(priority),
            "request": NOBODY.to_json(),
            "created_at": now,
            "expires_at": now,
        }
        over = {"status": RequestStatus.FAILED.value, "webhook_status": WebhookStatus.FAILED.value}
        times = {"status_at": now, "finished_at": now, "over_at": now}
        values = {
            "seq": order,
            **head,
            **over,
            **times,
            "errors": errors,
            "head_checksum": head_checksum(head),
        }
        with suppress(sqlite3.Error):
            _insert(whole, "requests", values)
            lost.append(str(head["request_id"]))
    return lost


def _mended(values: dict[str, Any]) -> dict[str, Any]:
    """A request with a status that is none would wait for ever: it is queued again, if it may have been."""
    if values["status"] not in _STATUSES:
        values["status"] = RequestStatus.QUEUED.value if values["finished_at"] is None else "FAILED"
    if values["status"] == RequestStatus.IN_PROGRESS.value and not isinstance(values["owner"], int):
        values["owner"] = 0
    return values


def _insert(whole: sqlite3.Connection, table: str, values: dict[str, Any]) -> None:
    names = ", ".join(values)
    marks = ", ".join(f":{name}" for name in values)
    whole.execute(f"{_INTO[table]} ({names}) VALUES ({marks})", values)


def _rows(damaged: sqlite3.Connection, table: str, *, beyond: int) -> Iterator[sqlite3.Row]:
    """All rows that can be read: from the first on, from the last back, and each that may lie between."""
    first, last = 0, None
    try:
        for row in damaged.execute(f"{_ROWS[table]} ORDER BY seq"):
            yield row
            first = row["seq"]
        return
    except (sqlite3.DatabaseError, UnicodeDecodeError):
        pass
    for row in _forward(damaged, f"{_ROWS[table]} WHERE seq > {first} ORDER BY seq DESC"):
        yield row
        last = row["seq"]
    end = max(beyond, first + _MAX_BEYOND) + 1 if last is None else last
    for order in range(first + 1, end):
        yield from _forward(damaged, f"{_ROWS[table]} WHERE seq = {order}")


def _both_ways(damaged: sqlite3.Connection, query: str) -> Sequence[sqlite3.Row]:
    return [*_forward(damaged, query), *_forward(damaged, f"{query} DESC")]


def _forward(damaged: sqlite3.Connection, query: str) -> Iterator[sqlite3.Row]:
    """As many as can be read."""
    with suppress(sqlite3.DatabaseError, UnicodeDecodeError):
        yield from damaged.execute(query)
