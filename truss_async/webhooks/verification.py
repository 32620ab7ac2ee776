"""Proving that a webhook comes from the platform.

Verification is total: whatever it is given, it returns or raises ``WebhookVerificationError``. That includes what
the receiver's own code gets wrong (a body decoded to text, no secret configured): an endpoint that catches the
one error can neither crash on a request nor let one pass unchecked.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from itertools import islice
from typing import TYPE_CHECKING

from pydantic import ValidationError

from ..clock import SYSTEM_CLOCK
from ..contract import AsyncPredictResult
from ..contract.headers import SIGNATURE
from ..contract.limits import WEBHOOK_AGE_TOLERANCE_SECONDS
from ..errors import SettingsError, WebhookVerificationError, explained
from ..pasted import as_meant
from .secrets import REMEDY, configured_secrets
from .signing import SIGNATURE_VERSION, signature

if TYPE_CHECKING:
    from typing import TypeAlias

    Now: TypeAlias = datetime | Callable[[], datetime] | None
    Headers: TypeAlias = Mapping[str, str] | Mapping[bytes, bytes] | Iterable[tuple[str | bytes, str | bytes]]

# What no receiver has: who gives more gives something endless.
MOST_SECRETS = 1000
MOST_HEADERS = 10_000
# Room for a hundred signatures; the platform sends one for each active secret.
MAX_SIGNATURE_HEADER_CHARACTERS = 8192


def verify_webhook(
    body: bytes,
    headers: Headers,
    secrets: Iterable[str] | str | None = None,
    *,
    now: Now = None,
    tolerance: timedelta | float = WEBHOOK_AGE_TOLERANCE_SECONDS,
) -> AsyncPredictResult:
    """Return the async predict result, or raise ``WebhookVerificationError`` saying which check failed.

    ``body`` is the raw body as it was received. ``headers`` is a mapping (names in any case; text or bytes) or a
    list of pairs. ``secrets`` is one secret or several: during a rotation, the new and the old one; blank ones are
    left out; without any, those in the variable ``TRUSS_ASYNC_WEBHOOK_SECRETS``, separated by commas. One signature
    that fits one secret is enough. ``tolerance`` (seconds) bounds the age both ways, against ``now``: an aware moment,
    or what tells it, such as ``harness.clock.now`` where the harness's clock is moved; the system's, by default.
    """
    with _of_the_caller("the secrets"):
        given = configured_secrets() if secrets is None else secrets
    check_signature(body, headers, given)
    result = parse_result(body)
    check_age(result, now=now, tolerance=tolerance)
    return result


def check_signature(body: bytes, headers: Headers, secrets: Iterable[str] | str) -> None:
    """Refuse a body of which no signature fits any secret; all pairs are compared, each in constant time."""
    raw = _raw(body)
    keys = _usable_secrets(secrets)
    candidates = _signatures(headers)
    matches = False
    for key in keys:
        expected = signature(raw, key).encode("ascii")
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
        return AsyncPredictResult.received(_raw(body))
    except ValidationError as error:
        reason = explained(error)
    raise WebhookVerificationError(f"the body is not an async predict result: {reason}", status_code=400)


def check_age(result: AsyncPredictResult, *, now: Now, tolerance: timedelta | float) -> None:
    """Refuse a result whose ``time`` is further from ``now`` than the tolerance, in the past or the future."""
    with _of_the_caller("now, or tolerance,"):
        moment = now() if callable(now) else SYSTEM_CLOCK.now() if now is None else now
        if not isinstance(moment, datetime) or moment.tzinfo is None:
            raise WebhookVerificationError("now must be a datetime with a time zone")
        limit = tolerance.total_seconds() if isinstance(tolerance, timedelta) else tolerance
        if not isinstance(limit, (int, float)):
            raise WebhookVerificationError("tolerance must be a timedelta or a number of seconds")
        sent = result.time if result.time.tzinfo is not None else result.time.replace(tzinfo=timezone.utc)
        age = (moment - sent).total_seconds()
        if abs(age) <= limit:  # never true for NaN
            return
        if age > 0:
            raise WebhookVerificationError(f"too old: sent {age:.0f} s ago, {limit} s are allowed")
        raise WebhookVerificationError(
            f"dated {-age:.0f} s in the future, {limit} s are allowed; check this machine's clock"
        )


@contextmanager
def _of_the_caller(what: str) -> Iterator[None]:
    """Whatever an object of the caller's own raises while it is read becomes a verdict: 500, so the sender comes again."""
    try:
        yield
    except WebhookVerificationError:
        raise
    except Exception as error:
        said = str(error) if isinstance(error, SettingsError) else type(error).__name__
        raise WebhookVerificationError(f"{what} cannot be read: {said}", status_code=500) from error


def _raw(body: object) -> bytes:
    if not isinstance(body, (bytes, bytearray)):
        raise WebhookVerificationError(
            f"the body must be the raw bytes that were received, not {type(body).__name__}"
        )
    return b"".join([body])  # of a type of the caller's own, too


def _usable_secrets(secrets: Iterable[str] | str) -> list[str]:
    """The secrets to try. A blank one is no key: anybody can sign with it."""
    with _of_the_caller("the secrets"):
        given: Iterable[object] = [secrets] if isinstance(secrets, str) else secrets
        if not isinstance(given, Iterable):
            raise WebhookVerificationError("secrets must be a list of webhook secrets")
        listed = list(islice(given, MOST_SECRETS + 1))
    if len(listed) > MOST_SECRETS:
        raise WebhookVerificationError(f"there are more than {MOST_SECRETS} webhook secrets", status_code=500)
    usable: list[str] = []
    for secret in listed:
        if secret is not None and not isinstance(secret, str):
            raise WebhookVerificationError("every webhook secret must be a string")
        if secret is not None and (meant := _meant(str.__str__(secret))):
            usable.append(meant)
    if not usable:
        raise WebhookVerificationError(
            f"there is no webhook secret to check against: {REMEDY}", status_code=500
        )
    return usable


def _meant(secret: str) -> str:
    try:
        return as_meant(secret, what="a webhook secret")
    except SettingsError as error:
        raise WebhookVerificationError(str(error), status_code=500) from None


def _signatures(headers: Headers) -> list[bytes]:
    """Every ``v1=`` signature in the headers; other versions, and what is no text, are left out."""
    with _of_the_caller("the headers"):
        pairs = _pairs(headers)
    values = [_as_text(value) for name, value in pairs if _as_text(name).lower() == SIGNATURE.lower()]
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
    items = headers.items() if hasattr(headers, "items") else headers
    flat: list[tuple[object, object]] = []
    try:
        for name, value in islice(items, MOST_HEADERS + 1):
            flat += [(name, each) for each in value] if isinstance(value, (list, tuple)) else [(name, value)]
    except (TypeError, ValueError):
        raise WebhookVerificationError("headers must be a mapping or a list of pairs") from None
    if len(flat) > MOST_HEADERS:
        raise WebhookVerificationError(f"there are more than {MOST_HEADERS} headers")
    return flat


def _as_text(value: object) -> str:
    """As text of no type of the caller's own, whose methods may be any."""
    if isinstance(value, (bytes, bytearray)):
        return b"".join([value]).decode("latin-1")  # as HTTP carries header bytes; never fails
    return str.__str__(value) if isinstance(value, str) else ""


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
