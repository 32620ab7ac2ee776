"""Proving that a webhook comes from the platform.

Verification is total: whatever it is given, it returns or raises ``WebhookVerificationError``. That includes what
the receiver's own code gets wrong (a body decoded to text, no secret configured): an endpoint that catches the
one error can neither crash on a request nor let one pass unchecked.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from pydantic import ValidationError

from ..clock import SYSTEM_CLOCK
from ..contract import AsyncPredictResult
from ..contract.headers import SIGNATURE
from ..contract.limits import WEBHOOK_AGE_TOLERANCE_SECONDS
from ..errors import WebhookVerificationError, explained
from .secrets import REMEDY, configured_secrets
from .signing import SIGNATURE_VERSION, signature

if TYPE_CHECKING:
    from typing import TypeAlias

    Headers: TypeAlias = Mapping[str, str] | Mapping[bytes, bytes] | Iterable[tuple[str | bytes, str | bytes]]

# Room for a hundred signatures; the platform sends one for each active secret.
MAX_SIGNATURE_HEADER_CHARACTERS = 8192


def verify_webhook(
    body: bytes,
    headers: Headers,
    secrets: Iterable[str] | str | None = None,
    *,
    now: datetime | None = None,
    tolerance: timedelta | float = WEBHOOK_AGE_TOLERANCE_SECONDS,
) -> AsyncPredictResult:
    """Return the async predict result, or raise ``WebhookVerificationError`` saying which check failed.

    ``body`` is the raw body as it was received. ``headers`` is a mapping (names in any case; text or bytes) or a
    list of pairs. ``secrets`` is one secret or several: during a rotation, the new and the old one; blank ones are
    left out; without any, those in the variable ``TRUSS_ASYNC_WEBHOOK_SECRETS``, separated by commas. One signature that fits one secret is enough. ``tolerance`` (seconds) bounds the age both ways,
    against ``now``, an aware moment.
    """
    check_signature(body, headers, configured_secrets() if secrets is None else secrets)
    result = parse_result(body)
    check_age(result, now=SYSTEM_CLOCK.now() if now is None else now, tolerance=tolerance)
    return result


def check_signature(body: bytes, headers: Headers, secrets: Iterable[str] | str) -> None:
    """Refuse a body of which no signature fits any secret; all pairs are compared, each in constant time."""
    if not isinstance(body, (bytes, bytearray)):
        raise WebhookVerificationError(
            f"the body must be the raw bytes that were received, not {type(body).__name__}"
        )
    keys = _usable_secrets(secrets)
    candidates = _signatures(headers)
    matches = False
    for key in keys:
        expected = signature(bytes(body), key).encode("ascii")
        for candidate in candidates:
            matches |= hmac.compare_digest(expected, candidate)
    if not matches:
        raise WebhookVerificationError(
            f"the signature does not match: {_count(len(candidates), 'signature')} in {SIGNATURE}, "
            f"{_count(len(keys), 'secret')} tried; check the secret, and that the body is unchanged"
        )


def parse_result(body: bytes) -> AsyncPredictResult:
    """Parse the body, or raise ``WebhookVerificationError``; the message quotes nothing of it."""
    try:
        return AsyncPredictResult.model_validate_json(bytes(body))
    except ValidationError as error:
        reason = explained(error)
    raise WebhookVerificationError(f"the body is not an async predict result: {reason}", status_code=400)


def check_age(result: AsyncPredictResult, *, now: datetime, tolerance: timedelta | float) -> None:
    """Refuse a result whose ``time`` is further from ``now`` than the tolerance, in the past or the future."""
    if not isinstance(now, datetime) or now.tzinfo is None:
        raise WebhookVerificationError("now must be a datetime with a time zone")
    limit = tolerance.total_seconds() if isinstance(tolerance, timedelta) else tolerance
    if not isinstance(limit, (int, float)):
        raise WebhookVerificationError("tolerance must be a timedelta or a number of seconds")
    sent = result.time if result.time.tzinfo is not None else result.time.replace(tzinfo=timezone.utc)
    age = (now - sent).total_seconds()
    if abs(age) <= limit:  # never true for NaN
        return
    if age > 0:
        raise WebhookVerificationError(f"too old: sent {age:.0f} s ago, {limit} s are allowed")
    raise WebhookVerificationError(
        f"dated {-age:.0f} s in the future, {limit} s are allowed; check this machine's clock"
    )


def _usable_secrets(secrets: Iterable[str] | str) -> list[str]:
    """The secrets to try. A blank one is no key: anybody can sign with it."""
    try:
        given = [secrets] if isinstance(secrets, str) else list(secrets)
    except TypeError:
        raise WebhookVerificationError("secrets must be a list of webhook secrets") from None
    usable = [secret for secret in given if secret is not None and secret != ""]
    if any(not isinstance(secret, str) for secret in usable):
        raise WebhookVerificationError("every webhook secret must be a string")
    if not usable:
        raise WebhookVerificationError(
            f"there is no webhook secret to check against: {REMEDY}", status_code=500
        )
    return usable


def _signatures(headers: Headers) -> list[bytes]:
    """Every ``v1=`` signature in the headers; other versions, and what is no text, are left out."""
    values = [
        _as_text(value) for name, value in _pairs(headers) if _as_text(name).lower() == SIGNATURE.lower()
    ]
    joined = ",".join(value for value in values if value)
    if not joined:
        raise WebhookVerificationError(f"the header {SIGNATURE} is missing: the webhook is not signed")
    if len(joined) > MAX_SIGNATURE_HEADER_CHARACTERS:
        raise WebhookVerificationError(f"the header {SIGNATURE} is too long")
    parts = [part.strip(" \t") for part in joined.split(",")]
    # As bytes: compare_digest raises on text beyond ASCII.
    found = [part.encode("utf-8", "surrogatepass") for part in parts if part.startswith(SIGNATURE_VERSION)]
    if not found:
        raise WebhookVerificationError(f"the header {SIGNATURE} holds no {SIGNATURE_VERSION}… signature")
    return found


def _pairs(headers: Headers) -> list[tuple[object, object]]:
    try:
        items = headers.items() if hasattr(headers, "items") else headers
        pairs = [(name, value) for name, value in items]
    except (TypeError, ValueError):
        raise WebhookVerificationError("headers must be a mapping or a list of pairs") from None
    flat: list[tuple[object, object]] = []
    for name, value in pairs:
        flat += [(name, each) for each in value] if isinstance(value, (list, tuple)) else [(name, value)]
    return flat


def _as_text(value: object) -> str:
    if isinstance(value, (bytes, bytearray)):
        return value.decode("latin-1")  # as HTTP carries header bytes; never fails
    return value if isinstance(value, str) else ""


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
