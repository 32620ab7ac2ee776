"""Results that a ``listen --relay`` hands over as they come, to who has no public address."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlsplit

from ...clock import within
from ...contract.webhook_urls import is_loopback
from ...errors import ApiError, ApiKeyRefusedError, InvalidResultError, MissingExtraError, UnansweredError
from ...pasted import as_api_key
from ...stores.result_objects import parse_result
from ...timed_http import reason_of
from ..calls import checked_url
from .events import EventReader, EventTooLargeError
from .verdicts import DAMAGED, Failure, failure_of

if TYPE_CHECKING:
    import aiohttp

    from ...clock import Clock
    from ...contract import AsyncPredictResult
    from .flow import Flow
    from .open_requests import OpenRequest

AT_ONCE: Final = 64
"""Connections at one time; a relay has room for some more, of others."""
_TURN_SECONDS: Final = 15.0
# What is kept comes at once.
_LOOK_SECONDS: Final = 1.0
_CONNECT_SECONDS: Final = 10.0
# The relay says that it is there every ten.
_SILENT_SECONDS: Final = 30.0
_FIRST_PAUSE_SECONDS: Final = 0.1
_PAUSE_FACTOR: Final = 2.0
_LONGEST_PAUSE_SECONDS: Final = 10.0
_EVENT: Final = "result"


class RelaySource:
    """Waits for each open request, so many at once and by turns: one that takes long keeps no other from its result.

    A connection that breaks is made anew, after longer and longer pauses; a relay that was started again has what it has
    kept.
    """

    # It may be starting again.
    grace_seconds = 60.0
    errors_are_final = True
    is_pushed = True

    def __init__(self, url: str, *, key: str | None, clock: Clock, at_once: int = AT_ONCE) -> None:
        try:
            import aiohttp
        except ImportError:
            raise MissingExtraError("aiohttp", extra="client", purpose="waiting at a relay") from None
        self._aiohttp = aiohttp
        self.url = checked_url(url)
        self.name = f"the relay {self.url}"
        self._headers = {} if key is None else {"Authorization": f"Api-Key {as_api_key(key)}"}
        self._clock = clock
        self._at_once = at_once
        self._seats = asyncio.Semaphore(at_once)
        self._session: aiohttp.ClientSession | None = None
        self._waits: set[asyncio.Task[None]] = set()
        self._is_checked = False

    async def check(self) -> None:
        """Find out whether there is a relay, and takes the key, before anything is submitted that it should bring.

        Raises:
            ApiError: it is none, or it does not answer.
        """
        if self._is_checked:
            return
        try:
            async with self._get("/results") as answer:
                self._check_status(answer.status)
        except (self._aiohttp.ClientError, OSError, asyncio.TimeoutError) as error:
            raise UnansweredError(
                f"no answer from {self.name}: {reason_of(error)}; start it with `truss-async listen --relay`",
                may_have_arrived=False,
            ) from None
        self._is_checked = True

    def feed(self, flow: Flow) -> None:
        """Bring it the results of its requests, as they are opened."""
        flow.on_open = lambda request: self._begin(request, flow)

    async def look(self, request_id: str) -> AsyncPredictResult | None:
        """What it has kept already: for who does not wait for what comes.

        Raises:
            ApiError: it refuses the key, or nobody answers.
        """
        try:
            async with self._seats:
                return await self._turn(request_id, seconds=_LOOK_SECONDS)
        except (self._aiohttp.ClientError, OSError, asyncio.TimeoutError, EventTooLargeError) as error:
            raise UnansweredError(
                f"{self.name} does not answer: {reason_of(error)}", may_have_arrived=False
            ) from None

    async def close(self) -> None:
        """Wait no more, and close the connections."""
        waits = list(self._waits)
        for each in waits:
            each.cancel()
        await asyncio.gather(*waits, return_exceptions=True)
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()

    def _begin(self, request: OpenRequest, flow: Flow) -> None:
        wait = asyncio.get_running_loop().create_task(self._wait(request, flow))
        self._waits.add(wait)
        wait.add_done_callback(self._waits.discard)

    async def _wait(self, request: OpenRequest, flow: Flow) -> None:
        pause = _FIRST_PAUSE_SECONDS
        while flow.open.find(request.request_id) is request:
            began = self._clock.monotonic()
            try:
                async with self._seats:
                    result = await self._turn(request.request_id, seconds=_TURN_SECONDS)
            except InvalidResultError as error:
                await flow.settle(request, Failure(DAMAGED, str(error)))
                return
            except ApiKeyRefusedError as error:
                flow.stop_with(error)
                return
            except ApiError as error:  # what stands before it answers in its place, say, while it starts
                flow.note = str(error)
            except (self._aiohttp.ClientError, OSError, asyncio.TimeoutError, EventTooLargeError) as error:
                flow.note = f"{self.name} does not answer: {reason_of(error)}"
            else:
                if result is not None:
                    flow.note = ""
                    flow.open.settled(request)
                    await flow.settle(request, failure_of(result.errors) if result.errors else result)
                    return
            if self._clock.monotonic() - began > _LONGEST_PAUSE_SECONDS:
                pause = _FIRST_PAUSE_SECONDS  # it was there for a while
            await self._clock.sleep(pause)
            pause = min(pause * _PAUSE_FACTOR, _LONGEST_PAUSE_SECONDS)

    async def _turn(self, request_id: str, *, seconds: float) -> AsyncPredictResult | None:
        """The result; None when the turn is over, or the relay has ended it."""
        async with self._get(f"/results/{quote(request_id, safe='')}") as answer:
            self._check_status(answer.status)
            try:
                return await within(seconds, self._read(answer, request_id), clock=self._clock)
            except TimeoutError:
                return None

    async def _read(self, answer: aiohttp.ClientResponse, request_id: str) -> AsyncPredictResult | None:
        reader = EventReader()
        async for piece in answer.content.iter_any():
            for name, data in reader.feed(piece):
                if name == _EVENT:
                    return parse_result(data, request_id=request_id, url=self.name)
        return None

    def _get(self, path: str) -> aiohttp.client._RequestContextManager:
        if self._session is None:
            self._session = self._aiohttp.ClientSession(
                # Whom it trusts is looked up now, SSL_CERT_FILE included, and not when aiohttp was loaded.
                connector=self._aiohttp.TCPConnector(limit=0, ssl=ssl.create_default_context()),
                headers=self._headers,
                trust_env=not is_loopback(urlsplit(self.url).hostname or ""),
            )
        timeout = self._aiohttp.ClientTimeout(
            total=None, sock_connect=_CONNECT_SECONDS, sock_read=_SILENT_SECONDS
        )
        return self._session.get(f"{self.url}{path}", timeout=timeout, allow_redirects=False)

    def _check_status(self, status: int) -> None:
        if status in (200, 204):
            return
        if status in (401, 403):
            raise ApiKeyRefusedError(
                f"{self.name} refuses the key ({status}): give relay_key=…, or --relay-key, the same as that of listen",
                status_code=status,
            )
        if status in (429, 502, 503, 504):
            raise ApiError(f"{self.name} has no room now ({status})", status_code=status)
        raise ApiError(
            f"{self.url} is no relay (it answered {status}): start it with `truss-async listen --relay`",
            status_code=status,
        )
