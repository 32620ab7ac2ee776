"""The receiver over real HTTP: what it answers, what it keeps, and that it stops cleanly."""

import http.client
import json
import logging
import socket
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.unit.webhooks.conftest import Vector
from truss_async.clock import SYSTEM_CLOCK, ManualClock
from truss_async.contract import AsyncPredictAccepted
from truss_async.errors import OutputStoreError, SettingsError, WebhookReceiverError
from truss_async.webhooks import Delivery, WebhookReceiver, signature_header


@pytest.fixture
def clock(signed: Vector) -> ManualClock:
    """Time at the moment when the vectors were sent."""
    return ManualClock(signed.time)


@pytest.fixture
def receiver(signed: Vector, clock: ManualClock) -> Iterator[WebhookReceiver]:
    with WebhookReceiver(secrets=signed.secrets, clock=clock, max_body_bytes=10_000) as receiver:
        yield receiver


def connect(receiver: WebhookReceiver) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(urlsplit(receiver.url).netloc, timeout=10)


def post(
    receiver: WebhookReceiver, body: bytes, headers: dict[str, str], *, path: str = "/"
) -> tuple[int, Any]:
    connection = connect(receiver)
    try:
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def exchange(receiver: WebhookReceiver, sent: bytes) -> bytes:
    """Send raw bytes, say that no more will come, and read to the end."""
    parts = urlsplit(receiver.url)
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=10) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
        return answer


def test_a_signed_result_is_accepted_and_kept(receiver: WebhookReceiver, signed: Vector) -> None:
    assert post(receiver, signed.body, signed.headers, path="/any/path?x=1") == (200, {"status": "accepted"})
    delivery = receiver.wait_for("1" * 32, timeout_seconds=10)
    assert (delivery.verdict, delivery.accepted, delivery.body) == ("valid", True, signed.body)
    assert delivery.received_at == signed.time
    assert delivery.path == "/any/path?x=1"
    assert delivery.headers["x-baseten-signature"] == signed.signature_header
    assert delivery.result is not None
    assert delivery.result.data == {"total": 12}


def test_what_is_not_proven_is_refused_with_the_reason(receiver: WebhookReceiver, signed: Vector) -> None:
    status, answer = post(receiver, signed.body, {"X-BASETEN-REQUEST-ID": "claimed"})
    assert status == 401
    assert "missing" in answer["error"]
    (delivery,) = receiver.deliveries
    assert (delivery.accepted, delivery.result, delivery.request_id) == (False, None, "claimed")
    assert delivery.verdict == answer["error"]


def test_a_stale_result_is_refused(receiver: WebhookReceiver, signed: Vector, clock: ManualClock) -> None:
    clock.advance(301)
    status, answer = post(receiver, signed.body, signed.headers)
    assert (status, answer["error"].partition(":")[0]) == (401, "too old")


@pytest.mark.parametrize(
    ("headers", "verdict"), [({}, "unsigned"), ({"X-BASETEN-SIGNATURE": "v1=00"}, "unchecked")]
)
def test_without_secrets_nothing_is_verified(signed: Vector, headers: dict[str, str], verdict: str) -> None:
    with WebhookReceiver() as receiver:
        assert post(receiver, signed.body, headers)[0] == 200
        assert receiver.deliveries[0].verdict == verdict


@pytest.mark.parametrize(
    "headers", [{"Origin": "http://127.0.0.1"}, {"Sec-Fetch-Site": "cross-site"}, {"Host": "evil.example"}]
)
def test_without_secrets_no_page_in_a_browser_gets_anything_in(
    signed: Vector, headers: dict[str, str]
) -> None:
    handled: list[Delivery] = []
    with WebhookReceiver(on_delivery=handled.append, allow_hosts=["tunnel.example"]) as receiver:
        status, answer = post(receiver, signed.body, headers)
        assert (status, "nothing proves who sent it" in answer["error"]) == (403, True)
        assert (receiver.deliveries[0].accepted, handled[0].result) == (False, None)
        assert post(receiver, signed.body, {"Host": "tunnel.example"})[0] == 200


def test_what_is_signed_may_come_from_anywhere(receiver: WebhookReceiver, signed: Vector) -> None:
    headers = {**signed.headers, "Host": "tunnel.example", "Origin": "null"}
    assert post(receiver, signed.body, headers)[0] == 200


@pytest.mark.parametrize("secrets", [["whsec_a\n"], ['"whsec_a"'], ["", "whsec_a", " "]])
def test_secrets_are_taken_as_they_were_meant(secrets: list[str]) -> None:
    body = json.dumps({"request_id": "r", "time": SYSTEM_CLOCK.now().isoformat()}).encode()
    with WebhookReceiver(secrets=secrets) as receiver:
        assert post(receiver, body, {"X-BASETEN-SIGNATURE": signature_header(body, ["whsec_a"])})[0] == 200


async def handle_later(delivery: Delivery) -> None:
    """Nobody here awaits it."""


def test_a_handler_that_would_not_run_is_refused(signed: Vector, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(SettingsError, match="handle_later is a coroutine function"):
        WebhookReceiver(on_delivery=handle_later)  # type: ignore[arg-type]
    with WebhookReceiver(on_delivery=lambda delivery: handle_later(delivery)) as receiver:  # type: ignore[arg-type,return-value]
        assert post(receiver, signed.body, {})[0] == 500
    assert "which is not awaited here" in caplog.text


def test_a_body_that_is_no_result_is_a_bad_request() -> None:
    with WebhookReceiver() as receiver:
        status, answer = post(receiver, b"{}", {})
    assert (status, "request_id" in answer["error"]) == (400, True)


def test_the_next_answers_can_be_set_while_it_runs(receiver: WebhookReceiver, signed: Vector) -> None:
    receiver.answer_next(503)
    assert [post(receiver, signed.body, signed.headers)[0] for _ in range(2)] == [503, 200]


def test_it_waits_for_whatever_has_a_request_id(receiver: WebhookReceiver, signed: Vector) -> None:
    post(receiver, signed.body, signed.headers)
    (delivery,) = receiver.deliveries
    assert receiver.wait_for(AsyncPredictAccepted(request_id=str(delivery.request_id))) == delivery


def test_the_first_answers_can_be_scripted(signed: Vector, clock: ManualClock) -> None:
    with WebhookReceiver(secrets=signed.secrets, clock=clock, respond_with=[503, None, 204]) as receiver:
        statuses = []
        for _ in range(4):
            connection = connect(receiver)
            connection.request("POST", "/", signed.body, signed.headers)
            statuses.append(connection.getresponse().status)
            connection.close()
        assert statuses == [503, 200, 204, 200]
        assert receiver.wait_for("1" * 32) == receiver.deliveries[1]


def test_the_handler_runs_before_the_answer(signed: Vector) -> None:
    stored: list[Delivery] = []
    with WebhookReceiver(on_delivery=stored.append) as receiver:
        assert post(receiver, signed.body, {})[0] == 200
        assert [each.request_id for each in stored] == ["1" * 32]


@pytest.mark.parametrize("error", [OutputStoreError("the disk is full"), RuntimeError("a bug")])
def test_a_handler_that_fails_makes_the_sender_come_again(
    signed: Vector, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(delivery: Delivery) -> None:
        raise error

    with WebhookReceiver(on_delivery=fail) as receiver:
        assert post(receiver, signed.body, {})[0] == 500
        assert not receiver.deliveries[0].accepted
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert bool(record.exc_info) == isinstance(error, RuntimeError)


def test_one_connection_carries_many_requests(receiver: WebhookReceiver, signed: Vector) -> None:
    connection = connect(receiver)
    for _ in range(3):
        connection.request("POST", "/", signed.body, signed.headers)
        answer = connection.getresponse()
        assert (answer.status, answer.version) == (200, 11)
        answer.read()
        assert connection.sock is not None
    connection.close()
    assert len(receiver.wait_for_count(3)) == 3


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 405),
        (b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n", 405),
        (b"DELETE / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", 405),
        (b"POST / HTTP/1.1\r\nHost: x\r\n\r\n", 411),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: \xb2\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 10001\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\n" + b"X: y\r\n" * 200 + b"\r\n", 431),
        (b"POST /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n", 414),
    ],
)
def test_what_is_no_webhook_gets_its_status_and_is_not_kept(
    receiver: WebhookReceiver, sent: bytes, status: int
) -> None:
    answer = exchange(receiver, sent)
    assert b" %d " % status in answer.partition(b"\r\n")[0]
    assert receiver.deliveries == ()


@pytest.mark.parametrize("sent", [b"\x16\x03\x01 no HTTP at all\r\n\r\n", b"POST / HTTP/9.9\r\n\r\n"])
def test_what_is_no_http_ends_its_connection_alone(
    receiver: WebhookReceiver, signed: Vector, sent: bytes
) -> None:
    assert b'{"error": ' in exchange(receiver, sent)
    assert post(receiver, signed.body, signed.headers)[0] == 200


def test_a_body_that_is_cut_off_is_not_kept(receiver: WebhookReceiver) -> None:
    assert exchange(receiver, b"POST / HTTP/1.1\r\nContent-Length: 500\r\n\r\n{") == b""
    assert receiver.deliveries == ()


def test_repeated_headers_are_joined(receiver: WebhookReceiver, signed: Vector) -> None:
    head = f"Content-Length: {len(signed.body)}\r\nX-BASETEN-SIGNATURE: v1=00\r\n"
    head += f"X-BASETEN-SIGNATURE: {signed.signature_header}\r\nConnection: close\r\n\r\n"
    assert b"200 OK" in exchange(receiver, b"POST / HTTP/1.1\r\n" + head.encode() + signed.body)


def test_waiting_in_vain_ends(receiver: WebhookReceiver) -> None:
    with pytest.raises(TimeoutError, match="no accepted webhook for unknown"):
        receiver.wait_for("unknown", timeout_seconds=0.01)
    with pytest.raises(TimeoutError, match="0 webhooks instead of 1"):
        receiver.wait_for_count(1, timeout_seconds=0.01)


def test_no_more_are_remembered_than_asked_for(signed: Vector) -> None:
    with WebhookReceiver(keep=1) as receiver:
        for path in ("/first", "/second"):
            assert post(receiver, signed.body, {}, path=path)[0] == 200
        assert [each.path for each in receiver.deliveries] == ["/second"]


def test_a_port_in_use_fails_at_start(receiver: WebhookReceiver) -> None:
    port = urlsplit(receiver.url).port or 0
    with pytest.raises(
        WebhookReceiverError, match=f"cannot listen on 127.0.0.1:{port}: .*choose another port"
    ):
        WebhookReceiver(port=port).start()


def test_an_ipv6_address_can_be_listened_on(signed: Vector) -> None:
    with WebhookReceiver(host="::1") as receiver:
        assert receiver.url.startswith("http://[::1]:")
        assert post(receiver, signed.body, {})[0] == 200


def test_stop_ends_every_thread_and_idle_connection(signed: Vector) -> None:
    before = set(threading.enumerate())
    receiver = WebhookReceiver()
    receiver.start()
    idle = [connect(receiver) for _ in range(3)]
    for connection in idle:
        connection.request("POST", "/", signed.body)
        connection.getresponse().read()
    receiver.stop()
    receiver.stop()
    assert set(threading.enumerate()) == before
    for connection in idle:
        connection.close()
    with pytest.raises(WebhookReceiverError, match="not running"):
        _ = receiver.url


def test_stop_lets_a_request_that_has_arrived_be_answered(signed: Vector) -> None:
    entered, leave = threading.Event(), threading.Event()

    def hold(delivery: Delivery) -> None:
        entered.set()
        assert leave.wait(10)

    receiver = WebhookReceiver(on_delivery=hold)
    receiver.start()
    connection = connect(receiver)
    connection.request("POST", "/", signed.body)
    assert entered.wait(10)
    stopping = threading.Thread(target=receiver.stop)
    stopping.start()
    leave.set()
    assert connection.getresponse().status == 200
    stopping.join(10)
    assert not stopping.is_alive()
    connection.close()
