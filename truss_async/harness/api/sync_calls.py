"""The sync call and the custom routes: passed through to a replica, streaming the status and the body.

They go before async requests, and share their slots.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from starlette.requests import ClientDisconnect
from starlette.responses import Response, StreamingResponse

from ...contract.headers import (
    CHAIN_REQUEST_ID,
    PASSED_ON,
    PREDICTION_ATTEMPTS,
    REQUEST_ID,
    TRACEPARENT,
    TRACESTATE,
)
from ...replicas.protocol import WITHOUT_BODY, ReplicaCall, ReplicaUnreachableError
from ...replicas.request_headers import carried_request_id
from .bodies import IncomingBody, caller_left, declared_size, first_headers, read_body
from .made_refusals import OF_SYNC_CALLS, refuse_by_fault
from .refusals import ApiErrorCode, CallRefusedError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from ...clock import Clock
    from ..deployment import Deployment
    from ..metrics import DeploymentMetrics
    from .asking import Answered
    from .calls import ApiParts, IncomingCall

CLIENT_CLOSED_REQUEST = 499

_ATTEMPTS = PREDICTION_ATTEMPTS.lower().encode()
_HOP_BY_HOP = {
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
    "transfer-encoding", "upgrade",
}  # fmt: skip
_OURS = {name.lower() for name in (REQUEST_ID, CHAIN_REQUEST_ID, TRACEPARENT, TRACESTATE, PASSED_ON)}
_NOT_PASSED_ON = _HOP_BY_HOP | _OURS | {"host", "authorization", "content-length", "expect"}
_NOT_PASSED_BACK = _HOP_BY_HOP | {"date", "server", REQUEST_ID.lower(), PREDICTION_ATTEMPTS.lower()}


async def predict(parts: ApiParts, call: IncomingCall) -> Response:
    """Call it and wait for the output.

    When the caller leaves, so does the call to the model.
    """
    deployment = _called(parts, call)
    body = await read_body(call.request, limit=call.operation.max_body_bytes)
    passed = ReplicaCall(passed_on(call, deployment), body)
    return await _pass_through(passed, call, deployment, parts=parts, left=lambda: caller_left(call.request))


async def route(parts: ApiParts, call: IncomingCall) -> Response:
    """Call a route of the model server's own.

    It is passed on while its body still comes in.
    """
    deployment, request = _called(parts, call), call.request
    body = IncomingBody(request, limit=call.operation.max_body_bytes)
    query = request.scope["query_string"].decode("latin-1")
    headers = passed_on(call, deployment)
    if body.declared_size is not None:
        headers.append(("Content-Length", body.declared_size))
    passed = ReplicaCall(
        headers,
        body.chunks() if body.has_any else None,
        method=request.method,
        route=f"{call.values['route']}{'?' if query else ''}{query}",
    )
    try:
        return await _pass_through(passed, call, deployment, parts=parts, left=body.caller_left)
    except CallRefusedError as refusal:
        if body.is_broken_off:
            raise ClientDisconnect from None
        raise (body.refusal or refusal) from None


async def wake(parts: ApiParts, call: IncomingCall) -> Response | None:
    """Start a replica."""
    deployment = parts.deployments.find(call.named)
    refuse_by_fault(parts, call, deployment)
    if deployment.has_replicas:
        deployment.pool.wake()
        return None
    passed = ReplicaCall((), await read_body(call.request, limit=call.operation.max_body_bytes))
    return await _pass_through(passed, call, deployment, parts=parts, left=lambda: caller_left(call.request))


def _called(parts: ApiParts, call: IncomingCall) -> Deployment:
    """The deployment that a call means; from now on it is measured as one of its inferences, where it is inferred."""
    deployment = parts.deployments.find(call.named)
    if call.is_inner:
        call.request_id = carried_request_id(call.request.headers) or call.request_id
    if deployment.has_replicas:
        size = declared_size(first_headers(call.request)) or 0
        call.measured = partial(_measured, deployment.metrics, parts.clock, parts.clock.now(), size)
    refuse_by_fault(parts, call, deployment, kinds=OF_SYNC_CALLS)
    return deployment


def _measured(
    metrics: DeploymentMetrics, clock: Clock, started_at: datetime, request_bytes: int, answer: ASGIApp
) -> ASGIApp:
    async def send_measured(scope: Scope, receive: Receive, send: Send) -> None:
        status: int | None = None
        sent_bytes = 0
        first_byte_after: timedelta | None = None

        async def counted_send(message: Message) -> None:
            nonlocal status, sent_bytes, first_byte_after
            status = message.get("status", status)
            body = message.get("body", b"")
            sent_bytes += len(body)
            if body and first_byte_after is None:
                first_byte_after = clock.now() - started_at
            await send(message)

        try:
            await answer(scope, receive, counted_send)
        finally:
            if status is not None:
                metrics.inference_over(
                    status=status,
                    is_async=False,
                    took=clock.now() - started_at,
                    request_bytes=request_bytes,
                    response_bytes=sent_bytes,
                    first_byte_after=first_byte_after,
                )

    return send_measured


async def _pass_through(
    passed: ReplicaCall,
    call: IncomingCall,
    deployment: Deployment,
    *,
    parts: ApiParts,
    left: Callable[[], Awaitable[None]],
) -> Response:
    held = ExitStack()
    asking = (
        parts.model_calls.answer(passed, deployment, call.request_id, held)
        if deployment.has_replicas
        else parts.other_nodes.answer(passed, call, deployment, held)
    )
    answer = parts.model_calls.activity.start(asking)
    gone = asyncio.ensure_future(left())
    try:
        await asyncio.wait((answer, gone), return_when=asyncio.FIRST_COMPLETED)
        if answer.done():
            return _passed_back(answer.result(), held, left=left)
        return Response(status_code=CLIENT_CLOSED_REQUEST)
    except ReplicaUnreachableError as error:
        message = f"the model server cannot be reached: {error}"
        raise CallRefusedError(502, ApiErrorCode.MODEL_UNAVAILABLE, message) from None
    finally:
        gone.cancel()
        answer.cancel()
        await asyncio.wait((answer, gone))
        held.close()


def passed_on(call: IncomingCall, deployment: Deployment) -> list[tuple[str, str]]:
    """The headers that a replica gets: the caller's, and those of the request."""
    passed = [
        (name.decode("latin-1"), value.decode("utf-8", "replace"))
        for name, value in call.request.headers.raw
        if name.decode("latin-1").lower() not in _NOT_PASSED_ON
    ]
    carried = call.request.headers if call.is_inner else {}
    return [*passed, *deployment.headers.of(call.request_id, carried=carried)]


def _passed_back(answered: Answered, held: ExitStack, *, left: Callable[[], Awaitable[None]]) -> Response:
    if answered.body is None:
        return _PassedThrough(answered, held.pop_all(), left=left)
    response = Response(answered.body, answered.answer.status)
    response.raw_headers = _headers_back(answered)
    return response


def _headers_back(answered: Answered) -> list[tuple[bytes, bytes]]:
    answer = answered.answer
    dropped = _NOT_PASSED_BACK | ({"content-length"} if answer.status in WITHOUT_BODY else set())
    passed = [
        (name.lower(), value)
        for name, value in answer.headers
        if name.decode("latin-1").lower() not in dropped
    ]
    return passed if answered.attempts is None else [*passed, (_ATTEMPTS, str(answered.attempts).encode())]


class _PassedThrough(StreamingResponse):
    """A model server's answer; what it holds is let go when the answer is sent, or the caller has left."""

    def __init__(self, answered: Answered, held: ExitStack, *, left: Callable[[], Awaitable[None]]) -> None:
        super().__init__(answered.answer.chunks(), status_code=answered.answer.status)
        self.raw_headers = _headers_back(answered)
        self._held = held
        self._left = left

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def gone() -> Message:
            await self._left()
            return {"type": "http.disconnect"}

        with self._held:
            await super().__call__(scope, gone, send)
