"""What falls due by itself: requests expire, and are forgotten; results that were kept are erased."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from ..contract import limits
from .request_queue import AT_ONCE, until_stored
from .slices import SliceSize

if TYPE_CHECKING:
    from .activity import Activity
    from .request_queue import RequestQueue

STATUS_KEPT = timedelta(seconds=limits.STATUS_KEPT_SECONDS)
NEVER = datetime.max.replace(tzinfo=timezone.utc)


class Housekeeping:
    """Expires what was not started in time; drops the status of what has been over for an hour.

    Results that are kept after that are erased at their time; ``keep_results`` is how long new ones are kept, if at all.
    """

    def __init__(
        self,
        *,
        queue: RequestQueue,
        activity: Activity,
        report: Callable[[str], None],
        keep_results: timedelta | None = None,
    ) -> None:
        self._queue = queue
        self._activity = activity
        self._report = report
        # Nothing that is over after now is forgotten, or erased, before this.
        self._rest = STATUS_KEPT if keep_results is None else min(STATUS_KEPT, keep_results)
        self._awake = asyncio.Event()
        self._next = NEVER

    def note_expiry(self, expires_at: datetime) -> None:
        """A request was queued that expires then."""
        if expires_at < self._next:
            self._next = expires_at
            self._awake.set()

    async def take_over(self) -> None:
        """Look after what others queued, too: they may not live to see it expire."""
        self.note_expiry(self._activity.now())

    def drop(self) -> None:
        """Of what falls due by itself, nothing is anybody's own."""

    async def run(self) -> None:
        """Keep house until cancelled."""
        while True:
            self._next = NEVER  # what is noted from here on counts, and what was before is found
            found = await until_stored(self._tidy, pause=self._activity.sleep, report=self._report)
            self._next = min(found, self._next)
            while (seconds := (self._next - self._activity.now()).total_seconds()) > 0:
                self._awake.clear()
                await self._activity.wait(self._awake, seconds=seconds)

    async def _tidy(self) -> datetime:
        """Do what is due; return when to look again."""
        now = self._activity.now()
        await self._in_slices(lambda limit: self._expire(now, limit))
        await self._in_slices(lambda limit: self._queue.forget(over_before=now - STATUS_KEPT, limit=limit))
        await self._in_slices(lambda limit: self._queue.erase_kept(now=now, limit=limit))
        expiry, over = await self._queue.next_expiry(), await self._queue.next_over()
        erasure = await self._queue.next_erasure()
        moments = [now + self._rest, *(each for each in (expiry, erasure) if each is not None)]
        if over is not None:
            moments.append(over + STATUS_KEPT)
        return min(moments)

    async def _expire(self, now: datetime, limit: int) -> int:
        return len(await self._queue.expire(now=now, limit=limit))

    @staticmethod
    async def _in_slices(work: Callable[[int], Awaitable[int]]) -> None:
        """Do it until less is left than was allowed; as much at once as keeps others waiting for a moment only."""
        size, is_full = SliceSize(most=AT_ONCE), True
        while is_full:
            with size.measured():
                is_full = await work(size.limit) >= size.limit
