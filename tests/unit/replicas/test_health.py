from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.unit.replicas.steered_replica import settle
from truss_async.clock import ManualClock
from truss_async.errors import HarnessError
from truss_async.replicas.health import HealthPolicy, health_policy, judge_health, watch_health


def policy_of(**asked: Any) -> HealthPolicy:
    return health_policy({"runtime": {"health_checks": asked}}, restart_threshold_seconds=None)


@pytest.mark.parametrize(
    ("stop_traffic", "restart", "failed_checks", "verdict"),
    [
        (1800, 1800, 0, "serves"),
        (1800, 1800, 179, "serves"),
        (1800, 1800, 180, "is replaced"),
        (60, 90, 5, "serves"),
        (60, 90, 6, "gets no requests"),
        (60, 90, 8, "gets no requests"),
        (60, 90, 9, "is replaced"),
        (90, 60, 6, "is replaced"),
        (1800, 0.3, 2, "serves"),
        (1800, 0.3, 3, "is replaced"),
    ],
)
def test_what_follows_from_failed_checks(
    stop_traffic: float, restart: float, failed_checks: int, verdict: str
) -> None:
    policy = HealthPolicy(stop_traffic_threshold_seconds=stop_traffic, restart_threshold_seconds=restart)
    assert judge_health(policy, failed_checks=failed_checks) == verdict


@pytest.mark.parametrize(("restart", "interval"), [(1800, 10), (30, 10), (15, 5), (3, 1)])
def test_checks_are_ten_seconds_apart_and_closer_for_a_low_threshold(restart: float, interval: float) -> None:
    assert HealthPolicy(restart_threshold_seconds=restart).interval_seconds == interval


def test_the_config_says_when_and_an_option_goes_before_it() -> None:
    assert (
        policy_of() == health_policy({}, restart_threshold_seconds=None) == HealthPolicy(1800, 1800, 1800, 0)
    )
    asked = {
        "startup_threshold_seconds": 2400,
        "stop_traffic_threshold_seconds": 300,
        "restart_threshold_seconds": 600,
        "restart_check_delay_seconds": None,
    }
    assert policy_of(**asked) == HealthPolicy(2400, 300, 600, 0)
    config = {"runtime": {"health_checks": asked}}
    assert health_policy(config, restart_threshold_seconds=0.5) == HealthPolicy(2400, 300, 0.5, 0)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("restart_threshold_seconds", 9),
        ("stop_traffic_threshold_seconds", 3001),
        ("startup_threshold_seconds", 0),
        ("restart_check_delay_seconds", -1),
    ],
)
def test_a_threshold_that_the_platform_refuses_is_refused(name: str, value: int) -> None:
    with pytest.raises(HarnessError, match=f"runtime.health_checks.{name} must be from .* not {value}"):
        policy_of(**{name: value})


def test_only_checks_that_fail_one_after_the_other_count() -> None:
    async def main() -> None:
        clock = ManualClock()
        findings = iter([None, "slow", "slow", None, "slow", "slow", "it does not answer"])
        allowed: list[float] = []

        async def check(seconds: float) -> str | None:
            allowed.append(seconds)
            return next(findings)

        traffic: list[bool] = []
        policy = HealthPolicy(
            stop_traffic_threshold_seconds=30, restart_threshold_seconds=30, restart_check_delay_seconds=60
        )
        interval = policy.interval_seconds
        watching = asyncio.create_task(watch_health(check, policy, clock=clock, on_traffic=traffic.append))
        await settle()
        assert allowed == []
        clock.advance(60)
        while not watching.done():
            await settle()
            clock.advance(interval)
        assert await watching == "has failed its health checks for 30 s (it does not answer)"
        assert set(allowed) == {interval}
        assert traffic == []

    asyncio.run(main())


def test_traffic_stops_and_comes_back() -> None:
    async def main() -> None:
        clock = ManualClock()
        findings = iter(["no", "no", "no", None, "no", "no", "no", "no"])

        async def check(seconds: float) -> str | None:
            return next(findings)

        traffic: list[bool] = []
        policy = HealthPolicy(stop_traffic_threshold_seconds=30, restart_threshold_seconds=40)
        watching = asyncio.create_task(watch_health(check, policy, clock=clock, on_traffic=traffic.append))
        while not watching.done():
            await settle()
            clock.advance(10)
        assert traffic == [False, True, False]

    asyncio.run(main())
