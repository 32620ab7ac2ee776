"""The HTTP API: one ASGI application for every host and path of the platform."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from ...contract.headers import REQUEST_ID
from ...contract.request_ids import new_request_id
from ...errors import HarnessError
from ...replicas.protocol import ReplicaUnreachableError
from .call_log import logged
from .guarded_http import CUT
from .refusals import ApiErrorCode, CallRefusedError
from .sync_calls import CLIENT_CLOSED_REQUEST
from .understanding import understand
from .websockets import Websockets

if TYPE_CHECKING:
    from datetime import datetime

    from starlette.types import ASGIApp, Receive, Scope, Send

    from .calls import Answer, ApiParts, IncomingCall, Operation

_REQUEST_ID = REQUEST_ID.lower().encode()
_FAILURE = CallRefusedError(
    500, ApiErrorCode.INTERNAL_BASETEN_ERROR, "internal error of the harness; see its log"
)


class Api:
    """Understands, authorizes and answers each call; every answer carries a request id of its own."""

    def __init__(self, parts: ApiParts) -> None:
        self._parts = parts
        self._websockets = Websockets(parts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await self._websockets(scope, receive, send)
            return
        request_id = new_request_id()
        came_at = self._parts.clock.now()
        call: IncomingCall | None = None
        try:
            call = understand(self._parts, Request(scope, receive), request_id)
            response = _response(call.operation, await call.operation.handler(self._parts, call))
        except CallRefusedError as refusal:
            response = refusal.response()
        except ClientDisconnect:
            response = Response(status_code=CLIENT_CLOSED_REQUEST)
            self._report(call, "the caller disconnected before sending the whole body")
        except HarnessError as error:  # the queue's disk is full, or the harness is stopping
            response = CallRefusedError(503, ApiErrorCode.INTERNAL_BASETEN_ERROR, str(error)).response()
        except Exception:
            await _named(_FAILURE.response(), request_id)(scope, receive, send)
            raise
        answer: ASGIApp = _named(response, request_id if call is None else call.request_id)
        if call is not None and call.measured is not None:
            answer = self._logged(call.measured(answer), call, came_at=came_at)
        try:
            await answer(scope, receive, send)
        except ReplicaUnreachableError as error:
            self._report(call, f"the model's answer was cut off: {error}")
            await _cut(scope, receive)

    async def close_websockets(self) -> None:
        """Close those that are open, as the harness stops, and open no more."""
        await self._websockets.close()

    def _logged(self, answer: ASGIApp, call: IncomingCall, *, came_at: datetime) -> ASGIApp:
        if self._parts.on_call is None:
            return answer
        deployment = self._parts.deployments.find(call.named)
        return logged(
            answer,
            call,
            came_at=came_at,
            deployment_id=deployment.id,
            clock=self._parts.clock,
            on_call=self._parts.on_call,
        )

    def _report(self, call: IncomingCall | None, what: str) -> None:
        if call is not None:
            self._parts.report(f"{call.operation.method} {call.operation.path}: {what} ({call.request_id})")


async def _cut(scope: Scope, receive: Receive) -> None:
    """End the connection, so that nobody takes what was sent for the whole answer."""
    cut = scope.get("extensions", {}).get(CUT)
    if cut is None:
        raise ConnectionAbortedError("the answer was cut off")
    cut()
    while (await receive())["type"] != "http.disconnect":
        pass


def _response(operation: Operation, answer: Answer) -> Response:
    if isinstance(answer, Response):
        return answer
    if answer is None:
        return Response(status_code=operation.status)
    return _JsonAnswer(answer.model_dump_json(exclude_none=operation.is_sparse).encode(), operation.status)


class _JsonAnswer(Response):
    """The same as any other of JSON, made of what it needs: one for each call."""

    def __init__(self, body: bytes, status_code: int) -> None:
        self.status_code = status_code
        self.background = None
        self.body = body
        self.raw_headers = [
            (b"content-length", str(len(body)).encode()),
            (b"content-type", b"application/json"),
        ]


def _named(response: Response, request_id: str) -> Response:
    """The response, with the id of the request that every answer carries."""
    response.raw_headers.append((_REQUEST_ID, request_id.encode()))
    return response
