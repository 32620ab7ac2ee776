"""Time as an argument: nothing outside this module asks the system for the time, or sleeps."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import threading
import time
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

__all__ = ["SYSTEM_CLOCK", "Clock", "ManualClock", "SystemClock", "wait_for_event", "within"]

T = TypeVar("T")


class Clock(Protocol):
    """What tells the time and waits. Durations are in seconds; ``now`` is in UTC and aware."""

    def now(self) -> datetime:
        """The present moment, in UTC."""

    async def sleep(self, seconds: float) -> None:
        """Wait in a coroutine."""

    def block(self, seconds: float) -> None:
        """Wait in a thread."""


class SystemClock:
    """The machine's own time."""

    def now(self) -> datetime:
        return datetime.now(timezone.utc)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))

    def block(self, seconds: float) -> None:
        time.sleep(max(0.0, seconds))


SYSTEM_CLOCK = SystemClock()


class ManualClock:
    """Time that stands still until ``advance`` moves it. Safe to share between threads."""

    def __init__(self, start: datetime | None = None) -> None:
        self._now = start or datetime(2026, 1, 1, tzinfo=timezone.utc)
        self._lock = threading.Lock()
        self._order = itertools.count()
        self._sleepers: list[tuple[datetime, int, Callable[[], None]]] = []

    def now(self) -> datetime:
        with self._lock:
            return self._now

    def advance(self, seconds: float = 0, *, minutes: float = 0, hours: float = 0) -> datetime:
        """Move time on and wake, in order, whoever waits for a moment up to then."""
        step = timedelta(seconds=seconds, minutes=minutes, hours=hours)
        if step < timedelta():
            raise ValueError("time cannot be moved back")
        target = self.now() + step
        while True:
            with self._lock:
                if not self._sleepers or self._sleepers[0][0] > target:
                    self._now = target
                    return target
                due, _, wake = heapq.heappop(self._sleepers)
                self._now = max(self._now, due)
            wake()

    async def sleep(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        woken = loop.create_future()

        def settle() -> None:
            if not woken.done():
                woken.set_result(None)

        def wake() -> None:
            with contextlib.suppress(RuntimeError):  # the sleeper's event loop is closed
                loop.call_soon_threadsafe(settle)

        self._enlist(seconds, wake)
        await woken

    def block(self, seconds: float) -> None:
        woken = threading.Event()
        self._enlist(seconds, woken.set)
        woken.wait()

    def _enlist(self, seconds: float, wake: Callable[[], None]) -> None:
        with self._lock:
            due = self._now + timedelta(seconds=max(0.0, seconds))
            if due > self._now:
                heapq.heappush(self._sleepers, (due, next(self._order), wake))
                return
        wake()


async def wait_for_event(event: asyncio.Event, *, clock: Clock, seconds: float | None) -> bool:
    """Wait until the event is set (True) or so many seconds have passed (False); None: no limit."""
    if seconds is None:
        await event.wait()
        return True
    waiters = [asyncio.ensure_future(event.wait()), asyncio.ensure_future(clock.sleep(seconds))]
    try:
        await asyncio.wait(waiters, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for waiter in waiters:
            waiter.cancel()
    return event.is_set()


async def within(seconds: float, coroutine: Coroutine[Any, Any, T], *, clock: Clock) -> T:
    """The coroutine's result, if it comes within so many seconds; else it is cancelled.

    Raises:
        TimeoutError: it took longer.
    """
    work = asyncio.ensure_future(coroutine)
    limit = asyncio.ensure_future(clock.sleep(seconds))
    try:
        await asyncio.wait((work, limit), return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            return work.result()
        raise TimeoutError(f"not done within {seconds:g} s")
    finally:
        limit.cancel()
        if not work.done():
            work.cancel()
            # It may have something to let go of; and nobody else reads how it ended.
            await asyncio.wait((work,))
