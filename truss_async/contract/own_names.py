"""Hosts that no stranger's page in a browser can have: what a request that no key proves may call this machine."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from typing import Final

# Nobody can register a name there, and have it lead to this machine's loopback address.
_OWN_ENDINGS: Final = (".localhost", ".local", ".internal", ".home.arpa")
# Whatever else a Host header or an origin holds is no host: user:password@, /path, half an address, other scripts.
_HOST: Final = re.compile(
    r"(?:\[(?P<address>[0-9a-f:.]+(?:%[\w.-]+)?)\]|(?P<name>[\w-]+(?:\.[\w-]+)*)?\.?)(?::\d*)?",
    re.IGNORECASE | re.ASCII,
)
_MANY: Final = "*."


def host_of(header: str) -> str | None:
    """The host in a Host header, in lower case, without port, brackets and a dot at its end; None when it is none."""
    found = _HOST.fullmatch(header.strip(" \t"))
    if found is None or (found["address"] and not _is_address(found["address"])):
        return None
    return (found["address"] or found["name"] or "").lower()


def allowed_name(given: str) -> str:
    """What somebody gave as a host that is allowed, as it is compared.

    Raises:
        ValueError: it is no host, and would allow nothing.
    """
    many = _MANY if given.startswith(_MANY) else ""
    name = _name(given.removeprefix(many))
    if not name:
        raise ValueError(
            f"{given[:100]!a} is not a host name; give a name such as tunnel.example.com, or *.example.com for all subdomains"
        )
    return many + name


class OwnNames:
    """The hosts that lead to this machine and to no stranger: addresses, names without a domain, and what is allowed.

    A page that a stranger's name server has led to this machine calls it by a name of the stranger's.
    """

    def __init__(self, allowed: Iterable[str] = (), *, bound: str = "localhost") -> None:
        """``*.example.com`` allows every name below it; a port is not looked at. ``bound`` is what is listened on.

        Raises:
            ValueError: an allowed one is no host, and would allow nothing.
        """
        names = set(map(allowed_name, allowed))
        self._endings = tuple(name.removeprefix("*") for name in names if name.startswith(_MANY))
        self._names = names | {_name(bound) or "localhost"}  # what is no host, nobody can listen on

    def include(self, header: str) -> bool:
        """Whether a page of a stranger's cannot have the host of that Host header."""
        host = host_of(header)
        return host is not None and (_is_nobodys(host) or self._is_allowed(host))

    def allow(self, header: str) -> bool:
        """Whether its host was allowed by its name."""
        host = host_of(header)
        return host is not None and self._is_allowed(host)

    def _is_allowed(self, host: str) -> bool:
        return host in self._names or host.endswith(self._endings)


def refusal_of_a_page(headers: Mapping[str, str], own: OwnNames) -> str | None:
    """Why the request may be that of a page in somebody's browser; None when it cannot. Header names are in lower case."""
    if "origin" in headers or "sec-fetch-site" in headers:
        return "it comes from a page in a browser, and nothing proves who sent it"
    header = headers.get("host", "")
    if own.include(header):
        return None
    return f"it calls this machine {header[:100]!a}, as a page in a browser could, and nothing proves who sent it"


def _is_nobodys(host: str) -> bool:
    return "." not in host or host.endswith(_OWN_ENDINGS) or _is_address(host)


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _name(given: str) -> str | None:
    is_bare_address = given.count(":") > 1 and not given.startswith("[")
    return host_of(f"[{given}]" if is_bare_address else given)
