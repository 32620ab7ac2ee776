"""What falls due by itself: requests expire, and are forgotten."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

from ..contract import limits
from .request_queue import until_stored

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from .activity import Activity
    from .request_queue import RequestQueue

STATUS_KEPT = timedelta(seconds=limits.STATUS_KEPT_SECONDS)


class Housekeeping:
    """Expires what was not started in time; drops the status of what has been over for an hour."""

    def __init__(self, *, queue: RequestQueue, activity: Activity, report: Callable[[str], None]) -> None:
        self._queue = queue
        self._activity = activity
        self._report = report
        self._awake = asyncio.Event()
        self._next: datetime | None = None

    def note_expiry(self, expires_at: datetime) -> None:
        """A request was queued that expires then."""
        if self._next is None or expires_at < self._next:
            self._awake.set()

    async def run(self) -> None:
        """Keep house until cancelled."""
        while True:
            self._awake.clear()
            self._next = await until_stored(self._tidy, pause=self._activity.sleep, report=self._report)
            seconds = (self._next - self._activity.now()).total_seconds()
            await self._activity.wait(self._awake, seconds=max(0.0, seconds))

    async def _tidy(self) -> datetime:
        """Do what is due; return when to look again."""
        now = self._activity.now()
        await self._queue.expire(now=now)
        await self._queue.forget(over_before=now - STATUS_KEPT)
        expiry, over = await self._queue.next_expiry(), await self._queue.next_over()
        # Nothing that is over after now is forgotten before this.
        moments = [now + STATUS_KEPT]
        if expiry is not None:
            moments.append(expiry)
        if over is not None:
            moments.append(over + STATUS_KEPT)
        return min(moments)
