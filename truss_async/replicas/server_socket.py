"""The websocket of a replica that is a model server behind HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import aiohttp

from ..clock import SYSTEM_CLOCK, within
from ..contract.limits import MAX_WEBSOCKET_MESSAGE_BYTES
from ..printable import printable
from .sockets import LOST, NO_STATUS, SocketClosed, SocketLostError, SocketRefusedError

if TYPE_CHECKING:
    from yarl import URL

    from .sockets import SocketCall

WEBSOCKET_PATH: Final = "/v1/websocket"
CLOSE_SECONDS: Final = 3.0
"""So long a model server may take to hear that a websocket is closed."""
_SWITCHING_PROTOCOLS: Final = 101


async def open_socket(session: aiohttp.ClientSession, url: URL, call: SocketCall) -> ServerSocket:
    """A websocket, open. Pings are answered while it is received from.

    Raises:
        SocketRefusedError: it answers something else.
        aiohttp.ClientError, OSError: it answers nothing of HTTP.
    """
    try:
        opened = await session.ws_connect(
            url,
            headers=call.headers,
            protocols=call.subprotocols,
            max_msg_size=MAX_WEBSOCKET_MESSAGE_BYTES + 1,  # it refuses what is not smaller
        )
    except aiohttp.WSServerHandshakeError as error:
        if error.status == _SWITCHING_PROTOCOLS:
            raise
        raise SocketRefusedError(
            f"the model server answers {error.status} where a websocket was asked for", status=error.status
        ) from error
    return ServerSocket(opened)


class ServerSocket:
    """One that aiohttp holds."""

    def __init__(self, websocket: aiohttp.ClientWebSocketResponse[bool]) -> None:
        self._websocket = websocket
        self.subprotocol: str | None = websocket.protocol

    async def receive(self) -> str | bytes | SocketClosed:
        message = await self._websocket.receive()
        if message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
            content: str | bytes = message.data
            return content
        if message.type is aiohttp.WSMsgType.CLOSE:
            return SocketClosed(message.data or NO_STATUS, message.extra or "")
        if isinstance(message.data, aiohttp.WebSocketError):  # too large, or against the protocol
            return SocketClosed(message.data.code, printable(str(message.data)))
        return SocketClosed(LOST)

    async def send(self, message: str | bytes) -> None:
        try:
            if isinstance(message, str):
                await self._websocket.send_str(message)
            else:
                await self._websocket.send_bytes(message)
        except (aiohttp.ClientError, OSError) as error:
            raise SocketLostError(printable(str(error)) or type(error).__name__) from error

    async def close(self, closed: SocketClosed) -> None:
        sent = closed.sendable()
        closing = self._websocket.close(code=sent.code, message=sent.reason.encode())
        try:
            await within(CLOSE_SECONDS, closing, clock=SYSTEM_CLOCK)
        except TimeoutError:
            """It reads nothing any more; aiohttp has cut the connection."""
