"""Who may call: the platform's two forms of the Authorization header."""

from __future__ import annotations

import hmac

from .refusals import unauthorized

SCHEMES = ("api-key", "bearer")


def check_authorization(header: str | None, *, api_key: str | None) -> None:
    """Let a call pass that carries the key; without a configured one, any key.

    Raises:
        CallRefusedError: 401.
    """
    hint = "" if api_key is not None else " (any key will do: the harness was started without --api-key)"
    if header is None:
        raise unauthorized(f"the Authorization header is missing; send Authorization: Api-Key YOUR_KEY{hint}")
    scheme, _, key = header.strip().partition(" ")
    if scheme.lower() not in SCHEMES or not key.strip():
        raise unauthorized(f"the Authorization header must read Api-Key YOUR_KEY, or Bearer YOUR_KEY{hint}")
    if api_key is not None and not hmac.compare_digest(key.strip().encode(), api_key.encode()):
        raise unauthorized("the API key is wrong")


def carries(header: str | None, key: str) -> bool:
    """Whether a call shows this key."""
    shown = (header or "").strip().partition(" ")[2].strip()
    return hmac.compare_digest(shown.encode(), key.encode())
