"""A real pool of small replicas, scaled on a clock that the test moves."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from tests.unit.replicas.steered_replica import SteeredReplica, settle
from truss_async.clock import ManualClock
from truss_async.errors import HarnessError
from truss_async.harness.activity import Activity
from truss_async.harness.autoscaler import LOOK_AGAIN_SECONDS, Autoscaler
from truss_async.replicas.pool import ReplicaPool
from truss_async.replicas.scaling import ScaleLimits

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from truss_async.replicas.protocol import Replica

DELAY_SECONDS = 60


class Stage:
    """``backlog`` is how many async requests are queued or in progress."""

    def __init__(
        self, *, minimum: int = 0, maximum: int = 1, concurrency: int = 1, limits: ScaleLimits | None = None
    ) -> None:
        self.clock = ManualClock()
        self.backlog = 0
        self.replicas = [SteeredReplica(f"replica-{number}") for number in range(1, maximum + 1)]
        for replica in self.replicas:
            for _ in range(10):
                replica.loads()
        pool_replicas: list[Replica] = list(self.replicas)
        self.pool = ReplicaPool(
            pool_replicas,
            concurrency=concurrency,
            clock=ManualClock(),
            report=lambda line: None,
            on_capacity=lambda: None,
        )
        self._limits = limits or ScaleLimits(
            minimum, maximum, delay_seconds=DELAY_SECONDS, concurrency_target=concurrency
        )

    @property
    def state(self) -> str:
        return self.pool.state

    async def count_backlog(self) -> int:
        await settle()
        return self.backlog

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[ReplicaPool]:
        await self.pool.start(self._limits.initial)
        autoscaler = Autoscaler(
            self.pool, limits=self._limits, backlog=self.count_backlog, activity=Activity(self.clock)
        )
        scaling = asyncio.create_task(autoscaler.run())
        try:
            await self.settle()
            yield self.pool
        finally:
            scaling.cancel()
            await self.pool.stop()

    async def settle(self) -> None:
        for _ in range(10):
            await settle()

    async def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)
        await self.settle()


def test_model_without_traffic_is_stopped_after_the_delay() -> None:
    async def main() -> None:
        stage = Stage()
        async with stage.running() as pool:
            assert (stage.state, pool.ready_count) == ("ready", 1)
            await stage.pass_time(DELAY_SECONDS - 1)
            assert stage.state == "ready"
            await stage.pass_time(1)
            assert (stage.state, pool.ready_count, pool.starting_count) == ("scaled_to_zero", 0, 0)
            assert stage.replicas[0].stops == 1

    asyncio.run(main())


def test_sync_call_waits_for_the_replica_that_it_wakes() -> None:
    async def main() -> None:
        stage = Stage()
        async with stage.running() as pool:
            await stage.pass_time(DELAY_SECONDS)
            replica = await asyncio.wait_for(pool.acquire(), 5)
            await stage.pass_time(3600)  # it takes long
            assert pool.ready_count == 1
            pool.release(replica, by_call=True)
            await stage.settle()
            await stage.pass_time(DELAY_SECONDS - 1)
            assert pool.ready_count == 1
            await stage.pass_time(1)
            assert stage.state == "scaled_to_zero"

    asyncio.run(main())


def test_sync_call_that_is_over_in_no_time_sets_the_delay_back() -> None:
    async def main() -> None:
        stage = Stage()
        async with stage.running() as pool:
            await stage.pass_time(DELAY_SECONDS - 1)
            pool.release(await pool.acquire(), by_call=True)
            await stage.settle()
            await stage.pass_time(DELAY_SECONDS - 1)
            assert stage.state == "ready"
            await stage.pass_time(1)
            assert stage.state == "scaled_to_zero"

    asyncio.run(main())


def test_slots_that_the_dispatcher_looks_at_and_leaves_are_no_traffic() -> None:
    async def main() -> None:
        stage = Stage()
        async with stage.running() as pool:
            await stage.pass_time(DELAY_SECONDS - 1)
            replica = pool.try_acquire()
            assert replica is not None
            pool.release(replica, was_used=False)
            await stage.settle()
            await stage.pass_time(1)
            assert stage.state == "scaled_to_zero"

    asyncio.run(main())


def test_wake_starts_a_replica_which_stays_for_the_delay_once_it_has_loaded() -> None:
    async def main() -> None:
        stage = Stage()
        async with stage.running() as pool:
            await stage.pass_time(DELAY_SECONDS)
            stage.replicas[0].holds()
            pool.wake()
            await stage.pass_time(10 * DELAY_SECONDS)
            assert (stage.state, pool.starting_count) == ("starting", 1)
            stage.replicas[0].loads()
            await stage.settle()
            assert stage.state == "ready"
            await stage.pass_time(DELAY_SECONDS - 1)
            assert stage.state == "ready"
            await stage.pass_time(1)
            assert stage.state == "scaled_to_zero"

    asyncio.run(main())


def test_queued_async_request_wakes_a_replica_which_stays_until_it_is_over() -> None:
    async def main() -> None:
        stage = Stage()
        async with stage.running() as pool:
            await stage.pass_time(DELAY_SECONDS)
            stage.backlog = 1
            pool.wake()
            await stage.settle()
            assert stage.state == "ready"
            await stage.pass_time(2 * DELAY_SECONDS)  # it waits for its next attempt, say
            assert stage.state == "ready"
            stage.backlog = 0
            pool.demand_changed.set()
            await stage.settle()
            await stage.pass_time(DELAY_SECONDS)
            assert stage.state == "scaled_to_zero"

    asyncio.run(main())


def test_that_a_queued_request_has_expired_is_noticed_by_itself() -> None:
    async def main() -> None:
        stage = Stage()
        stage.backlog = 1
        async with stage.running():
            stage.backlog = 0
            await stage.pass_time(LOOK_AGAIN_SECONDS)
            await stage.pass_time(DELAY_SECONDS)
            assert stage.state == "scaled_to_zero"

    asyncio.run(main())


def test_what_the_queue_held_at_the_start_keeps_the_model_up() -> None:
    async def main() -> None:
        stage = Stage()
        stage.backlog = 1
        async with stage.running():
            await stage.pass_time(10 * DELAY_SECONDS)
            assert stage.state == "ready"

    asyncio.run(main())


def test_replicas_follow_the_requests_between_the_limits() -> None:
    async def main() -> None:
        stage = Stage(minimum=1, maximum=3, concurrency=2)
        async with stage.running() as pool:
            assert pool.ready_count == 1
            calls = [await pool.acquire() for _ in range(2)]
            await stage.settle()
            assert pool.ready_count == 1
            stage.backlog = 100
            pool.wake()
            await stage.settle()
            assert pool.ready_count == 3
            for replica in calls:
                pool.release(replica, by_call=True)
            stage.backlog = 3
            await stage.settle()
            await stage.pass_time(DELAY_SECONDS)
            assert pool.ready_count == 2
            stage.backlog = 0
            pool.demand_changed.set()
            await stage.settle()
            await stage.pass_time(DELAY_SECONDS)
            assert pool.ready_count == 1
            await stage.pass_time(10 * DELAY_SECONDS)
            assert pool.ready_count == 1

    asyncio.run(main())


def test_model_that_does_not_load_is_given_up_after_the_delay_when_nobody_wants_it() -> None:
    async def main() -> None:
        stage = Stage()
        async with stage.running() as pool:
            await stage.pass_time(DELAY_SECONDS)
            stage.replicas[0].holds()
            pool.wake()
            await stage.settle()
            stage.replicas[0].fails(HarnessError("no weights"))
            await stage.settle()
            assert stage.state == "failed"
            await stage.pass_time(DELAY_SECONDS)
            assert stage.state == "scaled_to_zero"

    asyncio.run(main())


def test_replicas_follow_the_average_over_the_window_up_at_once_and_down_by_half_in_each() -> None:
    async def main() -> None:
        limits = ScaleLimits(
            0,
            8,
            delay_seconds=DELAY_SECONDS,
            window_seconds=60,
            target_utilization=70,
            max_scale_down_rate=50,
        )
        stage = Stage(maximum=8, limits=limits)
        async with stage.running() as pool:
            stage.backlog = 5
            pool.wake()
            await stage.settle()
            assert pool.ready_count == 1  # on average there was none yet
            followed = []
            for _ in range(6):
                await stage.pass_time(10)
                followed.append(pool.ready_count)
            assert followed == [2, 3, 4, 5, 6, 8]  # 5 requests, of which each should have 0.7
            stage.backlog = 0
            pool.demand_changed.set()
            await stage.settle()
            left = []
            for _ in range(40):
                await stage.pass_time(10)
                left.append(pool.ready_count)
            assert left[::6] == [8, 6, 3, 2, 1, 0, 0]  # first those that were idle for the delay
            assert left[5::6] == [8, 6, 3, 2, 1, 0]

    asyncio.run(main())
