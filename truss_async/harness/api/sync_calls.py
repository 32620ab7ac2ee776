"""The sync call and the custom routes: passed through to a replica, streaming the status and the body."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from typing import TYPE_CHECKING

from starlette.responses import Response, StreamingResponse

from ...clock import within
from ...contract import limits
from ...contract.headers import CHAIN_REQUEST_ID, REQUEST_ID, TRACEPARENT, TRACESTATE
from ...replicas.protocol import ReplicaCall, ReplicaUnreachableError
from .bodies import IncomingBody, caller_left, read_body
from .refusals import ApiErrorCode, CallRefusedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request
    from starlette.types import Message, Receive, Scope, Send

    from ...clock import Clock
    from ...replicas.protocol import ReplicaAnswer
    from ..deployment import Deployment

CLIENT_CLOSED_REQUEST = 499

_HOP_BY_HOP = {
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
    "transfer-encoding", "upgrade",
}  # fmt: skip
_OURS = {name.lower() for name in (REQUEST_ID, CHAIN_REQUEST_ID, TRACEPARENT, TRACESTATE)}
_NOT_PASSED_ON = _HOP_BY_HOP | _OURS | {"host", "authorization", "content-length", "expect"}
_NOT_PASSED_BACK = _HOP_BY_HOP | {"date", "server", REQUEST_ID.lower()}


class SyncCalls:
    """Answers the sync calls of one deployment; they go before async requests, and share their slots."""

    def __init__(self, deployment: Deployment, *, clock: Clock) -> None:
        self._pool = deployment.pool
        self._headers = deployment.headers
        self._faulty = deployment.faulty
        self._clock = clock

    async def predict(self, request: Request, request_id: str) -> Response:
        """The model's own answer. When the caller leaves, so does the call to the model."""
        body = await read_body(request, limit=limits.MAX_BODY_BYTES)
        call = ReplicaCall(self._passed_on(request, request_id), body)
        return await self._pass_through(call, request_id, left=lambda: caller_left(request))

    async def route(self, request: Request, request_id: str, *, route: str) -> Response:
        """What the model server answers at a route of its own, while the body still comes in."""
        body = IncomingBody(request, limit=limits.MAX_BODY_BYTES)
        query = request.scope["query_string"].decode("latin-1")
        headers = self._passed_on(request, request_id)
        if body.declared_size is not None:
            headers.append(("Content-Length", body.declared_size))
        call = ReplicaCall(
            headers,
            body.chunks() if body.has_any else None,
            method=request.method,
            route=f"{route}{'?' if query else ''}{query}",
        )
        try:
            return await self._pass_through(call, request_id, left=body.caller_left)
        except CallRefusedError as refusal:
            if body.is_broken_off:
                return Response(status_code=CLIENT_CLOSED_REQUEST)
            raise (body.refusal or refusal) from None

    async def _pass_through(
        self,
        call: ReplicaCall,
        request_id: str,
        *,
        left: Callable[[], Awaitable[None]],
    ) -> Response:
        held = ExitStack()
        answer = asyncio.ensure_future(
            within(limits.SYNC_TIMEOUT_SECONDS, self._on_a_replica(call, request_id, held), clock=self._clock)
        )
        gone = asyncio.ensure_future(left())
        try:
            await asyncio.wait((answer, gone), return_when=asyncio.FIRST_COMPLETED)
            if answer.done():
                return _PassedThrough(answer.result(), held.pop_all(), left=left)
            return Response(status_code=CLIENT_CLOSED_REQUEST)
        except TimeoutError:
            message = f"the model did not answer within {limits.SYNC_TIMEOUT_SECONDS} s"
            raise CallRefusedError(504, ApiErrorCode.TIMEOUT, message) from None
        except ReplicaUnreachableError as error:
            message = f"the model server cannot be reached: {error}"
            raise CallRefusedError(502, ApiErrorCode.MODEL_UNAVAILABLE, message) from None
        finally:
            gone.cancel()
            answer.cancel()
            await asyncio.wait((answer, gone))
            held.close()

    async def _on_a_replica(self, call: ReplicaCall, request_id: str, held: ExitStack) -> ReplicaAnswer:
        if self._pool.state == "failed":
            raise CallRefusedError(
                503, ApiErrorCode.MODEL_UNAVAILABLE, self._pool.last_error or "the model did not load"
            )
        replica = await self._pool.acquire()
        held.callback(self._pool.release, replica, by_call=True)
        armed = self._faulty.are_armed
        ask = await self._faulty.of_sync_call(replica, request_id) if armed else replica.call
        answer = await ask(call)
        held.callback(answer.close)
        return answer

    def _passed_on(self, request: Request, request_id: str) -> list[tuple[str, str]]:
        passed = [
            (name.decode("latin-1"), value.decode("utf-8", "replace"))
            for name, value in request.headers.raw
            if name.decode("latin-1").lower() not in _NOT_PASSED_ON
        ]
        return [*passed, *self._headers.of(request_id)]


class _PassedThrough(StreamingResponse):
    """A model server's answer; what it holds is let go when the answer is sent, or the caller has left."""

    def __init__(
        self, answer: ReplicaAnswer, held: ExitStack, *, left: Callable[[], Awaitable[None]]
    ) -> None:
        super().__init__(answer.chunks(), status_code=answer.status)
        self.raw_headers = [
            (name.lower(), value)
            for name, value in answer.headers
            if name.decode("latin-1").lower() not in _NOT_PASSED_BACK
        ]
        self._held = held
        self._left = left

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def gone() -> Message:
            await self._left()
            return {"type": "http.disconnect"}

        with self._held:
            await super().__call__(scope, gone, send)
