"""Two websockets that are one: what comes in on either side goes out on the other, and so does the end."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from starlette.websockets import WebSocketDisconnect

from ...replicas.sockets import GOING_AWAY, INTERNAL_ERROR, LOST, NO_STATUS, SocketClosed, SocketLostError

if TYPE_CHECKING:
    from starlette.websockets import WebSocket

    from ...replicas.sockets import ReplicaSocket

_STOPPING = SocketClosed(GOING_AWAY, "the harness is stopping")
ENDED_IN_THE_MIDDLE = SocketClosed(INTERNAL_ERROR, "the model server ended in the middle")


@dataclass(frozen=True, slots=True)
class RelayEnd:
    """Who ended it, and how it was said."""

    by: Literal["caller", "model", "harness"]
    closed: SocketClosed


class CallerSocket:
    """The caller's side, accepted. ``sent_bytes`` are those of the messages to it."""

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket
        self.sent_bytes = 0

    async def receive(self) -> str | bytes | SocketClosed:
        """The next message, or, as the last, how it was closed."""
        message = await self._websocket.receive()
        if message["type"] == "websocket.disconnect":
            return SocketClosed(message.get("code") or NO_STATUS, message.get("reason") or "")
        text: str | None = message.get("text")
        content: bytes = message.get("bytes") or b""
        return content if text is None else text

    async def send(self, message: str | bytes) -> None:
        """Return once there is room for more; raise SocketLostError when it cannot be sent."""
        try:
            if isinstance(message, str):
                await self._websocket.send_text(message)
            else:
                await self._websocket.send_bytes(message)
        except (
            WebSocketDisconnect,
            RuntimeError,
        ) as error:  # the latter when the server itself has closed it
            raise SocketLostError("the caller is gone") from error
        self.sent_bytes += len(message)

    async def close(self, closed: SocketClosed) -> None:
        """Say so to the caller, if it is still there."""
        sent = closed.sendable()
        try:
            await self._websocket.close(sent.code, sent.reason)
        except (WebSocketDisconnect, RuntimeError):
            """It has closed in the same moment."""


async def relay(caller: CallerSocket, model: ReplicaSocket, *, stopping: asyncio.Event) -> RelayEnd:
    """Pass messages both ways until a side closes or is lost, or the harness stops; return when both are closed.

    Each way, a message is taken only when the one before has gone out: who sends faster than the other side reads waits.
    """
    to_model = asyncio.ensure_future(_pump(caller, model))
    to_caller = asyncio.ensure_future(_pump(model, caller))
    stop = asyncio.ensure_future(stopping.wait())
    end = RelayEnd("harness", _STOPPING)
    try:
        pending: set[asyncio.Future[Any]] = {to_model, to_caller, stop}
        ends = None
        while ends is None and not stop.done():
            _, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            ends = _end_of(to_model, to_caller)
        end = ends or end
    finally:
        for task in (to_model, to_caller, stop):
            task.cancel()
        await asyncio.wait((to_model, to_caller, stop))
        await asyncio.gather(_close_caller(caller, end), model.close(end.closed))
    return end


def _end_of(
    to_model: asyncio.Future[SocketClosed | None], to_caller: asyncio.Future[SocketClosed | None]
) -> RelayEnd | None:
    """What the first to be over tells; of one that could not send, the other one tells why."""
    if to_caller.done() and (closed := to_caller.result()) is not None:
        return RelayEnd("model", ENDED_IN_THE_MIDDLE if closed.code == LOST else closed)
    if to_model.done() and (closed := to_model.result()) is not None:
        return RelayEnd("caller", closed)
    if to_model.done() and to_caller.done():
        return RelayEnd("model", ENDED_IN_THE_MIDDLE)
    return None


async def _close_caller(caller: CallerSocket, end: RelayEnd) -> None:
    if end.by != "caller":
        await caller.close(end.closed)


async def _pump(
    source: CallerSocket | ReplicaSocket, sink: CallerSocket | ReplicaSocket
) -> SocketClosed | None:
    """How the source was closed; None: the sink was, of which who receives from it tells more."""
    while True:
        message = await source.receive()
        if isinstance(message, SocketClosed):
            return message
        try:
            await sink.send(message)
        except SocketLostError:
            return None
