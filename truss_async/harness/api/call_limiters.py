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

        self._submits = _of_submits(limits.async_calls_per_minute, rates=rates, clock=clock)
        self.status_calls = RateLimiter(
            "status calls", limits.status_calls_per_second, seconds=1, clock=clock
        )
        self.cancels = RateLimiter("cancel calls", limits.cancel_calls_per_second, seconds=1, clock=clock)
        self.queue_status_calls = RateLimiter(
            "queue status calls", limits.queue_status_calls_per_second, seconds=1, clock=clock
        )
        self.open_requests = OpenRequests(
            limits.max_open_requests, count=count_open, clock=clock, is_shared=queue.lease_seconds is not None
        )

    async def take_submit(self) -> None:
        """Count an async call.

        Raises:
            CallRefusedError: 429, with the seconds after which there is room.
            RequestQueueError: how many the others answered cannot be asked.
        """
        if isinstance(self._submits, RateLimiter):
            self._submits.check()
        else:
            await self._submits.take()

    def used(self, *, open_requests: int) -> list[UsedLimit]:
        """How much of each limit is used, when so many requests are queued or in progress."""
        of_calls = (self._submits, self.status_calls, self.cancels, self.queue_status_calls)
        found = (self.open_requests.used(open_requests), *(each.used() for each in of_calls))
        return [each for each in found if each is not None]


def _of_submits(
    calls: int | None, *, rates: CallRates | None, clock: Clock
) -> RateLimiter | SharedRateLimiter:
    if rates is None or calls is None:
        return RateLimiter("async calls", calls, seconds=60, clock=clock)
    return SharedRateLimiter("async calls", RateLimit(calls, 60), rates=rates, clock=clock)
