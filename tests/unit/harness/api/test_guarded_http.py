"""What a caller may send before anybody looks at it: told early where it ends, and never kept."""

import asyncio
import contextlib
import json
import socket
from collections.abc import Iterator

import pytest
import uvicorn
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from truss_async.harness.api.guarded_http import (
    MAX_HEAD_BYTES,
    MAX_HEADERS,
    MAX_URL_BYTES,
    GuardedHttp,
)
from truss_async.harness.api.prompt_server import PromptServer
from truss_async.harness.running import LoopThread, bind


class Impatient(GuardedHttp):
    head_seconds = 0.1


async def count(scope: Scope, receive: Receive, send: Send) -> None:
    with contextlib.suppress(ClientDisconnect):
        body = await Request(scope, receive).body()
        await Response(str(len(body)))(scope, receive, send)


@contextlib.contextmanager
def serving(protocol: type[GuardedHttp]) -> Iterator[tuple[str, int]]:
    listening = bind("127.0.0.1", 0)
    thread = LoopThread("server", report=print)

    async def begin(parts: contextlib.AsyncExitStack) -> list[asyncio.Task[None]]:
        config = uvicorn.Config(count, http=protocol, ws="none", lifespan="off", log_config=None)
        server = PromptServer(config)
        serving = asyncio.ensure_future(server.serve(sockets=[listening]))

        async def stop() -> None:
            server.stop()
            await serving

        parts.push_async_callback(stop)
        return [serving]

    thread.start(begin)
    yield listening.getsockname()
    thread.stop()


@pytest.fixture(scope="module")
def address() -> Iterator[tuple[str, int]]:
    with serving(GuardedHttp) as address:
        yield address


def answer_to(address: tuple[str, int], *parts: bytes) -> bytes:
    """What comes back, to its end; a server that does not read on is no failure."""
    with socket.create_connection(address, timeout=20) as connection:
        with contextlib.suppress(ConnectionError):
            for part in parts:
                connection.sendall(part)
        received = b""
        with contextlib.suppress(ConnectionResetError):
            while part := connection.recv(65536):
                received += part
        return received


GET = b"GET / HTTP/1.1\r\nHost: x\r\n"
CLOSE = b"Connection: close\r\n\r\n"


@pytest.mark.parametrize(
    ("parts", "status"),
    [
        pytest.param([b"GET / HTTP/1.1\r\nHost: ", b"h" * 1_000_000, b"\r\n\r\n"], 431, id="long host"),
        pytest.param([GET, *[b"x" * 65536] * 20], 431, id="a header name without end"),
        pytest.param([GET, b"X: ", *[b"x" * 65536] * 20], 431, id="a header value without end"),
        pytest.param([GET, *[b"X: y\r\n" * 1000] * 40], 431, id="headers without end"),
        pytest.param([GET, b"X: y\r\n" * MAX_HEADERS, CLOSE], 431, id="one header too many"),
        pytest.param([GET, b"X: y\r\n" * (MAX_HEADERS - 2), CLOSE], 200, id="many headers"),
        pytest.param([GET, b"X: ", b"y" * (MAX_HEAD_BYTES - 100), b"\r\n", CLOSE], 200, id="large headers"),
        pytest.param([GET, b"X: ", b"y" * MAX_HEAD_BYTES, b"\r\n", CLOSE], 431, id="too large headers"),
        pytest.param([b"GET /", *[b"u" * 65536] * 20], 414, id="a URL without end"),
        pytest.param([b"GET /", b"u" * (MAX_URL_BYTES - 1), b" HTTP/1.1\r\n", CLOSE], 200, id="a long URL"),
        pytest.param([b"GET /", b"u" * MAX_URL_BYTES, b" HTTP/1.1\r\n", CLOSE], 414, id="too long a URL"),
        pytest.param([b"M" * 200_000], 400, id="a method without end"),
        pytest.param([b"\x16\x03\x01\x02\x00\x01\x00"], 400, id="TLS"),
        pytest.param([b"GET http://[ HTTP/1.1\r\nHost: x\r\n\r\n"], 400, id="a URL that is none"),
    ],
)
def test_more_than_a_call_needs_is_refused_as_soon_as_it_comes(
    address: tuple[str, int], parts: list[bytes], status: int
) -> None:
    answer = answer_to(address, *parts)
    assert answer.startswith(b"HTTP/1.1 %d " % status), answer[:200]
    if status != 200:
        head, _, body = answer.partition(b"\r\n\r\n")
        assert b"x-baseten-request-id: " in head
        assert set(json.loads(body)) == {"error", "error_code"}


@pytest.mark.parametrize(
    "endless",
    [
        pytest.param(b"0\r\nX: " + b"y" * 200_000, id="trailer"),
        pytest.param(b"0\r\n" + b"X: y\r\n" * 40_000, id="trailers"),
        pytest.param(b"1;" + b"e" * 200_000, id="chunk extension"),
    ],
)
def test_what_stands_round_the_chunks_of_a_body_is_bounded_too(
    address: tuple[str, int], endless: bytes
) -> None:
    head = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert b"200 OK" not in answer_to(address, head, b"5\r\nhello\r\n", endless)


def test_a_large_body_is_no_large_head(address: tuple[str, int]) -> None:
    size = 3_000_000
    plain = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n" % size
    assert answer_to(address, plain + CLOSE + b"x" * size).endswith(b"\r\n\r\n%d" % size)
    chunked = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
    assert answer_to(address, chunked + CLOSE, b"1\r\nx\r\n" * 100_000, b"0\r\n\r\n").endswith(b"100000")


def test_calls_on_one_connection_are_counted_apart(address: tuple[str, int]) -> None:
    call = GET + b"X: " + b"y" * 30_000 + b"\r\n"
    answer = answer_to(address, *[call + b"\r\n"] * 9, call + CLOSE)
    assert answer.count(b"HTTP/1.1 200 OK") == 10


def test_large_headers_are_refused_when_they_come_with_the_call_before_too(address: tuple[str, int]) -> None:
    answer = answer_to(address, GET + b"\r\n" + GET + b"X: " + b"y" * MAX_HEAD_BYTES + b"\r\n" + CLOSE)
    assert answer.count(b"HTTP/1.1 200 OK") <= 1
    assert b" 200 OK" not in answer.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize(
    ("sent", "answered"),
    [(b"", b""), (b"GET / HT", b"408"), (GET, b"408"), (GET + b"\r\n" + GET, b"408")],
    ids=["nothing", "half a line", "no end", "the second has no end"],
)
def test_headers_that_do_not_come_are_not_waited_for(sent: bytes, answered: bytes) -> None:
    with serving(Impatient) as address:
        answer = answer_to(address, sent)
    assert answered in answer
    assert bool(answer) == bool(answered)
    assert answer.count(b"200 OK") == (sent.count(b"Host") - 1 if sent.count(b"Host") else 0)
