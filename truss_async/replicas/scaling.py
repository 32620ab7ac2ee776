"""How many replicas run, as pure functions (platform documentation: autoscaling)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class ScaleLimits:
    """So many replicas run at least and at most; fewer only after the delay."""

    minimum: int
    maximum: int
    delay_seconds: float

    @property
    def initial(self) -> int:
        """A deployment comes up with a replica, as on the platform, even if it may scale to zero."""
        return max(1, self.minimum)

    @property
    def are_elastic(self) -> bool:
        return self.minimum < self.maximum


@dataclass(frozen=True, slots=True)
class Scale:
    """How many replicas are needed now, and for each that is to run, when it was last needed."""

    desired: int
    needed_at: tuple[datetime, ...]

    @property
    def target(self) -> int:
        """So many are to run."""
        return len(self.needed_at)


def desired_replicas(requests: int, *, concurrency: int, limits: ScaleLimits) -> int:
    """Enough for so many requests at once, within the limits."""
    return min(max(-(-requests // concurrency), limits.minimum), limits.maximum)


def rescale(scale: Scale, *, desired: int, now: datetime, delay_seconds: float) -> Scale:
    """More at once; fewer only when fewer would have done for the whole delay."""
    needed_until_now = max(scale.desired, desired)
    needed_at = [*[now] * needed_until_now, *scale.needed_at[needed_until_now:]]
    while len(needed_at) > desired and (now - needed_at[-1]).total_seconds() >= delay_seconds:
        needed_at.pop()
    return Scale(desired, tuple(needed_at))
