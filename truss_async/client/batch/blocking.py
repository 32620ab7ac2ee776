"""The same engine for callers without an event loop: it runs on one in a thread of its own."""

from __future__ import annotations

import asyncio
import queue
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Final, TypeVar

from ...workers import LoopThread

if TYPE_CHECKING:
    from ...contract import AsyncPredictResult
    from ..async_platform import AsyncPlatformClient

T = TypeVar("T")

_NO_MORE: Final = object()


class BlockingClient:
    """``run`` and ``map`` of an ``AsyncPlatformClient``, which is made at the first of them. Safe to share between threads."""

    def __init__(self, make: Callable[[], AsyncPlatformClient]) -> None:
        self._make = make
        self._client: AsyncPlatformClient | None = None
        self._loop = LoopThread("truss-async-client")

    def run(self, model_input: Any, fields: dict[str, Any]) -> AsyncPredictResult:
        """As ``AsyncPlatformClient.run``."""
        return self._loop.run(self._run(model_input, fields))

    def map(
        self, inputs: Iterable[Any], *, max_open: int, attempts: int, fields: dict[str, Any]
    ) -> Iterator[tuple[int, AsyncPredictResult]]:
        """As ``AsyncPlatformClient.map``; inputs are drawn in the caller's own thread."""
        handover = _Handover()
        options = {"max_open": max_open, "attempts": attempts, **fields}
        mapping = self._loop.run(_started(self._map(handover, options)))
        mapping.add_done_callback(handover.ended)
        try:
            yield from handover.serve(inputs)
            mapping.result()
        finally:
            self._loop.run(_stopped(mapping))

    def close(self) -> None:
        """Close the connections, and end the thread. Twice is harmless."""
        client, self._client = self._client, None
        if client is not None:
            self._loop.run(client.close())
        self._loop.close()

    def _opened(self) -> AsyncPlatformClient:
        if self._client is None:
            self._client = self._make()
        return self._client

    async def _run(self, model_input: Any, fields: dict[str, Any]) -> AsyncPredictResult:
        return await self._opened().run(model_input, **fields)

    async def _map(self, handover: _Handover, options: dict[str, Any]) -> None:
        async for number, result in self._opened().map(handover.inputs(), **options):
            handover.found(number, result)


class _Handover:
    """Between the loop, which asks for inputs and finds results, and the thread that has the ones and wants the others."""

    def __init__(self) -> None:
        self._events: queue.SimpleQueue[Future[Any] | tuple[int, AsyncPredictResult] | None] = (
            queue.SimpleQueue()
        )

    async def inputs(self) -> AsyncIterator[Any]:
        """What the thread draws, one at a time."""
        while True:
            asked: Future[Any] = Future()
            self._events.put(asked)
            drawn = await asyncio.wrap_future(asked)
            if drawn is _NO_MORE:
                return
            yield drawn

    def found(self, number: int, result: AsyncPredictResult) -> None:
        """A result, for the thread."""
        self._events.put((number, result))

    def ended(self, _: object) -> None:
        """Nothing more will be asked or found."""
        self._events.put(None)

    def serve(self, inputs: Iterable[Any]) -> Iterator[tuple[int, AsyncPredictResult]]:
        """In the thread: draw inputs as they are asked for, and yield results as they are found, until it has ended."""
        left = iter(inputs)
        while (event := self._events.get()) is not None:
            if not isinstance(event, Future):
                yield event
            elif event.set_running_or_notify_cancel():
                event.set_result(next(left, _NO_MORE))


async def _started(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    return asyncio.get_running_loop().create_task(work)


async def _stopped(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.wait([task])
