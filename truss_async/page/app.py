"""The pages as one ASGI application."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Final

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders

from . import (
    access,
    artifacts,
    batches,
    bulk,
    checks,
    downloads,
    faults,
    live,
    overview,
    requests,
    results,
    static_files,
    webhooks,
)
from .site import Site, failed

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from .asking import Ask
    from .settings import PageSettings

SECURITY_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_LEAST_PACKED: Final = 500
_HTML: Final = "text/html"


class Page:
    """All pages of a harness that is asked so: an ASGI application, at ``/_harness/`` and below ``/_harness/page/``."""

    def __init__(self, ask: Ask, settings: PageSettings) -> None:
        self._site = site = Site(ask, settings)

        async def lost(request: Request, _: Exception) -> Response:
            return failed(site, request, 404, f"there is no page {request.url.path}")

        parts = (
            overview, bulk, requests, artifacts, webhooks, checks, results, batches, downloads, faults, live, access,
        )  # fmt: skip
        self._app = Guarded(
            Starlette(
                routes=[*(route for part in parts for route in part.routes(site)), *static_files.routes()],
                exception_handlers={404: lost, 405: lost},
            )
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)

    async def close(self) -> None:
        """Let open pages go, and read no metrics any more."""
        await self._site.history.close()


class Guarded:
    """Gives every answer what browsers are to hold it to, and sends HTML compressed to whoever understands that."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        packs = any(
            name == b"accept-encoding" and b"gzip" in value for name, value in scope.get("headers", ())
        )
        start: Message | None = None

        async def guarded_send(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)  # a file of a model's is held to less
                headers.setdefault("Cache-Control", "no-store")
                if packs and _is_plain_html(headers):
                    start = message
                    return
            elif start is not None:
                # Pages are made as a whole: this is all of it.
                message = await _send_packed(start, message, send)
                start = None
            await send(message)

        await self._app(scope, receive, guarded_send)


def _is_plain_html(headers: MutableHeaders) -> bool:
    return headers.get("content-type", "").startswith(_HTML) and "content-encoding" not in headers


async def _send_packed(start: Message, message: Message, send: Send) -> Message:
    """Send the head that fits the packed body, and return that."""
    headers = MutableHeaders(scope=start)
    body = message.get("body", b"")
    if len(body) >= _LEAST_PACKED:
        body = gzip.compress(body, 5)
        headers["Content-Encoding"] = "gzip"
        headers["Content-Length"] = str(len(body))
        headers.add_vary_header("Accept-Encoding")
    await send(start)
    return {**message, "body": body}
