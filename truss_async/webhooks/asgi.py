"""For any ASGI application: a middleware that lets nothing but verified webhooks through."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import TYPE_CHECKING, Any, Final

from ..contract.limits import MAX_BODY_BYTES, WEBHOOK_AGE_TOLERANCE_SECONDS
from ..errors import WebhookVerificationError
from .verifier import WebhookVerifier

if TYPE_CHECKING:
    from typing import TypeAlias

    from .verification import Now

    Message: TypeAlias = MutableMapping[str, Any]
    Receive: TypeAlias = Callable[[], Awaitable[Message]]
    Send: TypeAlias = Callable[[Message], Awaitable[None]]
    AsgiApp: TypeAlias = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

RESULT_KEY: Final = "truss_async.result"


class WebhookMiddleware:
    """Verifies each HTTP request, or those to exactly one ``path``; the application finds the result in its scope.

    ``scope["truss_async.result"]`` is there only when the webhook was verified: a handler that takes the result from
    there cannot be reached around the verification. The application can still read the body. Whatever is refused is
    answered here, with the reason. Without ``secrets``, those in ``TRUSS_ASYNC_WEBHOOK_SECRETS`` count. ``now`` as in
    ``verify_webhook``.
    """

    def __init__(
        self,
        app: AsgiApp,
        secrets: Iterable[str] | str | None = None,
        *,
        path: str | None = None,
        tolerance_seconds: float = WEBHOOK_AGE_TOLERANCE_SECONDS,
        now: Now = None,
        max_body_bytes: int = MAX_BODY_BYTES,
    ) -> None:
        self._app = app
        self._path = path
        self._verifier = WebhookVerifier(secrets, tolerance_seconds, max_body_bytes, now)

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or self._path not in (None, scope["path"]):
            await self._app(scope, receive, send)
            return
        try:
            body = await self._read(receive)
            if body is None:
                return
            result = self._verifier.verify(body, scope["headers"])
        except WebhookVerificationError as error:
            await _refuse(send, error)
            return
        await self._app({**scope, RESULT_KEY: result}, _replayed(body, receive), send)

    async def _read(self, receive: Receive) -> bytes | None:
        """The body; None when the sender has gone."""
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return None
            body += message.get("body", b"")
            self._verifier.check_size(len(body))
            if not message.get("more_body", False):
                return bytes(body)


def _replayed(body: bytes, receive: Receive) -> Receive:
    """Gives the body that was read already, once; then what else there is to receive."""
    waiting = [body]

    async def replay() -> Message:
        if waiting:
            return {"type": "http.request", "body": waiting.pop(), "more_body": False}
        return await receive()

    return replay


async def _refuse(send: Send, error: WebhookVerificationError) -> None:
    content = json.dumps({"error": str(error)}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(content))]
    await send({"type": "http.response.start", "status": error.status_code, "headers": headers})
    await send({"type": "http.response.body", "body": content})
