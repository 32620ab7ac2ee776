"""Results of an output store: one of them to look at, all of an age as a file."""

from __future__ import annotations

import asyncio
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from ..errors import ApiError, TrussAsyncError
from .batches import download, format_of, scratch_file
from .results import PATH, Place, places_of, since_of
from .saved import Saved, saved_in
from .site import Site, showing

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

EXPORT_PATH: Final = f"{PATH}/export"
SAVED_PATH: Final = f"{PATH}/saved/{{request_id}}"


def routes(site: Site) -> list[Route]:
    """The file, and the look."""
    return [showing(site, EXPORT_PATH, export), showing(site, SAVED_PATH, saved)]


async def export(site: Site, request: Request) -> Response:
    """All of a store, as ``results export`` writes them."""
    place = await _asked(site, request)
    format: Literal["jsonl", "csv"] = "csv" if format_of(request) == "csv" else "jsonl"
    earliest = (await since_of(site, request))[1]
    try:
        file = await asyncio.to_thread(_exported, place, earliest, format)
    except TrussAsyncError as error:
        raise ApiError(str(error), status_code=409) from None
    return download(file, name=f"results.{format}", format=format)


async def saved(site: Site, request: Request) -> Response:
    """One result, whether its request is still known or not."""
    place = await _asked(site, request)
    request_id = request.path_params["request_id"]
    found = await asyncio.to_thread(_saved, place, request_id)
    return await site.page(
        request,
        "saved.html",
        section="results",
        title=f"Result {request_id[:8]}",
        place=place,
        request_id=request_id,
        saved=found,
    )


async def _asked(site: Site, request: Request) -> Place:
    if not site.settings.shows_payloads:
        raise ApiError("outputs are not shown here; start with --page-payloads", status_code=403)
    asked = request.query_params.get("store", "0")
    places = await places_of(site)
    if not asked.isascii() or not asked.isdigit() or not int(asked[:6]) < len(places):
        raise ApiError("there is no such store here", status_code=404)
    return places[int(asked[:6])]


def _saved(place: Place, request_id: str) -> Saved:
    try:
        return saved_in(place.open(), request_id)
    except TrussAsyncError as error:
        return Saved(problem=str(error))


def _exported(place: Place, earliest: datetime, format: Literal["jsonl", "csv"]) -> Path:
    found = place.open().scan(since=earliest)
    from ..stores.table.exporting import write_table  # with pyarrow, which scan has found

    file = scratch_file(format)
    try:
        with file.open("wb") as target:
            write_table(target, found, format=format)
    except BaseException:
        file.unlink(missing_ok=True)
        raise
    return file
