"""What models have saved lately: the results in their output stores, by time."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Final

from ..contract.moments import moment
from ..errors import TrussAsyncError
from ..stores import OutputStore
from .forms import BadFormError
from .site import PAGES, Site, given, showing

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    from ..stores import ResultInfo

PATH: Final = f"{PAGES}/results"
SHOWN_RESULTS: Final = 100
DEFAULT_AGE: Final = "1d"
_LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=timezone.utc)


@dataclass(frozen=True, slots=True)
class StoreContent:
    """The latest results of a store, or why they cannot be listed; ``total`` counts all of that age."""

    url: str
    deployments: list[str]
    results: list[ResultInfo] = field(default_factory=list)
    total: int = 0
    problem: str | None = None


def routes(site: Site) -> list[Route]:
    """The page."""
    return [showing(site, PATH, results)]


async def results(site: Site, request: Request) -> Response:
    """The page: the stores that the models' surroundings and configs name, and no other."""
    asked = given(request.query_params.multi_items())
    since = asked.get("since", DEFAULT_AGE)
    now = (await site.calls.clock()).now
    try:
        earliest = moment(since, now=now)
    except ValueError as error:
        raise BadFormError(f"since: {error}") from None
    owners: dict[str, list[str]] = {}
    for each in (await site.calls.queue()).deployments:
        if each.output_url is not None:
            owners.setdefault(each.output_url, []).append(each.deployment_id)
    contents = await asyncio.gather(
        *(asyncio.to_thread(_content, url, names, earliest) for url, names in owners.items())
    )
    return await site.page(
        request, "results.html", section="results", title="Results", contents=contents, since=since
    )


def _content(url: str, deployments: list[str], earliest: datetime) -> StoreContent:
    total = 0

    def counted() -> Iterator[ResultInfo]:
        nonlocal total
        for each in OutputStore.from_url(url, deployment_id=deployments[0]).list(since=earliest):
            total += 1
            yield each

    try:
        latest = heapq.nlargest(SHOWN_RESULTS, counted(), key=_age)
    except TrussAsyncError as error:
        return StoreContent(url, deployments, problem=str(error))
    return StoreContent(url, deployments, latest, total)


def _age(info: ResultInfo) -> tuple[datetime, str]:
    return info.modified_at or _LONG_AGO, info.request_id
