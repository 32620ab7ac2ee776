"""What keeps an open page up to date: one stream of events for all that is on it, and the points of the charts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from starlette.responses import JSONResponse, Response, StreamingResponse

from .forms import BadFormError
from .measures import Point
from .site import PAGES, Site, showing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from starlette.requests import Request
    from starlette.routing import Route

STREAM_PATH: Final = f"{PAGES}/stream"
HISTORY_PATH: Final = f"{PAGES}/history"
MAX_STREAMS: Final = 50
_SIGNIFICANT: Final = 6


def routes(site: Site) -> list[Route]:
    """The stream, and the history that charts begin with."""
    return [showing(site, STREAM_PATH, stream), showing(site, HISTORY_PATH, history)]


async def stream(site: Site, request: Request) -> Response:
    """Each second an event ``second`` with a point of the charts, and ``changed`` when a page may show something else."""
    if site.streams >= MAX_STREAMS:
        return Response("too many pages are open", status_code=503)
    site.history.look()
    return StreamingResponse(_events(site), media_type="text/event-stream")


async def history(site: Site, request: Request) -> Response:
    """The points of a span, in columns."""
    span = request.query_params.get("span", "15m")
    if span not in ("15m", "24h"):
        raise BadFormError("span: give 15m or 24h")
    site.history.look()
    points = site.history.fine if span == "15m" else site.history.coarse
    columns = dict(zip(Point._fields, map(list, zip(*map(_rounded, points), strict=True)), strict=False))
    return JSONResponse(columns or {name: [] for name in Point._fields})


async def _events(site: Site) -> AsyncIterator[str]:
    site.streams += 1
    try:
        yield "retry: 2000\n\n"
        async for is_changed in site.history.ticks():
            if site.history.fine:
                point = dict(zip(Point._fields, _rounded(site.history.fine[-1]), strict=True))
                yield f"event: second\ndata: {json.dumps(point)}\n\n"
            if is_changed:
                yield "event: changed\ndata:\n\n"
    finally:
        site.streams -= 1


def _rounded(point: Point) -> Iterable[float | None]:
    return (point.at, *(None if value is None else float(f"{value:.{_SIGNIFICANT}g}") for value in point[1:]))
