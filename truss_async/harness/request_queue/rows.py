"""Between the rows of the database and what the queue speaks of."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from typing import Any

from ...contract import AsyncRequestStatus, ErrorDetail, RequestStatus, WebhookStatus
from .accepted import AcceptedRequest
from .protocol import (
    ClaimedRequest,
    DeliveryAttempt,
    DueDelivery,
    QueueCounts,
    RecordedDelivery,
    RequestRecord,
    WaitingRetry,
)

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MICROSECOND = timedelta(microseconds=1)


def claimed_request(row: sqlite3.Row) -> ClaimedRequest:
    """A request with its input."""
    if row["model_input"] is None:
        raise sqlite3.DatabaseError(f"request {row['request_id']} has no model input")
    return ClaimedRequest(
        request_id=row["request_id"],
        accepted=_accepted(row),
        priority=row["priority"],
        model_input=row["model_input"],
        attempts_made=row["attempts"],
        created_at=_known_moment(row["created_at"]),
        order=row["seq"],
    )


def waiting_retry(row: sqlite3.Row) -> WaitingRetry:
    """A request between two inference attempts."""
    return WaitingRetry(row["request_id"], row["priority"], _moment(row["next_attempt_at"]))


def due_delivery(row: sqlite3.Row) -> DueDelivery:
    """A result with its output."""
    return DueDelivery(
        request_id=row["request_id"],
        accepted=_accepted(row),
        deployment_id=row["deployment_id"],
        data=row["model_output"],
        errors=_errors(row["errors"]),
        attempts_made=row["delivery_attempts"],
        order=row["seq"],
    )


def request_record(row: sqlite3.Row, deliveries: Iterable[sqlite3.Row]) -> RequestRecord:
    """All columns of a request, and the attempts to deliver it."""
    accepted = _accepted(row)
    return RequestRecord(
        status=AsyncRequestStatus(
            request_id=row["request_id"],
            model_id=accepted.model_id,
            chain_id=accepted.chain_id,
            deployment_id=row["deployment_id"],
            status=RequestStatus(row["status"]),
            webhook_status=WebhookStatus(row["webhook_status"]),
            created_at=_known_moment(row["created_at"]),
            status_at=_known_moment(row["status_at"]),
            errors=_errors(row["errors"]),
        ),
        priority=row["priority"],
        attempts=row["attempts"],
        started_at=_moment(row["started_at"]),
        finished_at=_moment(row["finished_at"]),
        over_at=_moment(row["over_at"]),
        deliveries=[_delivery_attempt(sent) for sent in deliveries],
    )


def recorded_delivery(row: sqlite3.Row) -> RecordedDelivery:
    """A delivery attempt, and the request it was of."""
    endpoint = _accepted(row).webhook_endpoint or ""  # only what has one is delivered
    return RecordedDelivery(row["request_id"], endpoint, row["attempt"], _delivery_attempt(row))


def queue_counts(row: sqlite3.Row) -> QueueCounts:
    """How many requests there are."""
    return QueueCounts(row["queued"], row["in_progress"])


def next_moment(row: sqlite3.Row) -> datetime | None:
    """When something comes next."""
    return _moment(row["at"])


def errors_json(errors: list[ErrorDetail]) -> str:
    """As they are kept."""
    return json.dumps([error.model_dump() for error in errors]) if errors else "[]"


def micros(time: datetime) -> int:
    """As it is kept: microseconds since 1970 in UTC."""
    return (time - _EPOCH) // _MICROSECOND


def _known_moment(micros: int) -> datetime:
    """The moment that is kept so."""
    return _EPOCH + timedelta(microseconds=micros)


def _moment(micros: int | None) -> datetime | None:
    """The moment that is kept so, if there is one."""
    return None if micros is None else _known_moment(micros)


def _accepted(row: sqlite3.Row) -> AcceptedRequest:
    try:
        return AcceptedRequest.from_json(row["request"])
    except ValueError as error:
        raise sqlite3.DatabaseError(f"request {row['request_id']} cannot be read: {error}") from error


def _delivery_attempt(row: sqlite3.Row) -> DeliveryAttempt:
    return DeliveryAttempt(_known_moment(row["sent_at"]), row["latency_ms"], row["status_code"], row["error"])


def _errors(text: str) -> list[ErrorDetail]:
    items: list[dict[str, Any]] = json.loads(text) if text != "[]" else []
    return [ErrorDetail(**item) for item in items]
