"""When the next call may go: simulated against the limits, in virtual seconds."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Protocol

import pytest

from truss_async.client.batch.pace import Pace
from truss_async.contract.limits import ASYNC_CALLS_PER_MINUTE
from truss_async.harness.api.rate_limits import Bucket, RateLimit, take


class Platform(Protocol):
    def takes(self, now: float) -> bool: ...


@dataclass
class Limited:
    """A platform that lets ``rate`` calls a second pass, and at most ``burst`` at once after a quiet while."""

    rate: float
    burst: float
    left: float = field(init=False)
    at: float = 0.0

    def __post_init__(self) -> None:
        self.left = self.burst

    def takes(self, now: float) -> bool:
        self.left = min(self.burst, self.left + (now - self.at) * self.rate)
        self.at = now
        if self.left < 1:
            return False
        self.left -= 1
        return True


@dataclass
class HarnessLimited:
    """The harness's own limiter."""

    limit: RateLimit
    bucket: Bucket | None = None

    def takes(self, now: float) -> bool:
        moment = datetime(2026, 1, 1, tzinfo=timezone.utc) + timedelta(seconds=now)
        self.bucket, wait = take(self.limit, self.bucket, now=moment)
        return wait is None


@dataclass
class Caller:
    """Calls as often as its pace lets it."""

    pace: Pace
    next_at: float = 0.0
    answered: int = 0
    refused: int = 0

    def call(self, platform: Platform) -> None:
        wait = self.pace.reserve(self.next_at)
        if wait > 0:
            self.next_at += wait
        elif platform.takes(self.next_at):
            self.answered += 1
            self.pace.answered()
        else:
            self.refused += 1
            self.pace.refused(self.next_at, 1.0)


def play(platform: Platform, callers: list[Caller], *, seconds: float) -> None:
    while (caller := min(callers, key=lambda each: each.next_at)).next_at < seconds:
        caller.call(platform)


@pytest.mark.parametrize(
    "platform",
    [
        Limited(200, burst=40),
        HarnessLimited(RateLimit(ASYNC_CALLS_PER_MINUTE, 60)),
        HarnessLimited(RateLimit(ASYNC_CALLS_PER_MINUTE // 60, 1)),
    ],
)
def test_30_000_calls_keep_nearly_all_of_the_limit_and_meet_no_refusal(platform: Platform) -> None:
    caller = Caller(Pace())
    play(platform, [caller], seconds=150)
    assert caller.answered >= 0.98 * 200 * 150
    assert caller.refused < 0.001 * 30_000


def test_it_starts_slowly() -> None:
    caller = Caller(Pace())
    play(Limited(1e9, burst=1e9), [caller], seconds=0.25)
    assert caller.answered <= 25


def test_a_lower_limit_than_the_published_one_is_learned() -> None:
    caller = Caller(Pace())
    play(Limited(50, burst=50), [caller], seconds=300)
    assert caller.answered >= 0.75 * 50 * 300
    assert caller.refused < 0.02 * caller.answered


@pytest.mark.parametrize("head_start", [0.0, 60.0])
def test_batches_that_share_an_account_do_not_starve_each_other(head_start: float) -> None:
    callers = [Caller(Pace()), Caller(Pace(), next_at=head_start)]
    platform = Limited(200, burst=200)
    play(platform, callers, seconds=300)
    for caller in callers:
        caller.answered = 0
    play(platform, callers, seconds=900)
    shares = [caller.answered / 600 / 200 for caller in callers]
    assert min(shares) > 0.3
    assert sum(shares) > 0.75


def test_retry_after_is_kept_whatever_the_rate_is() -> None:
    pace = Pace()
    assert pace.reserve(0.0) == 0
    pace.refused(0.0, 7.0)
    assert pace.reserve(0.0) == 7.0
    assert pace.reserve(6.5) == 0.5
    assert pace.reserve(7.0) == 0


def test_refusals_of_calls_that_were_on_their_way_at_once_count_as_one() -> None:
    once, often = Pace(), Pace()
    for pace, times in ((once, 1), (often, 50)):
        pace.reserve(0.0)
        for _ in range(times):
            pace.refused(0.0, 1.0)
    assert once.rate == often.rate == pytest.approx(35)


def test_pauses_grow_while_nobody_answers_and_end_with_an_answer() -> None:
    pace, now, pauses = Pace(), 0.0, list[float]()
    for _ in range(10):
        pace.failed(now)
        pauses.append(pace.reserve(now))
        now += pauses[-1]
    assert pauses[:4] == [0.25, 0.5, 1, 2]
    assert pauses[-1] == 30
    pace.answered()
    pace.failed(now)
    assert pace.reserve(now) == 0.25


def test_what_was_missed_for_a_moment_is_made_up_for_and_no_more() -> None:
    pace = Pace(start=199)
    assert pace.reserve(0.0) == 0
    calls = 0
    while pace.reserve(10.0) == 0:
        calls += 1
    assert calls == pytest.approx(100, abs=2)
