"""The HTTP API: one ASGI application for every host and path of the platform."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import uuid4

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ...contract import limits
from ...contract.headers import REQUEST_ID
from ...errors import HarnessError
from .access import check_authorization
from .bodies import check_declared_size, declared_size
from .refusals import ApiErrorCode, CallRefusedError
from .routing import Operation, find_call
from .sync_calls import SyncCalls

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from starlette.types import Message, Receive, Scope, Send

    from ...clock import Clock
    from ..deployment import Deployment
    from .async_calls import AsyncCalls
    from .deployments import Deployments
    from .own_calls import OwnCalls
    from .routing import Call


_ON_A_REPLICA = frozenset({Operation.PREDICT, Operation.ROUTE})
_FOR_ANYBODY = frozenset({Operation.HEALTH, Operation.METRICS})
_REQUEST_ID = REQUEST_ID.lower().encode()
_FAILURE = CallRefusedError(
    500, ApiErrorCode.INTERNAL_BASETEN_ERROR, "the harness itself failed; its log says why"
)


@dataclass(slots=True)
class _Inference:
    """What is measured of a sync call while its answer is sent."""

    deployment: Deployment
    started_at: datetime
    send: Send
    status: int | None = None
    sent_bytes: int = 0

    async def measured_send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        else:
            self.sent_bytes += len(message.get("body", b""))
        await self.send(message)


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
        request = Request(scope, receive)
        inference: _Inference | None = None
        try:
            call = self._understood(request)
            if call.operation in _ON_A_REPLICA:
                inference = _Inference(self._deployments.find(call), self._clock.now(), send)
                response = await self._infer(inference.deployment, call, request, request_id)
            else:
                response = await self._answer(call, request, request_id)
        except CallRefusedError as refusal:
            response = refusal.response()
        except HarnessError as error:  # the queue's disk is full, or the harness is stopping
            response = CallRefusedError(503, ApiErrorCode.INTERNAL_BASETEN_ERROR, str(error)).response()
        except Exception:
            await _named(_FAILURE.response(), request_id)(scope, receive, send)
            raise
        if inference is None:
            await _named(response, request_id)(scope, receive, send)
            return
        try:
            await _named(response, request_id)(scope, receive, inference.measured_send)
        finally:
            self._measure(inference)

    def _understood(self, request: Request) -> Call:
        check_declared_size(request, limit=limits.MAX_BODY_BYTES)
        path = request.scope["raw_path"].decode("latin-1")
        call = find_call(request.method, request.headers.get("host", ""), path)
        if call.operation not in _FOR_ANYBODY:
            check_authorization(request.headers.get("authorization"), api_key=self._api_key)
        return call

    async def _infer(self, deployment: Deployment, call: Call, request: Request, request_id: str) -> Response:
        deployment.metrics.request_came(size_bytes=declared_size(request) or 0)
        calls = SyncCalls(deployment, clock=self._clock)
        if call.operation is Operation.ROUTE:
            return await calls.route(request, request_id, route=call.route)
        return await calls.predict(request, request_id)

    def _measure(self, inference: _Inference) -> None:
        if inference.status is not None:
            inference.deployment.metrics.inference_over(
                status=inference.status,
                is_async=False,
                took=self._clock.now() - inference.started_at,
                response_bytes=inference.sent_bytes,
            )

    async def _answer(self, call: Call, request: Request, request_id: str) -> Response:
        if call.operation is Operation.ASYNC_PREDICT:
            deployment = self._deployments.find(call)
            deployment.metrics.request_came(size_bytes=declared_size(request) or 0)
            return await self._async_calls.submit(request, deployment, request_id)
        if call.operation is Operation.QUEUE_STATUS:
            return await self._async_calls.queue_status(self._deployments.find(call))
        if call.operation is Operation.WAKE:
            self._deployments.find(call).pool.wake()
            return Response(status_code=202)
        if call.operation is Operation.HEALTH:
            return JSONResponse(self._health())
        if call.operation is Operation.METRICS:
            return Response(await self._exposition(), media_type=CONTENT_TYPE_LATEST)
        self._deployments.check(call.served)
        return await self._answer_for_all(call, request)

    async def _answer_for_all(self, call: Call, request: Request) -> Response:
        if call.operation is Operation.STATUS:
            return await self._async_calls.status(call.request_id)
        if call.operation is Operation.CANCEL:
            return await self._async_calls.cancel(call.request_id)
        if call.operation is Operation.REQUEST_RECORD:
            return await self._async_calls.request_record(call.request_id)
        return await self._own_calls.answer(request, call.own_path)


def _named(response: Response, request_id: str) -> Response:
    """The response, with the id of the request that every answer carries."""
    response.raw_headers.append((_REQUEST_ID, request_id.encode()))
    return response
