"""In front of the API: what browsers ask for goes to the pages, which are made when the first one is asked for."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from starlette.responses import RedirectResponse

from ...contract.webhook_urls import is_loopback
from ..webhook_targets import check_address
from .inside_calls import call_api
from .refusals import CallRefusedError

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from starlette.types import ASGIApp, Receive, Scope, Send

    from ...page import Page, PageSettings
    from ..settings import HarnessSettings
    from .browsers import Browsers

HOME: Final = "/_harness/"
_BELOW: Final = "/_harness/page/"
_LED_THERE: Final = ("/", "/_harness")


class PageFront:
    """Answers for the pages by name and origin, whether there is a key or not; all else is the API's."""

    def __init__(self, api: ASGIApp, settings: HarnessSettings, browsers: Browsers) -> None:
        self._api = api
        self._settings = settings
        self._browsers = browsers
        self._made: Page | None = None

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        path = scope["path"]
        if scope["type"] != "http":
            return self._api(scope, receive, send)
        if path == HOME or path.startswith(_BELOW):
            return self._guarded(self._page)(scope, receive, send)
        if path in _LED_THERE and scope["method"] in ("GET", "HEAD") and _is_browser(scope):
            return self._guarded(RedirectResponse(HOME, status_code=302))(scope, receive, send)
        return self._api(scope, receive, send)

    async def close(self) -> None:
        """Let open pages go."""
        if self._made is not None:
            await self._made.close()

    async def _page(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._made is None:
            await asyncio.to_thread(_load)  # callers do not wait for it
        if self._made is None:
            from ...page import Page

            self._made = Page(self._ask, page_settings(self._settings))
        await self._made(scope, receive, send)

    def _guarded(self, answer: ASGIApp) -> ASGIApp:
        async def checked(scope: Scope, receive: Receive, send: Send) -> None:
            allowed = answer
            try:
                self._browsers.check(scope["method"], scope["headers"], is_own=True)
            except CallRefusedError as refusal:
                allowed = refusal.response()
            await allowed(scope, receive, send)

        return checked

    async def _ask(self, method: str, path: str, body: Any = None, *, query: str = "") -> Any:
        return await call_api(self._api, method, path, body, api_key=self._settings.api_key, query=query)


def page_settings(settings: HarnessSettings) -> PageSettings:
    """What the pages are told: who may be a stranger may look, and change nothing."""
    from ...page import PageSettings

    read_only = None
    if settings.page_readonly:
        read_only = "the harness was started with --page-readonly"
    elif settings.api_key is None and not is_loopback(settings.host):
        read_only = f"other machines can reach {settings.host}, and there is no --api-key"
    return PageSettings(
        api_key=settings.api_key,
        read_only=read_only,
        shows_payloads=settings.page_payloads,
        keeps_results=settings.keep_results is not None,
        is_virtual=settings.virtual_clock,
        batch_dir=settings.batch_dir,
        check_address=check_address if settings.guards_webhooks else None,
    )


def _load() -> None:
    """What pages are made with, which a harness that nobody looks at does not need."""
    from ... import page  # noqa: F401


def _is_browser(scope: Scope) -> bool:
    return any(name == b"accept" and b"text/html" in value for name, value in scope["headers"])
