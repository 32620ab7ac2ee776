"""The artifacts of a request, as files: pictures are shown, all else is downloaded, and nothing of it can run here."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from starlette.responses import Response

from ..errors import ApiError, TrussAsyncError
from .saved import read_artifact, store_of
from .site import PAGES, Site, showing

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.routing import Route

PATH: Final = f"{PAGES}/requests/{{request_id}}/artifacts/{{name}}"
SANDBOX: Final = "default-src 'none'; sandbox; frame-ancestors 'none'"
NOT_SHOWN: Final = "outputs are not shown here; start with --page-payloads"


def routes(site: Site) -> list[Route]:
    """The files."""
    return [showing(site, PATH, artifact)]


async def artifact(site: Site, request: Request) -> Response:
    """One of them, if outputs may be seen at all."""
    if not site.settings.shows_payloads:
        raise ApiError(NOT_SHOWN, status_code=403)
    name = request.path_params["name"]
    view = await site.calls.view(request.path_params["request_id"])
    if view.output_url is None:
        raise ApiError("where its model saves outputs is not known here", status_code=404)
    url, of = view.output_url, view.request
    try:
        found = await asyncio.to_thread(lambda: read_artifact(store_of(url, of), of.request_id, name))
    except TrussAsyncError as error:
        raise ApiError(str(error), status_code=404) from None
    shown = "inline" if found.is_shown else "attachment"
    return Response(
        found.body,
        media_type=found.media_type,
        headers={
            "Content-Disposition": f"{shown}; filename*=UTF-8''{quote(name, safe='')}",
            "Content-Security-Policy": SANDBOX,
        },
    )
