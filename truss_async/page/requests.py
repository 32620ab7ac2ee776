"""The list of requests, and one request as a whole; what can be done with them."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode

from ..contract.statuses import RequestStatus, WebhookStatus
from . import bulk
from .commands import commands_for
from .saved import saved_output
from .site import PAGES, Form, Site, acting, given, showing

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

PATH: Final = f"{PAGES}/requests"
ROWS: Final = 100
FILTERS: Final[tuple[str, ...]] = ("status", "webhook_status", "priority", "deployment", "since", "id_prefix")
SHORTEST_PREFIX: Final = 6
PRIORITIES: Final = ("0", "1", "2")
AGES: Final = (("", "any age"), ("5m", "last 5 minutes"), ("1h", "last hour"), ("1d", "last day"))


def routes(site: Site) -> list[Route]:
    """The pages, and their actions."""
    return [
        showing(site, PATH, listed),
        acting(site, f"{PATH}/cancel", cancel),
        acting(site, f"{PATH}/again", again),
        acting(site, f"{PATH}/redeliver", redeliver),
        showing(site, f"{PATH}/{{request_id}}", one),
    ]


async def listed(site: Site, request: Request) -> Response:
    """A page of the list; the filter and the place in it are the URL's."""
    asked = given(request.query_params.multi_items())
    if wanted := asked.get("id"):
        return site.go(request, await _found(site, wanted))
    chosen = {name: asked[name] for name in FILTERS if name in asked}
    place = {"after": asked["after"]} if "after" in asked else {}
    found = await site.calls.requests({**chosen, **place, "limit": str(ROWS)})
    return await site.page(
        request,
        "requests.html",
        section="requests",
        title="Requests",
        found=found,
        chosen={name: chosen.get(name, "") for name in FILTERS},
        all_of=_all_of(chosen, found.counts),
        is_filtered=bool(chosen),
        is_first="after" not in asked,
        older=_url({**chosen, "after": found.next}) if found.next else None,
        newest=_url(chosen),
        statuses=[(each.value, _url({**chosen, "status": each.value})) for each in RequestStatus],
        any_status=_url({name: value for name, value in chosen.items() if name != "status"}),
        ages=AGES,
        webhook_statuses=[each.value for each in WebhookStatus],
        priorities=PRIORITIES,
        total=sum(found.counts.values()),
    )


async def one(site: Site, request: Request) -> Response:
    """All that is known of a request."""
    view = await site.calls.view(request.path_params["request_id"])
    paths = {each.deployment_id: each.path for each in (await site.calls.queue()).deployments}
    path = paths.get(view.request.deployment_id or "")
    submitted = await site.calls.submission(view.request.request_id)
    saved = None
    if site.settings.shows_payloads and view.output_url is not None:
        saved = await asyncio.to_thread(saved_output, view.output_url, view.request)
    return await site.page(
        request,
        "request.html",
        section="requests",
        changes_with="request",
        title=f"Request {view.request.request_id[:8]}",
        view=view,
        submitted=submitted,
        model_input=_readable(submitted.model_input) if submitted is not None else None,
        saved=saved,
        follows="follow" in request.query_params,
        commands=commands_for(
            view,
            submitted if site.settings.shows_payloads else None,
            base=str(request.base_url).rstrip("/"),
            path=path,
        ),
    )


async def again(site: Site, request: Request, form: Form) -> Response:
    """Submit a request again, and go on to the new one."""
    old = form.get("request_id", "")
    new = (await site.calls.submit_again(old)).request_id
    return site.go(request, f"{PATH}/{new}", f"Request {old[:8]} was submitted again: this is the new one.")


async def redeliver(site: Site, request: Request, form: Form) -> Response:
    """Send the result of a request again."""
    sent = await site.calls.redeliver(form.get("request_id", ""))
    return site.back(
        request, form, f"The result was sent again: {sent.error or f'answered {sent.status_code}'}."
    )


async def cancel(site: Site, request: Request, form: Form) -> Response:
    """Withdraw a queued request."""
    answer = await site.calls.cancel(form.get("request_id", ""))
    return site.back(request, form, answer.message)


async def _found(site: Site, wanted: str) -> str:
    """Where the request is whose id begins so; the list of them, when they are several."""
    alike = (await site.calls.requests({"id_prefix": wanted, "limit": "2"})).requests
    if len(wanted) >= SHORTEST_PREFIX and len(alike) > 1:
        return _url({"id_prefix": wanted})
    return f"{PATH}/{(await site.calls.view(wanted)).request.request_id}"


def _all_of(chosen: dict[str, str], counts: dict[str, int]) -> list[tuple[str, str]]:
    """What can be done with the whole filter, and where it is asked for; nothing where ids that begin alike were looked for."""
    if "id_prefix" in chosen:
        return []
    labels = {"cancel": "Cancel all queued requests…", "again": "Submit all failed requests again…"}
    kept = {name: value for name, value in chosen.items() if name in bulk.FILTERS}
    return [
        (labels[action], f"{bulk.PATH}?{urlencode({**kept, 'action': action})}")
        for action, status in bulk.STATUS.items()
        if counts.get(status) and chosen.get("status", status) == status
    ]


def _readable(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def _url(asked: dict[str, str]) -> str:
    return f"{PATH}?{urlencode(asked)}" if asked else PATH
