"""The harness's own call that cancels, or submits again, all requests that a filter lets through."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from ...contract import RequestStatus
from ...contract.harness_calls import BulkAction, BulkDone
from ..inspection import STATUS_KEPT
from ..request_queue import RequestFilter
from .bodies import parse, read_body
from .inspection_calls import resubmit, since_of
from .refusals import CallRefusedError

if TYPE_CHECKING:
    from ..request_queue import FoundRequest
    from .calls import ApiParts, IncomingCall

SLICE: Final = 100
MOST: Final = 10_000
"""In one call."""
_OF: Final = {"cancel": RequestStatus.QUEUED, "again": RequestStatus.FAILED}


async def bulk(parts: ApiParts, call: IncomingCall) -> BulkDone:
    """Cancel all queued requests of a filter, or submit all failed ones again; or count them."""
    asked = parse(BulkAction, await read_body(call.request, limit=call.operation.max_body_bytes))
    act = {"cancel": _cancel, "again": _again}[asked.action]
    now = parts.clock.now()
    ahead = parts.clock.time_of_day(now) - now
    which = _filter(asked, now=now, ahead=ahead)
    until = now if asked.accepted_until is None else asked.accepted_until - ahead
    found = done = 0
    has_more, problem = False, None
    try:
        async for each in _matching(parts, which, until=until):
            if found == MOST:
                has_more = True
                break
            found += 1
            done += not asked.counts_only and await act(parts, each)
    except CallRefusedError as refusal:
        problem = str(refusal)
    return BulkDone(at=now + ahead, found=found, done=done, has_more=has_more, problem=problem)


def _filter(asked: BulkAction, *, now: datetime, ahead: timedelta) -> RequestFilter:
    return RequestFilter(
        over_after=now - STATUS_KEPT,
        status=_OF[asked.action],
        webhook_status=asked.webhook_status,
        priority=asked.priority,
        deployment_id=asked.deployment,
        since=None if asked.since is None else since_of(asked.since, now=now + ahead) - ahead,
    )


async def _matching(parts: ApiParts, which: RequestFilter, *, until: datetime) -> AsyncIterator[FoundRequest]:
    """Slice by slice, so that nothing else waits for long."""
    before: int | None = None
    while found := await parts.queue.search(which, before=before, limit=SLICE):
        for each in found:
            if each.created_at <= until:
                yield each
        before = found[-1].order


async def _cancel(parts: ApiParts, found: FoundRequest) -> bool:
    return await parts.queue.cancel(found.request_id, now=parts.clock.now())


async def _again(parts: ApiParts, found: FoundRequest) -> bool:
    kept = parts.inputs.of(found.request_id)
    if kept is None:
        return False
    await resubmit(parts, kept, request_id=uuid4().hex)
    return True
