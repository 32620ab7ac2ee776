"""How many replicas run, as pure functions (platform documentation: autoscaling), and the average that they go by."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

_POINTS: Final = 60
_HARDLY_MORE: Final = 1e-9


@dataclass(frozen=True, slots=True)
class ScaleLimits:
    """So many replicas run at least and at most, and how they follow the load. Utilization and rate are percentages.

    ``max_scale_down_rate`` is how much of the replicas goes at most within a window, though always one may.
    """

    minimum: int
    maximum: int
    delay_seconds: float
    window_seconds: float = 0
    concurrency_target: int = 1
    target_utilization: int = 100
    max_scale_down_rate: int = 100

    @property
    def initial(self) -> int:
        """A deployment comes up with a replica, as on the platform, even if it may scale to zero."""
        return max(1, self.minimum)

    @property
    def are_elastic(self) -> bool:
        return self.minimum < self.maximum

    def largest_step(self, replicas: int) -> int:
        """So many of them may go at once."""
        return max(1, replicas * self.max_scale_down_rate // 100)


class LoadAverage:
    """How many requests there were at once, on average over a window that ends now; none before the first note."""

    def __init__(self, window_seconds: float, *, now: datetime) -> None:
        self._window = window_seconds
        self._requests = 0
        self._area = 0.0
        self._noted_at = now
        self._points: deque[tuple[datetime, float]] = deque([(now, 0.0)])

    def note(self, requests: int, *, now: datetime) -> None:
        """There are so many from now on."""
        self._area = self._area_at(now)
        self._requests, self._noted_at = requests, now
        if (now - self._points[-1][0]).total_seconds() >= self._window / _POINTS:
            self._points.append((now, self._area))

    def at(self, now: datetime) -> float:
        """The average; without a window, what there is."""
        if self._window == 0:
            return self._requests
        begin = now - timedelta(seconds=self._window)
        while len(self._points) > 1 and self._points[1][0] <= begin:
            self._points.popleft()
        return (self._area_at(now) - self._area_then(begin)) / self._window

    def is_steady(self, now: datetime) -> bool:
        """Whether it stays as it is until the load changes."""
        return (now - self._noted_at).total_seconds() >= self._window or abs(
            self.at(now) - self._requests
        ) < _HARDLY_MORE

    def _area_at(self, now: datetime) -> float:
        return self._area + self._requests * (now - self._noted_at).total_seconds()

    def _area_then(self, moment: datetime) -> float:
        """What had come together then, straight between two points that are known."""
        at, area = self._points[0]
        if moment <= at:
            return area
        if len(self._points) > 1:
            until, more = self._points[1]
        else:
            until, more = self._noted_at, self._area
        if moment >= until:
            return self._area + self._requests * max(0.0, (moment - self._noted_at).total_seconds())
        return area + (more - area) * ((moment - at) / (until - at))


@dataclass(frozen=True, slots=True)
class Scale:
    """How many replicas are needed now; for each that is to run, when it was last needed; when some went last."""

    desired: int
    needed_at: tuple[datetime, ...]
    stepped_at: datetime | None = None

    @property
    def target(self) -> int:
        """So many are to run."""
        return len(self.needed_at)


def desired_replicas(average: float, *, is_wanted: bool, limits: ScaleLimits) -> int:
    """Enough for so many requests at once, within the limits; one is, as soon as there is a request at all."""
    capacity = limits.concurrency_target * limits.target_utilization / 100
    enough = max(math.ceil(average / capacity - _HARDLY_MORE), int(is_wanted))
    return min(max(enough, limits.minimum), limits.maximum)


def rescale(scale: Scale, *, desired: int, now: datetime, limits: ScaleLimits) -> Scale:
    """More at once; fewer only when fewer would have done for the whole delay, and no more of them than a step at a time."""
    needed_until_now = max(scale.desired, desired)
    needed_at = [*[now] * needed_until_now, *scale.needed_at[needed_until_now:]]
    spare = sum((now - at).total_seconds() >= limits.delay_seconds for at in needed_at[desired:])
    if not spare or seconds_to_step(scale, now=now, limits=limits) > 0:
        return Scale(desired, tuple(needed_at), scale.stepped_at)
    going = min(spare, limits.largest_step(len(needed_at)))
    return Scale(desired, tuple(needed_at[: len(needed_at) - going]), now)


def seconds_to_step(scale: Scale, *, now: datetime, limits: ScaleLimits) -> float:
    """How long no replica goes, for some have gone within the window."""
    if scale.stepped_at is None:
        return 0.0
    return max(0.0, limits.window_seconds - (now - scale.stepped_at).total_seconds())
