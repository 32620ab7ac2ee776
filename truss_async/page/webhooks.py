"""Deliveries, how each endpoint answers, and the secrets that webhooks are signed with."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ..errors import ApiError
from .site import PAGES, Form, Site, acting, showing

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    from ..contract.harness_calls import DeliveryAttemptRecord

PATH: Final = f"{PAGES}/webhooks"
SHOWN_DELIVERIES: Final = 100
SHOWN_ENDPOINTS: Final = 10
JUDGED_DELIVERIES: Final = 1000
MAX_REDELIVERED: Final = 1000
AT_ONCE: Final = 50
AGES: Final = (("", "any time"), ("5m", "last 5 minutes"), ("1h", "last hour"), ("1d", "last day"))


@dataclass
class EndpointHealth:
    """How an endpoint answered lately. ``last`` is its latest attempt."""

    url: str
    last: DeliveryAttemptRecord
    attempts: int = 0
    good: int = 0
    total_ms: float = 0.0

    @property
    def mean_ms(self) -> float:
        """How long an attempt took, on average."""
        return self.total_ms / self.attempts

    @property
    def is_well(self) -> bool:
        """Whether it took the latest one."""
        return is_good(self.last)


def routes(site: Site) -> list[Route]:
    """The page, and its actions."""
    return [
        showing(site, PATH, webhooks),
        acting(site, f"{PATH}/redeliver", redeliver_failed),
        acting(site, f"{PATH}/secrets/create", create_secret),
        acting(site, f"{PATH}/secrets/rotate", rotate_secret),
        acting(site, f"{PATH}/secrets/remove", remove_secret),
    ]


async def _redelivered(site: Site, request_id: str) -> bool:
    try:
        return is_good(await site.calls.redeliver(request_id))
    except ApiError:  # erased in the meantime
        return False


def is_good(sent: DeliveryAttemptRecord) -> bool:
    """Whether the endpoint took it."""
    return sent.status_code is not None and 200 <= sent.status_code < 300


def endpoints_of(deliveries: Iterable[DeliveryAttemptRecord]) -> list[EndpointHealth]:
    """Each endpoint of those attempts, which are newest first; the ones that fail come first, then those of most attempts."""
    found: dict[str, EndpointHealth] = {}
    for sent in deliveries:
        health = found.setdefault(sent.webhook_endpoint, EndpointHealth(sent.webhook_endpoint, sent))
        health.attempts += 1
        health.good += is_good(sent)
        health.total_ms += sent.latency_ms
    return sorted(found.values(), key=lambda each: (each.is_well, -each.attempts, each.url))


async def webhooks(site: Site, request: Request) -> Response:
    """The page."""
    return await webhooks_page(site, request)


async def redeliver_failed(site: Site, request: Request, form: Form) -> Response:
    """Send the results again that no endpoint has taken."""
    kept = (await site.calls.failed_results(limit=MAX_REDELIVERED, since=form.get("since"))).results
    ids = [each.request_id for each in kept if each.webhook_endpoint]
    taken = 0
    for start in range(0, len(ids), AT_ONCE):
        taken += sum(
            await asyncio.gather(*(_redelivered(site, each) for each in ids[start : start + AT_ONCE]))
        )
    return site.back(request, form, f"Results sent again: {len(ids)}. Accepted: {taken}.")


async def create_secret(site: Site, request: Request, form: Form) -> Response:
    """Show a new secret, this once."""
    return await webhooks_page(site, request, created=(await site.calls.create_secret()).secret)


async def rotate_secret(site: Site, request: Request, form: Form) -> Response:
    """Show what takes the place of a secret, this once."""
    made = await site.calls.rotate_secret(form.get("id", ""))
    return await webhooks_page(site, request, created=made.secret)


async def remove_secret(site: Site, request: Request, form: Form) -> Response:
    """End a secret."""
    await site.calls.remove_secret(form.get("id", ""))
    return site.back(request, form, "The secret was removed.")


async def _undelivered(site: Site) -> int:
    if not site.settings.keeps_results:
        return 0
    return len((await site.calls.failed_results(limit=MAX_REDELIVERED)).results)


async def webhooks_page(site: Site, request: Request, **came: Any) -> Response:
    """The page, with what came of an action: a secret that was ``created``, a ``trial``, a ``verdict``, or a ``problem``."""
    deliveries = (await site.calls.deliveries(limit=JUDGED_DELIVERIES)).deliveries
    facts: dict[str, Any] = {"created": None, "trial": None, "verdict": None, "problem": None, "url": ""}
    return await site.page(
        request,
        "webhooks.html",
        section="webhooks",
        title="Webhooks",
        here=PATH,
        deliveries=deliveries[:SHOWN_DELIVERIES],
        endpoints=(endpoints := endpoints_of(deliveries))[:SHOWN_ENDPOINTS],
        more_endpoints=len(endpoints[SHOWN_ENDPOINTS:]),
        undelivered=await _undelivered(site),
        ages=AGES,
        secrets=(await site.calls.secrets()).secrets,
        **{**facts, **came},
    )
