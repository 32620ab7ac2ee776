"""How many calls are answered in a while, and how many requests may be open at once."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from ...contract.harness_calls import UsedLimit
from .refusals import rate_limited

if TYPE_CHECKING:
    from ...clock import Clock

RETRY_WHEN_FULL_SECONDS = 1
COUNT_GOOD_FOR = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class RateLimit:
    """So many calls in so many seconds; they may come all at once, after a quiet while."""

    calls: int
    seconds: int

    def __str__(self) -> str:
        return f"{self.calls} {self.per}"

    @property
    def per(self) -> str:
        """In which while."""
        return f"a {'second' if self.seconds == 1 else 'minute'}"


@dataclass(frozen=True, slots=True)
class Bucket:
    """How many calls were left at that moment."""

    calls_left: float
    at: datetime


def take(limit: RateLimit, bucket: Bucket | None, *, now: datetime) -> tuple[Bucket, timedelta | None]:
    """Take a call out of the bucket, None for one that was never used; else tell how long until there is one."""
    left = calls_left(limit, bucket, now=now)
    if left >= 1:
        return Bucket(left - 1, now), None
    return Bucket(left, now), timedelta(seconds=(1 - left) * limit.seconds / limit.calls)


def calls_left(limit: RateLimit, bucket: Bucket | None, *, now: datetime) -> float:
    """How many calls can come at once now."""
    if bucket is None:
        return float(limit.calls)
    passed = max(0.0, (now - bucket.at).total_seconds())
    return min(float(limit.calls), bucket.calls_left + passed * limit.calls / limit.seconds)


class RateLimiter:
    """Holds one kind of call to its limit; without one, lets everything pass."""

    def __init__(self, what: str, calls: int | None, *, seconds: int, clock: Clock) -> None:
        self._what = what
        self._limit = None if calls is None else RateLimit(calls, seconds)
        self._clock = clock
        self._bucket: Bucket | None = None

    def check(self) -> None:
        """Count a call.

        Raises:
            CallRefusedError: 429, with the seconds after which there is room.
        """
        if self._limit is None:
            return
        self._bucket, wait = take(self._limit, self._bucket, now=self._clock.now())
        if wait is not None:
            message = f"too many {self._what}: the limit is {self._limit}"
            raise rate_limited(message, retry_after_seconds=math.ceil(wait.total_seconds()))

    async def take(self) -> None:
        """The same, as of what has to be asked for."""
        self.check()

    def used(self) -> UsedLimit | None:
        """How much of the limit is used; None: there is none."""
        if self._limit is None:
            return None
        left = calls_left(self._limit, self._bucket, now=self._clock.now())
        return UsedLimit(
            what=f"{self._what} {self._limit.per}",
            used=math.ceil(self._limit.calls - left),
            limit=self._limit.calls,
        )


class OpenRequests:
    """Holds the requests that are queued or in progress to a limit; counts them only when it may be reached.

    ``async with`` it, a request that is being made durable has a place. Where others make requests, too, a count is good
    for a second: ``is_shared``.
    """

    def __init__(
        self, limit: int | None, *, count: Callable[[], Awaitable[int]], clock: Clock, is_shared: bool = False
    ) -> None:
        self._limit = limit
        self._count = count
        self._clock = clock
        self._is_shared = is_shared
        self._counted_at = clock.now()
        self._at_most = limit or 0  # what an earlier run left is not known yet
        self._entering = 0
        self._counting = asyncio.Lock()

    def used(self, count: int) -> UsedLimit | None:
        """How much of the limit is used when so many are open; None: there is none."""
        return None if self._limit is None else UsedLimit(what="open requests", used=count, limit=self._limit)

    async def __aenter__(self) -> None:
        """Take a place.

        Raises:
            CallRefusedError: 429, there is none.
        """
        if self._limit is not None:
            await self._reserve(self._limit)
        self._entering += 1

    async def __aexit__(self, *_: object) -> None:
        self._entering -= 1

    async def _reserve(self, limit: int) -> None:
        if self._may_be_reached(limit):
            async with self._counting:
                if self._may_be_reached(limit):
                    self._counted_at = self._clock.now()
                    self._at_most = await self._count() + self._entering
        if self._at_most >= limit:
            message = f"too many async requests are queued or in progress: the limit is {limit}"
            raise rate_limited(message, retry_after_seconds=RETRY_WHEN_FULL_SECONDS)
        self._at_most += 1

    def _may_be_reached(self, limit: int) -> bool:
        is_old = self._is_shared and self._clock.now() - self._counted_at >= COUNT_GOOD_FOR
        return is_old or self._at_most >= limit
