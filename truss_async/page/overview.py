"""The first page: how everything stands, and what can be done about it as a whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..contract.moments import duration
from ..contract.statuses import RequestStatus
from .forms import BadFormError
from .site import HOME, PAGES, Form, Site, acting, showing

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

CLOCK_STEPS = ("1m", "1h", "72h")
SPANS = ("15m", "24h")
CHARTS = (
    ("Inference volume", "/s", ("succeeded", "failed")),
    ("End-to-end response time", "s", ("response_p50", "response_p99")),
    ("Time in async queue", "s", ("queued_p50", "queued_p99")),
    ("Async queue size", "", ("queue_size",)),
    ("Async webhook requests", "/s", ("webhooks",)),
    ("Async webhook latency", "s", ("webhook_p50", "webhook_p99")),
    ("Replicas", "", ("active", "starting")),
)
"""By the platform's names: the unit, and the columns of the history."""


def routes(site: Site) -> list[Route]:
    """The page, and its actions."""
    return [
        showing(site, HOME, overview),
        acting(site, f"{PAGES}/queue", halt),
        acting(site, f"{PAGES}/wake", wake),
        acting(site, f"{PAGES}/clock", advance),
    ]


async def overview(site: Site, request: Request) -> Response:
    """Numbers, deployments, the clock."""
    listed = await site.calls.requests({"limit": "1"})
    return await site.page(
        request,
        "overview.html",
        section="overview",
        title="Overview",
        counts=listed.counts,
        statuses=[each.value for each in RequestStatus],
        latest=listed.requests[0] if listed.requests else None,
        steps=CLOCK_STEPS,
        charts=CHARTS,
        span=span if (span := request.query_params.get("span", "")) in SPANS else SPANS[0],
    )


async def halt(site: Site, request: Request, form: Form) -> Response:
    """Pause the queue, or let it go on."""
    state = await site.calls.dispatch(paused=form.get("paused") == "true")
    said = (
        "The queue is paused: requests are accepted but not started."
        if state.is_paused
        else "The queue was resumed."
    )
    return site.back(request, form, said)


async def wake(site: Site, request: Request, form: Form) -> Response:
    """Start a replica of a deployment."""
    wanted = form.get("deployment", "")
    for each in (await site.calls.queue()).deployments:
        if each.deployment_id == wanted:
            await site.calls.wake(each.path)
            return site.back(request, form, f"{wanted} is waking up.")
    raise BadFormError(f"there is no deployment {wanted[:100]}")


async def advance(site: Site, request: Request, form: Form) -> Response:
    """Move the virtual clock; what falls due has happened when the next page comes."""
    by = form.get("by", "").strip()
    try:
        seconds = duration(by).total_seconds()
    except ValueError as error:
        raise BadFormError(f"how far the clock is to move: {error}") from None
    now = (await site.calls.advance(seconds)).now
    return site.back(request, form, f"The clock was moved by {by}: it is {now:%Y-%m-%d %H:%M:%S} UTC.")
