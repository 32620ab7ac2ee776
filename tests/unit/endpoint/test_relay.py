"""A relay at a real webhook endpoint: results are handed to who waits, and to nobody else."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from truss_async.client import Inbox, StoreInbox
from truss_async.clock import SYSTEM_CLOCK
from truss_async.endpoint.intake import Intake
from truss_async.endpoint.relay import Relay, check_key
from truss_async.errors import OutputStoreError, SettingsError
from truss_async.stores import object_store
from truss_async.webhooks import WebhookReceiver

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from truss_async.endpoint.intake import Keeper

ID, OTHER = "ab" * 16, "cd" * 16
DEADLINE = 20


def body_of(request_id: str, *, text: str = "é") -> bytes:
    time = SYSTEM_CLOCK.now().isoformat()
    return json.dumps(
        {
            "request_id": request_id,
            "type": "async_request_completed",
            "time": time,
            "data": text,
            "errors": [],
        }
    ).encode()


class Endpoint:
    """A listen --relay, in this process."""

    def __init__(
        self, keeper: Keeper, running: ExitStack, *, key: str | None = None, **options: float
    ) -> None:
        self.relay = Relay(keeper.find, key=key, **options)  # type: ignore[arg-type]
        intake = Intake(keeper, forwarder=None, report=lambda _: None, relay=self.relay)
        receiver = WebhookReceiver(on_delivery=intake.take, on_get=self.relay.answer, keep=0)
        running.enter_context(receiver)
        running.enter_context(closing(self.relay))
        self.address = urlsplit(receiver.url).netloc

    def post(self, body: bytes) -> int:
        with closing(http.client.HTTPConnection(self.address, timeout=DEADLINE)) as connection:
            connection.request("POST", "/", body)
            return connection.getresponse().status

    @contextmanager
    def get(self, path: str, **headers: str) -> Iterator[http.client.HTTPResponse]:
        with closing(http.client.HTTPConnection(self.address, timeout=DEADLINE)) as connection:
            connection.request(
                "GET", path, headers={name.replace("_", "-"): text for name, text in headers.items()}
            )
            yield connection.getresponse()

    @contextmanager
    def waiting(self, request_id: str, **headers: str) -> Iterator[http.client.HTTPResponse]:
        """Somebody who is known to wait."""
        with self.get(f"/results/{request_id}", **headers) as answer:
            assert answer.status == 200
            assert answer.headers["Content-Type"] == "text/event-stream"
            assert [answer.readline() for _ in range(3)] == [b"retry: 1000\n", b": waiting\n", b"\n"]
            yield answer


@pytest.fixture
def keeper(tmp_path: Path) -> Inbox:
    return Inbox(tmp_path / "inbox")


@pytest.fixture
def serve(keeper: Inbox) -> Iterator[Callable[..., Endpoint]]:
    with ExitStack() as running:
        yield lambda keeper=keeper, **options: Endpoint(keeper, running, **options)


@pytest.fixture
def endpoint(serve: Callable[..., Endpoint]) -> Endpoint:
    return serve()


def told(answer: http.client.HTTPResponse) -> bytes:
    lines = answer.read().splitlines()
    assert lines[-3:-1][0] == b"event: result"
    assert lines[-1] == b""
    return lines[-2].removeprefix(b"data: ")


def test_a_result_is_handed_at_once_to_all_who_wait_for_it_and_only_to_them(endpoint: Endpoint) -> None:
    with endpoint.waiting(ID) as first, endpoint.waiting(ID) as second, endpoint.waiting(OTHER) as other:
        body = body_of(ID)
        assert endpoint.post(body) == 200
        assert [told(first), told(second)] == [body, body]
        assert endpoint.post(body_of(OTHER)) == 200
        assert json.loads(told(other))["request_id"] == OTHER


@pytest.mark.parametrize("kind", ["folder", "store"])
def test_a_result_that_came_before_is_there_too_also_of_an_earlier_run(
    serve: Callable[..., Endpoint], tmp_path: Path, kind: str
) -> None:
    def kept() -> Keeper:
        return (
            Inbox(tmp_path / "kept")
            if kind == "folder"
            else StoreInbox(object_store(f"file://{tmp_path}/kept"))
        )

    body = body_of(ID)
    assert serve(kept()).post(body) == 200
    with serve(kept()).waiting(ID) as answer:
        assert told(answer) == body


def test_an_id_that_is_no_plain_name_is_waited_for_like_any_other(endpoint: Endpoint) -> None:
    with endpoint.waiting("..%2F%C3%A9%3F") as answer:
        assert endpoint.post(body_of("../é?")) == 200
        assert json.loads(told(answer))["request_id"] == "../é?"


def test_who_waits_long_hears_that_the_relay_is_there(serve: Callable[..., Endpoint]) -> None:
    endpoint = serve(keep_alive_seconds=0.01)
    with endpoint.waiting(ID) as answer:
        assert [answer.readline() for _ in range(4)] == [b": waiting\n", b"\n"] * 2
        endpoint.post(body_of(ID))
        assert json.loads(told(answer))["data"] == "é"


def test_so_many_may_wait_and_there_is_room_again_when_one_has_gone(serve: Callable[..., Endpoint]) -> None:
    endpoint = serve(most_waiting=2, keep_alive_seconds=0.01)
    with endpoint.waiting(ID), endpoint.waiting(ID):
        with endpoint.get(f"/results/{OTHER}") as refused:
            assert (refused.status, json.load(refused)["error"]) == (
                503,
                "2 clients are waiting already; try again later",
            )
        assert endpoint.post(body_of(OTHER)) == 200
    # They are gone; it notices when it has something to say to them.
    deadline = SYSTEM_CLOCK.monotonic() + DEADLINE
    while SYSTEM_CLOCK.monotonic() < deadline:
        with endpoint.get(f"/results/{OTHER}") as answer:
            if answer.status == 200:
                assert json.loads(told(answer))["request_id"] == OTHER
                return
    pytest.fail("there is no room")


def test_a_client_that_does_not_read_keeps_nobody_from_a_result(endpoint: Endpoint) -> None:
    large = body_of(ID, text="x" * 20_000_000)
    host, _, port = endpoint.address.partition(":")
    with socket.create_connection((host, int(port))) as hanging, endpoint.waiting(ID) as reading:
        hanging.sendall(f"GET /results/{ID} HTTP/1.1\r\nHost: {endpoint.address}\r\n\r\n".encode())
        assert hanging.recv(15) == b"HTTP/1.1 200 OK"
        assert endpoint.post(large) == 200
        assert told(reading) == large
        assert endpoint.post(body_of(OTHER)) == 200


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ("Api-Key the-key", 200),
        ("Bearer the-key", 200),
        ("bearer  the-key", 200),
        ("Api-Key other", 401),
        ("the-key", 401),
        ("Api-Key \xff", 401),
        ("", 401),
    ],
)
def test_with_a_key_only_who_has_it_is_answered(
    serve: Callable[..., Endpoint], given: str, status: int
) -> None:
    endpoint = serve(key="the-key")
    endpoint.post(body_of(ID))
    with endpoint.get(f"/results/{ID}", Authorization=given, X_Forwarded_For="9.9.9.9") as answer:
        assert answer.status == status
        assert (b"event: result" in answer.read()) == (status == 200)


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "tunnel.example"},
        {"Host": "192.168.0.4"},
        {"X_Forwarded_For": "9.9.9.9"},
        {"Origin": "http://localhost"},
    ],
)
def test_without_a_key_only_programs_on_this_machine_are_answered(
    endpoint: Endpoint, headers: dict[str, str]
) -> None:
    endpoint.post(body_of(ID))
    with endpoint.get(f"/results/{ID}", **headers) as answer:
        assert answer.status == 403
        assert "--relay-key" in json.load(answer)["error"]


@pytest.mark.parametrize("host", ["::", "192.168.0.4"])
def test_without_a_key_it_does_not_listen_to_others(host: str) -> None:
    check_key("key", host=host)
    check_key(None, host="127.0.0.1")
    with pytest.raises(SettingsError, match="--relay-key"):
        check_key(None, host=host)


@pytest.mark.parametrize(
    ("path", "status"), [("/results", 204), ("/", 404), ("/results/", 404), (f"/results/{'x' * 257}", 404)]
)
def test_other_paths_hold_no_result(endpoint: Endpoint, path: str, status: int) -> None:
    with endpoint.get(path) as answer:
        assert answer.status == status


def test_at_the_end_all_who_wait_are_let_go(keeper: Inbox) -> None:
    with ExitStack() as running:
        endpoint = Endpoint(keeper, running)
        with endpoint.waiting(ID) as answer:
            endpoint.relay.close()
            assert answer.read() == b""
            with endpoint.get(f"/results/{ID}") as refused:
                assert refused.status == 503
        before = threading.active_count()
    assert threading.active_count() <= before


def test_an_inbox_that_cannot_be_read_lets_the_client_come_again(serve: Callable[..., Endpoint]) -> None:
    class Broken(Inbox):
        def find(self, request_id: str) -> bytes | None:
            raise OutputStoreError("the disk is gone")

    with serve(Broken(serve().relay._find.__self__.folder)).waiting(ID) as answer:  # type: ignore[attr-defined]
        assert b"come again" in answer.read()
