"""Callers that hang up and answers that break off: told in one line each, and never taken for the whole."""

import http.client
import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import closing

import httpx
import pytest

from tests.integration.harness.raw_server import RawServer
from truss_async.clock import SYSTEM_CLOCK
from truss_async.harness.harness import Harness

KEY = {"Authorization": "Api-Key any"}
HEAD = b"Content-Type: application/json\r\n"
OPERATIONS = [
    "/production/async_predict",
    "/production/predict",
    "/production/sync/x",
    "/_harness/faults",
    "/_harness/clock",
]


@pytest.fixture(autouse=True)
def _without_tracebacks(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """The server's own log has nothing to say of what others do."""
    yield
    assert [
        record.getMessage() for record in caplog.get_records("call") if record.levelno >= logging.WARNING
    ] == []


@pytest.fixture
def raw() -> Iterator[RawServer]:
    with RawServer() as server:
        yield server


@pytest.fixture
def http_(serve: Callable[..., Harness], raw: RawServer) -> Iterator[httpx.Client]:
    harness = serve(model_url=raw.url)
    harness.wait_ready(timeout_seconds=30)  # it is asked for something first, and is to answer that well
    with httpx.Client(base_url=harness.url, headers=KEY, timeout=30) as client:
        yield client


@pytest.mark.parametrize("path", OPERATIONS)
@pytest.mark.parametrize("framing", ["Content-Length: 1000", "Transfer-Encoding: chunked"])
def test_a_caller_that_hangs_up_in_its_body_is_one_line(
    harness: Harness, reports: list[str], path: str, framing: str
) -> None:
    address = httpx.URL(harness.url)
    before = len(reports)
    for part in (b"", b"1\r\n{\r\n", b"{"):
        with socket.create_connection((address.host, address.port or 0), timeout=30) as connection:
            connection.sendall(
                f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Api-Key k\r\n{framing}\r\n\r\n".encode()
            )
            connection.sendall(part)
    wait_until(lambda: len(lines(reports, "disconnected", since=before)) >= 3)
    assert httpx.post(f"{harness.url}/production/predict", json=1, headers=KEY).status_code == 200
    assert len(lines(reports, "disconnected", since=before)) == 3


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        pytest.param(
            b"HTTP/1.1 999 Odd\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}",
            "status 999",
            id="status 999",
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nConnection: close\r\nX-A: a\x01b\r\nContent-Length: 2\r\n\r\n{}",
            "",
            id="a control byte",
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nConnection: close\r\nX-A: a\x7fb\r\nContent-Length: 2\r\n\r\n{}",
            "",
            id="a DEL",
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nConnection: close\r\nX A: b\r\nContent-Length: 2\r\n\r\n{}",
            "",
            id="a space in a name",
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nConnection: close\r\nX@A: b\r\nContent-Length: 2\r\n\r\n{}",
            "",
            id="a name that is none",
        ),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\n{}", "", id="a size in words"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\n{}", "", id="a size below nothing"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{", "", id="cut in a body of known size"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Le", "", id="cut in the headers"),
        pytest.param(b"", "", id="nothing"),
        pytest.param(b"SSH-2.0-OpenSSH_9.6\r\n", "", id="no HTTP"),
        pytest.param(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n", "", id="large headers"),
        pytest.param(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", "", id="101"
        ),
    ],
)
@pytest.mark.parametrize("path", ["/production/predict", "/production/sync/x"])
def test_an_answer_that_is_none_is_a_502(
    http_: httpx.Client, raw: RawServer, answer: bytes, reason: str, path: str
) -> None:
    raw.answer = answer
    told = http_.post(path, json={})
    assert (told.status_code, told.json()["error_code"]) == (502, "model_unavailable")
    assert reason in told.json()["error"]
    raw.answer = RawServer.GOOD
    assert http_.post(path, json={}).status_code == 200


@pytest.mark.parametrize(
    "start",
    [
        pytest.param(b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", id="between chunks"),
        pytest.param(b"Transfer-Encoding: chunked\r\n\r\n5\r\nhel", id="in a chunk"),
        pytest.param(b"Content-Length: 3000000\r\n\r\nhello", id="in a body too large to wait for"),
    ],
)
def test_an_answer_that_breaks_off_breaks_off_for_the_caller_too(
    http_: httpx.Client, raw: RawServer, reports: list[str], start: bytes
) -> None:
    raw.answer = b"HTTP/1.1 200 OK\r\n" + HEAD + start
    with closing(
        http.client.HTTPConnection(http_.base_url.host, http_.base_url.port or 80, timeout=30)
    ) as connection:
        connection.request("POST", "/production/predict", b"{}", KEY)
        with pytest.raises(http.client.IncompleteRead):
            connection.getresponse().read()
    wait_until(lambda: bool(lines(reports, "was cut off")))
    raw.answer = RawServer.GOOD
    assert http_.post("/production/predict", json={}).status_code == 200
    assert len(lines(reports, "was cut off")) == 1


@pytest.mark.parametrize(
    ("answer", "status", "body"),
    [
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
        (b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", 204, b""),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: x\r\n\r\n", 304, b""),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, b"ok"),
        (b"HTTP/1.0 200 OK\r\n\r\nto the end", 200, b"to the end"),
        (b"HTTP/1.1 599 Odd\r\nContent-Length: 2\r\n\r\nok", 599, b"ok"),
    ],
)
def test_odd_answers_that_are_whole_pass(
    http_: httpx.Client, raw: RawServer, answer: bytes, status: int, body: bytes
) -> None:
    head, end, rest = answer.rpartition(b"\r\n\r\n")
    raw.answer = head + b"\r\nConnection: close" + end + rest
    for _ in range(3):
        told = http_.post("/production/predict", json={})
        assert (told.status_code, told.content) == (status, body)


def lines(reports: list[str], part: str, *, since: int = 0) -> list[str]:
    return [line for line in reports[since:] if part in line]


def wait_until(condition: Callable[[], bool]) -> None:
    for _ in range(1000):
        if condition():
            return
        SYSTEM_CLOCK.block(0.01)
    pytest.fail("not within 10 s")


@pytest.mark.parametrize("length", [b"", b"Content-Length: 0\r\n"])
def test_an_answer_without_a_body_is_an_output_of_null(
    http_: httpx.Client, raw: RawServer, length: bytes
) -> None:
    raw.answer = b"HTTP/1.1 204 No Content\r\n" + length + b"\r\n"
    request_id = http_.post("/production/async_predict", json={"model_input": 1}).json()["request_id"]
    wait_until(
        lambda: http_.get(f"/async_request/{request_id}").json()["status"] not in ("QUEUED", "IN_PROGRESS")
    )
    assert http_.get(f"/async_request/{request_id}").json()["status"] == "SUCCEEDED"
