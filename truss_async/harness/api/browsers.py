"""Who may call while any key will do: programs, and no web page that a browser on this machine shows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ...contract.own_names import OwnNames, host_of
from ...contract.webhook_urls import is_loopback
from ...printable import printable
from .refusals import ApiErrorCode, CallRefusedError
from .targets import named_by_host

_SHOWN_CHARACTERS: Final = 100


class Browsers:
    """Refuses what a page could have sent by a name of its own that leads here, or across origins.

    ``own`` are the hosts that calls may come by, None: any; of those that were allowed by name, pages may be, too.
    """

    def __init__(self, own: OwnNames | None) -> None:
        self._own = own
        self._passed = b""  # the Host header that passed last, which is nearly always that of the next call

    def check(self, method: str, headers: Iterable[tuple[bytes, bytes]], *, is_own: bool) -> None:
        """Let a call pass; one that is not the harness's own may come by any domain behind ``model-{id}.``, too.

        Raises:
            CallRefusedError: 403.
        """
        host = origin = site = mode = b""
        for name, value in headers:
            if name == b"host":
                host = value
                if value != self._passed:
                    self._check_host(value, is_own=is_own)
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

    def _check_host(self, value: bytes, *, is_own: bool) -> None:
        host = value.decode("latin-1")
        if self._includes(host):
            self._passed = value
        elif is_own or named_by_host(host)[0] is None:
            raise _refused("are made by the host", value)

    def _is_of_here(self, origin: str, host: str) -> bool:
        """Whether it is a page of this machine's, of an allowed host, or of the harness by the host that the call came by."""
        at = origin.partition("://")[2]
        if not at:
            return False
        if is_loopback(host_of(at) or "") or (self._own is not None and self._own.allow(at)):
            return True
        return at.lower() == host.lower() and self._includes(host)

    def _includes(self, host: str) -> bool:
        return self._own is None or self._own.include(host)


def _refused(what: str, whose: bytes) -> CallRefusedError:
    shown = printable(whose.decode("latin-1"), limit=_SHOWN_CHARACTERS)
    return CallRefusedError(
        403,
        ApiErrorCode.UNAUTHORIZED,
        f"calls that {what} {shown} are refused, because without --api-key any web page could make them; start "
        "the harness with --api-key, or with --allow-host HOST",
    )
