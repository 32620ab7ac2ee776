"""Calls of a replica that is a model server behind HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Final, TypeVar

import aiohttp
from yarl import URL

from ..clock import SYSTEM_CLOCK
from ..printable import printable
from ..shortages import PAUSE_SECONDS, is_shortage
from .protocol import ReplicaUnreachableError
from .server_socket import ServerSocket, open_socket

if TYPE_CHECKING:
    from .protocol import ReplicaCall
    from .sockets import SocketCall

T = TypeVar("T")

CONNECT_SECONDS: Final = 10
IDLE_SECONDS: Final = 4
"""So long a connection is kept for another call: less than the 5 s after which the Truss server closes it."""
_NOT_MADE_UP: Final = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")


class HttpCalls:
    """Keeps connections to model servers; made where it is used first, on the event loop that runs then."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def send(self, call: ReplicaCall, *, predict_url: str, base_url: str) -> HttpAnswer:
        """The answer, once its headers are there.

        Raises:
            ReplicaUnreachableError: none came.
        """
        session = self._made_session()
        # What was closed meanwhile is noticed by the event loop, and then not used for a call that must not be repeated.
        await SYSTEM_CLOCK.sleep(0)
        url = URL(predict_url) if call.route is None else URL(f"{base_url}/{call.route}", encoded=True)

        async def ask() -> HttpAnswer:
            return HttpAnswer(
                await session.request(
                    call.method, url, data=call.body, headers=call.headers, allow_redirects=False
                )
            )

        return await _despite_shortage(ask)

    async def connect(self, call: SocketCall, *, websocket_url: str, base_url: str) -> ServerSocket:
        """An open websocket.

        Raises:
            SocketRefusedError: the model server opens none, by the status that it tells.
            ReplicaUnreachableError: nothing of HTTP came.
        """
        session = self._made_session()
        url = websocket_url if call.route is None else f"{base_url}/{call.route}"
        query = f"{'&' if '?' in url else '?'}{call.query}" if call.query else ""
        return await _despite_shortage(lambda: open_socket(session, URL(f"{url}{query}", encoded=True), call))

    def _made_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=IDLE_SECONDS),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
                auto_decompress=False,
                skip_auto_headers=_NOT_MADE_UP,
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session

    async def close(self) -> None:
        """Let go of the connections; harmless when done twice."""
        if self._session is not None:
            await self._session.close()


class HttpAnswer:
    """A model server's answer."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._answer = answer
        self.status = answer.status
        self.headers: Sequence[tuple[bytes, bytes]] = answer.raw_headers

    async def read(self) -> bytes:
        try:
            return await self._answer.read()
        except (aiohttp.ClientError, OSError) as error:
            raise _unreachable(error) from error

    async def chunks(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._answer.content.iter_any():
                yield chunk
        except (aiohttp.ClientError, OSError) as error:
            raise _unreachable(error) from error

    def close(self) -> None:
        self._answer.close()


async def _despite_shortage(ask: Callable[[], Awaitable[T]]) -> T:
    """What was asked; while something of our own is wanting, for which nobody has been asked, again and again."""
    waited = 0.0
    while True:
        try:
            return await ask()
        except (aiohttp.ClientError, OSError) as error:
            is_unasked = isinstance(error, aiohttp.ClientConnectorError)
            if not (is_unasked and is_shortage(error, waited_seconds=waited)):
                raise _unreachable(error) from error
        await SYSTEM_CLOCK.sleep(PAUSE_SECONDS)
        waited += PAUSE_SECONDS


def _unreachable(error: Exception) -> ReplicaUnreachableError:
    was_asked = not isinstance(error, aiohttp.ClientConnectorError)
    return ReplicaUnreachableError(printable(str(error)) or type(error).__name__, was_asked=was_asked)
