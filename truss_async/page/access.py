"""The API key, asked for once, and the toggle between dark and light."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.routing import Route

from .forms import BadFormError, read_form
from .sessions import keep_theme
from .site import HOME, KEY_PATH, PAGES, Site, asks_for_key, failed, own_path

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

THEME_PATH = f"{PAGES}/theme"


def routes(site: Site) -> list[Route]:
    """What is answered to anybody."""

    async def form(request: Request) -> Response:
        return asks_for_key(site, request, 200)

    async def key(request: Request) -> Response:
        try:
            sent = await read_form(request)
        except BadFormError as error:
            return failed(site, request, 400, str(error))
        if site.sessions.needs_key and not site.sessions.is_key(sent.get("key", "")):
            return asks_for_key(site, request, 401, "this is not the key")
        response = site.go(request, own_path(sent.get("to", HOME)))
        site.sessions.keep(request, response, site.sessions.begin())
        return response

    async def theme(request: Request) -> Response:
        try:
            sent = await read_form(request)
        except BadFormError as error:
            return failed(site, request, 400, str(error))
        response = site.go(request, own_path(sent.get("back", HOME)))
        keep_theme(request, response, "dark" if sent.get("theme") == "dark" else "light")
        return response

    return [
        Route(KEY_PATH, form, methods=["GET"]),
        Route(KEY_PATH, key, methods=["POST"]),
        Route(THEME_PATH, theme, methods=["POST"]),
    ]
