"""HTTP calls whose time is a total: from the name's resolution to the last byte, however slowly the answer drips in."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from .errors import MissingExtraError
from .forks import in_forked_process
from .workers import LoopThread

if TYPE_CHECKING:
    import ssl

    import httpx

Headers: TypeAlias = Mapping[str, str] | Sequence[tuple[bytes, bytes]]

# Of the whole process, which never ends it: a thread that waits costs nothing.
_LOOP: Final = LoopThread("truss-async-http")
# Clients of a parent process: they must not be closed, or even collected, in a forked one.
_INHERITED: Final[list[Any]] = []


@dataclass(frozen=True)
class HttpAnswer:
    """What came back; ``body`` is empty when it was not asked for. Names of headers are found in any case."""

    status_code: int
    body: bytes
    headers: Mapping[str, str]


class NoAnswerError(Exception):
    """There was none, and the text says why; ``was_reached``: somebody listens there."""

    def __init__(self, reason: str, *, was_reached: bool) -> None:
        super().__init__(reason)
        self.was_reached = was_reached


class TimedHttp:
    """A client with connections of its own. Safe to share between threads.

    httpx's own times are for each read: a server that sends a line of its header now and then is never too slow.

    Raises:
        MissingExtraError: httpx is not installed; ``purpose`` is what it is needed for.
    """

    def __init__(
        self,
        *,
        purpose: str,
        timeout_seconds: float,
        trust_env: bool,
        verify: ssl.SSLContext | bool = True,
        headers: Mapping[str, str] | None = None,
        check_address: Callable[[str], None] | None = None,
    ) -> None:
        """With ``check_address``, it is asked of each IP address that a host has, and may raise OSError; no proxy is used then."""
        try:
            import httpx
        except ImportError:
            raise MissingExtraError("httpx", extra="client", purpose=purpose) from None
        self._httpx = httpx
        self._timeout_seconds = timeout_seconds
        self._options: dict[str, Any] = {"trust_env": trust_env, "verify": verify, "headers": headers}
        self._check_address = check_address
        self._client: httpx.AsyncClient | None = None
        in_forked_process(self._leave_parent)

    def send(
        self,
        method: str,
        url: str,
        *,
        content: str | bytes | None = None,
        headers: Headers = (),
        wants_body: bool = True,
        timeout_seconds: float | None = None,
    ) -> HttpAnswer:
        """The answer, within ``timeout_seconds`` or else the client's own.

        Raises:
            TimeoutError: it was not there, and read, in time.
            NoAnswerError: there is none.
        """
        seconds = self._timeout_seconds if timeout_seconds is None else timeout_seconds
        asking = self._ask(
            method, url, content=content, headers=headers, wants_body=wants_body, timeout=seconds
        )
        try:
            return _LOOP.run(asyncio.wait_for(asking, seconds))
        except (asyncio.TimeoutError, self._httpx.TimeoutException):
            raise TimeoutError(f"no answer within {seconds:g} s") from None
        except (self._httpx.HTTPError, self._httpx.InvalidURL, OSError, ValueError) as error:
            broken = (self._httpx.NetworkError, self._httpx.ProtocolError, self._httpx.DecodingError)
            was_reached = isinstance(error, broken) and not isinstance(error, self._httpx.ConnectError)
            raise NoAnswerError(reason_of(error), was_reached=was_reached) from None

    def close(self) -> None:
        """Close the connections. Twice is harmless."""
        if self._client is not None:
            client, self._client = self._client, None
            _LOOP.run(client.aclose())

    async def _ask(self, method: str, url: str, *, wants_body: bool, **options: Any) -> HttpAnswer:
        client = self._opened()
        async with client.stream(method, url, **options) as answer:
            body = await answer.aread() if wants_body else b""
            return HttpAnswer(answer.status_code, body, answer.headers)

    def _opened(self) -> httpx.AsyncClient:
        # On the loop, and so one after the other.
        if self._client is None:
            # How many there are at once is the caller's business: waiting for a free connection would count as time.
            limits = self._httpx.Limits(max_connections=None, max_keepalive_connections=20)
            options = {**self._options, "limits": limits}
            if self._check_address is not None:
                transport = _guarded_transport(self._check_address, verify=options["verify"], limits=limits)
                options |= {"transport": transport, "trust_env": False}
            self._client = self._httpx.AsyncClient(timeout=self._timeout_seconds, **options)
        return self._client

    def _leave_parent(self) -> None:
        if self._client is not None:
            _INHERITED.append(self._client)
            self._client = None


def _guarded_transport(
    check_address: Callable[[str], None], *, verify: ssl.SSLContext | bool, limits: httpx.Limits
) -> httpx.AsyncBaseTransport:
    """Connects to the very address that was checked, whatever its name leads to the next moment."""
    import httpx

    class Guarded(httpx.AsyncHTTPTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            host = request.url.host
            found = await asyncio.get_running_loop().getaddrinfo(
                host, request.url.port, type=socket.SOCK_STREAM
            )
            addresses = list(dict.fromkeys(str(each[4][0]) for each in found))
            for address in addresses:
                check_address(address)
            if host not in addresses:
                request.extensions["sni_hostname"] = host
            while True:
                address = addresses.pop(0)
                request.url = request.url.copy_with(host=f"[{address}]" if ":" in address else address)
                try:
                    return await super().handle_async_request(request)
                except httpx.ConnectError:
                    if not addresses:
                        raise

    return Guarded(verify=verify, limits=limits, trust_env=False)


def reason_of(error: BaseException) -> str:
    """What the operating system said, if it did: the libraries say that an attempt failed, and it says why."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ConnectionError) and cause.errno:
            return os.strerror(cause.errno)  # asyncio puts words of its own
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        several = getattr(cause, "exceptions", ())  # one for each address of the host
        cause = several[0] if several else cause.__cause__ or cause.__context__
    return str(error) or type(error).__name__
