"""Websockets to a model: opened, passed through and closed as the platform does, whichever side ends them."""

import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Close
from websockets.sync.client import ClientConnection, connect

from tests.integration.harness.websocket_server import LARGER, WebsocketServer
from truss_async.clock import SYSTEM_CLOCK, ManualClock
from truss_async.harness.harness import Harness
from truss_async.harness.settings import HarnessSettings

KEY = {"Authorization": "Api-Key any"}
PATH = "/production/websocket"
Lines = list[str]


@pytest.fixture(scope="module")
def speaking() -> Iterator[WebsocketServer]:
    with WebsocketServer() as server:
        yield server


@pytest.fixture(scope="module")
def said() -> Lines:
    return []


@pytest.fixture(scope="module")
def logged() -> Lines:
    return []


@pytest.fixture(scope="module")
def shared(speaking: WebsocketServer, said: Lines, logged: Lines) -> Iterator[Harness]:
    settings = HarnessSettings(
        model_url=speaking.url, model_id="voice", predict_concurrency=8, port=0, log_format="json"
    )
    with Harness(settings, report=said.append, log=logged.append) as harness:
        harness.wait_ready(timeout_seconds=30)
        yield harness


@pytest.fixture(autouse=True)
def _quiet(speaking: WebsocketServer, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """What earlier tests left is not for this one; and the server's own log has nothing to say of what others do."""
    speaking.handshakes.clear()
    yield
    told = [each for each in caplog.get_records("call") if each.name.startswith("uvicorn")]
    assert not [each.getMessage() for each in told if each.levelno >= logging.WARNING]


@contextmanager
def opened(
    harness: Harness, path: str = PATH, *, host: str = "", headers: Any = KEY, **options: Any
) -> Iterator[ClientConnection]:
    address = httpx.URL(harness.url)
    options = {"open_timeout": 30, "max_size": None, "proxy": None, "compression": None, **options}
    connection = socket.create_connection((address.host, address.port or 0), timeout=30)
    url = f"ws://{host or address.netloc.decode()}{path}"
    with connect(url, sock=connection, additional_headers=headers, **options) as websocket:
        yield websocket


def echoed(harness: Harness, message: str) -> str | bytes:
    with opened(harness) as websocket:
        websocket.send(message)
        return websocket.recv(timeout=30)


def id_of(websocket: ClientConnection) -> str:
    assert websocket.response is not None
    return websocket.response.headers["x-baseten-request-id"]


def closing_of(websocket: ClientConnection) -> Close:
    """With what the other side closes, as the next that comes."""
    with pytest.raises(ConnectionClosed) as closed:
        websocket.recv(timeout=30)
    assert closed.value.rcvd is not None
    return closed.value.rcvd


def refusal(harness: Harness, path: str = PATH, **options: Any) -> tuple[int, dict[str, str]]:
    with pytest.raises(InvalidStatus) as caught, opened(harness, path, **options):
        pass
    response = caught.value.response
    assert response.headers["x-baseten-request-id"]
    return response.status_code, json.loads(response.body or b"{}")


def until(is_so: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(3000):
        if is_so():
            return
        pause.wait(0.01)
    raise AssertionError("it did not become so in 30 s")


def open_now(harness: Harness) -> float:
    lines = httpx.get(f"{harness.url}/metrics", timeout=30).text.splitlines()
    return sum(float(each.split()[-1]) for each in lines if each.startswith("baseten_ongoing_websocket_"))


def concurrent(harness: Harness) -> float:
    lines = httpx.get(f"{harness.url}/metrics", timeout=30).text.splitlines()
    return sum(float(each.split()[-1]) for each in lines if each.startswith("baseten_concurrent_requests{"))


@pytest.mark.parametrize(
    "path",
    [
        "/production/websocket",
        "/websocket",
        "/development/websocket",
        "/environments/production/websocket",
        "/deployment/voice1/websocket",
        "/model/voice/production/websocket",
        "/model/voice/websocket",
    ],
)
def test_text_and_bytes_go_both_ways_at_each_path(
    shared: Harness, speaking: WebsocketServer, path: str
) -> None:
    with opened(shared, f"{path}?language=de&a=%2F") as websocket:
        for message in ("grüße", b"\x00\xff", "", b""):
            websocket.send(message)
            assert websocket.recv(timeout=30) == message
    assert speaking.end_of(id_of(websocket)) == (1000, "")
    assert [each.path for each in speaking.handshakes] == ["/v1/websocket?language=de&a=%2F"]


@pytest.mark.parametrize(
    ("host", "path"),
    [
        ("model-voice.api.baseten.co", "/environments/production/websocket"),
        ("model-voice-production.api.baseten.co", "/websocket"),
    ],
)
def test_a_host_names_the_model_too(shared: Harness, host: str, path: str) -> None:
    with opened(shared, path, host=host) as websocket:
        websocket.send("x")
        assert websocket.recv(timeout=30) == "x"


def test_a_route_of_the_model_server_takes_websockets_too(shared: Harness, speaking: WebsocketServer) -> None:
    with opened(shared, "/production/sync/v2/a%20b?x=1"):
        assert [each.path for each in speaking.handshakes] == ["/v2/a%20b?x=1"]


def test_the_model_gets_the_ids_and_the_callers_headers_but_not_its_key(
    shared: Harness, speaking: WebsocketServer
) -> None:
    with opened(shared, headers={**KEY, "X-Mine": "1", "X-Baseten-Request-Id": "forged"}) as websocket:
        request_id = id_of(websocket)
    (handshake,) = speaking.handshakes
    assert handshake.headers["x-baseten-request-id"] == request_id
    assert handshake.headers["traceparent"].startswith(f"00-{request_id}-")
    assert handshake.headers["x-mine"] == "1"
    assert "authorization" not in handshake.headers
    assert len(handshake.headers.get_all("sec-websocket-key")) == 1


def test_the_model_chooses_of_the_subprotocols(shared: Harness, speaking: WebsocketServer) -> None:
    with opened(shared, subprotocols=["a", "b"]) as websocket:
        assert websocket.subprotocol == "b"
    with opened(shared) as websocket:
        assert websocket.subprotocol is None
    first, second = speaking.handshakes
    assert first.headers["sec-websocket-protocol"] == "a,b"
    assert "sec-websocket-protocol" not in second.headers


def test_the_code_and_the_reason_of_a_close_go_both_ways(shared: Harness, speaking: WebsocketServer) -> None:
    with opened(shared, f"{PATH}?do=close") as websocket:
        assert closing_of(websocket) == Close(4001, "enough, grüße")
    with opened(shared) as websocket:
        websocket.close(4002, "bye")
    assert speaking.end_of(id_of(websocket)) == (4002, "bye")


def test_a_caller_that_is_gone_is_told_to_the_model(shared: Harness, speaking: WebsocketServer) -> None:
    with opened(shared) as websocket:
        websocket.socket.shutdown(socket.SHUT_RDWR)
        assert speaking.end_of(id_of(websocket))[0] in (1000, 1001)


def test_a_model_server_that_dies_is_told_to_the_caller(shared: Harness, said: Lines) -> None:
    before = len(said)
    with opened(shared, f"{PATH}?do=die") as websocket:
        assert closing_of(websocket) == Close(1011, "the model server ended in the middle")
    until(lambda: any("ended in the middle, and with it a websocket" in each for each in said[before:]))


def test_a_message_of_20_mib_passes_either_way(shared: Harness) -> None:
    """Which is more than the libraries take on either side, unless they are told to."""
    size = 20 * 1024 * 1024
    with opened(shared, f"{PATH}?do=weigh") as websocket:
        websocket.send(bytes(size))
        assert websocket.recv(timeout=60) == str(size)
    with opened(shared, f"{PATH}?do=large") as websocket:
        assert len(websocket.recv(timeout=60)) == size


def test_a_message_of_more_than_100_mib_is_refused_to_its_sender_and_the_other_side_is_told(
    shared: Harness, speaking: WebsocketServer
) -> None:
    with opened(shared) as websocket:
        masked = bytes([LARGER[0], LARGER[1] | 0x80])
        websocket.socket.sendall(masked + LARGER[2:] + bytes(4))
        assert closing_of(websocket).code == 1009
    assert speaking.end_of(id_of(websocket))[0] == 1009
    with opened(shared, f"{PATH}?do=larger") as websocket:
        assert closing_of(websocket).code == 1009
    assert speaking.end_of(id_of(websocket))[0] == 1009


@pytest.mark.parametrize("status", [403, 404, 503])
def test_a_model_server_that_opens_none_is_told_by_its_status(shared: Harness, status: int) -> None:
    told = refusal(shared, f"{PATH}?refuse={status}")
    error = f"the model server answers {status} where a websocket was asked for"
    assert told == (status, {"error": error, "error_code": "model_unavailable"})


@pytest.mark.parametrize(
    ("path", "options", "status", "code"),
    [
        pytest.param(PATH, {"headers": {}}, 401, "unauthorized", id="no key"),
        pytest.param(PATH, {"headers": {"Authorization": "x"}}, 401, "unauthorized", id="half a key"),
        pytest.param(PATH, {"origin": "http://evil.example"}, 403, "unauthorized", id="a stranger's page"),
        pytest.param(PATH, {"host": "evil.example"}, 403, "unauthorized", id="a stranger's name"),
        pytest.param("/model/other/websocket", {}, 404, "model_does_not_exist", id="another model"),
        pytest.param("/environments/no/websocket", {}, 404, "model_does_not_exist", id="no environment"),
        pytest.param("/nowhere", {}, 404, "model_does_not_exist", id="no path"),
        pytest.param("/healthz", {}, 400, "client_error", id="a path without websockets"),
        pytest.param("/production/predict", {}, 405, "client_error", id="a path of another method"),
    ],
)
def test_who_may_not_call_may_open_no_websocket_either(
    shared: Harness, speaking: WebsocketServer, path: str, options: dict[str, Any], status: int, code: str
) -> None:
    told, body = refusal(shared, path, **options)
    assert (told, body["error_code"]) == (status, code)
    assert not speaking.handshakes


def test_a_page_of_this_machine_may_open_one(shared: Harness) -> None:
    with opened(shared, origin="http://localhost:3000") as websocket:
        websocket.send("x")
        assert websocket.recv(timeout=30) == "x"


def test_a_call_that_is_no_handshake_is_told_what_to_do(shared: Harness) -> None:
    answer = httpx.get(f"{shared.url}{PATH}", headers=KEY, timeout=30)
    assert (answer.status_code, answer.headers["upgrade"]) == (426, "websocket")
    assert "ws://" in answer.json()["error"]
    posted = httpx.post(
        f"{shared.url}{PATH}", headers={**KEY, "Connection": "upgrade", "Upgrade": "websocket"}
    )
    assert posted.status_code == 405


def test_an_open_websocket_is_counted_and_one_that_ended_is_a_line(shared: Harness, logged: Lines) -> None:
    until(lambda: open_now(shared) == 0)
    with opened(shared) as websocket:
        request_id = id_of(websocket)
        assert open_now(shared) == 1
        websocket.send("12345")
        websocket.recv(timeout=30)
    until(lambda: open_now(shared) == 0)
    until(lambda: any(request_id in each for each in logged))
    (line,) = [json.loads(each) for each in logged if request_id in each]
    assert (line["event"], line["status"], line["close_code"], line["size_bytes"]) == ("call", 101, 1000, 5)
    assert (line["method"], line["path"], line["deployment_id"]) == ("GET", PATH, "voice1")


def test_a_stub_says_that_it_speaks_none(serve: Callable[..., Harness]) -> None:
    status, body = refusal(serve(model_url=None, stub={"text": "x"}))
    assert status == 501
    assert "a stub" in body["error"]


def test_a_model_that_does_not_load_opens_none(serve: Callable[..., Harness]) -> None:
    class Broken:
        def load(self) -> None:
            raise ValueError("no weights")

        def predict(self, model_input: Any) -> Any:
            return model_input

    harness = serve(model_url=None, model=Broken)
    until(lambda: httpx.get(f"{harness.url}/healthz").json()["model"] == "failed")
    status, body = refusal(harness)
    assert (status, body["error_code"]) == (503, "model_unavailable")
    assert "no weights" in body["error"]


def test_a_websocket_waits_for_a_model_that_is_not_ready(
    serve: Callable[..., Harness], speaking: WebsocketServer
) -> None:
    speaking.is_up.clear()
    try:
        harness = serve(model_url=speaking.url)
        with ThreadPoolExecutor(1) as callers:
            echo = callers.submit(echoed, harness, "x")
            until(lambda: concurrent(harness) == 1)
            assert not echo.done()
            speaking.is_up.set()
            assert echo.result(timeout=60) == "x"
    finally:
        speaking.is_up.set()


def test_a_websocket_holds_a_slot_and_the_next_one_waits_for_it(
    serve: Callable[..., Harness], speaking: WebsocketServer
) -> None:
    harness = serve(model_url=speaking.url, predict_concurrency=1)
    with ThreadPoolExecutor(1) as callers:
        with opened(harness):
            with pytest.raises(TimeoutError), opened(harness, open_timeout=0.2):
                pass
            until(lambda: concurrent(harness) == 1)
            waiting = callers.submit(echoed, harness, "x")
            until(lambda: concurrent(harness) == 2)
            assert not waiting.done()
        assert waiting.result(timeout=30) == "x"


def test_where_calls_do_not_wait_a_websocket_does_not_either(
    serve: Callable[..., Harness], speaking: WebsocketServer
) -> None:
    harness = serve(model_url=speaking.url, predict_concurrency=1, on_full="reject")
    harness.wait_ready(timeout_seconds=30)
    with opened(harness):
        assert refusal(harness)[0] == 529


def test_a_replica_is_not_let_go_while_a_websocket_is_open(
    serve: Callable[..., Harness], speaking: WebsocketServer, reports: Lines
) -> None:
    clock = ManualClock(SYSTEM_CLOCK.now())
    harness = serve(model_url=speaking.url, clock=clock, min_replicas=0, scale_down_delay_seconds=60)
    with opened(harness) as websocket:
        clock.advance(7200)
        websocket.send("still here")
        assert websocket.recv(timeout=30) == "still here"
        assert not [each for each in reports if "no longer needed" in each]
    until(lambda: concurrent(harness) == 0)
    clock.advance(7200)
    until(lambda: any("no longer needed" in each for each in reports))


def test_the_harness_closes_all_when_it_stops(
    serve: Callable[..., Harness], speaking: WebsocketServer
) -> None:
    harness = serve(model_url=speaking.url, predict_concurrency=1)
    with ThreadPoolExecutor(1) as callers, opened(harness) as websocket:
        waiting = callers.submit(refusal, harness)
        until(lambda: concurrent(harness) == 2)
        harness.close()
        status, body = waiting.result(timeout=30)
        assert (status, body["error"]) == (503, "the harness is stopping")
        assert closing_of(websocket) == Close(1001, "the harness is stopping")
    assert speaking.end_of(id_of(websocket)) == (1001, "the harness is stopping")


def test_a_fault_refuses_a_websocket_as_it_does_a_call(
    serve: Callable[..., Harness], speaking: WebsocketServer
) -> None:
    harness = serve(model_url=speaking.url, faults=[{"kind": "payment_required"}])
    assert refusal(harness)[0] == 402


TALKER = """
import logging, os

class Model:
    async def websocket(self, websocket):
        await websocket.send_text(websocket.headers["x-baseten-request-id"])
        async for message in websocket.iter_text():
            logging.info("heard %s", message)
            if message == "raise":
                raise ValueError("no such word")
            if message == "exit":
                os._exit(3)
            await websocket.send_text(message.upper())
"""


def test_a_truss_with_a_websocket_is_spoken_to_on_the_truss_server(
    serve: Callable[..., Harness], reports: Lines, tmp_path: Path
) -> None:
    (tmp_path / "talker" / "model").mkdir(parents=True)
    (tmp_path / "talker" / "model" / "model.py").write_text(TALKER)
    (tmp_path / "talker" / "config.yaml").write_text("runtime: {transport: {kind: websocket}}\n")
    harness = serve(model_url=None, truss_dir=tmp_path / "talker")
    harness.wait_ready(timeout_seconds=120)
    with opened(harness) as websocket:
        assert websocket.recv(timeout=30) == id_of(websocket)
        websocket.send("word")
        assert websocket.recv(timeout=30) == "WORD"
        websocket.send("raise")
        assert closing_of(websocket) == Close(1011, "Internal Server Error (in model/chainlet).")
    assert [each for each in reports if "uses websocket" in each and "/production/websocket" in each]
    with opened(harness) as websocket:
        websocket.recv(timeout=30)
        websocket.send("exit")
        assert closing_of(websocket) == Close(1011, "the model server ended in the middle")
    while not any("restarting in" in each for each in reports):  # told of after the end of the line
        time.sleep(0.01)
    with opened(harness, open_timeout=120) as websocket:  # once it is started again
        assert websocket.recv(timeout=30)
