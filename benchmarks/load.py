"""The load: requests over a fixed number of connections, and a receiver that counts webhooks."""

import asyncio
import statistics
import time
from dataclasses import dataclass

import aiohttp
from aiohttp import web

HEADERS = {"Authorization": "Api-Key k", "Content-Type": "application/json"}


@dataclass(frozen=True)
class Load:
    """What a load came to: requests a second, and how long one took, in milliseconds."""

    per_second: float
    p50_ms: float
    p99_ms: float


async def post_many(url: str, body: bytes, *, count: int, connections: int) -> Load:
    """POST the body so many times; every answer must be a 201."""
    left = iter(range(count))
    taken: list[float] = []

    async def caller(session: aiohttp.ClientSession) -> None:
        for _ in left:
            started = time.perf_counter()
            async with session.post(url, data=body) as answer:
                await answer.read()
                if answer.status != 201:
                    raise RuntimeError(f"{url} answered {answer.status}: {await answer.text()}")
            taken.append(time.perf_counter() - started)

    connector = aiohttp.TCPConnector(limit=connections)
    async with aiohttp.ClientSession(headers=HEADERS, connector=connector) as session:
        started = time.perf_counter()
        await asyncio.gather(*(caller(session) for _ in range(connections)))
        elapsed = time.perf_counter() - started
    milliseconds = sorted(1000 * each for each in taken)
    return Load(count / elapsed, statistics.median(milliseconds), milliseconds[int(len(milliseconds) * 0.99)])


class Receiver:
    """A webhook endpoint that acknowledges and counts."""

    def __init__(self) -> None:
        self._arrived = 0
        self._changed = asyncio.Condition()

    async def __aenter__(self) -> "Receiver":
        application = web.Application()
        application.router.add_post("/", self._receive)
        self._runner = web.AppRunner(application, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}/"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def wait_for(self, count: int, *, timeout_seconds: float) -> None:
        """Wait until so many webhooks have come."""
        async with self._changed:
            await asyncio.wait_for(self._changed.wait_for(lambda: self._arrived >= count), timeout_seconds)

    async def _receive(self, request: web.Request) -> web.Response:
        await request.read()
        self._arrived += 1
        async with self._changed:
            self._changed.notify_all()
        return web.Response()
