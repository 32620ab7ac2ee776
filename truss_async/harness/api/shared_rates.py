"""A limit on calls that all harnesses on one database keep together."""

from __future__ import annotations

import asyncio
import math
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from ...contract.harness_calls import UsedLimit
from .rate_limits import Bucket, RateLimit, calls_left
from .refusals import rate_limited

if TYPE_CHECKING:
    from ...clock import Clock
    from ..request_queue.call_rates import CallRates

PORTION_SECONDS: Final = 0.25
"""What may come in so long is taken at once, so that not each call asks the database: what a node may hold back at most."""
REST: Final = timedelta(seconds=0.05)
"""So long after a refusal, nobody is asked again: what fills up meanwhile is not lost."""


class SharedRateLimiter:
    """Holds one kind of call to its limit, over all harnesses; it may be passed by nothing, but what is held back is idle."""

    def __init__(self, what: str, limit: RateLimit, *, rates: CallRates, clock: Clock) -> None:
        self._what = what
        self._limit = limit
        self._per = timedelta(seconds=limit.seconds)
        self._portion = max(1, int(limit.calls / limit.seconds * PORTION_SECONDS))
        self._rates = rates
        self._clock = clock
        self._mine = 0
        self._others = Bucket(limit.calls, clock.now())
        self._refuses_until = clock.now()
        self._asking = asyncio.Lock()

    async def take(self) -> None:
        """Count a call.

        Raises:
            CallRefusedError: 429, with the seconds after which there is room.
            RequestQueueError: the database cannot be asked.
        """
        if self._mine == 0:
            async with self._asking:
                if self._mine == 0:
                    await self._take_a_portion()
        self._mine -= 1

    def used(self) -> UsedLimit:
        """How much of the limit all have used, as far as is known here."""
        left = calls_left(self._limit, self._others, now=self._clock.now()) + self._mine
        used = max(0, math.ceil(self._limit.calls - left))
        return UsedLimit(what=f"{self._what} {self._limit.per}", used=used, limit=self._limit.calls)

    async def _take_a_portion(self) -> None:
        if self._clock.now() >= self._refuses_until:
            taken = await self._rates.take(
                self._what, wanted=self._portion, calls=self._limit.calls, per=self._per
            )
            now = self._clock.now()
            self._mine, self._others = taken.granted, Bucket(taken.left, now)
            self._refuses_until = now if taken.granted else now + REST
        if self._mine == 0:
            left = calls_left(self._limit, self._others, now=self._clock.now())
            wait = max(0.0, (1 - left) * self._limit.seconds / self._limit.calls)
            message = f"too many {self._what}: the limit is {self._limit}"
            raise rate_limited(message, retry_after_seconds=math.ceil(wait))
