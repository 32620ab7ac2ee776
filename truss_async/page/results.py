"""What models have saved lately: the results in their output stores, by time."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Final, NamedTuple

from ..contract.moments import moment
from ..errors import TrussAsyncError
from ..stores import OutputStore
from .batches import views_of
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


class Place(NamedTuple):
    """An output store, and who saves there."""

    url: str
    deployments: tuple[str, ...]

    def open(self) -> OutputStore:
        """The store.

        Raises:
            TrussAsyncError: it cannot be opened.
        """
        return OutputStore.from_url(self.url, deployment_id=self.deployments[0])


@dataclass(frozen=True, slots=True)
class StoreContent:
    """The latest results of a store, or why they cannot be listed; ``total`` counts all of that age."""

    place: Place
    results: list[ResultInfo] = field(default_factory=list)
    total: int = 0
    problem: str | None = None


def routes(site: Site) -> list[Route]:
    """The page."""
    return [showing(site, PATH, results)]


async def results(site: Site, request: Request) -> Response:
    """The page: the stores that the models' surroundings and configs name, and no other."""
    since, earliest = await since_of(site, request)
    contents, ledgers = await asyncio.gather(
        asyncio.gather(*(asyncio.to_thread(_content, each, earliest) for each in await places_of(site))),
        asyncio.to_thread(views_of, site.settings.batch_dir),
    )
    return await site.page(
        request,
        "results.html",
        section="results",
        title="Results",
        contents=contents,
        since=since,
        ledgers=ledgers,
    )


async def since_of(site: Site, request: Request) -> tuple[str, datetime]:
    """Since when results are looked at: as it was asked for, and the moment.

    Raises:
        BadFormError: it is no moment.
    """
    since = given(request.query_params.multi_items()).get("since", DEFAULT_AGE)
    try:
        return since, moment(since, now=(await site.calls.clock()).now)
    except ValueError as error:
        raise BadFormError(f"since: {error}") from None


async def places_of(site: Site) -> list[Place]:
    """The stores, in an order that stays."""
    owners: dict[str, list[str]] = {}
    for each in (await site.calls.queue()).deployments:
        if each.output_url is not None:
            owners.setdefault(each.output_url, []).append(each.deployment_id)
    return [Place(url, tuple(names)) for url, names in owners.items()]


def _content(place: Place, earliest: datetime) -> StoreContent:
    total = 0

    def counted() -> Iterator[ResultInfo]:
        nonlocal total
        for each in place.open().list(since=earliest):
            total += 1
            yield each

    try:
        latest = heapq.nlargest(SHOWN_RESULTS, counted(), key=_age)
    except TrussAsyncError as error:
        return StoreContent(place, problem=str(error))
    return StoreContent(place, latest, total)


def _age(info: ResultInfo) -> tuple[datetime, str]:
    return info.modified_at or _LONG_AGO, info.request_id
