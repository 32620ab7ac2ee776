"""The receiver's HTTP: bodies framed in any way, senders that are slow, wrong or gone, over real sockets."""

from __future__ import annotations

import http.client
import io
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from truss_async.clock import SYSTEM_CLOCK
from truss_async.webhooks import http_server
from truss_async.webhooks.http_bodies import BadRequestError, CutOffError, read_chunked
from truss_async.webhooks.http_server import Answer, HttpServer, Request

LIMIT = 10_000
DEADLINE_SECONDS = 30


class Endpoint:
    """A server that answers how long the body was, and remembers what came."""

    def __init__(self, **options: Any) -> None:
        self.requests: list[Request] = []
        self._server = HttpServer("127.0.0.1", 0, handle=self._take, max_body_bytes=LIMIT, **options)
        parts = urlsplit(self._server.url)
        self.address = (parts.hostname or "", parts.port or 0)

    def _take(self, request: Request) -> Answer:
        self.requests.append(request)
        return Answer(200, {"size": len(request.body)})

    def __enter__(self) -> Endpoint:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop()

    @contextmanager
    def connected(self) -> Iterator[socket.socket]:
        with socket.create_connection(self.address, timeout=DEADLINE_SECONDS) as connection:
            yield connection

    def exchange(self, *pieces: bytes) -> bytes:
        """Send one after the other, and read until it hangs up."""
        with self.connected() as connection:
            for piece in pieces:
                connection.sendall(piece)
            connection.shutdown(socket.SHUT_WR)
            return read_to_the_end(connection)


def read_to_the_end(connection: socket.socket) -> bytes:
    answer = b""
    while piece := connection.recv(65536):
        answer += piece
    return answer


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1]) if answer else 0


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Endpoint]:
    with Endpoint() as endpoint:
        yield endpoint


HEAD = b"POST /hook HTTP/1.1\r\nHost: x\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
AND_GOES = b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n"

token = st.text("abcXYZ019-", min_size=1, max_size=8)


@st.composite
def framings(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """A body, and the same in chunks: of any length, with extensions and trailers, as RFC 9112 allows."""
    pieces = draw(st.lists(st.binary(min_size=1, max_size=40), max_size=8))
    framed = b""
    for piece in pieces:
        digits = f"{len(piece):{draw(st.sampled_from(['x', 'X', '04x', '016X']))}}"
        extension = draw(st.sampled_from(["", ";a", ";name=value", ' ; quoted="a;b"', "\t;x=1;y"]))
        framed += f"{digits}{extension}\r\n".encode() + piece + b"\r\n"
    framed += draw(st.sampled_from([b"0", b"000", b"0;last"])) + b"\r\n"
    for name in draw(st.lists(token, max_size=3)):
        framed += f"{name}: {draw(token)}\r\n".encode()
    return b"".join(pieces), framed + b"\r\n"


def read_from(framed: bytes, *, limit: int = LIMIT) -> tuple[bytes, bytes]:
    """The body, and what was left unread."""
    file = io.BufferedReader(io.BytesIO(framed))
    return read_chunked(file, limit=limit), file.read()


@given(framings(), st.binary(max_size=20))
def test_a_body_in_chunks_is_read_as_it_is_and_no_further(
    framing: tuple[bytes, bytes], following: bytes
) -> None:
    body, framed = framing
    assert read_from(framed + following) == (body, following)


@given(framings(), st.data())
def test_a_body_that_is_cut_off_is_never_taken_for_whole(
    framing: tuple[bytes, bytes], data: st.DataObject
) -> None:
    framed = framing[1]
    cut = framed[: data.draw(st.integers(0, len(framed) - 1))]
    with pytest.raises((CutOffError, BadRequestError)):
        read_from(cut)


@given(st.binary(max_size=200) | framings().map(lambda framing: framing[1]), st.data())
def test_whatever_comes_instead_of_chunks_gets_a_verdict(framed: bytes, data: st.DataObject) -> None:
    bent = bytearray(framed)
    for _ in range(data.draw(st.integers(0, 3)) if framed else 0):
        bent[data.draw(st.integers(0, len(framed) - 1))] = data.draw(st.integers(0, 255))
    try:
        body, _ = read_from(bytes(bent), limit=100)
    except (BadRequestError, CutOffError):
        return
    assert len(body) <= 100


@settings(max_examples=40)
@given(framing=framings(), data=st.data())
def test_chunks_arrive_in_any_pieces(
    endpoint: Endpoint, framing: tuple[bytes, bytes], data: st.DataObject
) -> None:
    body, framed = framing
    sent = CHUNKED + framed + AND_GOES
    cuts = sorted(data.draw(st.lists(st.integers(0, len(sent)), max_size=6)))
    pieces = [sent[start:end] for start, end in zip([0, *cuts], [*cuts, len(sent)], strict=True)]
    answer = endpoint.exchange(*pieces)
    assert status_of(answer) == 200
    assert endpoint.requests[-1].body == body
    assert b"405 Method Not Allowed" in answer, "what follows the body is the next request"


@pytest.mark.parametrize(
    ("framed", "status"),
    [
        (b"5\r\nhello\r\n", 0),
        (b"5\r\nhel", 0),
        (b"", 0),
        (b"5", 400),
        (b"5\nhello\r\n0\r\n\r\n", 400),
        (b"5\r\nhello!\r\n0\r\n\r\n", 400),
        (b"5\r\nhell\r\n0\r\n\r\n", 400),
        (b"-5\r\nhello\r\n0\r\n\r\n", 400),
        (b"+5\r\nhello\r\n0\r\n\r\n", 400),
        (b"0x5\r\nhello\r\n0\r\n\r\n", 400),
        (b" 5\r\nhello\r\n0\r\n\r\n", 400),
        (b"5_0\r\nhello\r\n0\r\n\r\n", 400),
        (b"five\r\nhello\r\n0\r\n\r\n", 400),
        (b"\r\nhello\r\n0\r\n\r\n", 400),
        (b";a=b\r\nhello\r\n0\r\n\r\n", 400),
        (b"5;" + b"a" * 5000 + b"\r\nhello\r\n0\r\n\r\n", 400),
        (b"f" * 17 + b"\r\n", 400),
        (b"f" * 16 + b"\r\n", 413),
        (b"2711\r\n", 413),
        (b"2710\r\n" + b"x" * 10_000 + b"\r\n1\r\nx\r\n0\r\n\r\n", 413),
        (b"0\r\n" + b"X: y\r\n" * 20_000 + b"\r\n", 431),
        (b"0\r\n" + b"X" * 70_000 + b"\r\n\r\n", 431),
    ],
)
def test_chunks_that_are_none_are_refused_and_nothing_is_handled(
    endpoint: Endpoint, framed: bytes, status: int
) -> None:
    before = len(endpoint.requests)
    assert status_of(endpoint.exchange(CHUNKED, framed)) == status
    assert len(endpoint.requests) == before


@pytest.mark.parametrize(
    "head",
    [
        b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: identity\r\nContent-Length: 0\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
)
def test_a_framing_that_two_could_read_in_two_ways_is_refused(endpoint: Endpoint, head: bytes) -> None:
    before = len(endpoint.requests)
    assert status_of(endpoint.exchange(head, b"0\r\n\r\n")) == 400
    assert len(endpoint.requests) == before


@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_sender_of_too_much_gets_to_read_why(is_chunked: bool) -> None:
    with Endpoint() as endpoint, closing(http.client.HTTPConnection(*endpoint.address, timeout=30)) as sender:
        pieces = [b"x" * 1_000_000] * 20
        headers = {} if is_chunked else {"Content-Length": "20000000"}
        sender.request("POST", "/", iter(pieces), headers, encode_chunked=is_chunked)
        answer = sender.getresponse()
        assert (answer.status, json.loads(answer.read())) == (413, {"error": "the body exceeds 10000 bytes"})


def test_a_body_is_asked_for_only_when_it_will_be_taken(endpoint: Endpoint) -> None:
    expecting = HEAD + b"Expect: 100-continue\r\n"
    for framing, body in [(b"Content-Length: 2", b"{}"), (b"Transfer-Encoding: chunked", b"0\r\n\r\n")]:
        with endpoint.connected() as connection:
            connection.sendall(expecting + framing + b"\r\n\r\n")
            assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
            connection.sendall(body)
            assert status_of(connection.recv(65536)) == 200
    for framing in (b"Content-Length: 10001", b"Content-Length: x", b"X: y"):
        answer = endpoint.exchange(expecting + framing + b"\r\n\r\n")
        assert status_of(answer) in (400, 411, 413)


@pytest.mark.parametrize(
    "begun",
    [
        b"P",
        HEAD,
        HEAD + b"Content-Length: 50\r\n\r\n",
        HEAD + b"Content-Length: 50\r\n\r\n{",
        CHUNKED,
        CHUNKED + b"5\r\nhe",
        CHUNKED + b"2\r\n{}\r\n0\r\nX: y\r\n",
    ],
)
@pytest.mark.parametrize("drip", [b"", b"X"])
def test_a_request_that_does_not_arrive_in_time_is_answered_so_however_it_drips(
    begun: bytes, drip: bytes
) -> None:
    with Endpoint(request_seconds=0.3) as endpoint, endpoint.connected() as connection:
        ended = threading.Event()

        def drip_on() -> None:
            connection.sendall(begun)
            while drip and not ended.wait(0.02):
                try:
                    connection.sendall(drip)
                except OSError:
                    return

        dripping = threading.Thread(target=drip_on)
        dripping.start()
        answer = connection.recv(65536)
        ended.set()
        dripping.join()
    assert status_of(answer) in ((408,) if not drip else (408, 400))
    assert endpoint.requests == []


def test_a_slow_sender_delays_nobody_else() -> None:
    with Endpoint() as endpoint, ExitStack() as slow:
        for _ in range(20):
            slow.enter_context(endpoint.connected()).sendall(b"POST / HTTP/1.1\r\nContent-")
        assert status_of(endpoint.exchange(CHUNKED, b"2\r\n{}\r\n0\r\n\r\n")) == 200


def test_an_idle_connection_is_closed_without_a_word() -> None:
    with Endpoint(idle_seconds=0.1) as endpoint, endpoint.connected() as connection:
        assert read_to_the_end(connection) == b""
        with endpoint.connected() as other:
            other.sendall(CHUNKED + b"0\r\n\r\n")
            assert status_of(read_to_the_end(other)) == 200


def test_stopping_waits_for_no_sender_that_drips() -> None:
    endpoint = Endpoint()
    with endpoint.connected() as connection, endpoint:
        connection.sendall(HEAD + b"Content-Length: 50\r\n\r\n{")
        with endpoint.connected() as refused:
            refused.sendall(HEAD + b"Content-Length: 20000\r\n\r\n{")
            assert status_of(refused.recv(1000)) == 413
            began = SYSTEM_CLOCK.monotonic()
            endpoint.__exit__()
            assert SYSTEM_CLOCK.monotonic() - began < 20


def test_no_more_connections_are_held_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "MAX_CONNECTIONS", 2)
    with Endpoint() as endpoint, endpoint.connected() as one, endpoint.connected() as other:
        for each in (one, other):
            each.sendall(CHUNKED + b"0\r\n\r\n")
            assert status_of(each.recv(1000)) == 200
        with endpoint.connected() as third:
            assert status_of(read_to_the_end(third)) == 503
        one.shutdown(socket.SHUT_WR)
        read_to_the_end(one)
        with endpoint.connected() as fourth:
            fourth.sendall(CHUNKED + b"0\r\n\r\n")
            assert status_of(fourth.recv(1000)) == 200


class Ending(BaseException):
    """What ends a thread that catches exceptions."""


@pytest.mark.parametrize(
    "error", [Ending(), SystemExit(), KeyboardInterrupt(), ConnectionResetError("no database")]
)
def test_whatever_a_handler_raises_is_answered_500_and_told(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(request: Request) -> Answer:
        raise error

    server = HttpServer("127.0.0.1", 0, handle=fail, max_body_bytes=LIMIT)
    server.start()
    with closing(http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=30)) as sender:
        for _ in range(2):
            sender.request("POST", "/", b"{}")
            answer = sender.getresponse()
            assert (answer.status, answer.read()) == (500, b'{"error": "the receiver failed; try again"}')
    server.stop()
    assert [record.message for record in caplog.records] == ["a webhook could not be handled"] * 2
    assert {record.exc_info[1] for record in caplog.records if record.exc_info} == {error}


def test_whatever_ends_the_accepting_of_connections_it_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    failures = [Ending(), SystemExit()]
    accept = http_server._SocketServer.get_request

    def fail_first(server: http_server._SocketServer) -> tuple[socket.socket, Any]:
        if failures:
            raise failures.pop()
        return accept(server)

    monkeypatch.setattr(http_server._SocketServer, "get_request", fail_first)
    with Endpoint() as endpoint:
        assert status_of(endpoint.exchange(CHUNKED, b"0\r\n\r\n")) == 200
    assert [record.message for record in caplog.records] == ["a connection could not be accepted"] * 2


def test_a_server_that_never_served_can_be_stopped() -> None:
    server = HttpServer("127.0.0.1", 0, handle=lambda request: Answer(200, {}), max_body_bytes=LIMIT)
    server.stop()
