"""From the queue to a replica: claim, or begin at once; let an attempt be made; record what it came to."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from ..contract import ErrorCode, RequestStatus, limits
from .decisions import (
    Busy,
    Failed,
    Outcome,
    Succeeded,
    backoff,
    failure,
    next_inference_delay,
    unfit,
)
from .metrics import status_of
from .request_queue import DueDelivery, RequestQueueError, until_stored

if TYPE_CHECKING:
    from ..contract import ErrorDetail
    from ..replicas.pool import ReplicaPool
    from ..replicas.protocol import Replica
    from .activity import Activity
    from .delivery import Delivery
    from .inference import Inference
    from .metrics import DeploymentMetrics
    from .request_queue import ClaimedRequest, NewRequest, RequestQueue

SUSPECTS_WAIT = timedelta(minutes=1)
"""For so long, what was run when the process ended lets everything else go first."""
NOBODY_KNOWS = 1_000_000_000
"""More than there can be."""
LONGEST_BACKOFF = timedelta(milliseconds=limits.MAX_MAX_DELAY_MS)


class Dispatcher:
    """Runs the async requests of one deployment on its replicas, as far as sync calls leave room.

    ``work`` is set by others when a slot became free.
    """

    def __init__(
        self,
        deployment_id: str,
        *,
        queue: RequestQueue,
        pool: ReplicaPool,
        activity: Activity,
        inference: Inference,
        metrics: DeploymentMetrics,
        report: Callable[[str], None],
        work: asyncio.Event,
        delivery: Delivery,
    ) -> None:
        self._deployment_id = deployment_id
        self._queue = queue
        self._pool = pool
        self._activity = activity
        self._inference = inference
        self._metrics = metrics
        self._report = report
        self._delivery = delivery
        self._work = work
        self._retries: list[tuple[datetime, int, int, str]] = []
        self._suspects: list[tuple[int, int, int, str]] = []
        self._suspects_due = activity.now()
        self._suspect: asyncio.Task[None] | None = None
        self._order = itertools.count()
        self._entering: set[asyncio.Task[None]] = set()
        self._attempts: set[asyncio.Task[None]] = set()
        self._is_over = False
        self._is_paused = False
        self._most_queued = NOBODY_KNOWS
        """So many are queued, or fewer: a cancelled one is not told of."""

    def note_queued(self) -> None:
        """Requests were queued by others, or may have been."""
        self._most_queued += NOBODY_KNOWS
        self._work.set()

    async def enter(self, new: NewRequest) -> bool:
        """Keep a new request, and begin it at once if a slot is free and nothing goes before it; False: it has begun.

        Raises:
            RequestQueueError: it is not kept.
        """
        if self._is_calm and (replica := self._pool.try_acquire()) is not None:
            kept: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
            entering = self._activity.start(self._begin(new, replica, kept))
            self._entering.add(entering)
            entering.add_done_callback(lambda done: self._entered(kept, done))
            return await kept
        self._most_queued += 1  # at once: what comes while this one is being kept may not go before it
        await self._queue.enqueue(new)
        self._work.set()
        return True

    @property
    def _is_calm(self) -> bool:
        """Whether nothing that waits would go before a request that comes now."""
        return not (self._most_queued or self._is_paused or self._is_retry_due)

    @property
    def _is_retry_due(self) -> bool:
        return bool(self._retries) and self._retries[0][0] <= self._activity.now()

    async def _begin(self, new: NewRequest, replica: Replica, kept: asyncio.Future[bool]) -> None:
        """Whoever waits for it to be kept may go away meanwhile."""
        request = None
        try:
            request = await self._queue.begin(new)
        except RequestQueueError as error:
            if not kept.done():
                kept.set_exception(error)
            return
        finally:
            if request is None:
                self._pool.release(replica)
        if not kept.done():
            kept.set_result(request is None)
        if request is None:
            self.note_queued()
            return
        if self._is_over:
            self._pool.release(replica)
            return
        self._metrics.left_the_queue(after=timedelta(0))
        self._start(request, replica)

    def _entered(self, kept: asyncio.Future[bool], entering: asyncio.Task[None]) -> None:
        """A defect is told to whoever waits."""
        self._entering.discard(entering)
        if not kept.done():
            kept.set_exception(entering.exception() or RequestQueueError("the harness is stopping"))

    @property
    def is_paused(self) -> bool:
        """Whether no inference attempt begins."""
        return self._is_paused

    def pause(self) -> None:
        """Begin no inference attempt any more; what runs, runs on."""
        self._is_paused = True

    def resume(self) -> None:
        """Go on."""
        self._is_paused = False
        self._work.set()

    async def take_over(self) -> None:
        """Go on with what others left in progress; they may have queued something, too."""
        now = self._activity.now()
        for waiting in await self._queue.take_over(self._deployment_id, now=now):
            if waiting.interruptions and waiting.next_attempt_at is None:
                entry = (waiting.interruptions, waiting.priority, next(self._order), waiting.request_id)
                heapq.heappush(self._suspects, entry)
                self._suspects_due = now + SUSPECTS_WAIT
            else:
                # No wait is longer, unless the machine's time was set back meanwhile.
                at = min(waiting.next_attempt_at or now, now + LONGEST_BACKOFF)
                self._schedule(waiting.request_id, waiting.priority, at)
        self.note_queued()

    def drop(self) -> None:
        """What was claimed belongs to others: break it off."""
        self._retries.clear()
        self._suspects.clear()
        for attempt in self._attempts:
            attempt.cancel()
        self.note_queued()

    async def run(self) -> None:
        """Dispatch until cancelled; what is running then stays in progress and is taken up at the next start."""
        try:
            await until_stored(self.take_over, pause=self._activity.sleep, report=self._report)
            while True:
                self._work.clear()
                seconds = await until_stored(self._dispatch, pause=self._activity.sleep, report=self._report)
                await self._activity.wait(self._work, seconds=seconds)
        finally:
            self._is_over = True
            self.drop()
            await asyncio.gather(*self._attempts, *self._entering, return_exceptions=True)

    async def _dispatch(self) -> float | None:
        """Start what there are slots for; return the seconds until a retry is due, None when only a wake-up can tell."""
        wanted = self._most_queued + len(self._retries if self._is_retry_due else ()) + bool(self._suspects)
        slots: list[Replica] = []
        while not self._is_paused and len(slots) < wanted and (replica := self._pool.try_acquire()):
            slots.append(replica)
        has_enough = len(slots) == wanted
        try:
            while slots and not self._is_paused and (request := await self._next_retry()):
                self._start(request, slots.pop())
            if self._suspects_due <= self._activity.now():
                await self._try_suspect(slots)
            if slots and not self._is_paused and self._most_queued:
                for request in await self._claim(limit=len(slots)):
                    self._start(request, slots.pop())
            if not self._most_queued:
                await self._try_suspect(slots)
            return self._seconds_to_next() if slots or has_enough else None
        finally:
            for replica in slots:
                self._pool.release(replica, was_used=False)

    def _seconds_to_next(self) -> float | None:
        moments = [at for at, *_ in self._retries[:1]]
        if self._suspects and self._suspect is None:
            moments.append(self._suspects_due)
        return (min(moments) - self._activity.now()).total_seconds() if moments else None

    async def _try_suspect(self, slots: list[Replica]) -> None:
        """Of what was run when the process ended, one at a time, the least suspicious first: it may end it again."""
        while slots and self._suspects and self._suspect is None and not self._is_paused:
            suspect = heapq.heappop(self._suspects)
            try:
                request = await self._queue.resume(suspect[3])
            except RequestQueueError:
                heapq.heappush(self._suspects, suspect)
                raise
            if request is not None:
                self._suspect = self._start(request, slots.pop())
                self._suspect.add_done_callback(self._suspect_ended)

    def _suspect_ended(self, _: asyncio.Task[None]) -> None:
        self._suspect = None
        self._work.set()

    async def _claim(self, *, limit: int) -> list[ClaimedRequest]:
        now = self._activity.now()
        # Those that come meanwhile are counted on top; if these were all, none of them has to wait.
        before, self._most_queued = self._most_queued, max(0, self._most_queued - limit)
        try:
            claimed = await self._queue.claim(self._deployment_id, limit=limit, now=now)
        except RequestQueueError:
            self._most_queued += before
            raise
        if len(claimed) < limit:
            self._most_queued -= max(0, before - limit)
        for request in claimed:
            self._metrics.left_the_queue(after=now - request.created_at)
        return claimed

    async def _next_retry(self) -> ClaimedRequest | None:
        while self._is_retry_due:
            due = heapq.heappop(self._retries)
            try:
                request = await self._queue.resume(due[3])
            except RequestQueueError:
                heapq.heappush(self._retries, due)
                raise
            if request is not None:
                return request
        return None

    def _schedule(self, request_id: str, priority: int, at: datetime) -> None:
        heapq.heappush(self._retries, (at, priority, next(self._order), request_id))
        self._work.set()

    def _start(self, request: ClaimedRequest, replica: Replica) -> asyncio.Task[None]:
        attempt = self._activity.start(self._attempt(request, replica))
        self._attempts.add(attempt)
        attempt.add_done_callback(lambda done: self._ended(request, done))
        return attempt

    def _ended(self, request: ClaimedRequest, attempt: asyncio.Task[None]) -> None:
        self._attempts.discard(attempt)
        if not attempt.cancelled() and (error := attempt.exception()) is not None:
            self._report(f"request {request.request_id}: internal error of the harness: {error!r}")
            outcome = failure(ErrorCode.INTERNAL_SERVER_ERROR, "internal error of the harness", retry=True)
            keeping = self._activity.start(self._keep(request, outcome))
            self._attempts.add(keeping)
            keeping.add_done_callback(lambda done: self._kept(request, done))

    def _kept(self, request: ClaimedRequest, keeping: asyncio.Task[None]) -> None:
        self._attempts.discard(keeping)
        if not keeping.cancelled() and (error := keeping.exception()) is not None:
            self._report(
                f"request {request.request_id} stays in progress until the next start, because its failure cannot be stored: {error!r}"
            )

    async def _attempt(self, request: ClaimedRequest, replica: Replica) -> None:
        try:
            refusal = unfit(request.damage, interruptions=request.interruptions)
            outcome = refusal or await self._inference.attempt(request, replica)
        finally:
            self._pool.release(replica)
        await self._keep(request, outcome)

    async def _keep(self, request: ClaimedRequest, outcome: Outcome) -> None:
        await until_stored(
            lambda: self._record(request, outcome), pause=self._activity.sleep, report=self._report
        )

    async def _record(self, request: ClaimedRequest, outcome: Outcome) -> None:
        now = self._activity.now()
        attempts = request.attempts_made + 1
        match outcome:
            case Succeeded(data):
                await self._finish(request, attempts, data, [], now=now)
            case Busy():
                await self._retry(
                    request, request.attempts_made, now + backoff(request.accepted.retry_config, step=1), []
                )
            case Failed(error, is_retryable):
                delay = next_inference_delay(request.accepted.retry_config, attempts_made=attempts)
                if is_retryable and delay is not None:
                    await self._retry(request, attempts, now + delay, [error])
                else:
                    await self._finish(request, attempts, None, [error], now=now)

    async def _retry(
        self, request: ClaimedRequest, attempts: int, at: datetime, errors: list[ErrorDetail]
    ) -> None:
        if await self._queue.retry_later(request.request_id, attempts=attempts, at=at, errors=errors):
            self._schedule(request.request_id, request.priority, at)

    async def _finish(
        self,
        request: ClaimedRequest,
        attempts: int,
        data: bytes | None,
        errors: list[ErrorDetail],
        *,
        now: datetime,
    ) -> None:
        with self._delivery.slot_for(request.accepted.webhook_endpoint) as slot:
            is_over = await self._queue.finish(
                request.request_id,
                RequestStatus.FAILED if errors else RequestStatus.SUCCEEDED,
                attempts=attempts,
                data=data,
                errors=errors,
                now=now,
                is_claimed=slot is not None,
            )
            if is_over and request.accepted.webhook_endpoint is not None:
                due = DueDelivery(
                    request.request_id,
                    self._deployment_id,
                    request.accepted,
                    data,
                    errors,
                    attempts_made=0,
                    order=request.order,
                )
                self._delivery.deliver(due, slot)
        if is_over:
            self._metrics.inference_over(
                status=status_of(errors[0].code if errors else None),
                is_async=True,
                took=now - request.created_at,
                request_bytes=len(request.model_input),
                response_bytes=None if data is None else len(data),
            )
        self._pool.demand_changed.set()
