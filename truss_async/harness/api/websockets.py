"""The websockets of callers: each understood and authorized as any call, opened on both sides, and passed through."""

from __future__ import annotations

import asyncio
import contextlib
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

from starlette.requests import Request
from starlette.websockets import WebSocket

from ...clock import SYSTEM_CLOCK, wait_for_event
from ...contract.headers import REQUEST_ID
from ...contract.request_ids import new_request_id
from ...errors import HarnessError
from ...replicas.sockets import LOST, SocketClosed
from ..inspection import AnsweredCall
from .refusals import ApiErrorCode, CallRefusedError
from .sync_calls import CLIENT_CLOSED_REQUEST
from .understanding import understand
from .websocket_calls import called_deployment, open_to_model
from .websocket_relay import ENDED_IN_THE_MIDDLE, CallerSocket, relay

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from ...replicas.sockets import ReplicaSocket
    from ..deployment import Deployment
    from .calls import ApiParts, IncomingCall
    from .websocket_relay import RelayEnd

CLOSE_SECONDS: Final = 4.0
"""So long all of them may take to close when the harness stops."""
_SWITCHED: Final = 101
_REQUEST_ID: Final = REQUEST_ID.lower().encode()


class Websockets:
    """Answers for the websockets of a harness, from ``parts``, until it is closed."""

    def __init__(self, parts: ApiParts) -> None:
        self._parts = parts
        self._stopping = asyncio.Event()
        self._all_ended = asyncio.Event()
        self._count = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        websocket = WebSocket(scope, receive, send)
        await websocket.receive()
        self._count += 1
        try:
            await self._serve(websocket)
        finally:
            self._count -= 1
            if self._count == 0:
                self._all_ended.set()

    async def close(self) -> None:
        """Close those that are open with 1001, refuse those that come, and return when all have ended."""
        self._stopping.set()
        self._all_ended.clear()
        if self._count:
            await wait_for_event(self._all_ended, clock=SYSTEM_CLOCK, seconds=CLOSE_SECONDS)

    async def _serve(self, websocket: WebSocket) -> None:
        request_id = new_request_id()
        call: IncomingCall | None = None
        try:
            # A handshake is a GET: it comes by the same hosts and paths, with the same keys.
            asked = Request({**websocket.scope, "type": "http", "method": "GET"})
            call = understand(self._parts, asked, request_id)
            await self._pass_through(websocket, call)
        except CallRefusedError as refusal:
            await _deny(websocket, refusal, request_id if call is None else call.request_id)
        except HarnessError as error:  # it is stopping
            stopping = CallRefusedError(503, ApiErrorCode.INTERNAL_BASETEN_ERROR, str(error))
            await _deny(websocket, stopping, request_id if call is None else call.request_id)

    async def _pass_through(self, websocket: WebSocket, call: IncomingCall) -> None:
        came_at = self._parts.clock.now()
        deployment = called_deployment(self._parts, call)
        caller = CallerSocket(websocket)
        status, close_code = CLIENT_CLOSED_REQUEST, None
        try:
            with ExitStack() as held:
                model = await self._opened(websocket, call, deployment, held)
                if model is not None and await _accept(websocket, model, call.request_id):
                    status = _SWITCHED
                    end = await self._relayed(caller, model, call, deployment)
                    close_code = end.closed.code
        except CallRefusedError as refusal:
            status = refusal.status_code
            raise
        finally:
            if self._parts.on_call is not None:
                self._parts.on_call(
                    AnsweredCall(
                        request_id=call.request_id,
                        deployment_id=deployment.id,
                        method=call.request.method,
                        path=call.request.scope["path"],
                        status=status,
                        seconds=(self._parts.clock.now() - came_at).total_seconds(),
                        size_bytes=caller.sent_bytes,
                        close_code=close_code,
                    )
                )

    async def _opened(
        self, websocket: WebSocket, call: IncomingCall, deployment: Deployment, held: ExitStack
    ) -> ReplicaSocket | None:
        """A websocket to the model; None: the caller has left meanwhile."""
        activity = self._parts.model_calls.activity
        subprotocols = websocket.scope["subprotocols"]
        opening = activity.start(
            open_to_model(self._parts, call, deployment, subprotocols=subprotocols, held=held)
        )
        left = asyncio.ensure_future(websocket.receive())  # before it is accepted, nothing else can come
        stop = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait((opening, left, stop), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (opening, left, stop):
                task.cancel()
            await asyncio.wait((opening, left, stop))
        if left.cancelled() and not opening.cancelled():
            return opening.result()
        if not opening.cancelled() and opening.exception() is None:
            await opening.result().close(SocketClosed(LOST))
        if left.cancelled():
            raise HarnessError("the harness is stopping")
        return None

    async def _relayed(
        self, caller: CallerSocket, model: ReplicaSocket, call: IncomingCall, deployment: Deployment
    ) -> RelayEnd:
        deployment.open_websockets += 1
        try:
            end = await relay(caller, model, stopping=self._stopping)
        finally:
            deployment.open_websockets -= 1
        if end.closed == ENDED_IN_THE_MIDDLE:
            what = f"GET {call.operation.path}: {end.closed.reason}, and with it a websocket"
            self._parts.report(f"{what} ({call.request_id})")
        return end


async def _accept(websocket: WebSocket, model: ReplicaSocket, request_id: str) -> bool:
    """Whether the caller is still there to hear that the model has accepted."""
    try:
        await websocket.accept(model.subprotocol, [(_REQUEST_ID, request_id.encode())])
    except OSError:
        await model.close(SocketClosed(LOST))
        return False
    return True


async def _deny(websocket: WebSocket, refusal: CallRefusedError, request_id: str) -> None:
    response = refusal.response()
    response.raw_headers.append((_REQUEST_ID, request_id.encode()))
    with contextlib.suppress(OSError):  # the caller has left
        await websocket.send_denial_response(response)
