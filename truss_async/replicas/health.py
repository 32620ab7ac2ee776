"""Whether a replica that runs is healthy, and what follows when it is not (platform documentation: health checks)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from ..errors import HarnessError

if TYPE_CHECKING:
    from ..clock import Clock

Verdict = Literal["serves", "gets no requests", "is replaced"]

THRESHOLD_SECONDS: Final = 1800
MIN_THRESHOLD_SECONDS: Final = 10
MAX_THRESHOLD_SECONDS: Final = 3000
INTERVAL_SECONDS: Final = 10.0
MIN_FAILED_CHECKS: Final = 3
"""Nothing follows from fewer, however low the threshold: this machine may be busy for a moment."""


@dataclass(frozen=True, slots=True)
class HealthPolicy:
    """What follows when checks have failed for so long, one after the other."""

    startup_threshold_seconds: float = THRESHOLD_SECONDS
    stop_traffic_threshold_seconds: float = THRESHOLD_SECONDS
    restart_threshold_seconds: float = THRESHOLD_SECONDS
    restart_check_delay_seconds: float = 0

    @property
    def interval_seconds(self) -> float:
        """From check to check; each may take as long."""
        shortest = min(self.stop_traffic_threshold_seconds, self.restart_threshold_seconds)
        return min(INTERVAL_SECONDS, shortest / MIN_FAILED_CHECKS)


def health_policy(config: Mapping[str, Any], *, restart_threshold_seconds: float | None) -> HealthPolicy:
    """What a truss's whole config asks for; the argument, when given, goes before its restart threshold.

    Raises:
        HarnessError: a value that the platform refuses.
    """
    asked = config.get("runtime", {}).get("health_checks") or {}
    values = {name: asked[name] for name in HealthPolicy.__slots__ if asked.get(name) is not None}
    for name, value in values.items():
        lowest = 0 if name == "restart_check_delay_seconds" else MIN_THRESHOLD_SECONDS
        if not lowest <= value <= MAX_THRESHOLD_SECONDS:
            raise HarnessError(
                f"config.yaml: runtime.health_checks.{name} must be from {lowest} to {MAX_THRESHOLD_SECONDS}, not {value}"
            )
    if restart_threshold_seconds is not None:
        values["restart_threshold_seconds"] = restart_threshold_seconds
    return HealthPolicy(**values)


def judge_health(policy: HealthPolicy, *, failed_checks: int) -> Verdict:
    """What follows from so many failed checks in a row. They are counted, not timed: a machine may sleep."""
    failing_seconds = failed_checks * policy.interval_seconds
    # The sum of rounded parts may fall short of the whole.
    if failing_seconds >= policy.restart_threshold_seconds - 1e-6:
        return "is replaced"
    if failing_seconds >= policy.stop_traffic_threshold_seconds - 1e-6:
        return "gets no requests"
    return "serves"


async def watch_health(
    check: Callable[[float], Awaitable[str | None]],
    policy: HealthPolicy,
    *,
    clock: Clock,
    on_traffic: Callable[[bool], None],
) -> str:
    """Check until the replica is to be replaced; return why, in one line.

    ``check`` gets the seconds it may take, and says what is wrong. ``on_traffic`` is told when the replica is to get
    no requests, and when again.
    """
    await clock.sleep(policy.restart_check_delay_seconds)
    failed_checks = 0
    has_traffic = True
    while True:
        began = clock.monotonic()
        problem = await check(policy.interval_seconds)
        failed_checks = 0 if problem is None else failed_checks + 1
        verdict = judge_health(policy, failed_checks=failed_checks)
        if verdict == "is replaced":
            return f"has failed its health checks for {policy.restart_threshold_seconds:g} s ({problem})"
        if has_traffic != (verdict == "serves"):
            has_traffic = not has_traffic
            on_traffic(has_traffic)
        took = clock.monotonic() - began
        await clock.sleep(max(0.0, policy.interval_seconds - took))
