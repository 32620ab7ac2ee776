"""The harness's own calls, most of them under ``/_harness/``: they show and change what only a harness has."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import Response

from ...clock import ManualClock
from ...contract.faults import SetFaults
from ...contract.harness_calls import (
    ClockAdvance,
    ClockReading,
    DeliveryAttemptRecord,
    DeliveryAttempts,
    DeliveryOutcome,
    Health,
    NewWebhookSecret,
    RemovedWebhookSecret,
    RequestRecord,
    WebhookSecretInfo,
    WebhookSecretList,
)
from ...errors import SettingsError
from ..deployment import health_of
from ..faults import UnknownFaultError, parse_rule
from ..webhook_secrets import SecretRotatedError, UnknownSecretError
from .access import check_authorization
from .async_calls import at_time_of_day, known, told
from .bodies import parse, parse_object, read_body
from .refusals import bad_request, unknown

if TYPE_CHECKING:
    from starlette.requests import Request

    from ...contract.faults import SetFault
    from ..request_queue import RecordedDelivery
    from ..request_queue import RequestRecord as Recorded
    from ..sent_headers import SentHeaders
    from ..webhook_secrets import WebhookSecret, WebhookSecrets
    from .calls import ApiParts, IncomingCall

DEFAULT_DELIVERIES = 100
MAX_DELIVERIES = 1000


async def health(parts: ApiParts, _: IncomingCall) -> Health:
    """Whether it answers, and what of the model and the queue."""
    return health_of(parts.deployments, parts.queue)


async def metrics(parts: ApiParts, call: IncomingCall) -> Response:
    """The platform's metrics, and the harness's own; where there is a key, it is needed."""
    if parts.api_key is not None:
        check_authorization(call.request.headers.get("authorization"), api_key=parts.api_key)
    for deployment in parts.deployments:
        await deployment.note_moment()
    parts.metrics.queue_at_this_moment(parts.queue.health())
    return Response(parts.metrics.exposition(), media_type=CONTENT_TYPE_LATEST)


async def request_record(parts: ApiParts, call: IncomingCall) -> Response:
    """Times, attempts and deliveries of a request."""
    record = await known(parts, call.values["request_id"])
    return told(record_of(parts, record), clock=parts.clock)


async def deliveries(parts: ApiParts, call: IncomingCall) -> DeliveryAttempts:
    """Delivery attempts: of a request, or the latest of all."""
    request_id = call.request.query_params.get("request_id")
    if request_id is not None:
        await known(parts, request_id)
        return DeliveryAttempts(deliveries=await deliveries_of(parts, request_id))
    recorded = await parts.queue.latest_deliveries(limit=asked_limit(call.request))
    return DeliveryAttempts(deliveries=_told(parts, recorded))


def record_of(parts: ApiParts, record: Recorded) -> RequestRecord:
    """What is kept of a request, with what its deliveries came to and the faults that struck it."""
    return RequestRecord(
        **dict(record.status),
        priority=record.priority,
        inference_attempts=record.attempts,
        started_at=record.started_at,
        finished_at=record.finished_at,
        deliveries=[
            at_time_of_day(DeliveryOutcome(**sent._asdict()), clock=parts.clock) for sent in record.deliveries
        ],
        faults=parts.faults.strikes(record.status.request_id),
    )


async def deliveries_of(parts: ApiParts, request_id: str) -> list[DeliveryAttemptRecord]:
    """Every delivery attempt of a request, in their order."""
    return _told(parts, await parts.queue.deliveries(request_id))


async def clock(parts: ApiParts, _: IncomingCall) -> ClockReading:
    """What the clock shows."""
    return ClockReading(now=parts.clock.time_of_day(parts.clock.now()))


async def advance_clock(parts: ApiParts, call: IncomingCall) -> ClockReading:
    """Move the virtual clock."""
    asked = parse(ClockAdvance, await read_body(call.request, limit=call.operation.max_body_bytes))
    if not isinstance(parts.clock, ManualClock):
        raise bad_request("the harness runs in real time; start it with --virtual-clock to move its clock")
    # In a thread: it waits for what this event loop then does.
    now = await asyncio.to_thread(
        parts.clock.advance, asked.advance_seconds, patience_seconds=asked.patience_seconds
    )
    return ClockReading(now=now)


async def secrets(parts: ApiParts, _: IncomingCall) -> WebhookSecretList:
    """The active webhook secrets, masked."""
    return WebhookSecretList(secrets=[_shown(each, parts.secrets) for each in parts.secrets.active()])


async def create_secret(parts: ApiParts, _: IncomingCall) -> NewWebhookSecret:
    """Create a webhook secret."""
    return _in_full(await asyncio.to_thread(parts.secrets.create))


async def rotate_secret(parts: ApiParts, call: IncomingCall) -> NewWebhookSecret:
    """Replace a webhook secret, which signs for 24 hours more."""
    try:
        created, ending = await asyncio.to_thread(parts.secrets.rotate, call.values["secret_id"])
    except UnknownSecretError as error:
        raise unknown(str(error)) from None
    except SecretRotatedError as error:
        raise bad_request(str(error)) from None
    return _in_full(created, replaces=_shown(ending, parts.secrets))


async def remove_secret(parts: ApiParts, call: IncomingCall) -> RemovedWebhookSecret:
    """End a webhook secret at once."""
    secret_id = call.values["secret_id"]
    try:
        await asyncio.to_thread(parts.secrets.remove, secret_id)
    except UnknownSecretError as error:
        raise unknown(str(error)) from None
    return RemovedWebhookSecret(id=secret_id)


async def faults(parts: ApiParts, _: IncomingCall) -> SetFaults:
    """The faults that are set."""
    return SetFaults(faults=parts.faults.all())


async def add_fault(parts: ApiParts, call: IncomingCall) -> SetFault:
    """Set a fault."""
    values = parse_object(await read_body(call.request, limit=call.operation.max_body_bytes))
    try:
        return parts.faults.add(parse_rule(values))
    except SettingsError as error:
        raise bad_request(str(error)) from None


async def clear_faults(parts: ApiParts, _: IncomingCall) -> SetFaults:
    """Set no fault any more."""
    return SetFaults(faults=parts.faults.clear())


async def remove_fault(parts: ApiParts, call: IncomingCall) -> SetFault:
    """Take back a fault."""
    fault_id = call.values["fault_id"]
    try:
        return parts.faults.remove(int(fault_id) if fault_id.isdecimal() and len(fault_id) < 10 else 0)
    except UnknownFaultError:
        raise unknown(f"there is no fault {fault_id}; GET /_harness/faults lists them") from None


def asked_limit(request: Request) -> int:
    """How many a list is to have.

    Raises:
        CallRefusedError: 400, that is no number, or too large a one.
    """
    text = request.query_params.get("limit", str(DEFAULT_DELIVERIES))
    if text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= MAX_DELIVERIES:
        return int(text[:9])
    raise bad_request(f"limit: give a number from 1 to {MAX_DELIVERIES}")


def _told(parts: ApiParts, recorded: list[RecordedDelivery]) -> list[DeliveryAttemptRecord]:
    return [at_time_of_day(delivery_of(item, sent=parts.sent), clock=parts.clock) for item in recorded]


def delivery_of(recorded: RecordedDelivery, *, sent: SentHeaders) -> DeliveryAttemptRecord:
    """A delivery attempt as it is told, in the time of the harness's clock."""
    return DeliveryAttemptRecord(
        request_id=recorded.request_id,
        attempt=recorded.number,
        webhook_endpoint=recorded.webhook_endpoint,
        **recorded.attempt._asdict(),
        request_headers=sent.of(recorded.request_id, recorded.number),
    )


def _shown(secret: WebhookSecret, secrets: WebhookSecrets) -> WebhookSecretInfo:
    return WebhookSecretInfo(
        id=secret.id,
        masked=secret.masked,
        created_at=secret.created_at,
        ends_at=secret.ends_at,
        is_persisted=secrets.is_persisted(secret),
    )


def _in_full(created: WebhookSecret, *, replaces: WebhookSecretInfo | None = None) -> NewWebhookSecret:
    return NewWebhookSecret(
        id=created.id, secret=created.secret, created_at=created.created_at, replaces=replaces
    )
