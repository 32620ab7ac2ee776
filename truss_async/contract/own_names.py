"""Names that lead to this machine and to no stranger: what a request without a key may call it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from ipaddress import ip_address
from typing import Final

# Nobody can register a domain there, and point it at this machine's loopback address.
_OWN_ENDINGS: Final = (".localhost", ".local", ".internal", ".home.arpa")


def host_of(header: str) -> str:
    """The name in a Host header, without port, brackets and a dot at its end."""
    name = header.strip().lower()
    if name.startswith("["):
        return name[1:].partition("]")[0]
    return name.partition(":")[0].removesuffix(".")


def is_own_name(host: str, *, allowed: Collection[str] = ()) -> bool:
    """Whether no page of a stranger can have that host: an address, a name without a domain, or one that is allowed.

    A page that a stranger's name server has led to this machine calls it by a name of the stranger's.
    """
    if "." not in host or host.endswith(_OWN_ENDINGS) or any(_is_meant(host, each) for each in allowed):
        return True
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _is_meant(host: str, allowed: str) -> bool:
    """``*.example.com`` is every name below it."""
    name = host_of(allowed)
    return host.endswith(name[1:]) and len(host) >= len(name) if name.startswith("*.") else host == name


def refusal_of_a_page(headers: Mapping[str, str], *, allowed: Collection[str] = ()) -> str | None:
    """Why the request may be that of a page in somebody's browser; None when it cannot. Header names are in lower case."""
    if "origin" in headers or "sec-fetch-site" in headers:
        return "it comes from a page in a browser, and nothing else proves who sent it"
    host = host_of(headers.get("host", ""))
    if is_own_name(host, allowed=allowed):
        return None
    return f"it calls this machine {host[:100]!a}, as a page in a browser could, and nothing else proves who sent it"
