"""What a webhook endpoint's URL may be, and its parts: one reading of it, for who checks it and for who sends there."""

import re
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from pydantic import ValidationError
from pydantic_core import Url

MAX_URL_CHARACTERS: Final = 8192  # our choice
_LONGEST_KEPT: Final = 512

_FORM: Final = re.compile(
    r"(?P<scheme>https?)://(?:(?P<user>[^/?#\\]*)@)?(?P<host>\[[^\]/?#\\@]*\]|[^:/?#\\@\[\]]+)(?::(?P<port>\d{0,5}))?"
    r"(?P<target>[/?][^#]*)?(?:#.*)?",
    re.ASCII | re.IGNORECASE,
)
_UNSENDABLE: Final = re.compile("[\0- \x7f-\x9f\ud800-\udfff]")
_NAME: Final = re.compile(r"(?=.{1,253}\.?$)(?:[a-z0-9_-]{1,63}\.)*[a-z0-9_-]{1,63}\.?")
_IN_A_TARGET: Final = "".join(
    map(chr, range(0x21, 0x7F))
)  # all of ASCII that may be there: it stays as it is
_PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class WebhookUrl:
    """Where a webhook goes. ``host`` is as it is looked up: ASCII, in lower case, an IP address in its usual form.

    ``target`` is path and query as they are sent: as given, but for what is no ASCII, which HTTP cannot carry.
    ``login`` are user and password, if the URL has any, as Basic authentication joins them.
    """

    scheme: str
    host: str
    port: int
    target: str
    login: bytes | None = None

    @property
    def origin(self) -> tuple[str, str, int]:
        """The server."""
        return self.scheme, self.host, self.port


def webhook_url(text: str) -> WebhookUrl:
    """The parts of a URL that a webhook can be sent to: HTTPS anywhere, plain HTTP only to localhost (platform
    documentation: async inference, webhooks).

    Raises:
        ValueError: it is none; the message says why.
    """
    # What a caller writes is remembered only while that costs little.
    return _kept(text) if len(text) <= _LONGEST_KEPT else _parsed(text)


def _parsed(text: str) -> WebhookUrl:
    if len(text) > MAX_URL_CHARACTERS:
        raise ValueError(f"must have at most {MAX_URL_CHARACTERS} characters")
    if _UNSENDABLE.search(text):
        raise ValueError("is not a valid URL (it has blanks or control characters; percent-encode them)")
    found = _FORM.fullmatch(text)
    if found is None:
        if re.match(r"https?://", text, re.IGNORECASE):
            raise ValueError("is not a valid URL (it should read https://HOST:PORT/PATH)")
        raise ValueError("must use https:// (plain http:// is for localhost only)")
    scheme = found["scheme"].lower()
    host, port = _host(found["host"]), int(found["port"] or _PORTS[scheme])
    if not 0 < port < 65536:
        raise ValueError("is not a valid URL (a port is a number from 1 to 65535)")
    if scheme == "http" and not is_loopback(host):
        raise ValueError("must use https:// (plain http:// is for localhost only)")
    target = found["target"] or "/"
    target = target if target[0] == "/" else f"/{target}"
    if not target.isascii():
        target = quote(target, safe=_IN_A_TARGET)
    return WebhookUrl(scheme, host, port, target, _login(found["user"]))


# The endpoints of a batch differ by their paths, and each is read several times: as many are kept as are open.
_kept = lru_cache(maxsize=4096)(_parsed)


@lru_cache(maxsize=256)
def is_loopback(host: str) -> bool:
    """Whether a URL's host is this machine: localhost, *.localhost, 127.0.0.0/8 or ::1."""
    name = host.removesuffix(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return False
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


@lru_cache(maxsize=256)
def _host(given: str) -> str:
    try:
        host = Url(f"https://{given}/").host or ""
    except ValidationError:
        host = ""
    if host.startswith("[") or _NAME.fullmatch(host):
        return host.strip("[]")
    raise ValueError(
        "is not a valid URL (its host is neither a name, with labels of 1 to 63 characters, nor an IP address)"
    )


def _login(given: str | None) -> bytes | None:
    if given is None:
        return None
    user, _, password = given.partition(":")
    if b":" in unquote_to_bytes(user):
        raise ValueError("is not a valid URL (a user name must not have a colon)")
    return unquote_to_bytes(user) + b":" + unquote_to_bytes(password)
