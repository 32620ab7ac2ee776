"""The harness's own call that cancels, or submits again, all requests that a filter lets through."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

from ...contract import RequestStatus
from ...contract.harness_calls import BulkAction, BulkDone
from ...contract.request_ids import new_request_id
from ..inspection import STATUS_KEPT
from ..request_queue import RequestFilter
from ..slices import SliceSize
from .bodies import parse, read_body
from .inspection_calls import resubmit, since_of
from .refusals import CallRefusedError

if TYPE_CHECKING:
    from ..request_queue import FoundRequest, NewRequest, RequestQueue
    from .calls import ApiParts, IncomingCall

SLICE: Final = 100
"""So many are looked at together, and acted on at once at most: in one commit."""
MOST: Final = 10_000
"""In one call."""
_OF: Final = {"cancel": RequestStatus.QUEUED, "again": RequestStatus.FAILED}


async def bulk(parts: ApiParts, call: IncomingCall) -> BulkDone:
    """Cancel all queued requests of a filter, or submit all failed ones again; or count them."""
    asked = parse(BulkAction, await read_body(call.request, limit=call.operation.max_body_bytes))
    act = (
        partial(_cancel, parts)
        if asked.action == "cancel"
        else partial(_again, parts, parts.inputs.all_by_id())
    )
    now = parts.clock.now()
    ahead = parts.clock.time_of_day(now) - now
    which = _filter(asked, now=now, ahead=ahead)
    until = now if asked.accepted_until is None else asked.accepted_until - ahead
    size = SliceSize(most=SLICE)
    before, found, done, has_more, problem = None, 0, 0, False, None
    while few := await parts.queue.search(
        which, before=before, limit=SLICE if asked.counts_only else size.limit
    ):
        before = few[-1].order
        meant = [each for each in few if each.created_at <= until]
        has_more = found + len(meant) > MOST
        wanted = meant[: MOST - found]
        found += len(wanted)
        if not asked.counts_only:
            more, problem = await _act_on(wanted, act, queue=parts.queue, size=size)
            done += more
        if has_more or problem is not None:
            break
    return BulkDone(at=now + ahead, found=found, done=done, has_more=has_more, problem=problem)


async def _act_on(
    wanted: list[FoundRequest],
    act: Callable[[FoundRequest], Awaitable[bool]],
    *,
    queue: RequestQueue,
    size: SliceSize,
) -> tuple[int, str | None]:
    """To how many it was done, and what keeps it from being done to more, if anything does."""
    await queue.calm()
    with size.measured():
        outcomes = await asyncio.gather(*map(act, wanted), return_exceptions=True)
    problem = None
    for each in outcomes:
        if isinstance(each, CallRefusedError):
            problem = problem or str(each)
        elif isinstance(each, BaseException):
            raise each
    return sum(each is True for each in outcomes), problem


def _filter(asked: BulkAction, *, now: datetime, ahead: timedelta) -> RequestFilter:
    return RequestFilter(
        over_after=now - STATUS_KEPT,
        status=_OF[asked.action],
        webhook_status=asked.webhook_status,
        priority=asked.priority,
        deployment_id=asked.deployment,
        since=None if asked.since is None else since_of(asked.since, now=now + ahead) - ahead,
    )


async def _cancel(parts: ApiParts, found: FoundRequest) -> bool:
    return await parts.queue.cancel(found.request_id, now=parts.clock.now())


async def _again(parts: ApiParts, inputs: Mapping[str, NewRequest], found: FoundRequest) -> bool:
    kept = inputs.get(found.request_id)
    if kept is None:
        return False
    await resubmit(parts, kept, request_id=new_request_id())
    return True
