import ast
import asyncio
import threading
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

import truss_async
from truss_async.clock import (
    SYSTEM_CLOCK,
    ManualClock,
    SystemClock,
    steady,
    stopwatch_of,
    wait_for_event,
    within,
)

START = datetime(2026, 1, 1, tzinfo=timezone.utc)


def test_the_system_clock_tells_utc() -> None:
    assert SYSTEM_CLOCK.now().utcoffset() == timedelta()


def test_time_stands_still_until_it_is_moved() -> None:
    clock = ManualClock(START)
    assert clock.now() == START
    assert clock.advance(hours=72) == START + timedelta(hours=72)
    assert clock.now() == START + timedelta(hours=72)


def test_durations_are_measured_apart_from_the_time_of_day() -> None:
    clock = ManualClock(START)
    before = clock.monotonic()
    clock.advance(90)
    assert clock.monotonic() - before == 90
    assert stopwatch_of(clock)() == clock.monotonic()

    class OnlyTells:
        def now(self) -> datetime:
            return START

    began = SYSTEM_CLOCK.monotonic()
    assert began <= stopwatch_of(OnlyTells())() <= SYSTEM_CLOCK.monotonic()


def test_a_steady_clock_passes_though_somebody_sets_the_time() -> None:
    class SetClock(SystemClock):
        offset = timedelta()

        def now(self) -> datetime:
            return super().now() + self.offset

    clock = SetClock()
    by = steady(clock)
    first = by.now()
    assert abs(first - clock.now()) < timedelta(seconds=30)
    for hours in (1, -5):
        clock.offset += timedelta(hours=hours)
        assert timedelta() <= by.now() - first < timedelta(seconds=30)
        assert abs(by.time_of_day(by.now()) - clock.now()) < timedelta(seconds=30)
    assert by.monotonic() <= SYSTEM_CLOCK.monotonic()
    hand = ManualClock()
    assert steady(hand) is hand
    assert hand.time_of_day(START) == START == SYSTEM_CLOCK.time_of_day(START)


def test_a_steady_clock_does_not_shake_when_the_machine_keeps_its_time_right() -> None:
    class Kept(SystemClock):
        offset = timedelta()

        def now(self) -> datetime:
            return super().now() + self.offset

    clock = Kept()
    by = steady(clock)
    clock.offset = timedelta(milliseconds=300)
    moment = by.now()
    assert by.time_of_day(moment) == moment


def test_time_is_never_moved_back() -> None:
    with pytest.raises(ValueError, match="back"):
        ManualClock(START).advance(seconds=-1)


def test_sleepers_wake_in_order_of_their_moments() -> None:
    clock = ManualClock(START)
    woken: list[str] = []

    async def sleeper(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append(name)

    async def scenario() -> None:
        tasks = [
            asyncio.create_task(sleeper(name, seconds)) for name, seconds in [("c", 3), ("a", 1), ("b", 2)]
        ]
        await asyncio.sleep(0)
        clock.advance(seconds=2)
        await asyncio.wait(tasks[1:])
        assert woken == ["a", "b"]
        clock.advance(seconds=1)
        await tasks[0]

    asyncio.run(scenario())
    assert woken == ["a", "b", "c"]


def test_a_thread_can_wait_too() -> None:
    clock = ManualClock(START)
    ended = threading.Event()
    started = threading.Event()

    def wait() -> None:
        started.set()
        clock.block(60)
        ended.set()

    thread = threading.Thread(target=wait)
    thread.start()
    started.wait(10)
    while not ended.wait(0.01):
        clock.advance(seconds=60)
    thread.join(10)


def test_no_wait_needs_no_advance() -> None:
    clock = ManualClock(START)
    clock.block(0)

    async def scenario() -> None:
        await clock.sleep(-1)

    asyncio.run(scenario())


def test_an_event_is_waited_for_up_to_its_moment() -> None:
    clock = ManualClock(START)

    async def scenario() -> tuple[bool, bool]:
        event = asyncio.Event()
        waiting = asyncio.create_task(wait_for_event(event, clock=clock, seconds=5))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        clock.advance(seconds=5)
        timed_out = await waiting
        event.set()
        return timed_out, await wait_for_event(event, clock=clock, seconds=None)

    assert asyncio.run(scenario()) == (False, True)


def test_what_takes_too_long_is_cancelled() -> None:
    clock = ManualClock(START)
    cleaned_up: list[bool] = []

    async def slow() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cleaned_up.append(True)

    async def scenario() -> None:
        waiting = asyncio.create_task(within(3600, slow(), clock=clock))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        clock.advance(hours=1)
        with pytest.raises(TimeoutError):
            await waiting

    asyncio.run(scenario())
    assert cleaned_up == [True]


@pytest.mark.parametrize("is_before", [True, False])
def test_a_cancellation_in_the_moment_at_which_time_is_up_counts(is_before: bool) -> None:
    async def scenario() -> asyncio.Task[bool]:
        clock, loop = ManualClock(START), asyncio.get_running_loop()
        waiting = asyncio.create_task(wait_for_event(asyncio.Event(), clock=clock, seconds=60))
        await asyncio.sleep(0)
        if is_before:
            loop.call_soon(waiting.cancel)
        clock.advance(minutes=1)
        if not is_before:
            loop.call_soon(waiting.cancel)
        await asyncio.wait([waiting])
        return waiting

    assert asyncio.run(scenario()).cancelled()


def test_what_is_done_in_time_gives_its_result_or_its_error() -> None:
    async def fail() -> None:
        raise LookupError

    async def value() -> int:
        return 5

    assert asyncio.run(within(60, value(), clock=SYSTEM_CLOCK)) == 5
    with pytest.raises(LookupError):
        asyncio.run(within(60, fail(), clock=SYSTEM_CLOCK))


def test_who_attends_is_called_before_time_moves_and_after_each_wake_up() -> None:
    clock = ManualClock(START)
    seen: list[tuple[float, float]] = []

    def settle(patience_seconds: float) -> None:
        seen.append(((clock.now() - START).total_seconds(), patience_seconds))

    async def scenario() -> None:
        leave = clock.attend(settle)
        sleeps = [asyncio.ensure_future(clock.sleep(seconds)) for seconds in (3, 1, 2)]
        sleeps[2].cancel()
        await asyncio.sleep(0)
        clock.advance(seconds=5, patience_seconds=7)
        leave()
        clock.advance(seconds=5)
        await asyncio.wait(sleeps)

    asyncio.run(scenario())
    assert seen == [(0, 7), (1, 7), (3, 7)]


def test_many_abandoned_sleeps_leave_the_others_in_order() -> None:
    clock = ManualClock(START)

    async def scenario() -> list[float]:
        kept = []
        for number in range(1000):
            sleep = asyncio.ensure_future(clock.sleep(1000 - number))
            if number % 100:
                sleep.cancel()
            else:
                kept.append(sleep)
        await asyncio.sleep(0)
        woken: list[float] = []
        for sleep in kept:
            sleep.add_done_callback(lambda _: woken.append((clock.now() - START).total_seconds()))
        for _ in range(1000):
            clock.advance(seconds=1)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        return woken

    assert asyncio.run(scenario()) == [float(second) for second in range(100, 1001, 100)]


def test_real_time_cannot_be_moved() -> None:
    with pytest.raises(RuntimeError, match="real time and cannot be moved; use a virtual clock"):
        SYSTEM_CLOCK.advance(seconds=1)


BY_THE_TIME_OF_DAY = {
    "stores/azure_store.py": "the moment in a URL, which the service looks at",
    "clock.py": "the two, compared",
    "cli/cache.py": "when files were used last",
    "doctor/machine.py": "the time of day itself is looked at",
    "stores/table/turn.py": "by which processes on several machines tell whether one of them still lives",
}


def test_no_duration_is_measured_by_the_time_of_day() -> None:
    package = Path(truss_async.__file__).parent
    measured = {
        str(file.relative_to(package))
        for file in package.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.BinOp) and any(map(is_now, (node.left, node.right)))
    }
    # A harness goes by a clock that nobody sets.
    assert {file for file in measured if not file.startswith("harness/")} == set(BY_THE_TIME_OF_DAY)


def is_now(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func).endswith(".now")
