"""What helps whoever writes a receiver: an endpoint tried as the platform would, and a signature checked that was pasted."""

from __future__ import annotations

import asyncio
from contextlib import closing
from datetime import datetime
from typing import TYPE_CHECKING, Final, NamedTuple

from ..contract.headers import SIGNATURE
from ..contract.limits import WEBHOOK_AGE_TOLERANCE_SECONDS
from ..errors import TrussAsyncError, WebhookVerificationError
from ..webhooks.verification import check_age, check_signature, parse_result
from .site import Form, Site, acting
from .webhooks import PATH, webhooks_page

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    from ..endpoint.trial import Row

TRIED_ALREADY: Final = "an endpoint is being tried: wait until that is over"


class Check(NamedTuple):
    """One of the checks of a receiver; ``problem`` is why it fails, or None. ``is_made``: those before it let it be made."""

    name: str
    problem: str | None
    is_made: bool = True


def routes(site: Site) -> list[Route]:
    """The two actions."""
    trying = asyncio.Lock()

    async def try_endpoint(site: Site, request: Request, form: Form) -> Response:
        url = form.get("url", "").strip()
        if trying.locked():
            return await webhooks_page(site, request, problem=TRIED_ALREADY, url=url)
        async with trying:
            try:
                rows = await _tried(site, url, form.get("secrets", "").split())
            except TrussAsyncError as error:
                return await webhooks_page(site, request, problem=str(error), url=url)
        return await webhooks_page(site, request, trial=rows, url=url)

    return [acting(site, f"{PATH}/try", try_endpoint), acting(site, f"{PATH}/check", check)]


async def check(site: Site, request: Request, form: Form) -> Response:
    """Say what a receiver with these secrets must think of that webhook, by the clock of the harness."""
    now = (await site.calls.clock()).now
    verdict = verdict_of(
        form.get("body", ""), form.get("signature", ""), form.get("secrets", "").split(), now=now
    )
    return await webhooks_page(site, request, verdict=verdict)


def verdict_of(body: str, header: str, secrets: list[str], *, now: datetime) -> list[Check]:
    """Each check with its reason, of a body and a header as they were pasted.

    Browsers send line ends of a form their own way: the body counts in whichever of its readings fits.
    """
    value = header.strip()
    if value.lower().startswith(f"{SIGNATURE.lower()}:"):
        value = value.partition(":")[2].strip()
    readings = [reading.encode() for reading in _readings(body)]
    problems = [_problem_of(reading, value, secrets) for reading in readings]
    fitting = problems.index(None) if None in problems else 0
    checks = [Check("Signature", problems[fitting])]
    try:
        result = parse_result(readings[fitting])
    except WebhookVerificationError as error:
        return [*checks, Check("Body", str(error)), Check("Age", None, is_made=False)]
    checks.append(Check("Body", None))
    try:
        check_age(result, now=now, tolerance=WEBHOOK_AGE_TOLERANCE_SECONDS)
    except WebhookVerificationError as error:
        return [*checks, Check("Age", str(error))]
    return [*checks, Check("Age", None)]


async def _tried(site: Site, url: str, secrets: list[str]) -> list[Row]:
    """Row by row, each in a thread: whoever ends the harness waits for one of them at most."""
    from ..endpoint.trial import EndpointTrial  # with an HTTP client, which nothing else here needs

    trial = await asyncio.to_thread(
        EndpointTrial, url, secrets=secrets, check_address=site.settings.check_address
    )
    rows: list[Row] = []
    with closing(trial.run()) as coming:  # type: ignore[type-var]
        while (row := await asyncio.to_thread(_next, coming)) is not None:
            rows.append(row)
    return rows


def _next(rows: Iterator[Row]) -> Row | None:
    return next(rows, None)


def _readings(body: str) -> list[str]:
    plain = body.replace("\r\n", "\n")
    return list(dict.fromkeys([plain, plain.rstrip("\n"), body]))


def _problem_of(body: bytes, header: str, secrets: list[str]) -> str | None:
    try:
        check_signature(body, {SIGNATURE: header}, secrets)
    except WebhookVerificationError as error:
        return str(error)
    return None
