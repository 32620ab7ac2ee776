"""A harness without replicas: it accepts and delivers, others run the requests, and sync calls are passed on to those."""

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from psycopg import sql
from websockets.sync.client import connect

from tests.acceptance.serving import make_truss
from tests.integration.harness.gate import outcome
from tests.integration.harness.model_server import ModelServer
from tests.integration.harness.raw_server import RawServer
from tests.integration.harness.route_server import RouteServer
from tests.integration.harness.test_custom_routes import connect as connect_to
from tests.integration.harness.test_several_nodes import Held
from tests.integration.harness.websocket_server import WebsocketServer
from tests.postgres_server import PostgresServer, postgres_server
from truss_async.client import HarnessClient, PlatformClient
from truss_async.clock import SYSTEM_CLOCK
from truss_async.harness.harness import Harness
from truss_async.harness.settings import HarnessSettings
from truss_async.webhooks import WebhookReceiver

SOON = 30
KEY = {"Authorization": "Api-Key any"}
ALL = "0.0.0.0"  # noqa: S104 - what it is about
ANYWHERE = "http://127.0.0.1:9"
Node = Callable[..., Harness]
Http = Callable[[Harness], httpx.Client]

TRUSS = """
class Model:
    def predict(self, model_input):
        return model_input
"""


class Broken:
    def load(self) -> None:
        raise RuntimeError("no such weights")

    def predict(self, model_input: Any) -> Any:
        return model_input


@pytest.fixture
def http() -> Iterator[Http]:
    with ExitStack() as clients:
        yield lambda harness: clients.enter_context(
            httpx.Client(base_url=harness.url, headers=KEY, timeout=SOON)
        )


def gateway_of(node: Node, **options: Any) -> Harness:
    return node(ANYWHERE, replicas=0, **options)


def answered(ask: Callable[[], httpx.Response], *, status: int = 200, text: str = "") -> httpx.Response:
    """The answer, once those that share the database know each other."""
    deadline = SYSTEM_CLOCK.monotonic() + SOON
    while (answer := ask()).status_code != status or text not in answer.text:
        assert SYSTEM_CLOCK.monotonic() < deadline, answer.text
        SYSTEM_CLOCK.block(0.05)
    return answer


def wait_until_ready(harness: Harness) -> None:
    """Until all that share the queue know of one that its model is loaded."""
    ready = sql.SQL("SELECT number FROM {} WHERE replicas LIKE '%%ready%%'")
    deadline = SYSTEM_CLOCK.monotonic() + SOON
    while not execute(ready, harness):
        assert SYSTEM_CLOCK.monotonic() < deadline
        SYSTEM_CLOCK.block(0.05)


def execute(statement: sql.SQL, harness: Harness, *values: Any) -> list[Any]:
    """The rows of a statement about the owners of the queue that this harness shares."""
    owners = sql.Identifier(harness.settings.state_schema, "owners")
    with psycopg.connect(postgres_server().address) as connection:
        made = connection.execute(statement.format(owners), values)
        return made.fetchall() if made.description else []


def register(url: str, harness: Harness, *, lease_seconds: float = 3600) -> None:
    """Let a node be known by that URL as long as a lease lasts that nobody renews, whether it is there or not."""
    insert = sql.SQL("INSERT INTO {} (lease_ends_at, url, replicas) VALUES (%s, %s, %s)")
    ends_at = SYSTEM_CLOCK.now().timestamp() + lease_seconds
    execute(insert, harness, int(ends_at * 1_000_000), url, '{"/model/m/deployment/m1": [1, "ready"]}')


def test_what_it_accepted_others_run_and_it_knows_how_it_stands(node: Node) -> None:
    with ModelServer() as model, WebhookReceiver() as receiver:
        gateway = gateway_of(node)
        with PlatformClient(gateway.url, api_key="any") as caller:
            waiting, withdrawn = (
                caller.submit(model_input=number, webhook_endpoint=receiver.url).request_id
                for number in (1, 2)
            )
            assert caller.status(waiting).status.value == "QUEUED"
            assert caller.cancel(withdrawn)
            assert caller.queue_status().num_queued_requests == 1
            node(model.url)
            assert outcome(caller.wait(waiting, timeout_seconds=SOON)) == ("SUCCEEDED", "SUCCEEDED")
        assert [call[0] for call in model.calls] == [waiting]
        assert receiver.wait_for(waiting).accepted


def test_it_takes_nothing_over_that_it_could_not_run(node: Node) -> None:
    held = Held()
    with ModelServer(held) as hanging, ModelServer() as model:
        gateway, dying = gateway_of(node), node(hanging.url)
        with PlatformClient(gateway.url, api_key="any") as caller:
            request_id = caller.submit(model_input=1).request_id
            assert held.has_begun.wait(SOON)
            dying.close()
            held.may_end.set()
            node(model.url)
            assert outcome(caller.wait(request_id, timeout_seconds=SOON))[0] == "SUCCEEDED"  # half a lease


def test_a_sync_call_is_answered_by_one_that_has_replicas(node: Node, http: Http) -> None:
    with ModelServer() as model:
        client = http(gateway_of(node, api_key="any"))
        node(model.url, api_key="any")
        answer = answered(
            lambda: client.post("/production/predict", json={"a": 1}, headers={"X-Own": "mine"})
        )
        ((request_id, model_input),) = model.calls
    assert (answer.json(), model_input) == ({"echo": {"a": 1}}, {"a": 1})
    assert answer.headers.get_list("x-baseten-request-id") == [request_id]
    assert answer.headers.get_list("x-baseten-model-prediction-attempts") == ["1"]
    (headers,) = model.headers
    assert headers["x-own"] == "mine"
    assert not {"authorization", "x-truss-async-passed-on"} & set(headers)


def test_a_refusal_comes_back_as_it_is(node: Node, http: Http) -> None:
    with ModelServer() as model:
        client = http(gateway_of(node))
        node(model.url, api_key="secret")
        answer = answered(lambda: client.post("/production/predict", json=1), status=401)
    assert answer.json()["error"] == "the API key is wrong"
    assert "x-baseten-model-prediction-attempts" not in answer.headers


@pytest.mark.parametrize(
    "path", ["/production/sync/a%2Fb/c?d=e%20f", "/model/m/deployment/m1/sync/a%2Fb/c?d=e%20f"]
)
def test_routes_come_through_as_they_are(node: Node, http: Http, path: str) -> None:
    with RouteServer() as server:
        client = http(gateway_of(node))
        node(server.url)
        answer = answered(lambda: client.put(path, content=b"body"), status=207)
        assert client.head("/production/sync/x").headers["content-type"] == "application/told+json"
    told = answer.json()
    assert (told["method"], told["path"], told["body"]) == ("PUT", "/a%2Fb/c?d=e%20f", "body")
    assert answer.headers.get_list("set-cookie") == ["a=1", "b=2"]
    assert told["headers"]["x-baseten-request-id"] == answer.headers["x-baseten-request-id"]


def test_it_streams_both_ways_at_once(node: Node, http: Http) -> None:
    with RouteServer() as server:
        client = http(gateway_of(node))
        node(server.url)
        answered(lambda: client.get("/production/sync/ready"), status=207)
        with connect_to(client, "POST /production/sync/echo", "Transfer-Encoding: chunked") as connection:
            received = b""
            for word in (b"first", b"second", b"third"):
                connection.sendall(b"%x\r\n%s\r\n" % (len(word), word))
                while word not in received:
                    part = connection.recv(65536)
                    assert part, received
                    received += part
            connection.sendall(b"0\r\n\r\n")
    assert received.startswith(b"HTTP/1.1 200 ")


def test_a_websocket_goes_through_both(node: Node, http: Http) -> None:
    with WebsocketServer() as server:
        gateway = gateway_of(node)
        client = http(gateway)
        node(server.url)
        answered(lambda: client.post("/production/wake"), status=202)
        url = f"{gateway.url.replace('http', 'ws', 1)}/production/websocket"
        with connect(url, additional_headers=KEY, open_timeout=SOON, proxy=None) as websocket:
            websocket.send("hello")
            assert "hello" in str(websocket.recv(timeout=SOON))


def test_one_that_is_not_there_any_more_is_passed_over(node: Node, http: Http) -> None:
    with ModelServer() as model:
        gateway = gateway_of(node)
        client = http(gateway)
        node(model.url)
        answered(lambda: client.post("/production/predict", json=0))
        with socket.create_server(("127.0.0.1", 0)) as closed:
            register(f"http://127.0.0.1:{closed.getsockname()[1]}", gateway)
        for number in range(1, 5):
            assert client.post("/production/predict", json=number).status_code == 200
        assert [call[1] for call in model.calls] == list(range(5))


def test_one_whose_model_does_not_load_is_the_last_to_be_asked_and_says_why(node: Node, http: Http) -> None:
    with ModelServer() as model:
        client = http(gateway_of(node))

        def call() -> httpx.Response:
            return client.post("/production/predict", json=0)

        node(model=Broken)
        answered(call, status=503, text="no such weights")
        good = node(model.url)
        wait_until_ready(good)
        answered(call)
        assert [call().status_code for _ in range(4)] == [200] * 4
        good.close()
        answered(call, status=503, text="no such weights")


def test_one_that_came_meanwhile_is_found_when_those_that_are_known_are_gone(
    node: Node, http: Http, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("truss_async.harness.api.passing_on.KNOWN_FOR", timedelta(hours=1))
    with ModelServer() as model:
        client = http(gateway_of(node))
        first = node(model.url)
        answered(lambda: client.post("/production/predict", json=1))
        node(model.url)
        first.close()
        assert answered(lambda: client.post("/production/predict", json=2)).json() == {"echo": 2}


@pytest.mark.parametrize(("sync_retries", "statuses"), [(True, [200] * 4), (False, [200, 200, 503, 503])])
def test_one_that_hangs_up_is_passed_over_unless_nothing_may_run_twice(
    node: Node, http: Http, monkeypatch: pytest.MonkeyPatch, sync_retries: bool, statuses: list[int]
) -> None:
    monkeypatch.setattr("truss_async.harness.api.passing_on.KNOWN_FOR", timedelta(0))
    with ModelServer() as model, RawServer() as hanging_up:
        hanging_up.answer = b""
        gateway = gateway_of(node, sync_retries=sync_retries)
        client = http(gateway)
        node(model.url)
        wait_until_ready(gateway)
        register(hanging_up.url, gateway)
        answered(
            lambda: client.post("/production/sync/x", content=iter([b"1"])), status=503
        )  # it is gone by then
        found = [client.post("/production/predict", json=number) for number in range(4)]
    assert sorted(each.status_code for each in found) == statuses
    for each in found:
        if each.status_code == 503:
            assert each.json()["error"].startswith("no harness that runs replicas of the model m answers: ")


def test_a_call_to_one_that_is_stopped_goes_to_another_once_its_lease_has_ended(
    node: Node, http: Http, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("truss_async.harness.api.passing_on.LOOK_AGAIN_SECONDS", 0.2)
    with (
        ModelServer() as model,
        socket.create_server(("127.0.0.1", 0)) as silent,
    ):  # it connects, and that is all
        gateway = gateway_of(node)
        client = http(gateway)
        register(f"http://127.0.0.1:{silent.getsockname()[1]}", gateway, lease_seconds=3)
        node(model.url)
        for number in range(2):
            assert client.post("/production/predict", json=number).status_code == 200
        assert [call[1] for call in model.calls] == [0, 1]


def test_without_one_that_serves_it_a_sync_call_is_503_with_the_remedy(node: Node, http: Http) -> None:
    client = http(gateway_of(node))
    gateway_of(node)
    for path in ("predict", "sync/x", "wake"):
        answer = client.post(f"/production/{path}", json=1)
        assert answer.status_code == 503
        assert answer.json() == {
            "error": "no harness on this database runs replicas of the model m (deployment m1) now; start one, with the "
            "same command without --replicas 0",
            "error_code": "model_unavailable",
        }


def test_what_was_passed_on_is_not_passed_on_again(node: Node, http: Http) -> None:
    with ModelServer() as model:
        client = http(gateway_of(node))
        node(model.url)
        answered(lambda: client.post("/production/predict", json=1))
        answer = client.post("/production/predict", json=2, headers={"X-Truss-Async-Passed-On": "1"})
        assert answer.status_code == 503
        assert "does not pass on what another harness has passed on" in answer.json()["error"]
        assert len(model.calls) == 1


def test_sync_calls_are_passed_on_while_the_database_is_away(
    node: Node, http: Http, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("truss_async.harness.api.passing_on.KNOWN_FOR", timedelta(0))
    server = PostgresServer()
    try:
        server.start()
        with ModelServer() as model:
            client = http(gateway_of(node, server=server))
            node(model.url, server=server)
            answered(lambda: client.post("/production/predict", json=1))
            server.stop()
            assert client.post("/production/predict", json=2).json() == {"echo": 2}
    finally:
        server.remove()


def test_others_call_a_node_where_it_listens_or_where_it_says(node: Node) -> None:
    reports: list[str] = []
    with ModelServer() as model:
        here = node(model.url)
        everywhere = node(model.url, host=ALL, report=reports.append)
        node(model.url, node_url="https://node-3.internal/harness/")
        urls = sql.SQL("SELECT url FROM {} WHERE url IS NOT NULL ORDER BY number")
        deadline = SYSTEM_CLOCK.monotonic() + SOON
        while len(found := [row[0] for row in execute(urls, here)]) < 3:
            assert SYSTEM_CLOCK.monotonic() < deadline, found
            SYSTEM_CLOCK.block(0.05)
    assert found == [here.url, everywhere.url, "https://node-3.internal/harness"]
    assert any(f"call this one at {everywhere.url}; --node-url" in line for line in reports)


def test_a_truss_without_replicas_and_others_waits_and_nothing_is_built(tmp_path: Path, http: Http) -> None:
    truss = make_truss(tmp_path / "truss", TRUSS, config='requirements: ["no-such-package-anywhere"]\n')
    reports: list[str] = []
    settings = HarnessSettings(
        truss_dir=truss, replicas=0, port=0, state_dir=tmp_path / "state", cache_dir=tmp_path / "cache"
    )
    with Harness(settings, stories=False, report=reports.append, log=lambda _: None) as harness:
        harness.wait_ready(timeout_seconds=SOON)
        client = http(harness)
        refused = client.post("/production/predict", json=1)
        accepted = client.post("/production/async_predict", json={"model_input": 1})
        with HarnessClient(harness.url, api_key="any") as asking:
            assert asking.health().replicas_ready == 0
        status = client.get(f"/async_request/{accepted.json()['request_id']}")
    assert refused.status_code == 503
    assert refused.json()["error"] == (
        "this harness runs no replicas of the model truss (deployment truss1) (--replicas 0), and shares its queue with no "
        "others; send sync calls to a harness that has replicas"
    )
    assert status.json()["status"] == "QUEUED"
    assert not (tmp_path / "cache").exists()
    assert reports == [
        "no replicas of truss1 run here: it only accepts requests and delivers results; they wait until it is served with replicas"
    ]


def test_a_node_url_is_of_no_use_alone() -> None:
    with pytest.raises(ValueError, match="give --state, too"):
        HarnessSettings(stub="echo", node_url="http://here:1")
