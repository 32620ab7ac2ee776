"""The platform's contract over HTTP, where no other test shows the row: see docs/fidelity.md."""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.harness.gate import Gate, outcome
from tests.integration.harness.model_server import Answer, ModelServer, echo
from tests.unit.harness.request_queue.driver import QueueDriver
from tests.unit.harness.request_queue.storages import SqliteStorage
from truss_async.client import HarnessClient
from truss_async.clock import ManualClock
from truss_async.contract import limits
from truss_async.harness import inference
from truss_async.harness.harness import Harness
from truss_async.harness.settings import HarnessSettings
from truss_async.replicas.settings import DeploymentSettings
from truss_async.webhooks.receiver import WebhookReceiver

KEY = {"Authorization": "Api-Key any"}
MODEL_HOST, CHAIN_HOST = "model-m1.api.baseten.co", "chain-c1.api.baseten.co"
TARGETS = ("production", "development", "environments/production", "deployment/{id}", "")
FILLED = """
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 49999)
INSERT INTO requests (
  request_id, deployment_id, status, webhook_status, priority, request, created_at, expires_at, status_at
) SELECT
  'r' || i, deployment_id, status, webhook_status, priority, request, created_at, expires_at, status_at
FROM requests, n WHERE request_id = 'r0'
"""
ERROR_CODES = {
    "timeout", "client_error", "model_unavailable", "model_not_ready", "model_does_not_exist", "rate_limited",
    "payload_too_large", "unauthorized", "application_error", "internal_baseten_error",
}  # fmt: skip


@dataclass(frozen=True)
class Platform:
    """A harness that serves the model m1 (deployment d1) and the chain c1 (deployment d2)."""

    http: httpx.Client
    model: ModelServer
    receiver: WebhookReceiver

    def call(self, method: str, path: str, *, host: str = MODEL_HOST, **options: Any) -> httpx.Response:
        return self.http.request(
            method, path, headers={"Host": host, **options.pop("headers", {})}, **options
        )

    def submit(self, **fields: Any) -> httpx.Response:
        return self.call("POST", "/production/async_predict", json={"model_input": 1, **fields})

    def calls_of(self, request_id: str) -> int:
        """How often the model was called for it; those of others may still be running."""
        return [each for each, _ in self.model.calls].count(request_id)

    def outcome_of(self, **fields: Any) -> dict[str, Any]:
        """The status of a new request, when all is over."""
        with HarnessClient(f"{self.http.base_url}/model/m1", api_key="any") as client:
            request_id = self.submit(**fields).json()["request_id"]
            client.wait(request_id, timeout_seconds=30)
        status: dict[str, Any] = self.call("GET", f"/async_request/{request_id}").json()
        return status


@pytest.fixture(scope="module")
def shared_platform() -> Iterator[Platform]:
    with ModelServer() as model, WebhookReceiver() as receiver:
        named = [{"model_id": "m1", "deployment_id": "d1"}, {"chain_id": "c1", "deployment_id": "d2"}]
        served = tuple(DeploymentSettings.model_validate({"model_url": model.url, **each}) for each in named)
        settings = HarnessSettings(deployments=served, port=0, limits="none")
        with (
            Harness(settings, report=lambda _: None) as harness,
            httpx.Client(base_url=harness.url, headers=KEY, timeout=30) as http,
        ):
            yield Platform(http, model, receiver)


@pytest.fixture
def platform(shared_platform: Platform) -> Platform:
    shared_platform.model.behave = echo
    shared_platform.model.calls.clear()
    shared_platform.model.headers.clear()
    return shared_platform


def addressed(kind: str, target: str) -> tuple[str, str]:
    """The host, and the target in the path: on a regional host there is none."""
    host, deployment = (MODEL_HOST, "d1") if kind == "model" else (CHAIN_HOST, "d2")
    if target:
        return host, "/" + target.format(id=deployment)
    return host.replace(".", "-production.", 1), ""


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target or "regional host")
@pytest.mark.parametrize("kind", ["model", "chain"])
class TestEveryTarget:
    def test_takes_a_sync_call(self, platform: Platform, kind: str, target: str) -> None:
        host, prefix = addressed(kind, target)
        word = "predict" if kind == "model" else "run_remote"
        answer = platform.call("POST", f"{prefix}/{word}", host=host, json={"x": 1})
        assert (answer.status_code, answer.json()) == (200, {"echo": {"x": 1}})

    def test_takes_an_async_call(self, platform: Platform, kind: str, target: str) -> None:
        host, prefix = addressed(kind, target)
        word = "async_predict" if kind == "model" else "async_run_remote"
        answer = platform.call("POST", f"{prefix}/{word}", host=host, json={"model_input": 1})
        assert (answer.status_code, list(answer.json())) == (201, ["request_id"])
        assert len(bytes.fromhex(answer.json()["request_id"])) == 16
        assert answer.headers["X-Baseten-Request-Id"] == answer.json()["request_id"]

    def test_tells_its_queue_status(self, platform: Platform, kind: str, target: str) -> None:
        host, prefix = addressed(kind, target)
        answer = platform.call("GET", f"{prefix}/async_queue_status", host=host)
        assert (answer.status_code, list(answer.json())) == (
            200,
            ["model_id", "deployment_id", "num_queued_requests", "num_in_progress_requests"],
        )
        assert answer.json()["deployment_id"] == ("d1" if kind == "model" else "d2")

    def test_is_woken(self, platform: Platform, kind: str, target: str) -> None:
        host, prefix = addressed(kind, target)
        answer = platform.call("POST", f"{prefix}/wake", host=host)
        assert (answer.status_code, answer.content) == (202, b"")


@pytest.mark.parametrize("target", [target for target in TARGETS if target])
@pytest.mark.parametrize(
    ("method", "operation"),
    [("POST", "predict"), ("POST", "async_predict"), ("GET", "async_queue_status"), ("POST", "wake"),
     ("GET", "sync/own")],
)  # fmt: skip
def test_a_target_in_the_path_is_refused_on_a_regional_host(
    platform: Platform, method: str, operation: str, target: str
) -> None:
    path = f"/{target.format(id='d1')}/{operation}"
    answer = platform.call(method, path, host="model-m1-production.api.baseten.co", json={"model_input": 1})
    assert (answer.status_code, answer.json()["error_code"]) == (404, "model_does_not_exist")


@pytest.mark.parametrize(
    "host", [MODEL_HOST, "model-m1-production.api.baseten.co", "model-m1.localhost", "127.0.0.1"]
)
def test_status_and_cancel_name_no_environment(platform: Platform, host: str) -> None:
    request_id = platform.submit().json()["request_id"]
    status = platform.call("GET", f"/async_request/{request_id}", host=host)
    canceled = platform.call("DELETE", f"/async_request/{request_id}", host=host)
    assert (status.status_code, status.json()["request_id"]) == (200, request_id)
    assert (canceled.status_code, list(canceled.json())) == (200, ["request_id", "canceled", "message"])


def test_an_async_requests_id_reaches_the_model_as_header_and_as_trace(platform: Platform) -> None:
    status = platform.outcome_of()
    sent = {headers["x-baseten-request-id"]: headers for headers in platform.model.headers}
    assert sent[status["request_id"]]["traceparent"].split("-")[:2] == ["00", status["request_id"]]


def test_a_chains_async_call_takes_the_fields_of_a_models(platform: Platform) -> None:
    asked: list[tuple[dict[str, Any], int]] = [
        ({"model_input": 1, "priority": 2}, 201),
        ({"model_input": 1, "priority": 3}, 400),
        ({"model_input": 1, "no": "field"}, 201),
        ({"priority": 2}, 400),
    ]
    for body, status_code in asked:
        answer = platform.call("POST", "/production/async_run_remote", host=CHAIN_HOST, json=body)
        assert answer.status_code == status_code


@pytest.mark.parametrize(
    ("field", "low", "high"),
    [
        ("priority", 0, 2),
        ("max_time_in_queue_seconds", 10, 259_200),
        ("inference_retry_config.max_attempts", 1, 10),
        ("inference_retry_config.initial_delay_ms", 0, 10_000),
        ("inference_retry_config.max_delay_ms", 0, 60_000),
    ],
)
def test_every_range_ends_where_the_platforms_does(
    platform: Platform, field: str, low: int, high: int
) -> None:
    outer, _, inner = field.partition(".")
    for value, status_code in [(low, 201), (high, 201), (low - 1, 400), (high + 1, 400)]:
        answer = platform.submit(**{outer: {inner: value} if inner else value})
        assert answer.status_code == status_code, value
        assert status_code == 201 or field in answer.json()["error"]


@pytest.mark.parametrize(
    ("endpoint", "status_code"),
    [
        ("http://localhost:1/x", 201),
        ("http://example.com/x", 400),
        ("ftp://localhost/", 400),
        (None, 201),
        (7, 400),
    ],
)
def test_a_webhook_endpoint_is_https_or_on_localhost(
    platform: Platform, endpoint: object, status_code: int
) -> None:
    assert platform.submit(webhook_endpoint=endpoint, inference_retry_config=None).status_code == status_code


def test_fields_that_the_platform_does_not_know_are_ignored(platform: Platform) -> None:
    retry = {"max_attempts": 1, "factor": 3}
    assert platform.submit(callback="x", inference_retry_config=retry).status_code == 201


@pytest.mark.parametrize(
    "content_type", ["application/json", "application/json; charset=utf-8", "text/plain", None, "a/b"]
)
def test_a_body_is_read_as_json_whatever_its_content_type(
    platform: Platform, content_type: str | None
) -> None:
    headers = {} if content_type is None else {"Content-Type": content_type}
    path = "/production/async_predict"
    assert platform.call("POST", path, content=b'{"model_input": 1}', headers=headers).status_code == 201
    assert platform.call("POST", path, content=b"model_input=1", headers=headers).status_code == 400


def test_every_kind_of_answer_carries_a_request_id_and_refusals_an_error_and_its_code(
    serve: Callable[..., Harness], model: ModelServer
) -> None:
    model.behave = lambda model_input: Answer(is_cut=True) if model_input == "cut" else echo(model_input)
    harness = serve(api_key="right", status_calls_per_second=1, clock=ManualClock())
    own = {"Authorization": "Bearer right"}
    with httpx.Client(base_url=harness.url, headers=own, timeout=30) as http:
        answers = {
            200: [http.get("/healthz"), http.get("/metrics"), http.post("/predict", json=1), http.get("/_harness/clock")],
            201: [http.post("/async_predict", json={"model_input": 1}), http.post("/_harness/secrets")],
            202: [http.post("/production/wake")],
            400: [http.post("/async_predict"), http.post("/_harness/clock")],
            401: [http.post("/predict", headers={"Authorization": "Api-Key wrong"})],
            404: [http.get("/nowhere"), http.delete("/async_request/f00"), http.get("/async_request/f00")],
            405: [http.put("/predict")],
            413: [http.post("/async_predict", content=b"x" * (limits.MAX_ASYNC_BODY_BYTES + 1))],
            429: [http.get("/async_request/f00")],
            502: [http.post("/predict", json="cut")],
        }  # fmt: skip
    ids = set()
    for status_code, some in answers.items():
        for answer in some:
            assert answer.status_code == status_code, answer.request.url
            ids.add(bytes.fromhex(answer.headers["x-baseten-request-id"]))
            if status_code >= 400:
                assert list(answer.json()) == ["error", "error_code"]
                assert answer.json()["error_code"] in ERROR_CODES
    assert len(ids) == sum(map(len, answers.values()))


def test_a_sync_call_over_1200_s_is_504(serve: Callable[..., Harness], gate: Gate) -> None:
    clock = ManualClock()
    harness = serve(clock=clock)
    answers: list[httpx.Response] = []
    caller = threading.Thread(
        target=lambda: answers.append(httpx.post(f"{harness.url}/predict", json=1, headers=KEY, timeout=60))
    )
    caller.start()
    assert gate.entered.acquire(timeout=30)
    clock.advance(1200, patience_seconds=0.05)
    caller.join(30)
    assert (answers[0].status_code, answers[0].json()["error_code"]) == (504, "timeout")


class DoesNotLoad:
    def load(self) -> None:
        raise ValueError("no weights")

    def predict(self, model_input: Any) -> Any:
        return model_input


def test_a_sync_call_to_a_model_that_does_not_load_is_503(serve: Callable[..., Harness]) -> None:
    harness = serve(model_url=None, model=DoesNotLoad)
    while httpx.get(f"{harness.url}/healthz").json()["model"] != "failed":
        pass
    answer = httpx.post(f"{harness.url}/predict", json=1, headers=KEY)
    assert (answer.status_code, answer.json()["error_code"]) == (503, "model_unavailable")
    assert "no weights" in answer.json()["error"]


def test_50000_open_requests_are_the_most(serve: Callable[..., Harness], gate: Gate, tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    fill(state / "queue.sqlite3")
    harness = serve(adopt=True)  # it was filled behind the harness's back
    with httpx.Client(base_url=harness.url, headers=KEY, timeout=30) as http:
        refused = http.post("/async_predict", json={"model_input": 1})
        assert (refused.status_code, refused.json()["error_code"]) == (429, "rate_limited")
        assert "50000" in refused.json()["error"]
        assert refused.headers["retry-after"] == "1"
        assert http.delete("/async_request/r49999").json()["canceled"]
        assert http.post("/async_predict", json={"model_input": 1}).status_code == 201


def fill(file: Path) -> None:
    """50,000 requests, queued by an earlier harness: r0 in its way, and the others like it in one commit."""
    storage = SqliteStorage(file)
    with QueueDriver(storage, now=datetime.now(timezone.utc)) as queue:
        queue.enqueue("r0", deployment_id="local1", webhook=None, expires_in=timedelta(hours=1))
    inputs = "INSERT INTO model_inputs SELECT seq, '1' FROM requests WHERE request_id <> 'r0'"
    storage.execute(FILLED, inputs)


INVALID = Answer(400, b'{"error": "Invalid JSON"}', {"X-BASETEN-ERROR-CODE": "700"})
NOT_READY = Answer(503, b'{"error": "Model with name model is not ready."}')
STREAM = Answer(headers={"Content-Type": "text/event-stream"}, chunks=[b"a"])


@pytest.mark.parametrize(
    ("answer", "code", "is_retried"),
    [
        (Answer(400), "MODEL_NOT_READY", True),
        (NOT_READY, "MODEL_NOT_READY", True),
        (INVALID, "MODEL_INVALID_INPUT", False),
        (Answer(404), "MODEL_DOES_NOT_EXIST", False),
        (Answer(422), "MODEL_INVALID_INPUT", False),
        (Answer(500), "MODEL_PREDICT_ERROR", True),
        (Answer(502), "MODEL_UNAVAILABLE", True),
        (Answer(503), "MODEL_UNAVAILABLE", True),
        (Answer(is_cut=True), "MODEL_UNAVAILABLE", True),
        (Answer(504), "MODEL_PREDICT_TIMEOUT", True),
        (STREAM, "ASYNC_REQUEST_NOT_SUPPORTED", False),
    ],
)
def test_each_answer_of_the_model_ends_in_its_error_code_and_is_retried_or_not(
    platform: Platform, answer: Answer, code: str, is_retried: bool
) -> None:
    platform.model.behave = lambda _: answer
    status = platform.outcome_of(inference_retry_config={"max_attempts": 2, "initial_delay_ms": 0})
    assert (status["status"], [error["code"] for error in status["errors"]]) == ("FAILED", [code])
    assert platform.calls_of(status["request_id"]) == (2 if is_retried else 1)


def test_a_fault_of_the_harness_itself_is_an_internal_server_error_and_is_retried(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr(inference, "judge_answer", fails)
    status = platform.outcome_of(inference_retry_config={"max_attempts": 2, "initial_delay_ms": 0})
    assert [error["code"] for error in status["errors"]] == ["INTERNAL_SERVER_ERROR"]
    assert platform.calls_of(status["request_id"]) == 2


def test_a_status_has_the_platforms_fields_and_times_in_utc(platform: Platform) -> None:
    model = platform.outcome_of()
    answer = platform.call("POST", "/production/async_run_remote", host=CHAIN_HOST, json={"model_input": 1})
    chain = platform.call("GET", f"/async_request/{answer.json()['request_id']}", host=CHAIN_HOST).json()
    for status, kind in [(model, "model_id"), (chain, "chain_id")]:
        fields = [
            "request_id",
            kind,
            "deployment_id",
            "status",
            "webhook_status",
            "created_at",
            "status_at",
            "errors",
        ]
        assert list(status) == fields
        for moment in (status["created_at"], status["status_at"]):
            assert moment.endswith("Z")
            datetime.fromisoformat(moment.replace("Z", "+00:00"))


def test_a_webhook_is_pending_until_it_is_delivered(
    serve: Callable[..., Harness], gate: Gate, receiver: WebhookReceiver
) -> None:
    with HarnessClient(serve().url, api_key="any") as client:
        ids = [client.submit(model_input=1, webhook_endpoint=receiver.url).request_id for _ in range(2)]
        assert gate.entered.acquire(timeout=30)
        assert {outcome(client.status(each)) for each in ids} == {
            ("IN_PROGRESS", "PENDING"),
            ("QUEUED", "PENDING"),
        }
        gate.opened.set()
        assert {outcome(client.wait(each, timeout_seconds=30)) for each in ids} == {
            ("SUCCEEDED", "SUCCEEDED")
        }


@pytest.mark.parametrize(
    ("answer", "data", "error"),
    [
        (Answer(body=b'{ "a" : [1, "x y"] }'), {"a": [1, "x y"]}, None),
        (Answer(body=b'"text"'), "text", None),
        (Answer(422), None, "MODEL_INVALID_INPUT"),
    ],
)
def test_a_webhooks_body_has_the_platforms_keys_in_its_order_and_no_white_space(
    platform: Platform, answer: Answer, data: object, error: str | None
) -> None:
    platform.model.behave = lambda _: answer
    status = platform.outcome_of(webhook_endpoint=platform.receiver.url)
    sent = platform.receiver.wait_for(status["request_id"])
    said = json.loads(sent.body)
    assert list(said) == ["request_id", "model_id", "deployment_id", "type", "time", "data", "errors"]
    assert sent.body == json.dumps(said, separators=(",", ":"), ensure_ascii=False).encode()
    assert (said["request_id"], said["model_id"], said["deployment_id"]) == (status["request_id"], "m1", "d1")
    assert (said["type"], said["data"]) == ("async_request_completed", data)
    assert [each["code"] for each in said["errors"]] == ([] if error is None else [error])
    assert (sent.headers["content-type"], sent.headers["x-baseten-request-id"]) == (
        "application/json",
        status["request_id"],
    )


def test_a_webhook_endpoint_has_10_s_to_answer_and_is_tried_again_2_s_later(
    serve: Callable[..., Harness],
) -> None:
    start = datetime(2026, 1, 1, tzinfo=timezone.utc)
    clock, answering, came = ManualClock(start), threading.Event(), threading.Semaphore(0)

    def hold(_: object) -> None:
        came.release()
        answering.wait(30)

    with (
        HarnessClient(serve(clock=clock).url, api_key="any") as client,
        WebhookReceiver(on_delivery=hold) as receiver,
    ):
        request_id = client.submit(model_input=1, webhook_endpoint=receiver.url).request_id
        assert came.acquire(timeout=30)
        clock.advance(9.9, patience_seconds=0.05)
        assert client.deliveries(request_id) == []
        clock.advance(0.1, patience_seconds=0.05)
        answering.set()
        clock.advance(2)
        first, second = client.deliveries(request_id)
    assert (first.status_code, first.error) == (None, "no answer within 10 s")
    assert (second.status_code, second.sent_at - first.sent_at) == (200, timedelta(seconds=12))
