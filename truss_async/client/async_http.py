"""HTTP calls on the caller's own event loop, many at once.

By aiohttp: a batch makes millions of calls, and each costs a fraction of what httpx takes for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..errors import MissingExtraError
from ..timed_http import HttpAnswer, NoAnswerError, reason_of

if TYPE_CHECKING:
    import aiohttp


class AsyncHttp:
    """Connections of its own, opened with the first call; how many there are at once is the caller's business.

    Raises:
        MissingExtraError: aiohttp is not installed.
    """

    def __init__(self, *, timeout_seconds: float, trust_env: bool, headers: Mapping[str, str]) -> None:
        try:
            import aiohttp
        except ImportError:
            raise MissingExtraError("aiohttp", extra="client", purpose="calling the platform") from None
        self._aiohttp = aiohttp
        self._timeout_seconds = timeout_seconds
        self._trust_env = trust_env
        self._headers = headers
        self._session: aiohttp.ClientSession | None = None

    async def send(
        self,
        method: str,
        url: str,
        *,
        content: str | bytes | None = None,
        headers: Mapping[str, str],
        timeout_seconds: float | None = None,
    ) -> HttpAnswer:
        """The answer, from the name's resolution to the last byte within ``timeout_seconds`` or else the client's own.

        Raises:
            TimeoutError: it was not there, and read, in time.
            NoAnswerError: there is none.
        """
        seconds = self._timeout_seconds if timeout_seconds is None else timeout_seconds
        asking = self._opened().request(
            method,
            url,
            data=content,
            headers=headers,
            timeout=self._aiohttp.ClientTimeout(total=seconds),
            allow_redirects=False,
        )
        try:
            async with asking as answer:
                return HttpAnswer(answer.status, await answer.read(), answer.headers)
        except asyncio.TimeoutError:
            raise TimeoutError(f"no answer within {seconds:g} s") from None
        except (self._aiohttp.ClientError, OSError, ValueError) as error:
            not_reached = (self._aiohttp.ClientConnectorError, self._aiohttp.InvalidURL)
            raise NoAnswerError(reason_of(error), was_reached=not isinstance(error, not_reached)) from None

    async def close(self) -> None:
        """Close the connections. Twice is harmless."""
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = self._aiohttp.ClientSession(
                connector=self._aiohttp.TCPConnector(limit=0),
                headers=self._headers,
                trust_env=self._trust_env,
            )
        return self._session
