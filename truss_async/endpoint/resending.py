"""Sending a saved result to a webhook endpoint, as the platform would now: newly signed and dated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from ..clock import SYSTEM_CLOCK, Clock
from ..contract.headers import SIGNATURE, WEBHOOK_REQUEST_ID
from ..contract.limits import DELIVERY_TIMEOUT_SECONDS
from ..contract.webhook_urls import is_loopback
from ..timed_http import NoAnswerError, TimedHttp
from ..webhooks import signature_header
from .forwarding import checked_url

if TYPE_CHECKING:
    from ..contract import AsyncPredictResult

_JSON: Final = "application/json"


@dataclass(frozen=True)
class Resent:
    """What came of one POST; ``error`` is why there was no answer, None when there was one."""

    request_id: str
    status_code: int | None
    latency_ms: float
    error: str | None = None

    @property
    def is_delivered(self) -> bool:
        """Whether the endpoint acknowledged."""
        return self.status_code is not None and 200 <= self.status_code < 300


class Resender:
    """POSTs results to one URL. Nothing is repeated: who asks is told, and may ask again.

    Raises:
        SettingsError: it is no HTTP URL.
    """

    def __init__(
        self,
        url: str,
        *,
        secrets: Sequence[str],
        timeout_seconds: float = DELIVERY_TIMEOUT_SECONDS,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.url = checked_url(url)
        self._secrets = secrets
        self._clock = clock
        self._http = TimedHttp(
            purpose="sending webhooks",
            timeout_seconds=timeout_seconds,
            trust_env=not is_loopback(urlsplit(url).hostname or ""),
        )

    def send(self, result: AsyncPredictResult) -> Resent:
        """One POST."""
        body = result.model_copy(update={"time": self._clock.now()}).model_dump_json().encode()
        headers = {
            "Content-Type": _JSON,
            # As HTTP carries it; the body has it in full.
            WEBHOOK_REQUEST_ID: result.request_id.encode("ascii", "replace").decode(),
            SIGNATURE: signature_header(body, self._secrets),
        }
        start = self._clock.monotonic()
        status_code, error = None, None
        try:
            status_code = self._http.send(
                "POST", self.url, content=body, headers=headers, wants_body=False
            ).status_code
        except (TimeoutError, NoAnswerError) as reason:
            error = str(reason)
        return Resent(result.request_id, status_code, (self._clock.monotonic() - start) * 1000, error)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()
