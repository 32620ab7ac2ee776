"""What the harness is doing now, so that whoever moves its clock can wait until all that was due is done."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar

from ..clock import SYSTEM_CLOCK, ManualClock, wait_for_event, within
from ..errors import HarnessError

if TYPE_CHECKING:
    from ..clock import Clock

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class _Rest:
    """A wait: for a moment, for an event, or for an answer from outside that has been awaited since then.

    That answer may come from whoever sleeps on the same clock, until a moment that is known.
    """

    due: datetime | None
    event: asyncio.Event | None = None
    asked_at: float | None = None
    asleep_until: datetime | None = None

    def is_over(self, now: datetime) -> bool:
        moments = (self.due, self.asleep_until)
        return any(each is not None and each <= now for each in moments) or (
            self.event is not None and self.event.is_set()
        )


_outside: ContextVar[_Rest | None] = ContextVar("outside", default=None)
"""The wait for what the code that runs now answers."""


class Activity:
    """Counts tasks that work, and knows what the others wait for. A Clock to those that only sleep.

    A task is at work from the moment it is started until it ends, save while it rests in ``sleep``, ``wait`` or
    ``outside``; a rest that is over counts as work until the task has noticed. So there is no gap in which work that
    follows from other work goes unseen. Only who moves a clock by hand asks for that: with any other, nothing is counted.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.now: Final[Callable[[], datetime]] = clock.now
        """The present moment, in UTC. Asked several times a request, so without a method of its own in between."""
        self._is_counted = isinstance(clock, ManualClock)
        self._working = 0
        self._rests: set[_Rest] = set()
        self._changed = asyncio.Event()
        self._is_ended = False
        self._settling: asyncio.Task[None] | None = None

    def time_of_day(self, moment: datetime) -> datetime:
        """What people, and receivers of webhooks, call that moment."""
        return self._clock.time_of_day(moment)

    def start(self, work: Coroutine[Any, Any, T], *, name: str | None = None) -> asyncio.Task[T]:
        """A task, at work from now on."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        if not self._is_counted:
            return task
        self._working += 1
        task.add_done_callback(self._ended)
        return task

    async def sleep(self, seconds: float) -> None:
        """Wait in a task."""
        with self._rest(_Rest(self._after(seconds))):
            await self._clock.sleep(seconds)

    async def wait(self, event: asyncio.Event, *, seconds: float | None) -> bool:
        """Wait until the event is set (True) or so many seconds have passed (False); None: no limit."""
        with self._rest(_Rest(self._after(seconds), event=event)):
            return await wait_for_event(event, clock=self._clock, seconds=seconds)

    async def outside(self, seconds: float, call: Coroutine[Any, Any, T]) -> T:
        """The result of a call to somebody else.

        Raises:
            TimeoutError: it took longer than so many seconds.
        """
        if not self._is_counted:
            return await within(seconds, call, clock=self._clock)
        rest = _Rest(self._after(seconds), asked_at=SYSTEM_CLOCK.monotonic())
        with self._rest(rest):
            before = _outside.set(rest)
            try:
                return await within(seconds, call, clock=self._clock)
            finally:
                _outside.reset(before)

    async def sleep_outside(self, seconds: float) -> None:
        """Wait in what was called ``outside``, or by nobody who is counted: real time need not pass for it."""
        rest = _outside.get()
        if rest is None:
            await self._clock.sleep(seconds)
            return
        rest.asked_at, rest.asleep_until = None, self._after(seconds)
        self._changed.set()
        try:
            await self._clock.sleep(seconds)
        finally:
            rest.asked_at, rest.asleep_until = SYSTEM_CLOCK.monotonic(), None
            self._changed.set()

    def answers_at(self) -> datetime | None:
        """When the first of those that sleep outside wakes; None when nobody does."""
        return min((each for rest in tuple(self._rests) if (each := rest.asleep_until)), default=None)

    def settle_from_thread(
        self, loop: asyncio.AbstractEventLoop, *, patience_seconds: float, deadline_seconds: float
    ) -> None:
        """Let another thread than the loop's wait until it is quiet; at once when the loop has ended.

        Raises:
            HarnessError: it does not become quiet.
        """
        settled: Future[None] = Future()

        def begin() -> None:
            self._settling = loop.create_task(self.settle(patience_seconds=patience_seconds))
            self._settling.add_done_callback(lambda _: settled.set_result(None))

        try:
            loop.call_soon_threadsafe(begin)
        except RuntimeError:  # it is closed
            return
        try:
            settled.result(deadline_seconds)
        except FutureTimeoutError:
            raise HarnessError(f"the harness did not become idle within {deadline_seconds:g} s") from None

    def end(self) -> None:
        """Let nobody wait any longer: the harness stops."""
        self._is_ended = True
        self._changed.set()

    async def settle(self, *, patience_seconds: float) -> None:
        """Wait until nobody works; who waits for an answer from outside longer than the patience, waits in vain."""
        while (seconds := self._seconds_to_wait(patience_seconds)) != 0:
            self._changed.clear()
            await wait_for_event(self._changed, clock=SYSTEM_CLOCK, seconds=seconds)

    def _seconds_to_wait(self, patience_seconds: float) -> float | None:
        """0 when it is quiet, None when only a change can tell."""
        if self._is_ended:
            return 0
        now = self._clock.now()
        if self._working or any(rest.is_over(now) for rest in self._rests):
            return None
        asked = [rest.asked_at for rest in self._rests if rest.asked_at is not None]
        if not asked:
            return 0
        waited = SYSTEM_CLOCK.monotonic() - max(asked)
        return max(0.0, patience_seconds - waited)

    @contextmanager
    def _rest(self, rest: _Rest) -> Iterator[None]:
        self._rests.add(rest)
        self._working -= 1
        self._changed.set()
        try:
            yield
        finally:
            self._working += 1
            self._rests.discard(rest)
            self._changed.set()

    def _ended(self, _task: asyncio.Task[Any]) -> None:
        self._working -= 1
        self._changed.set()

    def _after(self, seconds: float | None) -> datetime | None:
        return None if seconds is None else self._clock.now() + timedelta(seconds=max(0.0, seconds))
