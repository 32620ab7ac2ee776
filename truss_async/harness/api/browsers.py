"""Who may call while any key will do: programs, and no web page that a browser on this machine shows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from ...printable import printable
from .refusals import ApiErrorCode, CallRefusedError
from .targets import named_by_host

# Of a name like these a page cannot be: addresses, this machine, and names without a dot, which nobody can buy.
_NO_PAGES_HOST: Final = re.compile(
    r"(?:(?:\d{1,3}\.){3}\d{1,3}|\[[0-9a-f:.]+\]|(?:[\w-]+\.)*localhost|[\w-]*)\.?(?::\d*)?",
    re.IGNORECASE | re.ASCII,
)
_HERE: Final = re.compile(
    r"(?:127(?:\.\d{1,3}){3}|\[::1\]|(?:[\w-]+\.)*localhost)\.?(?::\d*)?", re.IGNORECASE | re.ASCII
)
_PORT: Final = re.compile(r"\.?(?::\d*)?$")
_SHOWN_CHARACTERS: Final = 100


class Browsers:
    """Refuses what a page could have sent by a name of its own that leads here, or across origins.

    ``allowed`` are further hosts that calls may come by, and pages be of; ``*.example.com`` is all below it. ``bound``
    is the one that the harness listens on.
    """

    def __init__(self, *, bound: str, allowed: Sequence[str]) -> None:
        self._allowed = [each.lower().rstrip(".") for each in (bound, *allowed)]

    def check(self, method: str, headers: Iterable[tuple[bytes, bytes]], *, is_own: bool) -> None:
        """Let a call pass; one that is not the harness's own may come by any domain behind ``model-{id}.``, too.

        Raises:
            CallRefusedError: 403.
        """
        host = origin = site = mode = b""
        for name, value in headers:
            if name == b"host":
                host = value
                if not self._may_lead_here(value.decode("latin-1"), is_own=is_own):
                    raise _refused("are made by the host", value)
            elif name == b"origin":
                origin = value
            elif name == b"sec-fetch-site":
                site = value
            elif name == b"sec-fetch-mode":
                mode = value
        if origin and not self._is_of_here(origin.decode("latin-1"), host.decode("latin-1")):
            raise _refused("come from a page of", origin)
        if site == b"cross-site" and not (mode == b"navigate" and method in ("GET", "HEAD")):
            raise _refused("come from a page of", b"another site")

    def _may_lead_here(self, host: str, *, is_own: bool) -> bool:
        return self._is_no_pages(host) or (not is_own and named_by_host(host)[0] is not None)

    def _is_no_pages(self, host: str) -> bool:
        return _NO_PAGES_HOST.fullmatch(host) is not None or self._is_allowed(host)

    def _is_of_here(self, origin: str, host: str) -> bool:
        at = origin.partition("://")[2]
        if _HERE.fullmatch(at) or self._is_allowed(at):
            return True
        return at.lower() == host.lower() and self._is_no_pages(host) and bool(at)

    def _is_allowed(self, host: str) -> bool:
        name = _PORT.sub("", host.lower())
        return any(
            name.endswith(each[1:]) and len(name) >= len(each)
            if each.startswith("*.")
            else name.strip("[]") == each
            for each in self._allowed
        )


def _refused(what: str, whose: bytes) -> CallRefusedError:
    shown = printable(whose.decode("latin-1"), limit=_SHOWN_CHARACTERS)
    return CallRefusedError(
        403,
        ApiErrorCode.UNAUTHORIZED,
        f"calls that {what} {shown} are refused, for without --api-key any web page could make them; "
        "start the harness with --api-key, or with --allow-host HOST",
    )
