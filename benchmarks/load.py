"""The load: requests over a fixed number of connections, and a receiver that knows when each webhook came."""

import asyncio
import json
import statistics
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from urllib.parse import urlsplit

import httptools

from truss_async.contract.headers import WEBHOOK_REQUEST_ID

_REQUEST_ID = WEBHOOK_REQUEST_ID.lower().encode()
WARM_UP = 5
HEADERS = {"Authorization": "Api-Key k", "Content-Type": "application/json"}


@dataclass(frozen=True)
class Load:
    """What a load came to: requests a second, and how long one took, in milliseconds."""

    per_second: float
    p50_ms: float
    p99_ms: float


def load_of(seconds: list[float], *, elapsed: float) -> Load:
    """The load that so many requests, which took so long each, came to."""
    milliseconds = sorted(1000 * each for each in seconds)
    return Load(
        len(seconds) / elapsed,
        statistics.median(milliseconds),
        milliseconds[int(len(milliseconds) * 0.99)],
    )


class Caller(asyncio.Protocol):
    """One connection that stays, on which one POST of the same body follows another.

    As lean as it can be: what it takes would hide how fast the server is.
    """

    def __init__(self, url: str, body: bytes) -> None:
        self._url = urlsplit(url)
        head = {"Host": self._url.netloc, **HEADERS, "Content-Length": str(len(body))}
        lines = [f"POST {self._url.path} HTTP/1.1", *(f"{name}: {value}" for name, value in head.items())]
        self._request = "\r\n".join([*lines, "", ""]).encode() + body
        self._parser = httptools.HttpResponseParser(self)
        self._answer: asyncio.Future[bytes] | None = None
        self._parts: list[bytes] = []

    async def __aenter__(self) -> "Caller":
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_connection(
            lambda: self, self._url.hostname or "", self._url.port or 80
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        self._transport.close()

    def post(self) -> asyncio.Future[bytes]:
        """Send it; what is awaited is the body of the answer, a RuntimeError if that is no success."""
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(self._request)
        return self._answer

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(RuntimeError(f"{self._url.geturl()} hung up: {exc}"))

    def on_body(self, part: bytes) -> None:
        self._parts.append(part)

    def on_message_complete(self) -> None:
        body, self._parts = b"".join(self._parts), []
        status = self._parser.get_status_code()
        if status in (200, 201):
            self._end(body)
        else:
            self._end(
                RuntimeError(f"{self._url.geturl()} answered {status}: {body.decode(errors='replace')}")
            )

    def _end(self, outcome: bytes | RuntimeError) -> None:
        answer, self._answer = self._answer, None
        if answer is None or answer.done():
            return
        if isinstance(outcome, bytes):
            answer.set_result(outcome)
        else:
            answer.set_exception(outcome)


async def post_many(url: str, body: bytes, *, count: int, connections: int) -> Load:
    """POST the body so many times; every answer must be a success."""
    left = iter(range(count))
    taken: list[float] = []

    async def call(caller: Caller) -> None:
        for _ in left:
            started = time.perf_counter()
            await caller.post()
            taken.append(time.perf_counter() - started)

    async with AsyncExitStack() as stack:
        callers = [await stack.enter_async_context(Caller(url, body)) for _ in range(connections)]
        started = time.perf_counter()
        await asyncio.gather(*map(call, callers))
        return load_of(taken, elapsed=time.perf_counter() - started)


async def post_calmly(
    url: str, body: bytes, *, count: int, per_second: int, receiver: "Receiver | None" = None
) -> Load:
    """POST the body so many times at a steady pace; measured until the answer, or with a receiver until the webhook, of each.

    The first few warm up.
    """
    sent: dict[str, float] = {}
    answered: dict[str, float] = {}
    begun = time.perf_counter()
    async with Caller(url, body) as caller:
        for number in range(WARM_UP + count):
            await asyncio.sleep(max(0.0, begun + number / per_second - time.perf_counter()))
            started = time.perf_counter()
            answer = await caller.post()
            ended = time.perf_counter()
            request_id = json.loads(answer)["request_id"]
            sent[request_id], answered[request_id] = started, ended
        if receiver is not None:
            await receiver.wait_for(WARM_UP + count, timeout_seconds=30)
            answered = receiver.arrived
    taken = [answered[request_id] - started for request_id, started in sent.items()][WARM_UP:]
    return load_of(taken, elapsed=time.perf_counter() - begun)


class Receiver:
    """A webhook endpoint that acknowledges, and keeps when each request's first webhook came.

    As lean as it can be: what it takes would count as the harness's.
    """

    def __init__(self) -> None:
        self.arrived: dict[str, float] = {}
        self.changed = asyncio.Event()

    async def __aenter__(self) -> "Receiver":
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def wait_for(self, count: int, *, timeout_seconds: float) -> None:
        """Wait until so many requests have had their webhook."""

        async def enough() -> None:
            while len(self.arrived) < count:
                self.changed.clear()
                await self.changed.wait()

        await asyncio.wait_for(enough(), timeout_seconds)


class _Connection(asyncio.Protocol):
    """One connection to the receiver, on which one webhook follows another."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._parser = httptools.HttpRequestParser(self)
        self._request_id = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == _REQUEST_ID:
            self._request_id = value.decode()

    def on_message_complete(self) -> None:
        self._receiver.arrived.setdefault(self._request_id, time.perf_counter())
        self._receiver.changed.set()
        if isinstance(self._transport, asyncio.WriteTransport):
            self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
