"""Results of requests that no ledger remembers, as they come: what ``run`` and ``map`` of the client are made of."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Final

from ...contract import AsyncPredictResult, ErrorDetail
from .flow import Flow, FlowOptions, Patience
from .journal import MemoryJournal
from .open_requests import OpenRequest
from .relay import RelaySource

if TYPE_CHECKING:
    from ...clock import Clock
    from ..async_platform import AsyncPlatformClient
    from .sources import ResultSource
    from .verdicts import Failure


# Somebody waits for this very result, and it costs a few looks more.
_ONE_AT_A_TIME: Final = Patience(look=0.005, longest_look=0.5)


class Stream:
    """Submits bodies, so many at once, and yields what becomes of each."""

    def __init__(
        self,
        client: AsyncPlatformClient,
        source: ResultSource,
        *,
        max_open: int,
        attempts: int,
        clock: Clock,
    ) -> None:
        self._clock = clock
        self._room = asyncio.Semaphore(max_open)
        self._ends: asyncio.Queue[tuple[int, AsyncPredictResult] | None] = asyncio.Queue()
        self._journal = MemoryJournal(self._note_end)
        options = FlowOptions(max_open=max_open, attempts=attempts)
        self._flow = Flow(client, self._journal, source, options=options, clock=clock)
        if isinstance(source, RelaySource):
            source.feed(self._flow)

    async def results(self, bodies: AsyncIterator[str]) -> AsyncIterator[tuple[int, AsyncPredictResult]]:
        """Number and result, in the order of arrival."""
        running = asyncio.ensure_future(self._flow.run(endless=True))
        drawing = asyncio.ensure_future(self._draw(bodies))
        drawing.add_done_callback(lambda _: self._ends.put_nowait(None))
        running.add_done_callback(lambda _: self._ends.put_nowait(None))
        yielded = 0
        try:
            while not drawing.done() or yielded < drawing.result():
                end = await self._ends.get()
                if end is not None:
                    self._room.release()
                    yield end
                    yielded += 1
                elif running.done():
                    break
        finally:
            drawing.cancel()
            await asyncio.wait([drawing])
            self._flow.stop()
            await running

    async def _draw(self, bodies: AsyncIterator[str]) -> int:
        """Have as many submitted as there is room for; how many there were."""
        number = 0
        await self._room.acquire()
        async for body in bodies:
            self._journal.add(number, body.encode())
            self._flow.changed()
            number += 1
            await self._room.acquire()
        return number

    def _note_end(self, number: int, end: AsyncPredictResult | Failure, request_id: str | None) -> None:
        self._ends.put_nowait((number, _as_result(end, request_id or "", self._clock)))


async def result_of(
    request_id: str, client: AsyncPlatformClient, source: ResultSource, *, clock: Clock
) -> AsyncPredictResult:
    """The result of a request that was accepted, once it is there; with errors when none will be."""
    ends: list[AsyncPredictResult | Failure] = []
    journal = MemoryJournal(lambda number, end, _: ends.append(end))
    journal.add_open(0)
    options = FlowOptions(max_open=1, attempts=1, patience=_ONE_AT_A_TIME)
    flow = Flow(client, journal, source, options=options, clock=clock)
    if isinstance(source, RelaySource):
        source.feed(flow)
    flow.restore([OpenRequest(0, "0", 0, request_id, attempts=1)])
    await flow.run()
    return _as_result(ends[0], request_id, clock)


def _as_result(end: AsyncPredictResult | Failure, request_id: str, clock: Clock) -> AsyncPredictResult:
    if isinstance(end, AsyncPredictResult):
        return end
    error = ErrorDetail(code=end.code, message=end.message)
    return AsyncPredictResult(request_id=request_id, time=clock.now(), errors=[error])
