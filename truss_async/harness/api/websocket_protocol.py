"""uvicorn's websockets without its habit of logging an error when a handshake is refused with an answer of HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

if TYPE_CHECKING:
    from uvicorn._types import ASGISendEvent


class RefusingWebsockets(WebSocketsSansIOProtocol):
    """Takes a handshake that was refused for one that is complete, and so for nothing that was forgotten."""

    async def send(self, message: ASGISendEvent) -> None:
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and not message.get("more_body", False):
            self.handshake_complete = True
