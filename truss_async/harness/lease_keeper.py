"""What an owner of a shared queue does so that nothing is worked on by two, and nothing is left behind."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Protocol

from .request_queue import RequestQueueError, until_stored
from .request_queue.patience import PAUSE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .activity import Activity
    from .request_queue import RequestQueue

RENEWALS_A_LEASE = 3


class Worker(Protocol):
    """What works on things that are claimed."""

    async def take_over(self) -> None:
        """Go on with what others left behind."""

    def drop(self) -> None:
        """Break off what was claimed."""


class LeaseKeeper:
    """Renews the lease of a queue that has one, several times in its length, and then takes over what others left.

    When the lease cannot be renewed, the work is dropped before others may take it over: its length is counted from
    before the storage was asked. What was dropped is given back as soon as the storage can be reached.
    """

    def __init__(
        self,
        *,
        queue: RequestQueue,
        lease_seconds: float,
        workers: Sequence[Worker],
        activity: Activity,
        report: Callable[[str], None],
    ) -> None:
        self._queue = queue
        self._lease_seconds = lease_seconds
        self._workers = workers
        self._activity = activity
        self._report = report
        self._is_lost = False
        self._end: asyncio.Task[None] | None = None
        self._hurry = asyncio.Event()

    def hurry(self) -> None:
        """Others may have left something: look at once."""
        self._hurry.set()

    async def run(self) -> None:
        """Keep the lease until cancelled, when nothing is worked on any more: it is given back then."""
        try:
            while True:
                self._hurry.clear()
                await until_stored(
                    self._look_after,
                    pause=self._activity.sleep,
                    report=self._report,
                    longest_pause_seconds=PAUSE_SECONDS,  # the lease does not wait
                )
                await self._activity.wait(self._hurry, seconds=self._lease_seconds / RENEWALS_A_LEASE)
        finally:
            self._lasts(None)
            with contextlib.suppress(RequestQueueError):
                await self._queue.give_back()

    async def _look_after(self) -> None:
        await self._renew()
        for worker in self._workers:
            await worker.take_over()

    async def _renew(self) -> None:
        if self._is_lost:
            await self._queue.give_back()
        end = self._activity.start(self._await_end(), name="end of the lease")
        try:
            is_kept = await self._queue.renew(now=self._activity.now())
        except BaseException:
            end.cancel()
            raise
        self._lasts(end)
        if not is_kept:
            self._drop("the lease had ended before it was renewed")
            self._is_lost = False
        elif self._is_lost:  # while the storage was asked: what nobody works on would be kept from the others
            await self._renew()

    def _lasts(self, end: asyncio.Task[None] | None) -> None:
        if self._end is not None:
            self._end.cancel()
        self._end = end

    async def _await_end(self) -> None:
        await self._activity.sleep(self._lease_seconds)
        self._drop(f"the lease could not be renewed for {self._lease_seconds:g} s")

    def _drop(self, reason: str) -> None:
        if self._is_lost:
            return
        self._is_lost = True
        self._report(f"{reason}: what was in progress is left to others")
        for worker in self._workers:
            worker.drop()
