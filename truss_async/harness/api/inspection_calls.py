"""The harness's own calls that show requests and their lines, and halt the queue. What they show is put together in ``inspection``."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from pydantic_core import from_json

from ...contract import AsyncPredictAccepted, RequestStatus, WebhookStatus
from ...contract.harness_calls import (
    DeploymentQueue,
    Dispatch,
    LogLines,
    OldestRequest,
    QueueState,
    RequestList,
    RequestView,
    Submission,
)
from ...contract.moments import moment
from ..inspection import (
    DEFAULT_LISTED,
    MAX_LISTED,
    MAX_VIEWED_LINES,
    AmbiguousIdError,
    Wanted,
    full_id,
    list_requests,
    view_of,
)
from .async_calls import accept, at_time_of_day, known
from .bodies import parse, read_body
from .deployments import path_of
from .own_calls import deliveries_of, record_of
from .refusals import bad_request, unknown

if TYPE_CHECKING:
    from datetime import datetime

    from starlette.requests import Request

    from ..request_queue import NewRequest
    from .calls import ApiParts, IncomingCall

Status = TypeVar("Status", RequestStatus, WebhookStatus)

_MOST_DIGITS = 18
_PRIORITIES = ("0", "1", "2")


async def requests(parts: ApiParts, call: IncomingCall) -> RequestList:
    """Requests, the latest first, page by page, and how many there are of each status."""
    asked = call.request
    wanted = Wanted(
        status=_status(asked, "status", RequestStatus),
        webhook_status=_status(asked, "webhook_status", WebhookStatus),
        priority=_priority(asked),
        deployment_id=asked.query_params.get("deployment"),
        since=asked_since(asked, now=parts.clock.time_of_day(parts.clock.now())),
        id_prefix=asked.query_params.get("id_prefix", ""),
        limit=_number(asked, "limit", most=MAX_LISTED) or DEFAULT_LISTED,
        after=_number(asked, "after"),
    )
    return await list_requests(parts.queue, wanted, clock=parts.clock)


async def view(parts: ApiParts, call: IncomingCall) -> RequestView:
    """All that is known of a request, by its id, or the beginning of it."""
    request_id = await meant(parts, call.values["request_id"])
    record = await known(parts, request_id)
    deployments = {each.id: each for each in parts.deployments}
    served = deployments.get(record.status.deployment_id or "")
    return view_of(
        at_time_of_day(record_of(parts, record), clock=parts.clock),
        await deliveries_of(parts, request_id),
        parts.lines.latest(request_id=request_id, limit=MAX_VIEWED_LINES).lines,
        output_url=None if served is None else served.output_url,
    )


async def submission(parts: ApiParts, call: IncomingCall) -> Submission:
    """What a request was submitted with, as long as that is kept in memory."""
    kept = await _kept(parts, call)
    accepted = kept.accepted
    return Submission(
        request_id=kept.request_id,
        deployment_id=kept.deployment_id,
        model_input=from_json(kept.model_input),
        webhook_endpoint=accepted.webhook_endpoint,
        priority=kept.priority,
        max_time_in_queue_seconds=int((kept.expires_at - kept.created_at).total_seconds()),
        inference_retry_config=accepted.retry_config,
    )


async def submit_again(parts: ApiParts, call: IncomingCall) -> AsyncPredictAccepted:
    """Submit a request again, as a new one."""
    return await resubmit(parts, await _kept(parts, call), request_id=call.request_id)


async def resubmit(parts: ApiParts, kept: NewRequest, *, request_id: str) -> AsyncPredictAccepted:
    """Submit what was accepted once, as a new request of that id.

    Raises:
        CallRefusedError: its deployment is not served any more, or there is no room.
    """
    deployment = next((each for each in parts.deployments if each.id == kept.deployment_id), None)
    if deployment is None:
        raise unknown(f"the deployment {kept.deployment_id} of that request is not served")
    await parts.limiters.submits.take()
    now = parts.clock.now()
    expires_at = now + (kept.expires_at - kept.created_at)
    new = kept._replace(request_id=request_id, created_at=now, expires_at=expires_at)
    return await accept(parts, deployment, new)


async def _kept(parts: ApiParts, call: IncomingCall) -> NewRequest:
    request_id = await meant(parts, call.values["request_id"])
    kept = parts.inputs.of(request_id)
    if kept is None:
        raise unknown(
            f"the input of request {request_id} is no longer kept: the harness keeps only the latest since its start; submit the request again"
        )
    return kept


async def log_lines(parts: ApiParts, call: IncomingCall) -> LogLines:
    """What replicas wrote: the latest lines, or those after a number; of a request, or of all."""
    asked = call.request
    given = asked.query_params.get("request_id")
    return parts.lines.latest(
        request_id=None if given is None else await meant(parts, given),
        after=_number(asked, "after"),
        limit=_number(asked, "limit", most=MAX_LISTED) or DEFAULT_LISTED,
    )


async def queue(parts: ApiParts, _: IncomingCall) -> QueueState:
    """What waits and runs of each deployment."""
    states = []
    for each in parts.deployments:
        counts, health = await parts.queue.counts(each.id), each.health()
        states.append(
            DeploymentQueue(
                deployment_id=each.id,
                path=path_of(each),
                model=health.model,
                replicas_ready=health.replicas_ready,
                queued=counts.queued,
                in_progress=counts.in_progress,
                output_url=each.output_url,
            )
        )
    is_paused = all(each.dispatcher.is_paused for each in parts.deployments)
    return QueueState(
        is_paused=is_paused,
        deployments=states,
        oldest_open=await _oldest_open(parts),
        limits=parts.limiters.used(open_requests=sum(each.queued + each.in_progress for each in states)),
    )


async def _oldest_open(parts: ApiParts) -> OldestRequest | None:
    found = await parts.queue.oldest_open()
    if found is None:
        return None
    return OldestRequest(
        request_id=found.request_id,
        deployment_id=found.deployment_id,
        status=found.status,
        created_at=parts.clock.time_of_day(found.created_at),
        age_seconds=max(0.0, (parts.clock.now() - found.created_at).total_seconds()),
    )


async def dispatch(parts: ApiParts, call: IncomingCall) -> QueueState:
    """Let requests wait, accepted and not begun, or let them go on."""
    asked = parse(Dispatch, await read_body(call.request, limit=call.operation.max_body_bytes))
    for each in parts.deployments:
        if asked.paused:
            each.dispatcher.pause()
        else:
            each.dispatcher.resume()
    return await queue(parts, call)


async def meant(parts: ApiParts, given: str) -> str:
    """The id of the request that was given by its id, or by the beginning of it.

    Raises:
        CallRefusedError: 400, several begin so.
    """
    try:
        return await full_id(parts.queue, given, now=parts.clock.now()) or given
    except AmbiguousIdError as error:
        raise bad_request(str(error)) from None


def _status(asked: Request, name: str, kind: type[Status]) -> Status | None:
    text = asked.query_params.get(name)
    if text is None:
        return None
    try:
        return kind(text)
    except ValueError:
        raise bad_request(f"{name}: give one of {', '.join(each.value for each in kind)}") from None


def _priority(asked: Request) -> int | None:
    text = asked.query_params.get("priority")
    if text is None:
        return None
    if text not in _PRIORITIES:
        raise bad_request(f"priority: give one of {', '.join(_PRIORITIES)}")
    return int(text)


def asked_since(asked: Request, *, now: datetime) -> datetime | None:
    """Since when a list is to be, as people call the moment.

    Raises:
        CallRefusedError: 400, that is no moment.
    """
    text = asked.query_params.get("since")
    return None if text is None else since_of(text, now=now)


def since_of(text: str, *, now: datetime) -> datetime:
    """The moment that is called so.

    Raises:
        CallRefusedError: 400, it is none.
    """
    try:
        return moment(text, now=now)
    except ValueError as error:
        raise bad_request(f"since: {error}") from None


def _number(asked: Request, name: str, *, most: int | None = None) -> int | None:
    text = asked.query_params.get(name)
    if text is None:
        return None
    if text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS:
        found = int(text)
        if most is None or 1 <= found <= most:
            return found
    what = "what `next` said" if most is None else f"a number from 1 to {most}"
    raise bad_request(f"{name}: give {what}")
