"""The harness's own calls for results that are kept: which there are, and sending one again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ...contract.harness_calls import DeliveryAttemptRecord, KeptResult, KeptResults, RedeliveryTarget
from ..redelivery import NoTargetError, NotKeptError
from .async_calls import at_time_of_day
from .bodies import parse, read_body
from .inspection_calls import asked_since, meant
from .own_calls import asked_limit, delivery_of
from .refusals import bad_request, unknown

if TYPE_CHECKING:
    from .calls import ApiParts, IncomingCall

FAILED: Final = "failed"


async def kept_results(parts: ApiParts, call: IncomingCall) -> KeptResults:
    """Results that are kept for redelivery, the latest first."""
    now = parts.clock.now()
    ahead = parts.clock.time_of_day(now) - now
    since = asked_since(call.request, now=now + ahead)
    delivery = call.request.query_params.get("delivery")
    if delivery not in (None, FAILED):
        raise bad_request(f"delivery: give {FAILED}, or leave it out")
    found = await parts.queue.kept_results(
        since=None if since is None else since - ahead,
        is_failed=delivery == FAILED,
        now=now,
        limit=asked_limit(call.request),
    )
    told = [
        KeptResult(
            request_id=each.request_id,
            deployment_id=each.deployment_id,
            webhook_endpoint=each.accepted.webhook_endpoint,
            webhook_status=each.webhook_status,
            over_at=each.over_at,
            erase_at=each.erase_at,
            size_bytes=each.size_bytes,
            errors=each.errors,
        )
        for each in found
    ]
    return KeptResults(results=[at_time_of_day(each, clock=parts.clock) for each in told])


async def redeliver(parts: ApiParts, call: IncomingCall) -> DeliveryAttemptRecord:
    """Send a kept result again, once, newly signed and dated; tells what came of it."""
    body = await read_body(call.request, limit=call.operation.max_body_bytes)
    target = parse(RedeliveryTarget, body) if body else RedeliveryTarget()
    request_id = await meant(parts, call.values["request_id"])
    try:
        made = await parts.redelivery.redeliver(request_id, to=target.webhook_endpoint)
    except NotKeptError as error:
        raise unknown(str(error)) from None
    except NoTargetError as error:
        raise bad_request(str(error)) from None
    return at_time_of_day(delivery_of(made, sent=parts.sent), clock=parts.clock)
