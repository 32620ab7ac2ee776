"""Submit, status, cancel, queue status: the calls that only meet the queue."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel
from starlette.responses import Response

from ...contract import AsyncPredictAccepted, CancelAnswer
from ...contract.limits import STATUS_KEPT_SECONDS
from ...contract.statuses import QueueStatus
from ...contract.webhook_urls import webhook_url
from ..request_queue import AcceptedRequest, NewRequest
from ..webhook_targets import PrivateTargetError, check_target
from .bodies import parse_async_request, read_body
from .made_refusals import OF_ASYNC_CALLS, refuse_by_fault
from .refusals import bad_request, unknown

if TYPE_CHECKING:
    from ...clock import Clock
    from ...contract import AsyncRequestStatus
    from ..deployment import Deployment
    from ..request_queue import RequestRecord
    from .calls import ApiParts, IncomingCall

Facts = TypeVar("Facts", bound=BaseModel)

STATUS_KEPT = timedelta(seconds=STATUS_KEPT_SECONDS)


async def submit(parts: ApiParts, call: IncomingCall) -> AsyncPredictAccepted:
    """Queue an async request.

    Answered once it is durable; it goes by the id of the call that brought it.
    """
    deployment = parts.deployments.find(call.named)
    refuse_by_fault(parts, call, deployment, kinds=OF_ASYNC_CALLS)
    await parts.limiters.submits.take()
    body = await read_body(call.request, limit=call.operation.max_body_bytes)
    asked, model_input = await parse_async_request(body)
    if parts.guards_webhooks and asked.webhook_endpoint is not None:
        _check_target(asked.webhook_endpoint)
    now = parts.clock.now()
    new = NewRequest(
        request_id=call.request_id,
        deployment_id=deployment.id,
        accepted=AcceptedRequest.of(
            asked, model_id=deployment.settings.model_id, chain_id=deployment.settings.chain_id
        ),
        model_input=model_input,
        priority=asked.priority,
        created_at=now,
        expires_at=now + timedelta(seconds=asked.max_time_in_queue_seconds),
    )
    return await accept(parts, deployment, new)


async def accept(parts: ApiParts, deployment: Deployment, new: NewRequest) -> AsyncPredictAccepted:
    """Queue it, if there is room; it is durable then."""
    async with parts.limiters.open_requests:
        is_queued = await deployment.enter(new)
    if is_queued:
        parts.on_expiry(new.expires_at)
    parts.inputs.keep(new)
    return AsyncPredictAccepted(request_id=new.request_id)


def _check_target(webhook_endpoint: str) -> None:
    try:
        check_target(webhook_url(webhook_endpoint))
    except PrivateTargetError as error:
        raise bad_request(f"webhook_endpoint: {error}") from None


async def queue_status(parts: ApiParts, call: IncomingCall) -> QueueStatus:
    """How many async requests wait and run."""
    deployment = parts.deployments.find(call.named)
    refuse_by_fault(parts, call, deployment)
    await parts.limiters.queue_status_calls.take()
    counts = await parts.queue.counts(deployment.id)
    return QueueStatus(
        model_id=deployment.settings.model_id,
        deployment_id=deployment.id,
        num_queued_requests=counts.queued,
        num_in_progress_requests=counts.in_progress,
    )


async def status(parts: ApiParts, call: IncomingCall) -> Response:
    """Where an async request stands."""
    await parts.limiters.status_calls.take()
    return told((await known(parts, call.values["request_id"])).status, clock=parts.clock)


async def cancel(parts: ApiParts, call: IncomingCall) -> CancelAnswer:
    """Withdraw an async request that is still queued."""
    await parts.limiters.cancels.take()
    request_id = call.values["request_id"]
    if await parts.queue.cancel(request_id, now=parts.clock.now()):
        return CancelAnswer(request_id=request_id, canceled=True, message="The request was canceled.")
    stands = (await known(parts, request_id)).status.status.value
    message = f"The request is {stands}; only QUEUED requests can be canceled."
    return CancelAnswer(request_id=request_id, canceled=False, message=message)


async def known(parts: ApiParts, request_id: str) -> RequestRecord:
    """What is known of a request.

    Raises:
        CallRefusedError: 404, when it is none, or is over for an hour.
    """
    record = await parts.queue.record(request_id)
    if record is None or (record.over_at is not None and record.over_at + STATUS_KEPT <= parts.clock.now()):
        raise unknown(f"unknown async request {request_id}")
    return record


def at_time_of_day(facts: Facts, *, clock: Clock) -> Facts:
    """The same, with the moments in it as people call them."""
    moments = {name: clock.time_of_day(value) for name, value in facts if isinstance(value, datetime)}
    return facts.model_copy(update=moments)


def told(status: AsyncRequestStatus, *, clock: Clock) -> Response:
    """The status, with the id of what is served, a model's or a chain's, and its moments as people call them."""
    status = at_time_of_day(status, clock=clock)
    other = "chain_id" if status.chain_id is None else "model_id"
    return Response(status.model_dump_json(exclude={other}), media_type="application/json")
