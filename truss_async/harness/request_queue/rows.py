"""Between the rows of the database and what the queue speaks of."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any, TypeAlias

from ...contract import AsyncRequestStatus, ErrorDetail, RequestStatus, WebhookStatus
from .accepted import AcceptedRequest
from .protocol import (
    ClaimedRequest,
    DeliveryAttempt,
    DueDelivery,
    EndedRequest,
    FoundRequest,
    KeptResult,
    NewRequest,
    QueueCounts,
    RecordedDelivery,
    RequestRecord,
    WaitingRetry,
)

Row: TypeAlias = sqlite3.Row | Mapping[str, Any]
"""By name."""

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MICROSECOND = timedelta(microseconds=1)


def claimed_request(row: Row, *, damage: str | None = None) -> ClaimedRequest:
    """A request with its input, which are what was accepted, or else damaged."""
    return ClaimedRequest(
        request_id=row["request_id"],
        accepted=_accepted(row),
        priority=row["priority"],
        model_input=row["model_input"],
        attempts_made=number(row["attempts"]),
        created_at=_known_moment(row["created_at"]),
        order=row["seq"],
        damage=damage,
        interruptions=number(row["interruptions"]),
    )


def begun_request(new: NewRequest, *, order: int) -> ClaimedRequest:
    """A new request that is in progress from the start."""
    return ClaimedRequest(
        request_id=new.request_id,
        accepted=new.accepted,
        priority=new.priority,
        model_input=new.model_input,
        attempts_made=0,
        created_at=new.created_at,
        order=order,
    )


def waiting_retry(row: Row) -> WaitingRetry:
    """A request between two inference attempts."""
    return WaitingRetry(
        str(row["request_id"]),
        number(row["priority"]),
        moment(row["next_attempt_at"]),
        number(row["interruptions"]),
    )


def due_delivery(row: Row) -> DueDelivery:
    """A result with its output, which are what inference ended with."""
    return DueDelivery(
        request_id=row["request_id"],
        accepted=_accepted(row),
        deployment_id=row["deployment_id"],
        data=row["model_output"],
        errors=_errors(row["errors"]),
        attempts_made=number(row["delivery_attempts"]),
        order=row["seq"],
    )


def number(found: object) -> int:
    """What should be a number, and is one unless the disk made something else of it."""
    return found if isinstance(found, int) else 0


def request_record(row: Row, deliveries: Iterable[Row]) -> RequestRecord:
    """All columns of a request, and the attempts to deliver it.

    Raises:
        sqlite3.DatabaseError: they are not what was written.
    """
    try:
        return _request_record(row, deliveries)
    except (TypeError, ValueError, OverflowError) as error:
        raise sqlite3.DatabaseError(f"request {row['request_id']} cannot be read: {error}") from error


def _request_record(row: Row, deliveries: Iterable[Row]) -> RequestRecord:
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
        started_at=moment(row["started_at"]),
        finished_at=moment(row["finished_at"]),
        over_at=moment(row["over_at"]),
        deliveries=[_delivery_attempt(sent) for sent in deliveries],
    )


def recorded_delivery(row: Row) -> RecordedDelivery:
    """A delivery attempt, and the request it was of."""
    endpoint = row["sent_to"] or _accepted(row).webhook_endpoint or ""
    return RecordedDelivery(row["request_id"], endpoint, row["attempt"], _delivery_attempt(row))


def ended_request(row: Row) -> EndedRequest:
    """A request that has just ended."""
    errors, started_at, finished_at = row["errors"], row["started_at"], row["finished_at"]
    return EndedRequest(
        row["request_id"],
        row["deployment_id"],
        row["status"],
        row["webhook_status"],
        ((row["over_at"] if started_at is None else started_at) - row["created_at"]) / 1e6,
        None if started_at is None or finished_at is None else (finished_at - started_at) / 1e6,
        row["size_bytes"],
        _errors(errors)[0].code if errors != "[]" else None,
    )


def found_request(row: Row) -> FoundRequest:
    """A request in a list."""
    return FoundRequest(
        order=row["seq"],
        request_id=row["request_id"],
        deployment_id=row["deployment_id"],
        status=RequestStatus(row["status"]),
        webhook_status=WebhookStatus(row["webhook_status"]),
        priority=number(row["priority"]),
        attempts=number(row["attempts"]),
        errors=_errors(row["errors"]),
        created_at=_known_moment(row["created_at"]),
        status_at=_known_moment(row["status_at"]),
        started_at=moment(row["started_at"]),
        finished_at=moment(row["finished_at"]),
    )


def kept_result(row: Row) -> KeptResult:
    """A result that is kept, without its output."""
    return KeptResult(
        request_id=row["request_id"],
        deployment_id=row["deployment_id"],
        accepted=_accepted(row),
        webhook_status=WebhookStatus(row["webhook_status"]),
        errors=_errors(row["errors"]),
        over_at=_known_moment(row["over_at"]),
        erase_at=_known_moment(row["erase_at"]),
        size_bytes=row["size_bytes"],
    )


def queue_counts(row: Row) -> QueueCounts:
    """How many requests there are."""
    return QueueCounts(row["queued"], row["in_progress"])


def next_moment(row: Row) -> datetime | None:
    """When something comes next."""
    return moment(row["at"])


def errors_json(errors: list[ErrorDetail]) -> str:
    """As they are kept."""
    return json.dumps([error.model_dump() for error in errors]) if errors else "[]"


def micros(time: datetime) -> int:
    """As it is kept: microseconds since 1970 in UTC."""
    return (time - _EPOCH) // _MICROSECOND


def _known_moment(micros: int) -> datetime:
    """The moment that is kept so."""
    return _EPOCH + timedelta(microseconds=micros)


def moment(micros: object) -> datetime | None:
    """The moment that is kept so, if there is one."""
    if not isinstance(micros, int):
        return None
    try:
        return _known_moment(micros)
    except OverflowError:  # the disk made something else of it
        return _EPOCH if micros < 0 else datetime.max.replace(tzinfo=timezone.utc)


def _accepted(row: Row) -> AcceptedRequest:
    try:
        return AcceptedRequest.from_json(row["request"])
    except ValueError as error:
        raise sqlite3.DatabaseError(f"request {row['request_id']} cannot be read: {error}") from error


def _delivery_attempt(row: Row) -> DeliveryAttempt:
    return DeliveryAttempt(
        _known_moment(row["sent_at"]), row["latency_ms"], row["status_code"], row["error"], row["signature"]
    )


def _errors(text: str) -> list[ErrorDetail]:
    items: list[dict[str, Any]] = json.loads(text) if text != "[]" else []
    return [ErrorDetail(**item) for item in items]
