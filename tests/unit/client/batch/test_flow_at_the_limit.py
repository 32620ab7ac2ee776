"""The whole engine against the harness's own limiter, in virtual time."""

import asyncio
from datetime import timedelta
from typing import Any, cast

import pytest

from truss_async import AsyncPlatformClient, AsyncPredictResult
from truss_async.client.batch.flow import Flow, FlowOptions
from truss_async.client.batch.journal import MemoryJournal
from truss_async.client.batch.receiving import ReceiverSource
from truss_async.clock import ManualClock
from truss_async.contract import AsyncPredictAccepted
from truss_async.contract.limits import ASYNC_CALLS_PER_MINUTE
from truss_async.contract.statuses import QueueStatus
from truss_async.errors import RateLimitedError
from truss_async.harness.api.rate_limits import RateLimiter
from truss_async.harness.api.refusals import CallRefusedError

LINES = 2000
PER_SECOND = ASYNC_CALLS_PER_MINUTE / 60
STEP_SECONDS = 0.005
TURNS = 12  # of the event loop, until nothing more happens at a moment


class Platform:
    """Takes what its limiter lets pass, and has the result at once."""

    def __init__(self, clock: ManualClock, *, calls: int, seconds: int) -> None:
        self._limiter = RateLimiter("async calls", calls, seconds=seconds, clock=clock)
        self._clock = clock
        self.accepted = self.refused = 0
        self.flow: Flow | None = None

    async def submit_body(self, body: bytes) -> AsyncPredictAccepted:
        try:
            self._limiter.check()
        except CallRefusedError:
            self.refused += 1
            raise RateLimitedError("too many", status_code=429, retry_after=1.0) from None
        self.accepted += 1
        request_id = f"{self.accepted:032x}"
        asyncio.get_running_loop().call_soon(self._finish, request_id)
        return AsyncPredictAccepted(request_id=request_id)

    async def queue_status(self) -> QueueStatus:
        return QueueStatus(model_id="m", deployment_id="d", num_queued_requests=0, num_in_progress_requests=0)

    def _finish(self, request_id: str) -> None:
        assert self.flow is not None
        found = self.flow.open.find(request_id)
        if found is None:  # its acceptance is not noted yet
            asyncio.get_running_loop().call_soon(self._finish, request_id)
            return
        result = AsyncPredictResult(request_id=request_id, time=self._clock.now(), data=None)
        self._finishing = asyncio.ensure_future(self.flow.take_pushed(result, submission=0))


@pytest.mark.asyncio
@pytest.mark.parametrize(("calls", "seconds"), [(ASYNC_CALLS_PER_MINUTE, 60), (int(PER_SECOND), 1)])
async def test_a_batch_keeps_nearly_all_of_what_the_limits_allow(calls: int, seconds: int) -> None:
    clock = ManualClock()
    platform = Platform(clock, calls=calls, seconds=seconds)
    journal = MemoryJournal(lambda number, end, request_id: None)
    for number in range(LINES):
        journal.add(number, b"{}")
    client: Any = platform
    platform.flow = Flow(
        cast("AsyncPlatformClient", client),
        journal,
        ReceiverSource(key="k"),
        options=FlowOptions(max_open=5000, attempts=3),
        clock=clock,
    )
    begun = clock.now()
    running = asyncio.ensure_future(platform.flow.run())
    while not running.done():
        for _ in range(TURNS):
            await asyncio.sleep(0)
        clock.advance(STEP_SECONDS)
    await running
    took = (clock.now() - begun) / timedelta(seconds=1)
    print(
        f"{platform.accepted} in {took:.1f} s, {platform.accepted / took / PER_SECOND:.4f} of the limit, {platform.refused} refused"
    )
    assert platform.accepted == LINES
    # It begins slowly, which costs the rest of a second.
    assert LINES / (took - 1) >= 0.98 * PER_SECOND
    assert platform.refused < 0.001 * LINES
