"""One loaded model at work: each call in a task of its own, so that predict outlives a caller that leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from ...contract.truss_server import MODEL_ERROR_MESSAGE
from ..logs import ServerRecord
from ..protocol import ReplicaUnreachableError
from .answers import (
    CallerGoneError,
    InputParsingError,
    MethodMissingError,
    UserCodeError,
    failed_answer,
    is_http_exception,
)
from .exchange import Exchange
from .pipeline import Pipeline
from .request_ids import publish_request_ids
from .streams import Streams, error_of
from .tracebacks import model_traceback

if TYPE_CHECKING:
    from ..protocol import ReplicaAnswer, ReplicaCall
    from .hooks import ModelHooks

_CALLERS_FAULT: Final = (InputParsingError, MethodMissingError)


class ModelServing:
    """Answers calls; ``log`` gets what the Truss server would log of them."""

    def __init__(
        self, hooks: ModelHooks, *, predict_concurrency: int, log: Callable[[ServerRecord], None]
    ) -> None:
        self._log = log
        self._tasks: set[asyncio.Task[Any]] = set()
        self._is_closed = False
        self._pipeline = Pipeline(
            hooks, predict_concurrency=predict_concurrency, streams=Streams(self._start, self._log_failure)
        )
        self._request_id, self._chain_request_id = publish_request_ids()

    async def call(self, call: ReplicaCall) -> ReplicaAnswer:
        """The answer.

        Raises:
            ReplicaUnreachableError: the replica is stopped meanwhile.
        """
        body = call.body or b""
        if not isinstance(body, bytes):
            body = b"".join([chunk async for chunk in body])
        exchange = Exchange(call, body, answered=asyncio.get_running_loop().create_future())
        self._start(self._work(exchange), partial(self._resolve, exchange))
        try:
            return await exchange.answered
        except asyncio.CancelledError:
            exchange.leave()
            raise

    async def close(self, *, grace_seconds: float) -> None:
        """Let what runs come to its end for so long; then end it, and leave threads that are in a hook to themselves."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace_seconds)
        self._is_closed = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _work(self, exchange: Exchange) -> ReplicaAnswer:
        self._request_id.set(exchange.request_id)
        self._chain_request_id.set(exchange.chain_request_id)
        return await self._pipeline.answer(exchange)

    def _start(self, work: Coroutine[Any, Any, Any], when_done: Callable[[asyncio.Task[Any]], None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(when_done)

    def _resolve(self, exchange: Exchange, work: asyncio.Task[ReplicaAnswer]) -> None:
        error = error_of(work)
        if error is not None:
            self._log_failure(error, exchange)
        if exchange.answered.done():  # the caller has left
            if error is None:
                work.result().close()
        elif self._is_closed:
            exchange.answered.set_exception(ReplicaUnreachableError("the replica was stopped"))
        else:
            exchange.answered.set_result(work.result() if error is None else failed_answer(error))

    def _log_failure(self, error: BaseException, exchange: Exchange) -> None:
        if isinstance(error, _CALLERS_FAULT) or self._is_closed:
            return
        if isinstance(error, CallerGoneError):
            self._log(ServerRecord(str(error), "warning", exchange.request_id))
            return
        message = "Exception in ASGI application"
        if isinstance(error, UserCodeError):
            message, error = MODEL_ERROR_MESSAGE, error.__cause__ or error
        elif is_http_exception(error):
            message = "Model raised HTTPException"
        self._log(ServerRecord(message, "error", exchange.request_id, model_traceback(error)))
