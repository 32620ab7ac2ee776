"""Forwarding a verified webhook to the user's application, as it came."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

from ..clock import SYSTEM_CLOCK, Clock
from ..contract.webhook_urls import is_loopback
from ..errors import SettingsError
from ..timed_http import NoAnswerError, TimedHttp

# Less than the platform waits, so that it gets the reason, and sends it again.
TIMEOUT_SECONDS: Final = 9.0

# What belongs to the connection between sender and receiver, and not to the webhook (RFC 9110, 7.6.1).
_NOT_PASSED_ON: Final = frozenset(
    [
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ]
)


@dataclass(frozen=True)
class Forwarded:
    """What the application answered; ``problem`` is why it did not, and then the status stands in for its own."""

    status_code: int
    took_seconds: float
    problem: str | None = None

    @property
    def accepted(self) -> bool:
        """Whether the application acknowledged."""
        return 200 <= self.status_code < 300


class Forwarder:
    """POSTs to one URL, with the body and the headers that came: the application can verify them itself.

    Safe to share between threads. Raises ``SettingsError`` when it is no HTTP URL.
    """

    def __init__(
        self, url: str, *, timeout_seconds: float = TIMEOUT_SECONDS, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self._url = checked_url(url)
        self._clock = clock
        self._http = TimedHttp(
            purpose="forwarding webhooks",
            timeout_seconds=timeout_seconds,
            trust_env=not is_loopback(urlsplit(url).hostname or ""),
        )

    def forward(self, body: bytes, headers: Mapping[str, str]) -> Forwarded:
        """The application's answer; 502 when it cannot be reached, 504 when it is too slow: the sender tries again."""
        start = self._clock.monotonic()
        problem = None
        try:
            answer = self._http.send(
                "POST", self._url, content=body, headers=_passed_on(headers), wants_body=False
            )
            status_code = answer.status_code
        except TimeoutError as error:
            status_code, problem = HTTPStatus.GATEWAY_TIMEOUT, str(error)
        except NoAnswerError as error:
            status_code, problem = HTTPStatus.BAD_GATEWAY, str(error)
        return Forwarded(int(status_code), self._clock.monotonic() - start, problem)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()


def checked_url(url: str) -> str:
    """The URL, or ``SettingsError`` when it is no HTTP URL."""
    try:
        parts = urlsplit(url)
        is_http = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_http = False
    if not is_http:
        raise SettingsError(f"{url!a} is not a URL such as http://127.0.0.1:8000/webhook")
    return url


def _passed_on(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    # In the bytes that came: HTTP headers are Latin-1 to whoever received them.
    return [
        (name.encode("latin-1"), value.encode("latin-1"))
        for name, value in headers.items()
        if name not in _NOT_PASSED_ON
    ]
