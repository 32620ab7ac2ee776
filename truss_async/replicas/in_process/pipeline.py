"""What the Truss server does with a call, in its order: parse, preprocess, predict, postprocess, serialise."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import anyio
import anyio.to_thread
from starlette.responses import Response, StreamingResponse

from .answers import (
    EXITS,
    CallerGoneError,
    MethodMissingError,
    ModelExitError,
    StreamAnswer,
    UserCodeError,
    is_http_exception,
    json_answer,
)
from .bodies import output_answer, parse_input
from .exchange import PREDICT_ROUTE
from .hooks import ENDPOINTS, ModelDefinitionError, Takes
from .streams import GENERATORS, gather

if TYPE_CHECKING:
    from ..protocol import ReplicaAnswer
    from .exchange import Exchange
    from .hooks import Hook, ModelHooks
    from .streams import Streams

THREADS: Final = 40
"""So many sync hooks run at once, as in the Truss server."""

_PREDICT_ROUTES: Final = frozenset({PREDICT_ROUTE, f"{PREDICT_ROUTE}_binary", "invocations"})
_ENDPOINT_ROUTES: Final = {f"v1/{name.replace('_', '/')}": name for name in ENDPOINTS}
_READY_ROUTES: Final = {"": b"true", "v1/models/model": b"{}", "v1/models/model/loaded": b"{}", "ping": b"{}"}


class Pipeline:
    """The hooks of one loaded model. What ``answer`` raises, ``failed_answer`` makes an answer of."""

    def __init__(self, hooks: ModelHooks, *, predict_concurrency: int, streams: Streams) -> None:
        self._hooks = hooks
        self._streams = streams
        self._slots = asyncio.Semaphore(predict_concurrency)
        self._threads = anyio.CapacityLimiter(THREADS)

    async def answer(self, exchange: Exchange) -> ReplicaAnswer:
        """The answer to one call."""
        route = exchange.route
        if route in _PREDICT_ROUTES:
            return await self._answer_post(exchange, self._predict)
        if route in _ENDPOINT_ROUTES:
            return await self._answer_post(exchange, self._endpoint)
        if route in _READY_ROUTES and exchange.call.method == "GET":
            return json_answer(_READY_ROUTES[route])
        return json_answer(b'{"detail":"Not Found"}', status=HTTPStatus.NOT_FOUND)

    async def _answer_post(
        self, exchange: Exchange, work: Callable[[Any, Exchange], Awaitable[Any]]
    ) -> ReplicaAnswer:
        if exchange.call.method != "POST":
            refusal = b'{"detail":"Method Not Allowed"}'
            return json_answer(refusal, status=HTTPStatus.METHOD_NOT_ALLOWED, extra=[(b"allow", b"POST")])
        hooks = self._hooks
        model_input = None if hooks.ignores_input else parse_input(exchange, hooks.input_type)
        output = await work(model_input, exchange)
        if isinstance(output, StreamAnswer):
            return output
        if isinstance(output, GENERATORS):
            return self._streams.of_generator(output, exchange)
        if isinstance(output, Response):
            return await self._streams.of_response(output, exchange)
        return output_answer(output, is_binary=exchange.is_binary)

    async def _predict(self, model_input: Any, exchange: Exchange) -> Any:
        hooks = self._hooks
        if hooks.preprocess is not None:
            model_input = await self._run(hooks.preprocess, model_input, exchange)
        await self._slots.acquire()
        holds_slot = True
        try:
            output = await self._run(hooks.predict, model_input, exchange)
            if isinstance(output, GENERATORS):
                self._refuse_postprocess("a generator (streaming)")
                if exchange.wants_stream_gathered:
                    return await gather(output)
                holds_slot = False
                return self._streams.of_generator(output, exchange, on_end=self._slots.release)
            if isinstance(output, Response):
                self._refuse_postprocess("a response object")
                if isinstance(output, StreamingResponse):
                    holds_slot = False
                    return await self._streams.of_response(output, exchange, on_end=self._slots.release)
                return output
        finally:
            if holds_slot:
                self._slots.release()
        if hooks.postprocess is None:
            return output
        return await self._run(hooks.postprocess, output, exchange)

    def _refuse_postprocess(self, returned: str) -> None:
        if self._hooks.postprocess is not None:
            raise UserCodeError from ModelDefinitionError(
                f"If the predict function returns {returned}, you cannot use postprocessing."
            )

    async def _endpoint(self, model_input: Any, exchange: Exchange) -> Any:
        name = _ENDPOINT_ROUTES[exchange.route]
        hook = self._hooks.endpoints.get(name)
        if hook is None:
            raise MethodMissingError(f"`{name}` must only be called if model has it.")
        output = await self._run(hook, model_input, exchange)
        if isinstance(output, GENERATORS) and exchange.wants_stream_gathered:
            return await gather(output)
        return output

    async def _run(self, hook: Hook, value: Any, exchange: Exchange) -> Any:
        """What the hook returns; what it raises is the cause of a UserCodeError, save FastAPI's HTTPException."""
        if await exchange.has_left():
            raise CallerGoneError(f"Client disconnected, skipping `{hook.name}`.")
        arguments = await _arguments(hook, value, exchange)
        try:
            if hook.is_generator:
                return hook.function(*arguments)
            if hook.is_async:
                return await hook.function(*arguments)
            return await anyio.to_thread.run_sync(
                hook.function, *arguments, limiter=self._threads, abandon_on_cancel=True
            )
        except EXITS as error:
            raise ModelExitError from error
        except Exception as error:
            if is_http_exception(error):
                raise
            raise UserCodeError(str(error)) from error


async def _arguments(hook: Hook, value: Any, exchange: Exchange) -> tuple[Any, ...]:
    match hook.takes:
        case Takes.INPUT:
            return (value,)
        case Takes.INPUT_AND_REQUEST:
            return (value, await exchange.request())
        case Takes.REQUEST:
            return (await exchange.request(),)
        case Takes.NOTHING:
            return ()
