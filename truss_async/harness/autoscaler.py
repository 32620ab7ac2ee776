"""Lets a pool run as many replicas as the requests need, down to none."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

from ..replicas.scaling import Scale, desired_replicas, rescale

if TYPE_CHECKING:
    from ..replicas.pool import ReplicaPool
    from ..replicas.scaling import ScaleLimits
    from .activity import Activity

LOOK_AGAIN_SECONDS: Final = 900.0
"""That a queued request has expired or was cancelled is noticed no later."""


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
        desired = desired_replicas(requests, concurrency=self._pool.concurrency, limits=self._limits)
        if self._pool.state == "starting":
            desired = max(desired, 1)  # whoever woke it has not had it yet
        self._scale = rescale(
            self._scale,
            desired=desired,
            now=self._activity.now(),
            delay_seconds=self._limits.delay_seconds,
        )

    def _seconds_to_next_look(self) -> float | None:
        """None when only more demand can change anything."""
        if self._scale.target == self._limits.minimum:
            return None
        if self._scale.target == self._scale.desired:
            return LOOK_AGAIN_SECONDS
        passed = (self._activity.now() - self._scale.needed_at[-1]).total_seconds()
        return max(0.0, self._limits.delay_seconds - passed)
