"""Time as an argument: nothing outside this module asks the system for the time, or sleeps."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import TYPE_CHECKING, NoReturn, Protocol, TypeVar

if TYPE_CHECKING:
    from typing import Any

T = TypeVar("T")

PATIENCE_SECONDS = 1.0
_MIN_GONE = 64
_HARDLY_SET = timedelta(
    seconds=1
)  # clocks are kept right in small steps, and nobody wants the times of a request to shake
_COUNTS_SLEEP = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Clock(Protocol):
    """What tells the time and waits. Durations are in seconds; ``now`` is in UTC and aware."""

    def now(self) -> datetime:
        """The present moment, in UTC. It may jump, either way, when somebody sets the machine's time."""

    def monotonic(self) -> float:
        """Seconds that only ever pass, for durations, whatever becomes of the time of day; none below 0.

        The processes of one machine have them in common, from its start on.
        """

    def time_of_day(self, moment: datetime) -> datetime:
        """What people call a moment of this clock by the time that the machine shows now."""

    def sleep(self, seconds: float) -> Awaitable[None]:
        """Wait in a coroutine."""

    def call_later(self, seconds: float, callback: Callable[[], object]) -> Callable[[], object]:
        """Have it called on the running event loop after so many seconds; return what calls that off."""

    def block(self, seconds: float) -> None:
        """Wait in a thread."""


class MovableClock(Clock, Protocol):
    """A clock that can be asked to move on, though a real one refuses."""

    def advance(self, seconds: float = 0, *, minutes: float = 0, hours: float = 0) -> datetime:
        """Move time on; return the new moment."""


class SystemClock:
    """The machine's own time."""

    def now(self) -> datetime:
        return datetime.now(timezone.utc)

    def monotonic(self) -> float:
        return time.monotonic()

    def time_of_day(self, moment: datetime) -> datetime:
        return moment

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))

    def call_later(self, seconds: float, callback: Callable[[], object]) -> Callable[[], object]:
        return asyncio.get_running_loop().call_later(max(0.0, seconds), callback).cancel

    def block(self, seconds: float) -> None:
        time.sleep(max(0.0, seconds))

    def advance(self, seconds: float = 0, *, minutes: float = 0, hours: float = 0) -> NoReturn:
        raise RuntimeError("this clock runs in real time and cannot be moved; use a virtual clock")

    elapsed = staticmethod(partial(time.clock_gettime, _COUNTS_SLEEP))
    """As ``monotonic``, and what the machine slept counts, too, where it can tell."""


SYSTEM_CLOCK = SystemClock()


class TellsTime(Protocol):
    """The least that a clock does."""

    def now(self) -> datetime: ...


def stopwatch_of(clock: TellsTime) -> Callable[[], float]:
    """How durations are measured beside that clock: by its own ``monotonic``; by the system's, where it has none."""
    own: Callable[[], float] = getattr(clock, "monotonic", SYSTEM_CLOCK.monotonic)
    return own


class SteadyClock:
    """Another clock, by which moments stay as far apart as they are, though somebody sets the machine's time.

    It goes on from what that clock showed when it was made, and passes while the machine sleeps.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._elapsed: Callable[[], float] = getattr(clock, "elapsed", clock.monotonic)
        self._start = clock.now()
        self._began = self._elapsed()

    def now(self) -> datetime:
        return self._start + timedelta(0, self._elapsed() - self._began)

    def time_of_day(self, moment: datetime) -> datetime:
        set_by = self._clock.now() - self.now()
        return moment if abs(set_by) < _HARDLY_SET else moment + set_by

    def monotonic(self) -> float:
        return self._clock.monotonic()

    def sleep(self, seconds: float) -> Awaitable[None]:
        return self._clock.sleep(seconds)

    def call_later(self, seconds: float, callback: Callable[[], object]) -> Callable[[], object]:
        return self._clock.call_later(seconds, callback)

    def block(self, seconds: float) -> None:
        self._clock.block(seconds)


def steady(clock: Clock) -> Clock:
    """The clock, if nobody can set it but whoever moves it; else one that goes by it and is never set."""
    return clock if isinstance(clock, ManualClock) else SteadyClock(clock)


@dataclass(slots=True, eq=False)
class _Sleeper:
    wake: Callable[[], None]
    is_gone: bool = False


class ManualClock:
    """Time that stands still until ``advance`` moves it. Safe to share between threads."""

    def __init__(self, start: datetime | None = None) -> None:
        self._start = self._now = start or datetime(2026, 1, 1, tzinfo=timezone.utc)
        self._lock = threading.Lock()
        self._order = itertools.count()
        self._sleepers: list[tuple[datetime, int, _Sleeper]] = []
        self._gone = 0
        self._advancing = threading.Lock()
        self._attendants: list[Callable[[float], None]] = []

    def now(self) -> datetime:
        with self._lock:
            return self._now

    def monotonic(self) -> float:
        with self._lock:
            return (self._now - self._start).total_seconds()

    def time_of_day(self, moment: datetime) -> datetime:
        return moment

    def attend(self, settle: Callable[[float], None]) -> Callable[[], None]:
        """Have it called before time moves and after each wake-up: it returns once all that follows is done, having
        waited for answers from outside no longer than so many seconds. Returns what ends this.
        """
        with self._lock:
            self._attendants.append(settle)

        def leave() -> None:
            with self._lock:
                self._attendants.remove(settle)

        return leave

    def advance(
        self,
        seconds: float = 0,
        *,
        minutes: float = 0,
        hours: float = 0,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> datetime:
        """Move time on and wake, in order, whoever waits for a moment up to then.

        Whoever attends, as a harness does, has done all that was due when this returns. An answer from outside, of a
        model or a webhook endpoint, is awaited for ``patience_seconds`` of real time; then time goes on without it.
        """
        step = timedelta(seconds=seconds, minutes=minutes, hours=hours)
        if step < timedelta():
            raise ValueError("time cannot be moved back")
        with self._advancing:
            target = self.now() + step
            self._settle(patience_seconds)
            while sleepers := self._next_sleepers(target):
                for sleeper in sleepers:
                    sleeper.wake()
                self._settle(patience_seconds)
            return target

    def _next_sleepers(self, target: datetime) -> list[_Sleeper]:
        """Move time to when the next ones wake, and return all of that moment; without any, move to the target."""
        with self._lock:
            found: list[_Sleeper] = []
            while self._sleepers and self._sleepers[0][0] <= (self._now if found else target):
                due, _, sleeper = heapq.heappop(self._sleepers)
                if sleeper.is_gone:
                    self._gone -= 1
                    continue
                sleeper.is_gone = True
                self._now = max(self._now, due)
                found.append(sleeper)
            if not found:
                self._now = target
            return found

    def _settle(self, patience_seconds: float) -> None:
        with self._lock:
            attendants = list(self._attendants)
        for settle in attendants:
            settle(patience_seconds)

    def sleep(self, seconds: float) -> Awaitable[None]:
        """Wait in a coroutine; the moment is noted when this is called."""
        woken = asyncio.get_running_loop().create_future()

        def settle() -> None:
            if not woken.done():
                woken.set_result(None)

        call_off = self.call_later(seconds, settle)
        woken.add_done_callback(lambda _: call_off())
        return woken

    def call_later(self, seconds: float, callback: Callable[[], object]) -> Callable[[], object]:
        loop = asyncio.get_running_loop()
        is_off = False

        def call() -> None:
            if not is_off:
                callback()

        def wake() -> None:
            with contextlib.suppress(RuntimeError):  # the event loop is closed
                loop.call_soon_threadsafe(call)

        sleeper = self._enlist(seconds, wake)

        def call_off() -> None:
            nonlocal is_off
            is_off = True
            self._dismiss(sleeper)

        return call_off

    def block(self, seconds: float) -> None:
        woken = threading.Event()
        self._enlist(seconds, woken.set)
        woken.wait()

    def _enlist(self, seconds: float, wake: Callable[[], None]) -> _Sleeper:
        with self._lock:
            due = self._now + timedelta(seconds=max(0.0, seconds))
            if due > self._now:
                sleeper = _Sleeper(wake)
                heapq.heappush(self._sleepers, (due, next(self._order), sleeper))
                return sleeper
        wake()
        return _Sleeper(wake, is_gone=True)

    def _dismiss(self, sleeper: _Sleeper) -> None:
        """Nobody waits for it any more."""
        with self._lock:
            if sleeper.is_gone:
                return
            sleeper.is_gone = True
            self._gone += 1
            if self._gone > max(_MIN_GONE, len(self._sleepers) // 2):
                self._sleepers = [entry for entry in self._sleepers if not entry[2].is_gone]
                heapq.heapify(self._sleepers)
                self._gone = 0


async def wait_for_event(event: asyncio.Event, *, clock: Clock, seconds: float | None) -> bool:
    """Wait until the event is set (True) or so many seconds have passed (False); None: no limit."""
    if seconds is None:
        await event.wait()
        return True
    if sys.version_info >= (3, 11):
        with contextlib.suppress(TimeoutError):
            await within(seconds, event.wait(), clock=clock)
        return event.is_set()
    # Python 3.10 cannot tell that a task was cancelled by somebody in the moment when its time was up, too.
    due: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def fall_due() -> None:
        if not due.done():
            due.set_result(False)

    call_off = clock.call_later(seconds, fall_due)
    waiting: asyncio.Future[bool] = asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait([due, waiting], return_when=asyncio.FIRST_COMPLETED)
    finally:
        call_off()
        waiting.cancel()
        due.cancel()
    return event.is_set()


async def within(seconds: float, coroutine: Coroutine[Any, Any, T], *, clock: Clock) -> T:
    """The coroutine's result, if it comes within so many seconds; else it is cancelled.

    Raises:
        TimeoutError: it took longer.
    """
    task = asyncio.current_task()
    is_late = False
    cancelled = 0
    if sys.version_info >= (3, 11) and task is not None:
        cancelled = task.cancelling()

    def end() -> None:
        nonlocal is_late
        if task is not None:
            is_late = True
            task.cancel()

    call_off = clock.call_later(seconds, end)
    try:
        return await coroutine
    except asyncio.CancelledError:
        if not is_late:
            raise
        if sys.version_info >= (3, 11) and task is not None and task.uncancel() > cancelled:
            raise  # somebody else cancelled it in the same moment, which Python 3.10 cannot tell
        raise TimeoutError(f"not done within {seconds:g} s") from None
    finally:
        call_off()
