"""The limits that an organisation is held to, whichever of its harnesses it calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .rate_limits import OpenRequests, RateLimit, RateLimiter
from .shared_rates import SharedRateLimiter

if TYPE_CHECKING:
    from ...clock import Clock
    from ...contract.harness_calls import UsedLimit
    from ..request_queue import RequestQueue
    from ..request_queue.call_rates import CallRates
    from ..settings import CallLimits


class CallLimiters:
    """The organisation's limits on the asynchronous calls of all deployments."""

    def __init__(
        self, limits: CallLimits, *, queue: RequestQueue, clock: Clock, rates: CallRates | None = None
    ) -> None:
        """``rates``, where others answer calls, too, that count."""

        async def count_open() -> int:
            return sum((await queue.open_by_deployment()).values())

        def limiter(what: str, calls: int | None, *, seconds: int = 1) -> RateLimiter | SharedRateLimiter:
            if rates is None or calls is None:
                return RateLimiter(what, calls, seconds=seconds, clock=clock)
            return SharedRateLimiter(what, RateLimit(calls, seconds), rates=rates, clock=clock)

        self.submits = limiter("async calls", limits.async_calls_per_minute, seconds=60)
        self.status_calls = limiter("status calls", limits.status_calls_per_second)
        self.cancels = limiter("cancel calls", limits.cancel_calls_per_second)
        self.queue_status_calls = limiter("queue status calls", limits.queue_status_calls_per_second)
        self.open_requests = OpenRequests(
            limits.max_open_requests, count=count_open, clock=clock, is_shared=queue.lease_seconds is not None
        )

    def used(self, *, open_requests: int) -> list[UsedLimit]:
        """How much of each limit is used, when so many requests are queued or in progress."""
        of_calls = (self.submits, self.status_calls, self.cancels, self.queue_status_calls)
        found = (self.open_requests.used(open_requests), *(each.used() for each in of_calls))
        return [each for each in found if each is not None]
