import asyncio
from datetime import datetime, timezone

import pytest

from truss_async.clock import SYSTEM_CLOCK, ManualClock, within
from truss_async.errors import HarnessError
from truss_async.harness.activity import Activity

START = datetime(2026, 1, 1, tzinfo=timezone.utc)


def attended(clock: ManualClock, activity: Activity) -> None:
    loop = asyncio.get_running_loop()
    clock.attend(
        lambda patience: activity.settle_from_thread(loop, patience_seconds=patience, deadline_seconds=5)
    )


def test_a_chain_of_work_is_done_when_advance_returns() -> None:
    clock = ManualClock(START)
    done: list[tuple[str, float]] = []

    async def scenario() -> None:
        activity = Activity(clock)
        attended(clock, activity)
        event = asyncio.Event()

        def note(name: str) -> None:
            done.append((name, (clock.now() - START).total_seconds()))

        async def last() -> None:
            await asyncio.sleep(0)
            note("started by another")
            await activity.outside(60, asyncio.to_thread(clock.now))
            note("answered")

        async def waiting() -> None:
            await activity.wait(event, seconds=1000)
            note("told")
            await asyncio.gather(activity.start(last()))

        async def sleeping() -> None:
            for _ in range(3):
                await activity.sleep(10)
                note("slept")
            event.set()

        tasks = [activity.start(waiting()), activity.start(sleeping())]
        await asyncio.to_thread(clock.advance, 30)
        assert [name for name, _ in done] == ["slept"] * 3 + ["told", "started by another", "answered"]
        assert [second for _, second in done] == [10, 20, 30, 30, 30, 30]
        await asyncio.gather(*tasks)

    asyncio.run(within(30, scenario(), clock=SYSTEM_CLOCK))


def test_an_answer_that_does_not_come_is_not_awaited_beyond_the_patience() -> None:
    clock = ManualClock(START)

    async def scenario() -> None:
        activity = Activity(clock)
        attended(clock, activity)
        timed_out: list[datetime] = []

        async def ask() -> None:
            with pytest.raises(TimeoutError):
                await activity.outside(60, asyncio.Event().wait())
            timed_out.append(clock.now())

        asking = activity.start(ask())
        await asyncio.to_thread(clock.advance, 59, patience_seconds=0.05)
        assert timed_out == []
        await asyncio.to_thread(clock.advance, 1, patience_seconds=0.05)
        assert timed_out == [clock.now()]
        await asking

    asyncio.run(within(30, scenario(), clock=SYSTEM_CLOCK))


def test_work_without_end_is_an_error_and_not_waited_for_for_ever() -> None:
    async def scenario() -> None:
        activity = Activity(ManualClock(START))
        busy = activity.start(asyncio.Event().wait())
        loop = asyncio.get_running_loop()
        with pytest.raises(HarnessError, match="did not become idle"):
            await asyncio.to_thread(
                activity.settle_from_thread, loop, patience_seconds=0, deadline_seconds=0.05
            )
        activity.end()
        await asyncio.to_thread(activity.settle_from_thread, loop, patience_seconds=0, deadline_seconds=5)
        busy.cancel()
        await asyncio.wait([busy])

    asyncio.run(within(30, scenario(), clock=SYSTEM_CLOCK))
