"""Whether somebody answers at the webhook endpoint."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Final

from ..contract.limits import DELIVERY_TIMEOUT_SECONDS
from ..contract.webhook_urls import is_loopback, webhook_url
from ..timed_http import NoAnswerError, TimedHttp
from .findings import Finding

if TYPE_CHECKING:
    from ..clock import Clock

_NAME: Final = "webhook"
_SERVER_ERROR: Final = 500


def webhook_endpoint(url: str, *, clock: Clock) -> Finding:
    """GET it, which delivers nothing; any answer but a server's error will do."""
    try:
        host = webhook_url(url).host
    except ValueError as error:
        return Finding(_NAME, "failed", f"the platform would refuse {url}", f"the URL {error}")
    http = TimedHttp(
        purpose="asking the webhook endpoint",
        timeout_seconds=DELIVERY_TIMEOUT_SECONDS,
        trust_env=not is_loopback(host),
    )
    began = clock.monotonic()
    with closing(http):
        try:
            status = http.send("GET", url, wants_body=False).status_code
        except (TimeoutError, NoAnswerError) as error:
            remedy = "start the endpoint, and check its host name and certificate"
            return Finding(_NAME, "failed", f"{url} does not answer: {error}", remedy)
    found = f"{url} answers {status} after {clock.monotonic() - began:.2f} s"
    if status >= _SERVER_ERROR:
        return Finding(_NAME, "failed", found, "check the endpoint's log")
    return Finding(_NAME, "ok", f"{found}; to check how it verifies signatures: truss-async test-webhook")
