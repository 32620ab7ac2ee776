"""The way to webhook endpoints: names are looked up so that none waits for another, and addresses can be guarded."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from ..contract.webhook_urls import is_loopback
from ..workers import Caught

if TYPE_CHECKING:
    from ..contract.webhook_urls import WebhookUrl

_Addresses: TypeAlias = "list[tuple[Any, ...]]"

CONNECT_SECONDS: Final = 10
MAX_LOOKUPS: Final = 512
MANY_FILES: Final = 16_384
KEPT_SECONDS: Final = 15
SOON: Final = 1
REFUSED: Final = (
    "its host resolves to an address that is not public; allow these with --allow-private-webhooks"
)

# What IANA's registries of special-purpose addresses do not call globally reachable, and multicast.
_NOT_PUBLIC_V4: Final = tuple(
    map(
        ip_network,
        [
            "0.0.0.0/8",
            "10.0.0.0/8",
            "100.64.0.0/10",
            "127.0.0.0/8",
            "169.254.0.0/16",
            "172.16.0.0/12",
            "192.0.0.0/24",
            "192.0.2.0/24",
            "192.88.99.0/24",
            "192.168.0.0/16",
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "224.0.0.0/3",
        ],
    )
)
_PUBLIC_V6: Final = IPv6Network("2000::/3")
_NOT_PUBLIC_V6: Final = tuple(map(ip_network, ["2001::/23", "2001:db8::/32", "3fff::/20"]))
# Addresses that hold one of IPv4, and how many of their bits follow it.
_HOLD_V4: Final = (
    (IPv6Network("::ffff:0:0/96"), 0),
    (IPv6Network("64:ff9b::/96"), 0),
    (IPv6Network("2002::/16"), 80),
)


class PrivateTargetError(OSError):
    """A webhook would go to an address that is not public."""

    def __init__(self) -> None:
        super().__init__(errno.EACCES, REFUSED)

    def __str__(self) -> str:
        return REFUSED


def check_target(url: WebhookUrl) -> None:
    """Let pass what, as far as the URL tells, leads to a public address; names are looked up when something is sent.

    Raises:
        PrivateTargetError: it does not.
    """
    with contextlib.suppress(ValueError):  # a name
        check_address(url.host)
    if is_loopback(url.host):
        raise PrivateTargetError


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether it belongs to the internet: not to this machine, a network of its own, a group, or to nobody."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_V4)
    for network, bits in _HOLD_V4:
        if address in network:
            return is_public(IPv4Address(int(address) >> bits & 0xFFFFFFFF))
    return address in _PUBLIC_V6 and not any(address in network for network in _NOT_PUBLIC_V6)


def as_given(url: WebhookUrl) -> URL:
    """The URL as the HTTP client takes it without changing a byte of path and query."""
    host = f"[{url.host}]" if ":" in url.host else url.host
    return URL.build(scheme=url.scheme, authority=f"{host}:{url.port}", path=url.target, encoded=True)


def webhook_session(*, is_guarded: bool, files: int) -> aiohttp.ClientSession:
    """What webhooks are sent through; guarded, it connects to public addresses of other machines alone.

    With few ``files`` that may be open, connections are not kept for long.

    The address that is checked is the one that the connection is then made to, whatever a name leads to the next moment.
    """
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=0,
            keepalive_timeout=KEPT_SECONDS if files >= MANY_FILES else SOON,
            resolver=_Resolver(),
            socket_factory=_guarded_socket if is_guarded else None,
        ),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
        skip_auto_headers=("Accept-Encoding", "User-Agent"),
        cookie_jar=aiohttp.DummyCookieJar(),
    )


def _guarded_socket(target: tuple[Any, ...]) -> socket.socket:
    family, kind, protocol, _, address = target
    check_address(address[0])
    return socket.socket(family, kind, protocol)


def check_address(text: str) -> None:
    """Let pass an IP address that is public, and not this machine's.

    Raises:
        PrivateTargetError: it is none of these.
    """
    address = ip_address(text.partition("%")[0])
    if not is_public(address) or _is_of_this_machine(address):
        raise PrivateTargetError


def _is_of_this_machine(address: IPv4Address | IPv6Address) -> bool:
    """Whether it is one of its own, where other services listen, and the harness itself."""
    with (
        contextlib.suppress(OSError),
        socket.socket(
            socket.AF_INET if address.version == 4 else socket.AF_INET6, socket.SOCK_DGRAM
        ) as probe,
    ):
        probe.bind((str(address), 0))
        return True
    return False


class _Resolver(AbstractResolver):
    """Looks names up in threads of their own: those of the event loop are few, and names that hang would take them all."""

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(MAX_LOOKUPS)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        look_up = partial(
            socket.getaddrinfo, host, port, family=family, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
        )
        async with self._free:
            found = await _in_thread(look_up)
        return [
            ResolveResult(
                hostname=host,
                host=str(address[0]),
                port=port,
                family=kind,
                proto=protocol,
                flags=socket.AI_NUMERICHOST,
            )
            for kind, _, protocol, _, address in found
        ]

    async def close(self) -> None:
        """Whoever still waits for an answer is not waited for."""


async def _in_thread(look_up: Callable[[], _Addresses]) -> _Addresses:
    found: Future[_Addresses] = Future()

    def run() -> None:
        with Caught() as caught:
            found.set_result(look_up())
        if caught.error is not None:
            found.set_exception(caught.error)

    found.set_running_or_notify_cancel()  # from here on nobody can call it off but in vain
    try:
        threading.Thread(target=run, name="truss-async-lookup", daemon=True).start()
    except RuntimeError as error:
        raise OSError(errno.EAGAIN, str(error)) from error
    return await asyncio.wrap_future(found)
