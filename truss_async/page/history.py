"""What the queue did lately, kept in memory from the first look at a page on: by the second, and by the quarter minute."""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from typing import TYPE_CHECKING, Final

from ..clock import SYSTEM_CLOCK
from ..errors import ApiError
from .measures import between, read, row_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from ..contract.harness_calls import Health, QueueState
    from .asking import HarnessCalls
    from .measures import Reading

BY_THE_SECOND: Final = 15 * 60
COARSE_SECONDS: Final = 15
BY_THE_QUARTER_MINUTE: Final = 24 * 3600 // COARSE_SECONDS
UNSEEN_SECONDS: Final = 24 * 3600
"""So long it goes on after the last look; then it ends, and begins anew with the next one."""
SECTIONS: Final = ("overview", "requests", "request", "webhooks", "results", "faults")
"""What is told apart when something changes: a page shows what one of them is of."""


class History:
    """Reads the metrics once a second, for all pages together; whoever never looked, costs nothing.

    ``fine`` and ``coarse`` are its points, the oldest first, each with its moment and as the row that is sent; they are as
    many as their spans allow, and no more. ``state`` is how the harness was at the last second, None when it could not tell.
    """

    def __init__(self, calls: HarnessCalls) -> None:
        self.fine: deque[tuple[float, str]] = deque(maxlen=BY_THE_SECOND)
        self.coarse: deque[tuple[float, str]] = deque(maxlen=BY_THE_QUARTER_MINUTE)
        self.state: tuple[Health, QueueState] | None = None
        self._calls = calls
        self._task: asyncio.Task[None] | None = None
        self._looked_at = 0.0
        self._ticks = 0
        self._start = secrets.token_hex(4)
        self._shown: Mapping[str, object] = {}
        self._changes = dict.fromkeys(SECTIONS, 0)
        self._ticked = asyncio.Event()

    def look(self) -> None:
        """Somebody looks: go on for a day at least."""
        self._looked_at = SYSTEM_CLOCK.monotonic()
        if self._task is None or self._task.done():
            self.fine.clear()
            self.coarse.clear()
            self._task = asyncio.get_running_loop().create_task(self._run(), name="PageHistory")

    def version(self, section: str) -> str:
        """Another one whenever pages of that section show something else, as far as was looked; never again the same."""
        return f"{self._start}.{self._changes[section]}"

    async def ticks(self) -> AsyncIterator[int]:
        """The number of every second that passes."""
        while self._task is not None and not self._task.done():
            self.look()
            await self._ticked.wait()
            yield self._ticks

    async def close(self) -> None:
        """End it, and whoever waits for it."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._tick()

    async def _run(self) -> None:
        last = coarse = await self._reading()
        self._note(await self._facts(last))
        while SYSTEM_CLOCK.monotonic() - self._looked_at < UNSEEN_SECONDS:
            await SYSTEM_CLOCK.sleep(1)
            now, reading = SYSTEM_CLOCK.now().timestamp(), await self._reading()
            self.fine.append((now, row_of(between(last, reading, at=now, seconds=1))))
            last = reading
            self._ticks += 1
            if self._ticks % COARSE_SECONDS == 0:
                self.coarse.append((now, row_of(between(coarse, reading, at=now, seconds=COARSE_SECONDS))))
                coarse = reading
            self._note(await self._facts(reading))
            self._tick()

    def _tick(self) -> None:
        self._ticked.set()
        self._ticked = asyncio.Event()

    def _note(self, shown: Mapping[str, object]) -> None:
        for section in SECTIONS:
            self._changes[section] += shown[section] != self._shown.get(section)
        self._shown = shown

    async def _reading(self) -> Reading:
        while True:
            try:
                return read(await self._calls.metrics())
            except ApiError:  # the queue cannot be read at this moment
                await SYSTEM_CLOCK.sleep(1)

    async def _facts(self, reading: Reading) -> Mapping[str, object]:
        """What the pages of each section show of it: when this changes, they do."""
        try:
            lines = await self._calls.latest_line()
            queue, health = await self._calls.queue(), await self._calls.health()
            faults = await self._calls.faults()
        except ApiError as error:
            self.state = None
            return dict.fromkeys(SECTIONS, str(error))
        self.state = health, queue
        # But for what goes on by itself: ages, and calls that count no more.
        queue = queue.model_copy(update={"limits": [], "oldest_open": None})
        everywhere = (queue.is_paused, health.queue, [each.model for each in queue.deployments])
        webhooks = (reading.webhooks, reading.buckets["webhook"])
        return {
            "overview": (reading, queue, health),
            "requests": (reading, queue, everywhere),
            "request": (reading, queue, lines, everywhere),
            "webhooks": (*webhooks, everywhere),
            "results": (reading, queue, lines, everywhere),
            "faults": (faults, everywhere),
        }
