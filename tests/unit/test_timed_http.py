"""HTTP calls that end in time, whatever the server does, and that say why there was no answer."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from truss_async.clock import SYSTEM_CLOCK
from truss_async.timed_http import NoAnswerError, TimedHttp

DRIPS: dict[str, tuple[bytes, bytes]] = {
    "nothing": (b"", b""),
    "a line of the header now and then": (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
    "a byte of the status line now and then": (b"HTTP/1.1 200 O", b"K"),
    "answers before the answer": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "a body that drips": (b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n", b"x"),
    "chunks that drip": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
}


@contextmanager
def serving(answer: Callable[[socket.socket, threading.Event], object]) -> Iterator[str]:
    """A server that does with each connection what it is told, until the event is set."""
    ended = threading.Event()

    def serve(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            answer(connection, ended)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listening.accept()
                threads.append(threading.Thread(target=serve, args=(connection,)))
                threads[-1].start()

    listening = socket.create_server(("127.0.0.1", 0))
    threads = [threading.Thread(target=accept)]
    threads[0].start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
    finally:
        ended.set()
        with contextlib.suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        for thread in threads:
            thread.join()


def http(seconds: float = 0.3) -> TimedHttp:
    return TimedHttp(purpose="a test", timeout_seconds=seconds, trust_env=False)


@pytest.mark.parametrize("drip", DRIPS)
def test_a_call_ends_in_time_however_the_answer_drips(drip: str) -> None:
    begun, dripping = DRIPS[drip]

    def answer(connection: socket.socket, ended: threading.Event) -> None:
        connection.recv(65536)
        connection.sendall(begun)
        while not ended.wait(0.02):
            connection.sendall(dripping)

    with serving(answer) as url, closing(http()) as client:
        began = SYSTEM_CLOCK.monotonic()
        with pytest.raises(TimeoutError, match=r"no answer within 0\.3 s"):
            client.send("POST", url, content=b"{}")
        assert SYSTEM_CLOCK.monotonic() - began < 20


def test_a_server_that_reads_nothing_is_too_slow_as_well() -> None:
    def answer(connection: socket.socket, ended: threading.Event) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        ended.wait()

    with serving(answer) as url, closing(http()) as client, pytest.raises(TimeoutError):
        client.send("POST", url, content=bytes(50_000_000))


def test_a_body_that_nobody_wants_is_not_waited_for() -> None:
    def answer(connection: socket.socket, ended: threading.Event) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 201 OK\r\nContent-Length: 9\r\n\r\n")
        ended.wait()

    with serving(answer) as url, closing(http(20)) as client:
        assert client.send("POST", url, content=b"{}", wants_body=False).status_code == 201


@pytest.mark.parametrize(
    "answered", [b"", b"HTTP/1.1 999", b"\x00\x01\r\n\r\n", b"HTTP/1.1 200 OK\r\nA: b\x00\r\n\r\n"]
)
def test_an_answer_that_is_none_is_told(answered: bytes) -> None:
    def answer(connection: socket.socket, ended: threading.Event) -> None:
        connection.recv(65536)
        connection.sendall(answered)

    with serving(answer) as url, closing(http(20)) as client, pytest.raises(NoAnswerError) as caught:
        client.send("POST", url, content=b"{}")
    assert caught.value.was_reached
    assert str(caught.value)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://127.0.0.1:1/", os.strerror(111)),
        (f"http://{'a' * 64}.example/", ""),
        ("http://a..example/", ""),
        ("http://[::1", ""),
        ("nothing", ""),
        ("http://host.invalid/", ""),
    ],
)
def test_what_cannot_be_reached_is_told(url: str, reason: str) -> None:
    with closing(http(20)) as client, pytest.raises(NoAnswerError) as caught:
        client.send("POST", url)
    assert not caught.value.was_reached
    assert str(caught.value) == (reason or str(caught.value))
    assert str(caught.value)


def test_a_connection_is_used_again() -> None:
    connections: list[int] = []

    def answer(connection: socket.socket, ended: threading.Event) -> None:
        connections.append(1)
        while connection.recv(65536):
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    with serving(answer) as url, closing(http(20)) as client:
        for _ in range(3):
            assert client.send("GET", url).body == b"ok"
    assert connections == [1]


FORKING = """
import os, sys
from truss_async.timed_http import TimedHttp
client = TimedHttp(purpose="a test", timeout_seconds=20, trust_env=False)
client.send("GET", sys.argv[1])
child = os.fork()
if child == 0:
    os._exit(len(client.send("GET", sys.argv[1]).body))
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), len(client.send("GET", sys.argv[1]).body))
client.close()
"""


def test_a_forked_process_has_connections_of_its_own() -> None:
    def answer(connection: socket.socket, ended: threading.Event) -> None:
        while connection.recv(65536):
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    with serving(answer) as url:
        command = [sys.executable, "-W", "ignore", "-c", FORKING, url]
        shown = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    assert shown == "2 2\n"


@settings(max_examples=60, deadline=None)
@given(
    st.text(max_size=40),
    st.sampled_from(["", "http:", "http://127.0.0.1:1", "http://127.0.0.1:1/", "https://[::1]:1/"]),
)
def test_whatever_the_url_is_there_is_an_answer_or_a_reason(text: str, start: str) -> None:
    url = start + (text if start.endswith("/") or not start else f"/{text}")
    with closing(http(20)) as client, pytest.raises(NoAnswerError) as caught:
        client.send("POST", url if "://" not in text else start)
    assert str(caught.value)


def answers_with_its_host(connection: socket.socket, _: threading.Event) -> None:
    asked = connection.recv(65536).decode()
    host = next(line for line in asked.split("\r\n") if line.lower().startswith("host:"))
    connection.sendall(
        f"HTTP/1.1 200 OK\r\nContent-Length: {len(host)}\r\nConnection: close\r\n\r\n{host}".encode()
    )


def test_the_address_that_is_checked_is_the_one_that_is_called_under_the_name() -> None:
    asked: list[str] = []
    with (
        serving(answers_with_its_host) as url,
        closing(
            TimedHttp(purpose="a test", timeout_seconds=20, trust_env=True, check_address=asked.append)
        ) as http,
    ):
        named = url.replace("127.0.0.1", "localhost")
        answer = http.send("GET", named)
    assert answer.body.decode().lower() == f"host: {named[7:-1]}"
    assert "127.0.0.1" in asked


def test_an_address_that_is_refused_is_never_called() -> None:
    def refuse(address: str) -> None:
        raise OSError(13, f"{address} is not for you")

    with (
        closing(
            TimedHttp(purpose="a test", timeout_seconds=20, trust_env=True, check_address=refuse)
        ) as http,
        pytest.raises(NoAnswerError, match=r"127\.0\.0\.1 is not for you") as refused,
    ):
        http.send("GET", "http://127.0.0.1:9/")
    assert not refused.value.was_reached
