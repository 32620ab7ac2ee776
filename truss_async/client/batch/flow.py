"""The engine: submits what waits, finds what comes back, asks about what does not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from ...clock import SYSTEM_CLOCK, Clock, within
from ...errors import (
    ApiError,
    ApiKeyRefusedError,
    RateLimitedError,
    RequestRefusedError,
    TrussAsyncError,
    UnansweredError,
)
from .asking import Asker
from .looking import Looker
from .open_requests import OpenRequest, OpenRequests
from .pace import USUAL_RATE, Pace
from .queue_watch import QueueWatch
from .verdicts import REFUSED, Failure, failure_of, goes_on

if TYPE_CHECKING:
    from ...contract import AsyncPredictResult
    from ..async_platform import AsyncPlatformClient
    from .journal import Journal, Taken
    from .ledger import Ended
    from .sources import ResultSource

CALLS_AT_ONCE: Final = 64
_LAST_CALLS_SECONDS: Final = 10.0
_STOPS_ALL: Final = frozenset({402, 404})
# Somebody on the way answers so, who does not know what became of the call.
_SAYS_NOTHING: Final = frozenset({500, 502, 504})


@dataclass(frozen=True, slots=True)
class Patience:
    """When a result that does not come is asked about, in seconds; the status is not for polling."""

    hole: float = 5.0
    """After younger ones have come."""
    silence: float = 10.0
    """After nothing at all has come."""
    look: float = 0.2
    """Before a result that was not there is looked for again …"""
    longest_look: float = 10.0
    """… and then longer and longer, up to so long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowOptions:
    """``attempts``: submissions of a line that become a request, at most. ``is_known``: it has been reached before, and
    so is waited for when nobody answers."""

    max_open: int
    attempts: int
    rate: float = USUAL_RATE
    wakes: bool = False
    is_known: bool = False
    patience: Patience = field(default_factory=Patience)


class Flow:
    """One run, on one event loop: from what waits in the journal until nothing waits and nothing is open.

    ``note`` is what hinders it at the moment, "" for nothing; ``rate_limited`` counts submissions that were answered 429.
    ``on_open`` is told of each request that is open from now on.
    """

    def __init__(
        self,
        client: AsyncPlatformClient,
        journal: Journal,
        source: ResultSource,
        *,
        options: FlowOptions,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.client, self.source, self.clock = client, source, clock
        self.options = options
        self.note = ""
        self.rate_limited = 0
        self.open = OpenRequests(
            first_pause_seconds=options.patience.look, longest_pause_seconds=options.patience.longest_look
        )
        self.pace = Pace(limit=options.rate)
        self.queue = QueueWatch(self, is_awake=not options.wakes)
        self.last_settled_at = clock.monotonic()
        self.on_open: Callable[[OpenRequest], object] = lambda _: None
        self._journal = journal
        self._changed = asyncio.Event()
        self._admission = asyncio.Lock()
        self._calling: set[int] = set()
        self._in_flight = self._settling = 0
        self._is_known = options.is_known
        self._is_stopping = False
        self._is_endless = False
        self._failed_with: BaseException | None = None
        self._over = asyncio.Event()

    def restore(self, requests: Iterable[OpenRequest], *, is_unwatched: bool = False) -> None:
        """What an earlier run left open; ``is_unwatched``: results that came since then have found nobody."""
        for request in requests:
            self._opened(request)
        if is_unwatched:
            self.open.mark_unwatched()

    def stop(self) -> None:
        """Submit nothing more; ``run`` returns once the calls on their way are answered, or soon."""
        self._is_stopping = True
        self.changed()
        self._over.set()

    def stop_with(self, error: BaseException) -> None:
        """The same, and ``run`` raises the error."""
        self._failed_with = self._failed_with or error
        self.stop()

    async def run(self, *, endless: bool = False) -> None:
        """Returns when all is over, or it was stopped; ``endless``: only then.

        Raises:
            ApiError: the key is refused, or there is no such model: going on would not help.
            LedgerError: the journal cannot store any more.
        """
        self._is_endless = endless
        workers = [self._started(self._work()) for _ in range(min(CALLS_AT_ONCE, self.options.max_open))]
        others = [self._started(Looker(self).run()), self._started(self.queue.run())]
        others += [self._started(ask) for ask in Asker(self).loops()]
        try:
            self._check_over()
            await self._over.wait()
            self._is_stopping = True
            self.changed()
            with suppress(TimeoutError):
                await within(_LAST_CALLS_SECONDS, self._quiet(), clock=self.clock)
        finally:
            for task in (*workers, *others):
                task.cancel()
            await asyncio.gather(*workers, *others, return_exceptions=True)
        if self._failed_with is not None:
            raise self._failed_with

    def changed(self) -> None:
        """Wake whoever waits for a change of what waits, is open, or is on its way."""
        event, self._changed = self._changed, asyncio.Event()
        event.set()

    async def settle(self, request: OpenRequest, end: AsyncPredictResult | Failure) -> None:
        """An open request has come to its end, one way or the other; the first who says so counts."""
        if not self.open.remove(request):
            return
        self.last_settled_at = self.clock.monotonic()
        self.queue.is_awake = True
        self._settling += 1
        try:
            await self._store_end(request, end)
        except TrussAsyncError as error:
            self.stop_with(error)
            raise
        finally:
            self._settling -= 1
            self._step()

    async def take_pushed(self, result: AsyncPredictResult, *, submission: int) -> None:
        """A result that came by itself; it is stored when this returns. One that belongs to no line is let go."""
        while submission in self._calling:  # it was faster than the answer to the call
            await self._changed.wait()
        request = self.open.find(result.request_id)
        if request is not None:
            self.open.settled(request)
            await self.settle(request, failure_of(result.errors) if result.errors else result)
            return
        number = await self._journal.find(result.request_id, submission=submission)
        if number is not None and not result.errors:
            await self._journal.done(number, result)
            self._step()

    async def _store_end(self, request: OpenRequest, end: AsyncPredictResult | Failure) -> None:
        if not isinstance(end, Failure):
            await self._journal.done(request.number, end)
        elif goes_on(end, attempts=request.attempts, most=self.options.attempts):
            await self._journal.put_back(request.number, request.age, ended="failed")
        else:
            await self._journal.failed(request.number, request.age, end)

    async def _work(self) -> None:
        while not self._is_stopping:
            if await self._admitted():
                try:
                    taken = await self._journal.take()
                    if taken is not None:
                        await self._submit(taken)
                finally:
                    self._in_flight -= 1
                    self._step()

    async def _admitted(self) -> bool:
        """Wait until a call may go, which counts it; False: look again whether any may."""
        async with self._admission:
            while not self._has_room() and not self._is_stopping:
                await self._changed.wait()
            wait = 0.0 if self._is_stopping else self.pace.reserve(self.clock.monotonic())
            if wait > 0:
                await self.clock.sleep(wait)
            if self._is_stopping or wait > 0:
                return False
            self._in_flight += 1
            return True

    def _has_room(self) -> bool:
        if self._journal.waiting <= self._in_flight - len(self._calling):  # they are being taken
            return False
        busy = len(self.open) + self._in_flight
        if not self.queue.is_awake:
            return busy == 0
        return busy < self.options.max_open and not self.queue.is_full

    async def _submit(self, taken: Taken) -> None:
        self._calling.add(taken.submission)
        try:
            accepted = await self.client.submit_body(taken.body)
        except ApiError as error:
            await self._not_accepted(taken, error)
        else:
            self.pace.answered()
            self._is_known, self.note = True, ""
            await self._accepted(taken, accepted.request_id)
        finally:
            self._calling.discard(taken.submission)

    async def _accepted(self, taken: Taken, request_id: str) -> None:
        if await self._journal.accepted(taken, request_id):
            self._opened(
                OpenRequest(taken.number, taken.custom_id, taken.submission, request_id, taken.attempts + 1)
            )

    def _opened(self, request: OpenRequest) -> None:
        self.open.add(request)
        self.on_open(request)

    async def _not_accepted(self, taken: Taken, error: ApiError) -> None:
        now = self.clock.monotonic()
        if isinstance(error, RequestRefusedError):
            await self._journal.failed(taken.number, taken.submission, Failure(REFUSED, str(error)))
            return
        await self._journal.put_back(taken.number, taken.submission, ended=_end_without_id(error))
        if self._ends_all(error):
            self.stop_with(error)
        elif isinstance(error, RateLimitedError):
            self.rate_limited += 1
            self.pace.refused(now, error.retry_after)
        else:
            self.note = str(error)
            self.pace.failed(now, error.retry_after)

    def _ends_all(self, error: ApiError) -> bool:
        if isinstance(error, UnansweredError):
            return not self._is_known and not error.may_have_arrived
        return isinstance(error, ApiKeyRefusedError) or error.status_code in _STOPS_ALL

    def _step(self) -> None:
        self.changed()
        self._check_over()

    def _check_over(self) -> None:
        is_busy = self._in_flight or self._settling or len(self.open) or self._journal.waiting
        if not is_busy and not self._is_endless:
            self._over.set()

    async def _quiet(self) -> None:
        while self._in_flight or self._settling:
            await self._changed.wait()

    def _started(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        task.add_done_callback(self._note_end)
        return task

    def _note_end(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self.stop_with(error)


def _end_without_id(error: ApiError) -> Ended:
    """How a submission ends of which no request id is known, by whether it may have become a request."""
    if isinstance(error, UnansweredError):
        return "unanswered" if error.may_have_arrived else "put back"
    return "unsure" if error.status_code in _SAYS_NOTHING else "put back"
