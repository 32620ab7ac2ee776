"""What keeps an open page up to date: one stream of events for all that is on it, and the points of the charts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from starlette.responses import Response, StreamingResponse

from .forms import BadFormError
from .history import SECTIONS
from .measures import Point
from .site import HISTORY_PATH, STREAM_PATH, Site, showing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request
    from starlette.routing import Route

MAX_STREAMS: Final = 50
CHARTED: Final = "overview"
"""The section with the charts, which alone is sent their points."""
_COLUMNS: Final = json.dumps(Point._fields)


def routes(site: Site) -> list[Route]:
    """The stream, and the history that charts begin with."""
    return [showing(site, STREAM_PATH, stream), showing(site, HISTORY_PATH, history)]


async def stream(site: Site, request: Request) -> Response:
    """``changed`` when the page may show something else than what it has ``seen``; each second a point of the charts."""
    asked = request.query_params
    section = asked.get("section", "")
    if section not in SECTIONS:
        raise BadFormError(f"section: give one of {', '.join(SECTIONS)}")
    if site.streams >= MAX_STREAMS:
        return Response("too many pages are open", status_code=503)
    site.history.look()
    events = _events(site, section=section, place=asked.get("of", ""), seen=asked.get("seen", ""))
    return StreamingResponse(events, media_type="text/event-stream")


async def history(site: Site, request: Request) -> Response:
    """The points of a span, or those of them after a moment."""
    span = request.query_params.get("span", "15m")
    if span not in ("15m", "24h"):
        raise BadFormError("span: give 15m or 24h")
    try:
        after = float(request.query_params.get("after", "0"))
    except ValueError:
        raise BadFormError("after: give seconds since 1970") from None
    site.history.look()
    points = site.history.fine if span == "15m" else site.history.coarse
    rows = ",".join(row for at, row in points if at > after)
    return Response(f'{{"columns":{_COLUMNS},"rows":[{rows}]}}', media_type="application/json")


async def _events(site: Site, *, section: str, place: str, seen: str) -> AsyncIterator[str]:
    site.streams += 1
    try:
        with site.panels.watching(place, section=section) as panel:
            yield "retry: 2000\n\n"
            async for tick in site.history.ticks():
                site.panels.tell(tick)
                if section == CHARTED and site.history.fine:
                    yield f"event: second\ndata: {site.history.fine[-1][1]}\n\n"
                if panel.told != seen:
                    seen = panel.told
                    yield "event: changed\ndata:\n\n"
    finally:
        site.streams -= 1
