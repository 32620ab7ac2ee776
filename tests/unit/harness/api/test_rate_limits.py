import asyncio
from datetime import datetime, timedelta, timezone

import pytest

from truss_async.clock import ManualClock
from truss_async.harness.api.rate_limits import Bucket, OpenRequests, RateLimit, RateLimiter, take
from truss_async.harness.api.refusals import CallRefusedError
from truss_async.harness.settings import CallLimits, HarnessSettings

NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)
TEN_A_SECOND = RateLimit(10, 1)


@pytest.mark.parametrize(
    ("left_before", "seconds_ago", "left", "wait_seconds"),
    [
        (10, 0, 9, None),
        (1, 0, 0, None),
        (0, 0, 0, 0.1),
        (0.5, 0, 0.5, 0.05),
        (0, 0.1, 0, None),
        (0, 0.25, 1.5, None),
        (3, 3600, 9, None),
        (0, -5, 0, 0.1),
    ],
)
def test_a_bucket_fills_evenly_and_never_over(
    left_before: float, seconds_ago: float, left: float, wait_seconds: float | None
) -> None:
    before = Bucket(left_before, NOW - timedelta(seconds=seconds_ago))
    after, wait = take(TEN_A_SECOND, before, now=NOW)
    assert after.at == NOW
    assert after.calls_left == pytest.approx(left)
    assert wait == (None if wait_seconds is None else timedelta(seconds=wait_seconds))


def test_a_bucket_never_used_is_full() -> None:
    assert take(RateLimit(12_000, 60), None, now=NOW) == (Bucket(11_999, NOW), None)


def test_calls_over_the_limit_are_429_until_the_time_told() -> None:
    clock = ManualClock(NOW)
    limiter = RateLimiter("async calls", 30, seconds=60, clock=clock)
    for _ in range(30):
        limiter.check()
    with pytest.raises(CallRefusedError, match="too many async calls: the limit is 30 a minute") as caught:
        limiter.check()
    assert (caught.value.status_code, caught.value.headers) == (429, {"Retry-After": "2"})
    assert caught.value.code.value == "rate_limited"
    clock.advance(2)
    limiter.check()


def test_without_a_limit_everything_passes() -> None:
    limiter = RateLimiter("status calls", None, seconds=1, clock=ManualClock(NOW))
    for _ in range(1000):
        limiter.check()


class Queue:
    """Counts how often it was asked for its size."""

    def __init__(self, size: int = 0) -> None:
        self.size = size
        self.asked = 0

    async def count(self) -> int:
        self.asked += 1
        await asyncio.sleep(0)
        return self.size


async def enter(places: OpenRequests, queue: Queue) -> None:
    async with places:
        await asyncio.sleep(0)
        queue.size += 1


def test_open_requests_are_counted_only_when_the_limit_may_be_reached() -> None:
    async def scenario() -> None:
        queue = Queue(size=2)
        places = OpenRequests(5, count=queue.count, clock=ManualClock(NOW))
        for _ in range(3):
            await enter(places, queue)
        assert (queue.size, queue.asked) == (5, 1)
        with pytest.raises(CallRefusedError, match="queued or in progress: the limit is 5") as caught:
            await enter(places, queue)
        assert (caught.value.status_code, caught.value.headers) == (429, {"Retry-After": "1"})
        queue.size -= 1
        await enter(places, queue)
        assert queue.size == 5

    asyncio.run(scenario())


def test_callers_at_the_same_time_never_go_over() -> None:
    async def scenario() -> None:
        queue = Queue()
        places = OpenRequests(7, count=queue.count, clock=ManualClock(NOW))
        ends = await asyncio.gather(*(enter(places, queue) for _ in range(40)), return_exceptions=True)
        assert queue.size == 7
        assert sum(isinstance(end, CallRefusedError) for end in ends) == 33

    asyncio.run(scenario())


def limits_of(**options: object) -> CallLimits:
    return HarnessSettings.model_validate({"model_url": "http://model", **options}).call_limits


def test_the_limits_are_the_platforms_or_those_of_a_profile_or_ones_own() -> None:
    assert limits_of() == CallLimits(12_000, 100, 100, 20, 50_000)
    assert limits_of(limits="older") == CallLimits(12_000, 20, 20, 20, 5_000)
    assert limits_of(limits="none") == CallLimits(None, None, None, None, None)
    assert limits_of(limits="older", max_open_requests=7) == CallLimits(12_000, 20, 20, 20, 7)


def test_what_others_accepted_is_counted_within_a_second() -> None:
    async def scenario() -> None:
        queue, clock = Queue(), ManualClock(NOW)
        one, other = (OpenRequests(3, count=queue.count, clock=clock, is_shared=True) for _ in range(2))
        for places in (one, other):
            await enter(places, queue)
        await enter(one, queue)
        clock.advance(seconds=1)
        with pytest.raises(CallRefusedError, match="the limit is 3"):
            await enter(other, queue)

    asyncio.run(scenario())
