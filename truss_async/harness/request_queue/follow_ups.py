"""What is done with the rows of a query, in its transaction: read, or followed by further queries."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from operator import itemgetter
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from ...contract import RequestStatus
from .queries import queries
from .rows import micros, request_record

if TYPE_CHECKING:
    from .protocol import DeliveryAttempt, RequestRecord

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


def whole_record(connection: sqlite3.Connection, rows: Rows) -> RequestRecord | None:
    """A request with its deliveries, if there is one."""
    return first(
        lambda row: request_record(row, connection.execute(_SQL["deliveries"], {"seq": row["seq"]}))
    )(connection, rows)


def by_deployment(_connection: sqlite3.Connection, rows: Rows) -> dict[str, dict[RequestStatus, int]]:
    """How many there are of each status, for each deployment."""
    counts: dict[str, dict[RequestStatus, int]] = {}
    for row in rows:
        counts.setdefault(row["deployment_id"], {})[RequestStatus(row["status"])] = row["number"]
    return counts


def erase_inputs(connection: sqlite3.Connection, rows: Rows) -> list[str]:
    """Erase the inputs of these requests; return the ids, by their order."""
    connection.executemany(_SQL["erase_input"], [{"seq": row["seq"]} for row in rows])
    return [row["request_id"] for row in sorted(rows, key=itemgetter("seq"))]


def keep_and_erase_outputs(*, keep: timedelta | None) -> Callable[[sqlite3.Connection, Rows], None]:
    """Erase the outputs of requests that are over; keep them elsewhere for so long before, if there is a time."""

    def then(connection: sqlite3.Connection, rows: Rows) -> None:
        for row in rows:
            if keep is not None:
                keep_result(connection, row, data=None, keep=keep)
            connection.execute(_SQL["erase_output"], {"seq": row["seq"]})

    return then


def keep_result(
    connection: sqlite3.Connection, row: sqlite3.Row, *, data: bytes | None, keep: timedelta
) -> None:
    """Keep the result of a request that is over for so long; ``data`` is its output, if that was never written."""
    values = {"seq": row["seq"], "data": data, "keep_micros": keep // timedelta(microseconds=1)}
    connection.execute(_SQL["keep_result"], values)


def record_attempt(
    attempt: DeliveryAttempt,
    *,
    sent_to: str | None = None,
    then: Callable[[sqlite3.Connection, Rows], object] = lambda _, __: None,
) -> Callable[[sqlite3.Connection, Rows], bool]:
    """Record a delivery attempt, if its request was changed, and then do something else with it.

    ``sent_to`` is where, if not to the webhook endpoint of the request.
    """

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
                "sent_to": sent_to,
            }
            connection.execute(_SQL["record_delivery"], parameters)
        then(connection, rows)
        return bool(rows)

    return record


def note_redelivery(
    attempt: DeliveryAttempt, values: Mapping[str, object], *, sent_to: str | None
) -> Callable[[sqlite3.Connection, Rows], bool]:
    """Record that a kept result was sent again, with the result, and with its request, if that is known."""

    def note(connection: sqlite3.Connection, rows: Rows) -> bool:
        connection.execute(_SQL["note_redelivery"], values)
        return record_attempt(attempt, sent_to=sent_to)(connection, rows)

    return note
