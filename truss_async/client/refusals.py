"""Why a call failed, in one line with the remedy."""

from __future__ import annotations

from urllib.parse import urlsplit

from ..contract.json_text import parse
from ..contract.told_errors import error_message
from ..contract.webhook_urls import is_loopback
from ..printable import printable

_LONGEST_QUOTE = 300


def explain_silence(url: str, error: Exception) -> str:
    """What to do when no answer came from there."""
    reason = one_line(str(error)) or type(error).__name__
    is_refused = any(words in reason.lower() for words in ("refused", "connect call failed"))
    if is_refused and is_loopback(urlsplit(url).hostname or ""):
        return f"nothing listens on {url}; start it with: truss-async serve TRUSS_DIR"
    return f"cannot reach {url}: {reason}; check the URL and the network"


def explain_refusal(method: str, url: str, status_code: int, body: bytes) -> str:
    """What an answer that is no success says, and what to do about it."""
    said = _error_message(body)
    if said is None:
        start = one_line(body[:_LONGEST_QUOTE].decode("utf-8", "replace"))[:80]
        said = f"no JSON error, but {start!r}; is this the platform's URL?" if start else "no reason given"
    if status_code in (401, 403):
        return f"{url} refused the API key ({status_code}: {said}); check TRUSS_ASYNC_API_KEY"
    if status_code == 404 and "/_harness/" in url:
        return f"{url} is unknown (404: {said}); only a harness answers there"
    if status_code == 404 and method != "POST":
        return f"{url} is unknown (404: {said}); a status is kept for one hour after completion"
    if status_code == 404:
        return f"{url} is unknown (404: {said}); check the URL and the target"
    return f"{url} refused ({status_code}): {said}"


def one_line(text: str) -> str:
    """Foreign text, fit for a terminal: without line breaks, not too long."""
    return printable(" ".join(text.split()), limit=_LONGEST_QUOTE)


def _error_message(body: bytes) -> str | None:
    """The platform's ``{"error": …}``, with its ``detail`` where there is one."""
    try:
        parsed = parse(body)
    except ValueError:
        return None
    if isinstance(parsed, dict) and isinstance(parsed.get("error"), str):
        said, detail = parsed["error"], parsed.get("detail")
        return one_line(f"{said} ({detail})" if isinstance(detail, str) and detail else said)
    told = error_message(parsed)
    return None if told is None else one_line(told)
