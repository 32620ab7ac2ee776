"""A limit that several harnesses keep together, on a real database whose clock the test moves."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

import pytest

from tests.unit.harness.request_queue.conftest import START
from tests.unit.harness.request_queue.storages import PostgresStorage
from truss_async.clock import ManualClock
from truss_async.harness.api.rate_limits import RateLimit
from truss_async.harness.api.refusals import CallRefusedError
from truss_async.harness.api.shared_rates import SharedRateLimiter
from truss_async.harness.request_queue import RequestQueueError

Test = Callable[["Nodes"], Coroutine[Any, Any, None]]


class Nodes:
    """So many limiters of one limit; ``asked`` counts the statements."""

    def __init__(self, limit: RateLimit, storage: PostgresStorage, clock: ManualClock) -> None:
        self.limit = limit
        self.storage = storage
        self.clock = clock
        self.limiters: list[SharedRateLimiter] = []
        self.asked = 0

    async def add(self, count: int, opened: AsyncExitStack) -> None:
        for _ in range(count):
            queue = await self.storage.open(now=self.clock.now(), lease_seconds=15)
            opened.push_async_callback(queue.close)
            rates = queue.call_rates
            take = rates.take

            async def counted(*arguments: Any, take: Any = take, **options: Any) -> Any:
                self.asked += 1
                return await take(*arguments, **options)

            rates.take = counted  # type: ignore[method-assign]
            self.limiters.append(SharedRateLimiter("async calls", self.limit, rates=rates, clock=self.clock))

    def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.storage.time_is(self.clock.now())

    async def take_all(self) -> int:
        """How many calls pass when all nodes get more than they may answer, in turn."""
        refused: set[int] = set()
        passed = 0
        while len(refused) < len(self.limiters):
            for number, limiter in enumerate(self.limiters):
                try:
                    await limiter.take()
                    passed += 1
                except CallRefusedError:
                    refused.add(number)
        return passed


def run(limit: RateLimit, test: Test, *, nodes: int = 3) -> None:
    made = Nodes(limit, PostgresStorage(), ManualClock(START))
    made.storage.time_is(START)

    async def with_nodes() -> None:
        async with AsyncExitStack() as opened:
            await made.add(nodes, opened)
            await test(made)

    asyncio.run(with_nodes())


def test_all_together_answer_as_many_calls_as_one_would() -> None:
    async def test(nodes: Nodes) -> None:
        assert await nodes.take_all() == 12_000
        assert nodes.asked < 12_000 / 50 + 10
        for seconds, calls in ((1, 200), (2.5, 500), (120, 12_000)):
            nodes.pass_time(seconds)
            assert await nodes.take_all() == calls

    run(RateLimit(12_000, 60), test)


def test_one_may_use_what_the_others_do_not() -> None:
    async def test(nodes: Nodes) -> None:
        for limiter in nodes.limiters:
            await limiter.take()
        first, *others = nodes.limiters
        nodes.limiters = [first]
        passed = len(others) + 1 + await nodes.take_all()
        assert 12_000 - passed <= 2 * 50  # what the others hold back, within five percent
        nodes.pass_time(0.001)
        with pytest.raises(
            CallRefusedError, match="too many async calls: the limit is 12000 a minute"
        ) as full:
            await first.take()
        assert full.value.headers == {"Retry-After": "1"}
        assert first.used().used == 12_000

    run(RateLimit(12_000, 60), test)


def test_a_refusal_is_repeated_for_a_moment_without_asking() -> None:
    async def test(nodes: Nodes) -> None:
        assert await nodes.take_all() == 2
        asked = nodes.asked
        with pytest.raises(CallRefusedError) as full:
            await nodes.limiters[0].take()
        assert full.value.headers == {"Retry-After": "30"}
        assert nodes.asked == asked
        nodes.pass_time(30)
        await nodes.limiters[0].take()

    run(RateLimit(2, 60), test, nodes=2)


def test_calls_at_the_same_time_take_one_portion_after_the_other() -> None:
    async def test(nodes: Nodes) -> None:
        (limiter,) = nodes.limiters
        said = await asyncio.gather(*(limiter.take() for _ in range(120)), return_exceptions=True)
        assert sum(each is None for each in said) == 100
        assert nodes.asked == 5  # four of 25, and one that got nothing

    run(RateLimit(100, 1), test, nodes=1)


def test_without_the_database_no_call_is_counted() -> None:
    async def test(nodes: Nodes) -> None:
        nodes.storage.kill()
        with pytest.raises(RequestQueueError):
            await nodes.limiters[0].take()

    run(RateLimit(2, 60), test, nodes=1)


def test_a_clock_that_was_set_back_takes_nothing_away() -> None:
    async def test(nodes: Nodes) -> None:
        await nodes.limiters[0].take()
        nodes.storage.time_is(START - timedelta(hours=1))
        assert await nodes.take_all() == 99

    run(RateLimit(100, 1), test)
