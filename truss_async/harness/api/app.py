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
from .refusals import ApiErrorCode, CallRefusedError, no_such_model
from .routing import Call, Kind, Operation, Served, Target, TargetKind, find_call, words_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from starlette.types import Message, Receive, Scope, Send

    from ...clock import Clock
    from ..metrics import Metrics
    from ..settings import HarnessSettings
    from .async_calls import AsyncCalls
    from .own_calls import OwnCalls
    from .sync_calls import SyncCalls

SERVED_BY_ALL = "development"


@dataclass(slots=True)
class _Exchange:
    """What is measured of one call."""

    started_at: datetime
    is_inference: bool = False
    status: int | None = None
    sent_bytes: int = 0


class Api:
    """Understands, authorizes and answers each call; every answer carries a request id of its own."""

    def __init__(
        self,
        settings: HarnessSettings,
        *,
        clock: Clock,
        metrics: Metrics,
        exposition: Callable[[], Awaitable[bytes]],
        async_calls: AsyncCalls,
        sync_calls: SyncCalls,
        own_calls: OwnCalls,
        health: Callable[[], dict[str, object]],
    ) -> None:
        self._settings = settings
        self._served = _served(settings)
        self._clock = clock
        self._metrics = metrics
        self._exposition = exposition
        self._async_calls = async_calls
        self._sync_calls = sync_calls
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
        if exchange.is_inference and exchange.status is not None:
            self._metrics.inference_over(
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
            check_authorization(request.headers.get("authorization"), api_key=self._settings.api_key)
            self._check_served(call)
            exchange.is_inference = call.operation in (Operation.PREDICT, Operation.ROUTE)
            if exchange.is_inference or call.operation is Operation.ASYNC_PREDICT:
                self._metrics.request_came(size_bytes=declared_size(request) or 0)
            return await self._perform(call, request, request_id)
        except CallRefusedError as refusal:
            return refusal.response()
        except HarnessError as error:  # the queue's disk is full, or the harness is stopping
            return CallRefusedError(503, ApiErrorCode.INTERNAL_BASETEN_ERROR, str(error)).response()

    async def _perform(self, call: Call, request: Request, request_id: str) -> Response:
        match call.operation:
            case Operation.ASYNC_PREDICT:
                return await self._async_calls.submit(request)
            case Operation.PREDICT:
                return await self._sync_calls.predict(request, request_id)
            case Operation.ROUTE:
                return await self._sync_calls.route(request, request_id, route=call.route)
            case Operation.STATUS:
                return await self._async_calls.status(call.request_id)
            case Operation.CANCEL:
                return await self._async_calls.cancel(call.request_id)
            case Operation.QUEUE_STATUS:
                return await self._async_calls.queue_status()
            case Operation.WAKE:
                return Response(status_code=202)
            case Operation.REQUEST_RECORD:
                return await self._async_calls.request_record(call.request_id)
            case Operation.OWN:
                return await self._own_calls.answer(request, call.own_path)
            case Operation.HEALTH:
                return JSONResponse(self._health())
            case Operation.METRICS:
                return await self._metrics_page()

    async def _metrics_page(self) -> Response:
        return Response(await self._exposition(), media_type=CONTENT_TYPE_LATEST)

    def _check_served(self, call: Call) -> None:
        if call.served is not None and call.served != self._served:
            raise no_such_model(f"there is no {call.served}; this harness serves the {self._served}")
        if call.words is not None and call.words is not self._served.kind:
            raise no_such_model(f"the {self._served} is called by {words_of(self._served.kind)}")
        if not self._serves(call.target):
            raise no_such_model(
                f"there is no {call.target.kind.value} {call.target.name} of this {self._served.kind.value}"
            )

    def _serves(self, target: Target) -> bool:
        match target.kind:
            case TargetKind.HOST:
                return True
            case TargetKind.ENVIRONMENT:
                return target.name in (self._settings.environment, SERVED_BY_ALL)
            case TargetKind.DEPLOYMENT:
                return target.name == self._settings.deployment_id


def _served(settings: HarnessSettings) -> Served:
    if settings.chain_id is None:
        return Served(Kind.MODEL, settings.model_id)
    return Served(Kind.CHAIN, settings.chain_id)
