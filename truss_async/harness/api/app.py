"""The HTTP API: one ASGI application for every host and path of the platform."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import uuid4

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ...contract import limits
from ...contract.headers import REQUEST_ID
from ...errors import HarnessError
from .access import check_authorization
from .bodies import check_declared_size, declared_size
from .refusals import ApiErrorCode, CallRefusedError
from .routing import Operation, find_call

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from starlette.types import Message, Receive, Scope, Send

    from ...clock import Clock
    from .async_calls import AsyncCalls
    from .deployments import Deployment, Deployments
    from .own_calls import OwnCalls
    from .routing import Call


_ON_A_DEPLOYMENT = frozenset(
    {
        Operation.ASYNC_PREDICT,
        Operation.PREDICT,
        Operation.QUEUE_STATUS,
        Operation.ROUTE,
        Operation.WAKE,
    }
)


@dataclass(slots=True)
class _Exchange:
    """What is measured of one call."""

    started_at: datetime
    inference_of: Deployment | None = None
    status: int | None = None
    sent_bytes: int = 0


class Api:
    """Understands, authorizes and answers each call; every answer carries a request id of its own."""

    def __init__(
        self,
        deployments: Deployments,
        *,
        api_key: str | None,
        clock: Clock,
        exposition: Callable[[], Awaitable[bytes]],
        async_calls: AsyncCalls,
        own_calls: OwnCalls,
        health: Callable[[], dict[str, object]],
    ) -> None:
        self._deployments = deployments
        self._api_key = api_key
        self._clock = clock
        self._exposition = exposition
        self._async_calls = async_calls
        self._own_calls = own_calls
        self._health = health

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise RuntimeError(f"the harness serves HTTP only, not {scope['type']}")
        request_id = uuid4().hex
        exchange = _Exchange(started_at=self._clock.now())

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                exchange.status = message["status"]
                MutableHeaders(scope=message).setdefault(REQUEST_ID, request_id)
            else:
                exchange.sent_bytes += len(message.get("body", b""))
            await send(message)

        try:
            response = await self._answer(Request(scope, receive), request_id, exchange)
            await response(scope, receive, send_with_id)
        except BaseException:
            if exchange.status is None:
                failure = CallRefusedError(
                    500, ApiErrorCode.INTERNAL_BASETEN_ERROR, "the harness itself failed; its log says why"
                )
                await failure.response()(scope, receive, send_with_id)
            raise
        finally:
            self._measure(exchange)

    def _measure(self, exchange: _Exchange) -> None:
        if exchange.inference_of is not None and exchange.status is not None:
            exchange.inference_of.metrics.inference_over(
                status=exchange.status,
                is_async=False,
                took=self._clock.now() - exchange.started_at,
                response_bytes=exchange.sent_bytes,
            )

    async def _answer(self, request: Request, request_id: str, exchange: _Exchange) -> Response:
        try:
            check_declared_size(request, limit=limits.MAX_BODY_BYTES)
            path = request.scope["raw_path"].decode("latin-1")
            call = find_call(request.method, request.headers.get("host", ""), path)
            if call.operation is Operation.HEALTH:
                return JSONResponse(self._health())
            if call.operation is Operation.METRICS:
                return await self._metrics_page()
            check_authorization(request.headers.get("authorization"), api_key=self._api_key)
            if call.operation in _ON_A_DEPLOYMENT:
                return await self._perform_on(
                    self._deployments.find(call), call, request, request_id, exchange
                )
            self._deployments.check(call.served)
            return await self._perform(call, request)
        except CallRefusedError as refusal:
            return refusal.response()
        except HarnessError as error:  # the queue's disk is full, or the harness is stopping
            return CallRefusedError(503, ApiErrorCode.INTERNAL_BASETEN_ERROR, str(error)).response()

    async def _perform_on(
        self, deployment: Deployment, call: Call, request: Request, request_id: str, exchange: _Exchange
    ) -> Response:
        if call.operation is Operation.QUEUE_STATUS:
            return await self._async_calls.queue_status(deployment)
        if call.operation is Operation.WAKE:
            return Response(status_code=202)
        deployment.metrics.request_came(size_bytes=declared_size(request) or 0)
        if call.operation is Operation.ASYNC_PREDICT:
            return await self._async_calls.submit(request, deployment)
        exchange.inference_of = deployment
        if call.operation is Operation.ROUTE:
            return await deployment.sync_calls.route(request, request_id, route=call.route)
        return await deployment.sync_calls.predict(request, request_id)

    async def _perform(self, call: Call, request: Request) -> Response:
        if call.operation is Operation.STATUS:
            return await self._async_calls.status(call.request_id)
        if call.operation is Operation.CANCEL:
            return await self._async_calls.cancel(call.request_id)
        if call.operation is Operation.REQUEST_RECORD:
            return await self._async_calls.request_record(call.request_id)
        return await self._own_calls.answer(request, call.own_path)

    async def _metrics_page(self) -> Response:
        return Response(await self._exposition(), media_type=CONTENT_TYPE_LATEST)
