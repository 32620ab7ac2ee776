"""The sync call: passed through to a replica, streaming both the status and the body."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from typing import TYPE_CHECKING

import aiohttp
from starlette.responses import Response, StreamingResponse

from ...clock import within
from ...contract import limits
from ...contract.headers import REQUEST_ID
from .bodies import read_body
from .refusals import ApiErrorCode, CallRefusedError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

    from ...clock import Clock
    from ..replicas import ReplicaPool

CLIENT_CLOSED_REQUEST = 499

_HOP_BY_HOP = {
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
    "transfer-encoding", "upgrade",
}  # fmt: skip
_NOT_PASSED_ON = _HOP_BY_HOP | {"host", "authorization", "content-length", "expect", REQUEST_ID.lower()}
_NOT_PASSED_BACK = _HOP_BY_HOP | {"date", "server", REQUEST_ID.lower()}


class SyncCalls:
    """Answers the sync calls of one deployment; they go before async requests."""

    def __init__(self, *, pool: ReplicaPool, session: aiohttp.ClientSession, clock: Clock) -> None:
        self._pool = pool
        self._session = session
        self._clock = clock

    async def predict(self, request: Request, request_id: str) -> Response:
        """The model's own answer. When the caller leaves, so does the call to the model."""
        body = await read_body(request, limit=limits.MAX_BODY_BYTES)
        held = ExitStack()
        forward = self._forward(request, request_id, body, held)
        call = asyncio.ensure_future(within(limits.SYNC_TIMEOUT_SECONDS, forward, clock=self._clock))
        gone = asyncio.ensure_future(_left(request))
        try:
            await asyncio.wait((call, gone), return_when=asyncio.FIRST_COMPLETED)
            if call.done():
                return _PassedThrough(call.result(), held.pop_all())
            return Response(status_code=CLIENT_CLOSED_REQUEST)
        except TimeoutError:
            message = f"the model did not answer within {limits.SYNC_TIMEOUT_SECONDS} s"
            raise CallRefusedError(504, ApiErrorCode.TIMEOUT, message) from None
        except (aiohttp.ClientError, OSError) as error:
            message = f"the model server cannot be reached: {error or type(error).__name__}"
            raise CallRefusedError(502, ApiErrorCode.MODEL_UNAVAILABLE, message) from None
        finally:
            gone.cancel()
            call.cancel()
            await asyncio.wait((call,))
            held.close()

    async def _forward(
        self, request: Request, request_id: str, body: bytes, held: ExitStack
    ) -> aiohttp.ClientResponse:
        if self._pool.state == "failed":
            raise CallRefusedError(
                503, ApiErrorCode.MODEL_UNAVAILABLE, self._pool.last_error or "the model did not load"
            )
        replica = await self._pool.acquire()
        held.callback(self._pool.release, replica)
        headers = _headers(request.headers.items(), without=_NOT_PASSED_ON)
        headers[REQUEST_ID] = request_id
        answer = await self._session.post(
            replica.predict_url, data=body, headers=headers, allow_redirects=False
        )
        held.callback(answer.close)
        return answer


class _PassedThrough(StreamingResponse):
    """A model server's answer; what it holds is let go when the answer is sent, or the caller has left."""

    def __init__(self, answer: aiohttp.ClientResponse, held: ExitStack) -> None:
        headers = _headers(answer.headers.items(), without=_NOT_PASSED_BACK)
        super().__init__(answer.content.iter_any(), status_code=answer.status, headers=headers)
        self._held = held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._held:
            await super().__call__(scope, receive, send)


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _headers(items: Iterable[tuple[str, str]], *, without: set[str]) -> dict[str, str]:
    return {name: value for name, value in items if name.lower() not in without}
