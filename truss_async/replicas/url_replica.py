"""A replica that somebody else runs: the URL of any model server."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit, urlunsplit

import aiohttp

from ..shortages import is_shortage
from .server_socket import WEBSOCKET_PATH

if TYPE_CHECKING:
    from ..clock import Clock
    from .http_calls import HttpAnswer, HttpCalls
    from .protocol import ReplicaCall
    from .server_socket import ServerSocket
    from .sockets import SocketCall

PREDICT_PATH: Final = "/v1/models/model:predict"
_FIRST_POLL_SECONDS: Final = 0.05
_LAST_POLL_SECONDS: Final = 1.0
_ALIVE_POLL_SECONDS: Final = 2.0
_ATTEMPT_SECONDS: Final = 10.0


class UrlReplica:
    """A URL with a path is used as it is; one without gets the path of the Truss server."""

    def __init__(
        self, name: str, model_url: str, *, http: HttpCalls, clock: Clock, report: Callable[[str], None]
    ) -> None:
        self.name = name
        self._http = http
        self._clock = clock
        self._report = report
        self._waits_for: str | None = None
        self._parts = urlsplit(model_url)
        if self._parts.path in ("", "/"):
            self._parts = self._parts._replace(path=PREDICT_PATH)

    @property
    def predict_url(self) -> str:
        """The URL to POST a model input to."""
        return urlunsplit(self._parts)

    @property
    def base_url(self) -> str:
        """Where the model server is, without a slash at the end: custom routes hang on it."""
        return urlunsplit(self._parts._replace(path="", query="", fragment=""))

    @property
    def waits_for(self) -> str | None:
        """That nothing answers there yet, and why."""
        return self._waits_for

    async def call(self, call: ReplicaCall) -> HttpAnswer:
        return await self._http.send(call, predict_url=self.predict_url, base_url=self.base_url)

    @property
    def websocket_url(self) -> str:
        """Where its websocket is: at the path that was given, as in the image of a server of its own, or as on the Truss server."""
        return f"{self.base_url}{WEBSOCKET_PATH}" if self._parts.path == PREDICT_PATH else self.predict_url

    async def connect(self, call: SocketCall) -> ServerSocket:
        return await self._http.connect(call, websocket_url=self.websocket_url, base_url=self.base_url)

    async def start(self) -> None:
        """Return once anything at all is answered there, however long that takes."""
        origin = f"{self.base_url}/"
        timeout = aiohttp.ClientTimeout(total=_ATTEMPT_SECONDS)
        wait = _FIRST_POLL_SECONDS
        async with aiohttp.ClientSession(timeout=timeout) as session:
            while True:
                try:
                    async with session.get(origin, allow_redirects=False):
                        self._waits_for = None
                        return
                except (aiohttp.ClientError, asyncio.TimeoutError) as error:
                    self._waits_for = f"nothing answers at {origin} yet ({_reason_of(error)})"
                    if wait == _FIRST_POLL_SECONDS:
                        self._report(f"{self._waits_for}; requests are kept waiting")
                await self._clock.sleep(wait)
                wait = min(wait * 1.5, _LAST_POLL_SECONDS)

    async def stop(self) -> None:
        """It is not ours to stop."""
        self._waits_for = None

    async def wait_exit(self, *, on_traffic: Callable[[bool], None]) -> str:
        """Return once connections are refused. A server that is merely busy still lets the kernel accept."""
        while await self._accepts():
            await self._clock.sleep(_ALIVE_POLL_SECONDS)
        return f"no longer answers at {self.predict_url}"

    async def _accepts(self) -> bool:
        port = self._parts.port or (443 if self._parts.scheme == "https" else 80)
        try:
            _, writer = await asyncio.open_connection(self._parts.hostname, port)
        except OSError as error:
            return is_shortage(error)  # then nothing is known of the server
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        return True


def _reason_of(error: Exception) -> str:
    """In the operating system's words, where it has said something."""
    said = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(said, ConnectionError) and said.errno:
        return os.strerror(said.errno)  # asyncio puts words of its own
    if isinstance(said, OSError) and said.strerror:
        return said.strerror
    return str(error) or f"no answer within {_ATTEMPT_SECONDS:g} s"
