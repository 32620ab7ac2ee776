"""Everything that is known of one request, put together for people."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Final

from ...contract import RequestStatus
from ...contract.harness_calls import RequestView, StoryEntry
from .listing import seconds_between

if TYPE_CHECKING:
    from ...contract.harness_calls import DeliveryAttemptRecord, LogLine, RequestRecord

MAX_VIEWED_LINES: Final = 1000
_NEVER_STARTED: Final = (RequestStatus.EXPIRED, RequestStatus.CANCELED)


def view_of(
    record: RequestRecord,
    deliveries: list[DeliveryAttemptRecord],
    lines: list[LogLine],
    *,
    output_url: str | None,
) -> RequestView:
    """The parts as one, with the story that they tell."""
    return RequestView(
        request=record,
        story=sorted(_entries(record, deliveries), key=lambda entry: entry.at),
        deliveries=deliveries,
        lines=lines,
        output_url=output_url,
    )


def _entries(record: RequestRecord, deliveries: list[DeliveryAttemptRecord]) -> Iterator[StoryEntry]:
    yield StoryEntry(at=record.created_at, what=f"accepted with priority {record.priority}")
    if record.started_at is not None:
        waited = seconds_between(record.created_at, record.started_at)
        yield StoryEntry(at=record.started_at, what=f"left the queue after {waited:.3f} s")
    if record.status in _NEVER_STARTED:
        yield StoryEntry(at=record.status_at, what=record.status.value)
    if record.finished_at is not None:
        yield StoryEntry(at=record.finished_at, what=_end(record, record.finished_at))
    for strike in record.faults:
        yield StoryEntry(at=strike.struck_at, what=f"struck by fault {strike.fault_id}: {strike.kind.value}")
    for sent in deliveries:
        yield StoryEntry(at=sent.sent_at, what=_delivery(sent))


def _end(record: RequestRecord, finished_at: datetime) -> str:
    attempts = f"{record.inference_attempts} attempt{'s' if record.inference_attempts != 1 else ''}"
    took = seconds_between(record.started_at, finished_at)
    seconds = "" if took is None else f" in {took:.3f} s"
    if record.errors:
        error = record.errors[0]
        return f"failed after {attempts}{seconds}: {error.code}: {error.message}"
    return f"inference succeeded after {attempts}{seconds}"


def _delivery(sent: DeliveryAttemptRecord) -> str:
    answer = sent.error or f"answered {sent.status_code}"
    signature = f", signature {sent.signature}" if sent.signature is not None else ""
    return f"webhook attempt {sent.attempt}: {answer} ({sent.latency_ms:.0f} ms{signature})"
