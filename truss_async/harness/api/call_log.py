"""A line of the log for each call of the model that was answered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..inspection import AnsweredCall

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from ...clock import Clock
    from .calls import IncomingCall


def logged(
    answer: ASGIApp,
    call: IncomingCall,
    *,
    came_at: datetime,
    deployment_id: str,
    clock: Clock,
    on_call: Callable[[AnsweredCall], None],
) -> ASGIApp:
    """What sends the answer, and then tells of it: the time counts from when the call came to the last byte."""

    async def send_logged(scope: Scope, receive: Receive, send: Send) -> None:
        status, sent_bytes = 0, 0

        async def counted_send(message: Message) -> None:
            nonlocal status, sent_bytes
            status = message.get("status", status)
            sent_bytes += len(message.get("body", b""))
            await send(message)

        try:
            await answer(scope, receive, counted_send)
        finally:
            on_call(
                AnsweredCall(
                    request_id=call.request_id,
                    deployment_id=deployment_id,
                    method=call.request.method,
                    path=call.request.scope["path"],
                    status=status,
                    seconds=(clock.now() - came_at).total_seconds(),
                    size_bytes=sent_bytes,
                )
            )

    return send_logged
