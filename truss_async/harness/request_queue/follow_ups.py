"""What is done with the rows of a query, in its transaction: read, or followed by further queries."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from .queries import queries
from .rows import micros

if TYPE_CHECKING:
    from .protocol import DeliveryAttempt

T = TypeVar("T")
Rows: TypeAlias = list[sqlite3.Row]

_SQL = queries()


def how_many(_connection: sqlite3.Connection, rows: Rows) -> int:
    """The number of rows."""
    return len(rows)


def first(read: Callable[[sqlite3.Row], T]) -> Callable[[sqlite3.Connection, Rows], T | None]:
    """What the first row says, if there is one."""
    return lambda _, rows: read(rows[0]) if rows else None


def each_row(
    read: Callable[[sqlite3.Row], T], *, by: Sequence[str] = ()
) -> Callable[[sqlite3.Connection, Rows], list[T]]:
    """What each row says; in this order, for RETURNING promises none."""

    def then(_connection: sqlite3.Connection, rows: Rows) -> list[T]:
        if by:
            rows.sort(key=itemgetter(*by))
        return [read(row) for row in rows]

    return then


def erase_inputs(connection: sqlite3.Connection, rows: Rows) -> list[str]:
    """Erase the inputs of these requests; return the ids, by their order."""
    connection.executemany(_SQL["erase_input"], [{"seq": row["seq"]} for row in rows])
    return [row["request_id"] for row in sorted(rows, key=itemgetter("seq"))]


def record_attempt(
    attempt: DeliveryAttempt, *, then: str | None = None
) -> Callable[[sqlite3.Connection, Rows], bool]:
    """Record a delivery attempt, if its request was changed, and then run another query on it."""

    def record(connection: sqlite3.Connection, rows: Rows) -> bool:
        for row in rows:
            parameters = {
                "seq": row["seq"],
                "attempt": row["delivery_attempts"],
                "sent_at": micros(attempt.sent_at),
                "latency_ms": attempt.latency_ms,
                "status_code": attempt.status_code,
                "error": attempt.error,
                "signature": attempt.signature,
            }
            connection.execute(_SQL["record_delivery"], parameters)
            if then is not None:
                connection.execute(_SQL[then], {"seq": row["seq"]})
        return bool(rows)

    return record
