from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest

from tests.unit.replicas.steered_replica import SteeredReplica, settle
from truss_async.clock import ManualClock
from truss_async.errors import HarnessError
from truss_async.replicas.pool import ReplicaPool, restart_delay
from truss_async.replicas.protocol import Replica, ReplicaLoadError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

DEADLINE_SECONDS = 5


class Stage:
    """A pool, what it said, and how often it told of capacity."""

    def __init__(
        self,
        *replicas: SteeredReplica,
        concurrency: int = 1,
        on_first_failure: Callable[[HarnessError], bool] = lambda _: False,
    ) -> None:
        self.clock = ManualClock()
        self.reported: list[str] = []
        self.capacity_calls = 0
        pool_replicas: list[Replica] = list(replicas)
        self.pool = ReplicaPool(
            pool_replicas,
            concurrency=concurrency,
            clock=self.clock,
            report=self.reported.append,
            on_capacity=self._count,
            on_first_failure=on_first_failure,
        )

    def _count(self) -> None:
        self.capacity_calls += 1

    @contextlib.asynccontextmanager
    async def running(self, count: int | None = None) -> AsyncIterator[ReplicaPool]:
        await self.pool.start(count)
        try:
            yield self.pool
        finally:
            await self.pool.stop()

    async def until_reported(self, part: str, *, times: int = 1) -> None:
        async def look() -> None:
            while sum(part in line for line in self.reported) < times:
                await settle()

        await asyncio.wait_for(look(), DEADLINE_SECONDS)


def test_restart_delays_double_up_to_thirty_seconds() -> None:
    assert [restart_delay(failures) for failures in (1, 2, 3, 4, 5, 6, 7, 5000)] == [
        1,
        2,
        4,
        8,
        16,
        30,
        30,
        30,
    ]


def test_nothing_can_be_acquired_before_the_model_is_loaded() -> None:
    async def main() -> None:
        replica = SteeredReplica()
        stage = Stage(replica)
        async with stage.running() as pool:
            await settle()
            assert (pool.state, pool.ready_count, pool.free_slots, pool.try_acquire()) == (
                "starting",
                0,
                0,
                None,
            )
            replica.loads()
            await stage.until_reported("replica-1 is ready")
            assert (pool.state, pool.ready_count, pool.free_slots) == ("ready", 1, 1)
            assert stage.capacity_calls == 1

    asyncio.run(main())


def test_sync_call_waits_for_the_model_to_load() -> None:
    async def main() -> None:
        replica = SteeredReplica()
        async with Stage(replica).running() as pool:
            waiting = asyncio.create_task(pool.acquire())
            await settle()
            assert not waiting.done()
            replica.loads()
            assert await asyncio.wait_for(waiting, DEADLINE_SECONDS) is replica

    asyncio.run(main())


def test_sync_calls_get_slots_in_order_of_arrival_and_before_async_requests() -> None:
    async def main() -> None:
        replica = SteeredReplica()
        stage = Stage(replica)
        async with stage.running() as pool:
            replica.loads()
            await stage.until_reported("ready")
            taken = pool.try_acquire()
            assert taken is replica
            first, second = asyncio.create_task(pool.acquire()), asyncio.create_task(pool.acquire())
            await settle()
            told = stage.capacity_calls
            pool.release(taken)
            await settle()
            assert (first.done(), second.done()) == (True, False)
            assert pool.try_acquire() is None
            pool.release(replica)
            assert await second is replica
            assert stage.capacity_calls == told
            pool.release(replica)
            assert stage.capacity_calls == told + 1
            assert pool.try_acquire() is replica

    asyncio.run(main())


def test_sync_caller_who_leaves_the_line_does_not_hold_async_requests_back() -> None:
    async def main() -> None:
        replica = SteeredReplica()
        stage = Stage(replica)
        async with stage.running() as pool:
            replica.loads()
            await stage.until_reported("ready")
            taken = await pool.acquire()
            impatient = asyncio.create_task(pool.acquire())
            await settle()
            impatient.cancel()
            await asyncio.wait([impatient])
            pool.release(taken)
            assert pool.try_acquire() is replica

    asyncio.run(main())


def test_slot_handed_to_a_caller_who_leaves_in_that_moment_is_given_back() -> None:
    async def main() -> None:
        replica = SteeredReplica()
        stage = Stage(replica)
        async with stage.running() as pool:
            replica.loads()
            await stage.until_reported("ready")
            taken = await pool.acquire()
            leaving = asyncio.create_task(pool.acquire())
            await settle()
            pool.release(taken)  # handed over …
            leaving.cancel()  # … before the caller could take note
            await asyncio.wait([leaving])
            assert pool.free_slots == 1

    asyncio.run(main())


def test_slots_are_concurrency_times_replicas_and_go_to_the_least_busy() -> None:
    async def main() -> None:
        replicas = [SteeredReplica("replica-1"), SteeredReplica("replica-2")]
        stage = Stage(*replicas, concurrency=2)
        async with stage.running() as pool:
            for replica in replicas:
                replica.loads()
            await stage.until_reported("ready", times=2)
            assert pool.free_slots == 4
            taken = [pool.try_acquire() for _ in range(5)]
            assert [replica.name if replica else None for replica in taken] == [
                "replica-1",
                "replica-2",
                "replica-1",
                "replica-2",
                None,
            ]

    asyncio.run(main())


def test_replica_that_exits_is_restarted_after_the_backoff() -> None:
    async def main() -> None:
        replica = SteeredReplica()
        stage = Stage(replica)
        async with stage.running() as pool:
            for round_number, delay in enumerate((1, 2, 4), start=1):
                replica.loads()
                await stage.until_reported("replica-1 is ready", times=round_number)
                replica.exits()
                await stage.until_reported(f"restarting in {delay} s")
                await settle()
                assert (pool.state, pool.free_slots) == ("starting", 0)
                assert pool.last_error == "replica-1 exited with status 3"
                stage.clock.advance(delay)
                await settle()
                assert replica.starts == round_number + 1

    asyncio.run(main())


def test_replica_that_served_for_long_is_restarted_at_once_again() -> None:
    async def main() -> None:
        replica = SteeredReplica()
        stage = Stage(replica)
        async with stage.running():
            for round_number in (1, 2):
                replica.loads()
                await stage.until_reported("replica-1 is ready", times=round_number)
                stage.clock.advance(minutes=5)
                replica.exits()
                await stage.until_reported("restarting in 1 s", times=round_number)
                await settle()
                stage.clock.advance(1)

    asyncio.run(main())


def test_slot_of_a_replica_that_died_counts_until_it_is_given_back() -> None:
    async def main() -> None:
        replica = SteeredReplica()
        stage = Stage(replica)
        async with stage.running() as pool:
            replica.loads()
            taken = await pool.acquire()
            replica.exits()
            await stage.until_reported("restarting in")
            await settle()
            replica.loads()
            stage.clock.advance(1)
            await stage.until_reported("ready", times=2)
            assert pool.free_slots == 0
            pool.release(taken)
            assert pool.free_slots == 1

    asyncio.run(main())


def test_releasing_a_slot_twice_is_refused() -> None:
    async def main() -> None:
        replica = SteeredReplica()
        async with Stage(replica).running() as pool:
            replica.loads()
            taken = await pool.acquire()
            pool.release(taken)
            with pytest.raises(ValueError, match="more often than taken"):
                pool.release(taken)

    asyncio.run(main())


def test_load_failure_shows_the_traceback_once_and_is_tried_again_until_it_loads() -> None:
    async def main() -> None:
        replica = SteeredReplica()
        stage = Stage(replica)
        async with stage.running() as pool:
            broken = ReplicaLoadError(
                "the model does not load: KeyError: 'x'", traceback="Traceback\nKeyError: 'x'"
            )
            for round_number, delay in enumerate((1, 2), start=1):
                replica.fails(broken)
                await stage.until_reported("did not start")
                while replica.stops < round_number:
                    await settle()
                assert (pool.state, pool.last_error) == ("failed", "the model does not load: KeyError: 'x'")
                stage.clock.advance(delay)
            assert stage.reported == [
                "replica-1 | Traceback",
                "replica-1 | KeyError: 'x'",
                "replica-1 did not start: the model does not load: KeyError: 'x'; it is retried until it loads",
            ]
            replica.loads()
            await stage.until_reported("replica-1 is ready")
            assert (pool.state, pool.last_error) == ("ready", None)

    asyncio.run(main())


def test_what_was_edited_is_tried_again_at_once_and_told_again() -> None:
    async def main() -> None:
        replica = SteeredReplica()
        stage = Stage(replica)
        async with stage.running() as pool:
            assert not pool.retry()
            for times in (1, 2):
                replica.fails(ReplicaLoadError("no", traceback="why"))
                await stage.until_reported("replica-1 did not start: no", times=times)
                await settle()
                assert pool.retry()
            assert stage.reported.count("replica-1 | why") == 2
            replica.loads()
            await stage.until_reported("replica-1 is ready")
            assert not pool.retry()

    asyncio.run(main())


def test_where_all_ends_with_the_first_failure_nothing_is_tried_again() -> None:
    async def main() -> None:
        replica = SteeredReplica()
        ends: list[str] = []

        def end(error: HarnessError) -> bool:
            ends.append(str(error))
            return True

        stage = Stage(replica, on_first_failure=end)
        async with stage.running() as pool:
            replica.fails(HarnessError("no such Python"))
            while pool.last_error is None:
                await settle()
            await settle()
            stage.clock.advance(60)
            await settle()
            assert (ends, stage.reported, replica.stops) == (["no such Python"], [], 0)
            assert pool.state == "failed"

    asyncio.run(main())


def test_what_has_loaded_once_is_tried_again_whatever_it_meets() -> None:
    async def main() -> None:
        replica = SteeredReplica()
        stage = Stage(replica, on_first_failure=lambda _: True)
        async with stage.running():
            replica.loads()
            await stage.until_reported("is ready")
            replica.exits("exited")
            await stage.until_reported("restarting in 1 s")
            replica.fails(HarnessError("no"))
            stage.clock.advance(1)
            await stage.until_reported("replica-1 did not start: no")

    asyncio.run(main())


def test_another_reason_not_to_load_shows_its_traceback_too() -> None:
    async def main() -> None:
        replica = SteeredReplica()
        stage = Stage(replica)
        async with stage.running():
            for number in (1, 2):
                replica.fails(ReplicaLoadError("no", traceback=f"reason {number}"))
                await stage.until_reported(f"replica-1 | reason {number}")
                await settle()
                stage.clock.advance(30)

    asyncio.run(main())


def test_stopping_ends_every_replica_and_fails_the_sync_calls_that_wait() -> None:
    async def main() -> None:
        replicas = [SteeredReplica("replica-1"), SteeredReplica("replica-2")]
        stage = Stage(*replicas)
        async with stage.running() as pool:
            waiting = asyncio.create_task(pool.acquire())
            await settle()
        with pytest.raises(HarnessError, match="stopping"):
            await waiting
        with pytest.raises(HarnessError, match="stopping"):
            await pool.acquire()
        assert all(replica.stops for replica in replicas)

    asyncio.run(main())


def test_supervisor_that_breaks_is_reported_and_not_silent() -> None:
    class BrokenReplica(SteeredReplica):
        async def start(self) -> None:
            raise ZeroDivisionError("a mistake of ours")

    async def main() -> None:
        stage = Stage(BrokenReplica())
        async with stage.running() as pool:
            await stage.until_reported("a mistake of ours")
            assert pool.state == "failed"

    asyncio.run(main())


def test_of_a_slot_that_was_not_used_only_waiting_sync_calls_hear() -> None:
    async def main() -> None:
        replica = SteeredReplica()
        stage = Stage(replica)
        async with stage.running() as pool:
            replica.loads()
            await stage.until_reported("ready")
            told = stage.capacity_calls
            for _ in range(2):
                assert pool.try_acquire() is replica
                pool.release(replica, was_used=False)
            assert stage.capacity_calls == told
            assert pool.try_acquire() is replica
            waiting = asyncio.create_task(pool.acquire())
            await settle()
            pool.release(replica, was_used=False)
            assert await waiting is replica

    asyncio.run(main())


def test_replica_whose_health_checks_fail_gets_no_requests_until_they_pass() -> None:
    async def main() -> None:
        replica = SteeredReplica()
        stage = Stage(replica)
        async with stage.running() as pool:
            replica.loads()
            await stage.until_reported("ready")
            await settle()
            replica.get_requests(False)
            assert (pool.state, pool.try_acquire()) == ("starting", None)
            waiting = asyncio.create_task(pool.acquire())
            await settle()
            replica.get_requests(True)
            assert await asyncio.wait_for(waiting, DEADLINE_SECONDS) is replica
            assert stage.reported[1:] == [
                "replica-1 is unhealthy and gets no requests",
                "replica-1 is healthy again",
            ]

    asyncio.run(main())


def test_replica_that_is_let_go_finishes_its_requests_and_gets_no_others() -> None:
    async def main() -> None:
        replica = SteeredReplica()
        stage = Stage(replica, concurrency=2)
        async with stage.running() as pool:
            replica.loads()
            taken = await pool.acquire()
            pool.resize(0)
            await settle()
            assert (pool.ready_count, replica.stops, pool.free_slots, pool.try_acquire()) == (1, 0, 0, None)
            pool.release(taken, by_call=True)
            await settle()
            assert (pool.state, replica.stops) == ("scaled_to_zero", 1)
            assert (pool.ready_count, pool.starting_count) == (0, 0)

    asyncio.run(main())


def test_replica_that_is_wanted_again_before_it_is_gone_stays() -> None:
    async def main() -> None:
        replicas = [SteeredReplica("replica-1"), SteeredReplica("replica-2")]
        stage = Stage(*replicas)
        async with stage.running(1) as pool:
            replicas[0].loads()
            await stage.until_reported("ready")
            taken = pool.try_acquire()
            assert taken is replicas[0]
            pool.resize(0)
            waiting = asyncio.create_task(pool.acquire())
            await settle()
            pool.resize(1)
            pool.release(taken)
            assert await asyncio.wait_for(waiting, DEADLINE_SECONDS) is replicas[0]
            assert [replica.starts for replica in replicas] == [1, 0]

    asyncio.run(main())


def test_replica_that_is_wanted_while_it_stops_starts_when_it_has_stopped() -> None:
    async def main() -> None:
        replica = SteeredReplica()
        stage = Stage(replica)
        async with stage.running() as pool:
            replica.loads()
            await stage.until_reported("ready")
            replica.may_stop.clear()
            for count in (0, 1, 0, 1):
                pool.resize(count)
                await settle()
            assert replica.starts == 1
            replica.may_stop.set()
            replica.loads()
            await stage.until_reported("ready", times=2)
            assert replica.starts == 2

    asyncio.run(main())


def test_idle_replicas_are_let_go_before_busy_ones() -> None:
    async def main() -> None:
        replicas = [SteeredReplica(f"replica-{number}") for number in (1, 2, 3)]
        stage = Stage(*replicas)
        async with stage.running() as pool:
            for replica in replicas[:2]:
                replica.loads()
            await stage.until_reported("ready", times=2)
            idle, busy = pool.try_acquire(), pool.try_acquire()
            assert idle is replicas[0]
            assert busy is replicas[1]
            pool.release(idle)
            pool.resize(2)
            pool.resize(1)
            await settle()
            assert [replica.stops for replica in replicas] == [1, 0, 1]

    asyncio.run(main())


def test_model_that_failed_to_load_is_not_held_against_the_next_start() -> None:
    async def main() -> None:
        replica = SteeredReplica()
        stage = Stage(replica)
        async with stage.running() as pool:
            replica.fails(HarnessError("no"))
            await stage.until_reported("did not start")
            pool.resize(0)
            await settle()
            assert pool.state == "scaled_to_zero"
            pool.resize(1)
            assert (pool.state, pool.last_error) == ("starting", None)

    asyncio.run(main())
