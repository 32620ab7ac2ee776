"""Signing a webhook body the way the platform does."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence

SIGNATURE_VERSION = "v1="


def signature(body: bytes, secret: str) -> str:
    """``v1=`` and the hexadecimal HMAC-SHA256 of the raw body, keyed with the whole secret string."""
    # surrogatepass: any string is a key, also one that came from an oddly encoded environment.
    key = secret.encode("utf-8", "surrogatepass")
    return SIGNATURE_VERSION + hmac.new(key, body, hashlib.sha256).hexdigest()


def signature_header(body: bytes, secrets: Sequence[str]) -> str:
    """The value of ``X-BASETEN-SIGNATURE``: one signature for each active secret, newest first."""
    return ",".join(signature(body, secret) for secret in secrets)
