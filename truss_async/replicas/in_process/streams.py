"""Outputs that come in parts, from generators and responses: taken at the model's pace, not at the caller's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Generator
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import anyio.to_thread

from .answers import EXITS, ModelExitError, StreamAnswer, error_headers

if TYPE_CHECKING:
    from starlette.responses import Response
    from starlette.types import Message

    from .exchange import Exchange

GENERATORS: Final = (Generator, AsyncGenerator)

_HEADERS: Final = ((b"content-type", b"application/octet-stream"),)
_END: Final = object()


def error_of(task: asyncio.Task[Any]) -> BaseException | None:
    """What ended a task early, if anything did."""
    return asyncio.CancelledError() if task.cancelled() else task.exception()


async def gather(generator: Any) -> str:
    """All that it yields, as one text."""
    parts = [
        part if isinstance(part, (bytes, bytearray)) else str(part).encode()
        async for part in _iterate(generator)
    ]
    return b"".join(parts).decode()


class Streams:
    """Makes answers that go on while they are read.

    ``start`` starts a task and calls back when it is done; ``on_error`` gets what the model raised in the middle.
    """

    def __init__(
        self,
        start: Callable[[Coroutine[Any, Any, None], Callable[[asyncio.Task[None]], None]], None],
        on_error: Callable[[BaseException, Exchange], None],
    ) -> None:
        self._start = start
        self._on_error = on_error

    def of_generator(
        self, generator: Any, exchange: Exchange, *, on_end: Callable[[], None] | None = None
    ) -> StreamAnswer:
        """What it yields. With ``on_end``, of predict: there the server logs an error, and ends the body as if there was none."""
        answer = StreamAnswer(200, _HEADERS, on_close=exchange.leave)

        async def feed() -> None:
            async for part in _iterate(generator):
                answer.feed(part if isinstance(part, bytes) else part.encode())

        def ended(feeding: asyncio.Task[None]) -> None:
            error = self._told(feeding, exchange)
            is_cut = error is not None and on_end is None
            answer.end(f"the stream was cut off: {error!r}" if is_cut else None)
            if on_end is not None:
                on_end()

        self._start(feed(), ended)
        return answer

    async def of_response(
        self, response: Response, exchange: Exchange, *, on_end: Callable[[], None] | None = None
    ) -> StreamAnswer:
        """What the response sends of itself; raises what it raises before there is anything to be sent."""
        if response.status_code >= HTTPStatus.MULTIPLE_CHOICES:
            response.headers.update(error_headers())
        started: asyncio.Future[StreamAnswer] = asyncio.get_running_loop().create_future()

        def ended(sending: asyncio.Task[None]) -> None:
            if on_end is not None:
                on_end()
            if not started.done():
                started.set_exception(error_of(sending) or RuntimeError("the response sent nothing"))
            elif not started.cancelled():
                error = self._told(sending, exchange)
                started.result().end(None if error is None else f"the stream was cut off: {error!r}")

        self._start(_send(response, exchange, started), ended)
        return await started

    def _told(self, task: asyncio.Task[None], exchange: Exchange) -> BaseException | None:
        error = error_of(task)
        if error is not None:
            self._on_error(error, exchange)
        return error


async def _send(response: Response, exchange: Exchange, started: asyncio.Future[StreamAnswer]) -> None:
    async def receive() -> Message:
        await exchange.wait_gone()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            answer = StreamAnswer(message["status"], message["headers"], on_close=exchange.leave)
            started.set_result(answer)
        else:
            started.result().feed(message.get("body", b""))

    try:
        await response(exchange.scope(), receive, send)
    except EXITS as error:
        raise ModelExitError from error


async def _iterate(generator: Any) -> AsyncIterator[Any]:
    """A sync generator takes each step in a thread."""
    try:
        if not isinstance(generator, Generator):
            async for part in generator:
                yield part
            return
        while (part := await anyio.to_thread.run_sync(next, generator, _END)) is not _END:
            yield part
    except EXITS as error:
        raise ModelExitError from error
