"""Lists of requests: which ones, page by page; and the request that a prefix of an id means."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from ...contract import RequestStatus, WebhookStatus
from ...contract.harness_calls import RequestList, RequestSummary
from ...contract.limits import STATUS_KEPT_SECONDS
from ...errors import HarnessError
from ..request_queue import RequestFilter

if TYPE_CHECKING:
    from ...clock import Clock
    from ..request_queue import FoundRequest, RequestQueue

DEFAULT_LISTED: Final = 100
MAX_LISTED: Final = 1000
SHORTEST_PREFIX: Final = 6
MAX_CANDIDATES: Final = 10
STATUS_KEPT: Final = timedelta(seconds=STATUS_KEPT_SECONDS)


class AmbiguousIdError(HarnessError):
    """Several requests have an id that begins so."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which requests a list is of. ``since`` is as people call the moment; ``after`` is the ``next`` of another page."""

    status: RequestStatus | None = None
    webhook_status: WebhookStatus | None = None
    priority: int | None = None
    deployment_id: str | None = None
    since: datetime | None = None
    id_prefix: str = ""
    limit: int = DEFAULT_LISTED
    after: int | None = None


async def list_requests(queue: RequestQueue, wanted: Wanted, *, clock: Clock) -> RequestList:
    """A page of those requests, the latest first, and the counts of all that are of that deployment, or of any.

    Raises:
        RequestQueueError: the queue cannot be read.
    """
    now = clock.now()
    ahead = clock.time_of_day(now) - now
    which = RequestFilter(
        over_after=now - STATUS_KEPT,
        status=wanted.status,
        webhook_status=wanted.webhook_status,
        priority=wanted.priority,
        deployment_id=wanted.deployment_id,
        since=None if wanted.since is None else wanted.since - ahead,
        id_prefix=wanted.id_prefix,
    )
    found = await queue.search(which, before=wanted.after, limit=wanted.limit + 1)
    shown = found[: wanted.limit]
    return RequestList(
        requests=[_summary(each, clock=clock) for each in shown],
        counts=await _counts(queue, wanted.deployment_id),
        next=str(shown[-1].order) if len(found) > wanted.limit else None,
    )


async def full_id(queue: RequestQueue, prefix: str, *, now: datetime) -> str | None:
    """The one id of a request that begins so; None when there is none, or the prefix is too short to mean one.

    Raises:
        AmbiguousIdError: there are several.
        RequestQueueError: the queue cannot be read.
    """
    if len(prefix) < SHORTEST_PREFIX:
        return None
    found = await queue.starting_with(prefix, over_after=now - STATUS_KEPT, limit=MAX_CANDIDATES + 1)
    if len(found) > 1 and prefix not in found:
        more = ", …" if len(found) > MAX_CANDIDATES else ""
        raise AmbiguousIdError(
            f"several requests begin with {prefix}: {', '.join(found[:MAX_CANDIDATES])}{more}"
        )
    return prefix if prefix in found else found[0] if found else None


async def _counts(queue: RequestQueue, deployment_id: str | None) -> dict[str, int]:
    counts = {status.value: 0 for status in RequestStatus}
    for owner, by_status in (await queue.status_counts()).items():
        if deployment_id in (None, owner):
            for status, number in by_status.items():
                counts[status.value] += number
    return counts


def _summary(found: FoundRequest, *, clock: Clock) -> RequestSummary:
    return RequestSummary(
        request_id=found.request_id,
        deployment_id=found.deployment_id,
        status=found.status,
        webhook_status=found.webhook_status,
        priority=found.priority,
        inference_attempts=found.attempts,
        created_at=clock.time_of_day(found.created_at),
        status_at=clock.time_of_day(found.status_at),
        queue_seconds=seconds_between(found.created_at, found.started_at),
        model_seconds=seconds_between(found.started_at, found.finished_at),
        errors=found.errors,
    )


def seconds_between(start: datetime | None, end: datetime | None) -> float | None:
    """None when one of them is not known."""
    return None if start is None or end is None else round((end - start).total_seconds(), 6)
