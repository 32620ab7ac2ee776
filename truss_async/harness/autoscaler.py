"""Lets a pool run as many replicas as the requests need, down to none."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

from ..replicas.scaling import LoadAverage, Scale, desired_replicas, rescale, seconds_to_step

if TYPE_CHECKING:
    from ..replicas.pool import ReplicaPool
    from ..replicas.scaling import ScaleLimits
    from .activity import Activity

LOOK_AGAIN_SECONDS: Final = 900.0
"""That a queued request has expired or was cancelled is noticed no later."""
LOOKS_A_WINDOW: Final = 6
"""So often the average is looked at while it moves."""


class Autoscaler:
    """Resizes the pool whenever it tells that its demand has changed. The delay counts on the harness's clock.

    ``backlog`` tells how many async requests are queued or in progress.
    """

    def __init__(
        self,
        pool: ReplicaPool,
        *,
        limits: ScaleLimits,
        backlog: Callable[[], Awaitable[int]],
        activity: Activity,
    ) -> None:
        self._pool = pool
        self._limits = limits
        self._backlog = backlog
        self._activity = activity
        self._load = LoadAverage(limits.window_seconds, now=activity.now())
        self._scale = Scale(limits.initial, (activity.now(),) * limits.initial)

    async def run(self) -> None:
        """Scale until cancelled."""
        while True:
            self._pool.demand_changed.clear()
            await self._look()
            await self._activity.wait(self._pool.demand_changed, seconds=self._seconds_to_next_look())

    async def _look(self) -> None:
        backlog = await self._backlog()
        # From here on nothing else happens in between: a call that comes now finds the replica, or wakes one.
        for requests in (self._pool.take_peak_calls(), self._pool.calls + backlog):
            self._note(requests)
        self._pool.resize(self._scale.target)

    def _note(self, requests: int) -> None:
        now = self._activity.now()
        self._load.note(requests, now=now)
        desired = desired_replicas(self._load.at(now), is_wanted=requests > 0, limits=self._limits)
        if self._pool.state == "starting":
            desired = max(desired, 1)  # whoever woke it has not had it yet
        self._scale = rescale(self._scale, desired=desired, now=now, limits=self._limits)

    def _seconds_to_next_look(self) -> float | None:
        """None when only more demand can change anything."""
        now, scale = self._activity.now(), self._scale
        waits = [] if self._load.is_steady(now) else [self._limits.window_seconds / LOOKS_A_WINDOW]
        if scale.target > scale.desired:
            idle = (now - scale.needed_at[-1]).total_seconds()
            step = seconds_to_step(scale, now=now, limits=self._limits)
            waits.append(max(0.0, self._limits.delay_seconds - idle, step))
        elif scale.target > self._limits.minimum:
            waits.append(LOOK_AGAIN_SECONDS)
        return min(waits, default=None)
