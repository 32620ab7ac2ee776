"""``sync/{route}``: the model server's own routes, passed through."""

import socket
from collections.abc import Callable, Iterator

import httpx
import pytest

from tests.integration.harness.gate import Gate
from tests.integration.harness.route_server import RouteServer
from truss_async.harness.harness import Harness

KEY = {"Authorization": "Api-Key any"}


def connect(http: httpx.Client, request_line: str, *headers: str) -> socket.socket:
    """A connection on which so much of a request was sent."""
    connection = socket.create_connection((http.base_url.host, http.base_url.port or 80), timeout=30)
    head = [f"{request_line} HTTP/1.1", "Host: localhost", "Authorization: Api-Key any", *headers, "", ""]
    connection.sendall("\r\n".join(head).encode())
    return connection


@pytest.fixture
def routes() -> Iterator[RouteServer]:
    with RouteServer() as server:
        yield server


@pytest.fixture
def http(serve: Callable[..., Harness], routes: RouteServer) -> Iterator[httpx.Client]:
    harness = serve(model_url=f"{routes.url}/v1/predict")
    with httpx.Client(base_url=harness.url, headers=KEY, timeout=30) as client:
        yield client


@pytest.mark.parametrize(
    "target",
    ["/production", "/development", "/environments/production", "/deployment/local1", "/model/local", ""],
)
def test_a_route_of_every_target_reaches_the_model_server(http: httpx.Client, target: str) -> None:
    told = http.post(f"{target}/sync/v1/chat?stream=a%20b&x=1", content=b"hello").json()
    assert (told["method"], told["path"], told["body"]) == ("POST", "/v1/chat?stream=a%20b&x=1", "hello")


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_any_method_passes_with_status_and_headers_as_they_are(http: httpx.Client, method: str) -> None:
    answer = http.request(method, "/production/sync/own")
    assert (answer.status_code, answer.headers["content-type"]) == (207, "application/told+json")
    assert answer.headers.get_list("set-cookie") == ["a=1", "b=2"]
    if method != "HEAD":
        assert answer.json()["method"] == method


def test_the_path_stays_percent_encoded(http: httpx.Client) -> None:
    told = http.get("/production/sync/a%2Fb/c%3Fd/%C3%A9").json()
    assert told["path"] == "/a%2Fb/c%3Fd/%C3%A9"


def test_the_model_server_is_told_the_request_id_and_not_the_key(http: httpx.Client) -> None:
    own = [("X-Own", "é".encode().decode("latin-1")), ("traceparent", "00-1")]
    headers = httpx.Headers(own, encoding="latin-1")
    answer = http.put("/production/sync/own", content=b"x", headers=headers)
    sent = answer.json()["headers"]
    request_id = answer.headers["x-baseten-request-id"]
    assert sent["x-baseten-request-id"] == request_id
    assert sent["traceparent"].split("-")[:2] == ["00", request_id]
    assert "authorization" not in sent
    assert "content-type" not in sent
    assert sent["x-own"].encode("latin-1").decode() == "é"


def test_a_route_streams_both_ways_at_once(http: httpx.Client) -> None:
    with connect(http, "POST /production/sync/echo", "Transfer-Encoding: chunked") as connection:
        received = b""
        for word in (b"first", b"second", b"third"):
            connection.sendall(b"%x\r\n%s\r\n" % (len(word), word))
            while word not in received:
                part = connection.recv(65536)
                assert part, received
                received += part
        connection.sendall(b"0\r\n\r\n")
        while not received.endswith(b"0\r\n\r\n"):
            part = connection.recv(65536)
            assert part, received
            received += part
    assert received.startswith(b"HTTP/1.1 200 ")


def test_a_body_that_breaks_off_gives_its_slot_back(http: httpx.Client) -> None:
    with connect(http, "POST /production/sync/own", "Content-Length: 10") as connection:
        connection.sendall(b"half")
    assert http.get("/production/sync/own").status_code == 207


@pytest.mark.parametrize("operation", ["sync/own", "predict", "wake", "async_predict"])
def test_a_body_declared_over_the_edge_cap_is_413(http: httpx.Client, operation: str) -> None:
    with connect(http, f"POST /production/{operation}", "Content-Length: 100000001") as connection:
        answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"payload size of 100000001 bytes exceeds maximum size of 100000000 bytes" in answer


@pytest.mark.parametrize("operation", ["sync/own", "predict"])
def test_a_streamed_body_over_the_edge_cap_is_413(http: httpx.Client, operation: str) -> None:
    megabyte = b"x" * 1_000_000
    with http.stream("POST", f"/production/{operation}", content=(megabyte for _ in range(101))) as answer:
        assert answer.status_code == 413
        assert "exceeds maximum size of 100000000 bytes" in answer.read().decode()


def test_routes_and_sync_calls_share_the_slots(serve: Callable[..., Harness], gate: Gate) -> None:
    """A route waits while the one slot is taken, and goes before async requests."""
    harness = serve()
    with httpx.Client(base_url=harness.url, headers=KEY, timeout=30) as client:
        client.post("/production/async_predict", json={"model_input": 1})
        assert gate.entered.acquire(timeout=30)
        with pytest.raises(httpx.ReadTimeout):
            client.get("/production/sync/own", timeout=0.3)
        gate.opened.set()
        assert client.get("/production/sync/own").status_code == 200
