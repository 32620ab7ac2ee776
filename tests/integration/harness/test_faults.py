"""Each fault looks, from outside, as the platform's own failure would."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from tests.integration.harness.conftest import SECRET
from tests.integration.harness.gate import Gate, outcome
from tests.integration.harness.model_server import ModelServer
from truss_async.client import HarnessClient
from truss_async.clock import ManualClock
from truss_async.contract.faults import FaultKind, FaultRule
from truss_async.contract.harness_calls import DeliveryAttemptRecord
from truss_async.harness.harness import Harness
from truss_async.webhooks.receiver import Delivery, WebhookReceiver

HOUR = 3600


class Stage:
    """A harness in virtual time whose model is loaded, a client of it, and a receiver in the same time."""

    def __init__(
        self, harness: Harness, client: HarnessClient, http: httpx.Client, receiver: WebhookReceiver
    ) -> None:
        self.harness = harness
        self.client = client
        self.http = http
        self.receiver = receiver

    def set(self, kind: str, **rule: Any) -> None:
        self.harness.faults.add(FaultRule(kind=FaultKind(kind), **rule))

    def submit(self, **fields: Any) -> str:
        fields = {"model_input": 1, "webhook_endpoint": self.receiver.url, **fields}
        return self.client.submit(**fields).request_id

    def received(self) -> list[Delivery]:
        return list(self.receiver.deliveries)

    def advance(self, seconds: float) -> None:
        clock = self.harness.clock
        assert isinstance(clock, ManualClock)
        clock.advance(seconds)

    def outcome(self, request_id: str) -> tuple[str, str]:
        return outcome(self.client.status(request_id))

    def errors(self, request_id: str) -> list[tuple[str, str]]:
        return [(error.code, error.message) for error in self.client.status(request_id).errors]

    def attempts(self, request_id: str) -> list[tuple[int | None, str | None]]:
        return [told(sent) for sent in self.client.deliveries(request_id)]

    def story(self, request_id: str) -> Any:
        return self.http.get(f"/_harness/requests/{request_id}").json()

    def predict(self, *, timeout_seconds: float = 30) -> httpx.Response:
        return self.http.post("/production/predict", json=1, timeout=timeout_seconds)


def told(sent: DeliveryAttemptRecord) -> tuple[int | None, str | None]:
    return sent.status_code, sent.error


@pytest.fixture
def started(serve: Callable[..., Harness]) -> Iterator[Callable[..., Stage]]:
    with ExitStack() as running:

        def start(**options: Any) -> Stage:
            harness = serve(virtual_clock=True, state_dir=None, **options)
            client = running.enter_context(HarnessClient(harness.url, api_key="any"))
            receiver = running.enter_context(WebhookReceiver(secrets=(SECRET,), clock=harness.clock))
            http = running.enter_context(
                httpx.Client(base_url=harness.url, headers={"Authorization": "Api-Key any"}, timeout=30)
            )
            while http.get("/healthz").json()["model"] != "ready":
                harness.wait(0.01)
            return Stage(harness, client, http, receiver)

        yield start


@pytest.fixture
def stage(started: Callable[..., Stage]) -> Stage:
    return started()


def test_a_dropped_webhook_is_a_connection_error_and_sent_again(stage: Stage) -> None:
    stage.set("webhook_dropped", times=1)
    request_id = stage.submit()
    stage.advance(0)
    assert stage.received() == []
    stage.advance(2)
    assert stage.outcome(request_id) == ("SUCCEEDED", "SUCCEEDED")
    assert len(stage.received()) == 1
    assert stage.attempts(request_id) == [(None, "fault: webhook_dropped: never sent"), (200, None)]


def test_a_webhook_that_is_always_dropped_fails(stage: Stage) -> None:
    stage.set("webhook_dropped")
    request_id = stage.submit()
    stage.advance(60)
    assert stage.outcome(request_id) == ("WEBHOOK_FAILED", "FAILED")
    assert stage.received() == []


def test_a_doubled_webhook_comes_twice(stage: Stage) -> None:
    stage.set("webhook_doubled")
    request_id = stage.submit()
    stage.advance(60)
    assert [(sent.request_id, sent.verdict) for sent in stage.received()] == [
        (request_id, "valid"),
        (request_id, "valid"),
    ]
    assert stage.attempts(request_id) == [(200, "fault: webhook_doubled")]
    assert stage.outcome(request_id) == ("SUCCEEDED", "SUCCEEDED")


def test_a_delayed_webhook_comes_later(stage: Stage) -> None:
    stage.set("webhook_delayed", seconds=30)
    request_id = stage.submit()
    stage.advance(29)
    assert stage.received() == []
    stage.advance(1)
    assert stage.received()[0].verdict == "valid"
    assert stage.outcome(request_id) == ("SUCCEEDED", "SUCCEEDED")


def test_a_reordered_webhook_comes_after_the_next_one(stage: Stage) -> None:
    stage.set("webhook_reordered", nth=1)
    first = stage.submit()
    stage.advance(0)
    assert stage.received() == []
    second = stage.submit()
    stage.advance(0)
    assert [sent.request_id for sent in stage.received()] == [second, first]
    assert stage.attempts(first) == [(200, "fault: webhook_reordered")]


def test_a_reordered_webhook_waits_in_vain_only_so_long(stage: Stage) -> None:
    stage.set("webhook_reordered", seconds=7)
    stage.submit()
    stage.advance(6)
    assert stage.received() == []
    stage.advance(1)
    assert stage.received()[0].verdict == "valid"


@pytest.mark.parametrize("secrets", [(SECRET,), ()])
def test_a_wrong_signature_is_refused(started: Callable[..., Stage], secrets: tuple[str, ...]) -> None:
    stage = started(webhook_secrets=secrets)
    stage.set("webhook_wrong_signature")
    request_id = stage.submit()
    stage.advance(60)
    (sent,) = stage.received()
    assert (sent.status_code, "signature" in sent.verdict) == (401, True)
    assert stage.outcome(request_id) == ("WEBHOOK_FAILED", "FAILED")
    ((status, error),) = stage.attempts(request_id)
    assert (status, error is not None) == (401, True)
    assert str(error).startswith(
        "fault: webhook_wrong_signature: it answered 401: the signature does not match"
    )


def test_an_old_timestamp_is_signed_well_and_refused_for_its_age(stage: Stage) -> None:
    stage.set("webhook_old_timestamp", times=1)
    stage.set("webhook_old_timestamp", seconds=299, times=1)
    refused, accepted = stage.submit(), stage.submit()
    stage.advance(60)
    assert stage.outcome(refused) == ("WEBHOOK_FAILED", "FAILED")
    assert stage.outcome(accepted) == ("SUCCEEDED", "SUCCEEDED")
    verdicts = {sent.request_id: sent.verdict for sent in stage.received()}
    assert "old" in verdicts[refused]
    assert verdicts[accepted] == "valid"


def test_an_endpoint_that_answers_slowly_gets_it_again(stage: Stage) -> None:
    stage.set("webhook_answered_slowly", attempt=1)
    request_id = stage.submit()
    stage.advance(9)
    assert stage.attempts(request_id) == []
    stage.advance(1)
    (sent,) = stage.client.deliveries(request_id)
    assert told(sent) == (None, "fault: webhook_answered_slowly: no answer within 10 s")
    assert sent.latency_ms == 10_000
    stage.advance(2)
    assert stage.outcome(request_id) == ("SUCCEEDED", "SUCCEEDED")
    assert [sent.status_code for sent in stage.received()] == [200, 200]


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("model_500", "MODEL_PREDICT_ERROR"),
        ("model_503", "MODEL_UNAVAILABLE"),
        ("model_504", "MODEL_PREDICT_TIMEOUT"),
    ],
)
def test_a_status_of_the_models_is_retried_and_told(
    stage: Stage, model: ModelServer, kind: str, code: str
) -> None:
    stage.set(kind, attempt=1)
    stage.set(kind, nth=2)
    passing, failing = stage.submit(), stage.submit()
    stage.advance(60)
    assert stage.outcome(passing) == ("SUCCEEDED", "SUCCEEDED")
    assert stage.outcome(failing) == ("FAILED", "SUCCEEDED")
    assert stage.errors(failing) == [(code, f"fault: {kind}")]
    assert [called for called, _ in model.calls] == [passing]
    assert [
        (struck["kind"], struck["fault_id"], struck["attempt"]) for struck in stage.story(failing)["faults"]
    ] == [
        (kind, 1, 1),
        (kind, 2, 2),
        (kind, 2, 3),
    ]


@pytest.mark.parametrize("rule", [{"times": 3}, {"rate": 1.0}])
def test_a_429_counts_as_no_attempt_and_ends(stage: Stage, rule: dict[str, Any]) -> None:
    stage.set("model_429", **rule)
    request_id = stage.submit(inference_retry_config={"max_attempts": 1})
    stage.advance(60)
    assert stage.outcome(request_id) == ("SUCCEEDED", "SUCCEEDED")
    assert stage.story(request_id)["inference_attempts"] == 1


def test_a_crash_breaks_off_what_the_model_was_doing(stage: Stage, gate: Gate) -> None:
    stage.set("model_crash", times=1)
    request_id = stage.submit(inference_retry_config={"max_attempts": 1})
    assert gate.entered.acquire(timeout=30)
    stage.advance(0)
    assert stage.outcome(request_id)[0] == "FAILED"
    assert stage.errors(request_id) == [
        ("MODEL_UNAVAILABLE", "the model server did not answer: fault: model_crash")
    ]


def test_a_hanging_model_takes_its_hour(stage: Stage, model: ModelServer) -> None:
    stage.set("model_hang", attempt=1)
    request_id = stage.submit()
    stage.advance(HOUR - 1)
    assert stage.outcome(request_id) == ("IN_PROGRESS", "PENDING")
    stage.advance(1)
    assert stage.story(request_id)["inference_attempts"] == 1
    stage.advance(1)
    assert stage.outcome(request_id) == ("SUCCEEDED", "SUCCEEDED")
    assert len(model.calls) == 1


@pytest.mark.parametrize(
    ("kind", "status_code"),
    [("model_500", 500), ("model_503", 503), ("model_504", 504), ("model_429", 429), ("model_crash", 502)],
)
def test_a_sync_call_is_struck_by_what_strikes_the_model(stage: Stage, kind: str, status_code: int) -> None:
    stage.set(kind, times=1)
    answer = stage.predict()
    assert answer.status_code == status_code
    assert f"fault: {kind}" in answer.json()["error"]
    assert stage.predict().json() == {"echo": 1}


def test_a_sync_call_hangs_until_its_caller_gives_up(stage: Stage) -> None:
    stage.set("model_hang", times=1)
    with pytest.raises(httpx.ReadTimeout):
        stage.predict(timeout_seconds=0.2)
    assert stage.predict().status_code == 200  # the only slot is free again


def test_a_sync_call_that_hangs_is_answered_504_in_the_end(stage: Stage) -> None:
    stage.set("model_hang", times=1)
    with ThreadPoolExecutor(1) as pool:
        answering = pool.submit(stage.predict)
        while not stage.harness.faults.all()[0].struck:
            stage.harness.wait(0.01)
        stage.advance(1200)
        assert answering.result(30).status_code == 504


def test_the_nth_request_is_an_async_one(stage: Stage) -> None:
    stage.set("model_500", nth=1)
    assert stage.predict().status_code == 200


def test_a_rule_is_reported_once_and_when_it_is_used_up(stage: Stage, reports: list[str]) -> None:
    stage.set("webhook_doubled")
    stage.set("model_500", times=2)
    for _ in range(4):
        stage.submit()
    stage.advance(60)
    said = [line.partition(":")[0] for line in reports if line.startswith("fault")]
    assert sorted(said) == [
        "fault 1 (webhook_doubled) injected for the first time",
        "fault 2 (model_500) injected for the first time",
        "fault 2 (model_500) was injected 2 times; it is used up",
    ]


def test_the_first_rule_that_fits_strikes_and_no_other(stage: Stage) -> None:
    stage.set("model_500", deployment_id="another")
    stage.set("model_503", attempt=1)
    stage.set("model_500")
    request_id = stage.submit(inference_retry_config={"max_attempts": 1})
    stage.advance(60)
    assert stage.errors(request_id) == [("MODEL_UNAVAILABLE", "fault: model_503")]
    assert [rule.struck for rule in stage.harness.faults.all()] == [0, 1, 0]


def test_two_runs_from_one_seed_are_struck_alike(started: Callable[..., Stage]) -> None:
    kinds = (FaultKind.MODEL_500, FaultKind.MODEL_429, FaultKind.WEBHOOK_DOUBLED, FaultKind.WEBHOOK_DROPPED)
    runs = []
    for _ in range(2):
        stage = started(faults=tuple(FaultRule(kind=kind, rate=0.4, seed=5) for kind in kinds))
        ids = [stage.submit() for _ in range(12)]
        stage.advance(120)
        runs.append(
            [
                (
                    stage.outcome(request_id),
                    sorted(
                        (struck["kind"], struck["attempt"]) for struck in stage.story(request_id)["faults"]
                    ),
                )
                for request_id in ids
            ]
        )
    assert runs[0] == runs[1]
    assert {kind for _, struck in runs[0] for kind, _ in struck} == {kind.value for kind in kinds}


def test_faults_are_set_shown_and_removed_over_http(stage: Stage) -> None:
    http = stage.http
    answer = http.post("/_harness/faults", json={"kind": "model_500", "times": 1})
    assert answer.status_code == 201
    assert (answer.json()["id"], answer.json()["struck"], answer.json()["times"]) == (1, 0, 1)
    request_id = stage.submit()
    stage.advance(60)
    assert stage.outcome(request_id) == ("SUCCEEDED", "SUCCEEDED")
    (shown,) = http.get("/_harness/faults").json()["faults"]
    assert (shown["kind"], shown["struck"]) == ("model_500", 1)
    assert http.delete("/_harness/faults/1").json()["id"] == 1
    assert http.delete("/_harness/faults/1").status_code == 404
    for unknown in ("x", "0", "²", "1" * 5000):
        assert http.delete(f"/_harness/faults/{unknown}").status_code == 404
    http.post("/_harness/faults", json={"kind": "model_503"})
    assert len(http.delete("/_harness/faults").json()["faults"]) == 1
    assert http.get("/_harness/faults").json() == {"faults": []}
    assert http.put("/_harness/faults").status_code == 405
    assert http.get("/_harness/faults/1").status_code == 405


def test_the_client_sets_shows_and_removes_faults(stage: Stage) -> None:
    added = stage.client.add_fault(FaultRule(kind=FaultKind.WEBHOOK_DELAYED, seconds=3, nth=2))
    assert stage.client.faults() == [added]
    assert (added.kind, added.seconds, added.nth) == (FaultKind.WEBHOOK_DELAYED, 3, 2)
    stage.client.remove_fault(added.id)
    stage.client.add_fault(FaultRule(kind=FaultKind.MODEL_HANG))
    stage.client.clear_faults()
    assert stage.client.faults() == []


def test_what_is_no_fault_is_refused(stage: Stage) -> None:
    for body, message in (
        (b"", "invalid JSON"),
        (b"[]", "the body must be a JSON object"),
        (b'{"kind": "model_501"}', "kind: Input should be 'webhook_dropped', "),
        (b'{"kind": "model_500", "nht": 1}', "unknown key nht; did you mean 'nth'?"),
        (b'{"kind": "store_forbidden"}', "kind: store_forbidden cannot be injected: "),
    ):
        answer = stage.http.post("/_harness/faults", content=body)
        assert answer.status_code == 400
        assert answer.json()["error"].startswith(message)
    assert stage.harness.faults.all() == []


@pytest.mark.parametrize(
    ("kind", "method", "path", "status", "code", "error"),
    [
        ("sync_full", "POST", "/production/predict", 529, "model_unavailable", "no replica has room"),
        ("sync_full", "GET", "/production/sync/v1/own", 529, "model_unavailable", "no replica has room"),
        ("capacity_exceeded", "POST", "/production/async_predict", 429, "rate_limited", "CAPACITY_EXCEEDED"),
        ("payment_required", "POST", "/production/predict", 402, "client_error", "payment is required"),
        ("payment_required", "POST", "/production/async_predict", 402, "client_error", "payment is required"),
        (
            "payment_required",
            "GET",
            "/production/async_queue_status",
            402,
            "client_error",
            "payment is required",
        ),
        ("payment_required", "POST", "/production/wake", 402, "client_error", "payment is required"),
        ("forbidden", "POST", "/production/async_predict", 403, "unauthorized", "the API key may not call"),
        (
            "development_scaled_to_zero",
            "POST",
            "/development/predict",
            404,
            "model_not_ready",
            "scaled to zero",
        ),
        ("not_set_up", "POST", "/production/async_predict", 503, "model_unavailable", "not set up"),
    ],
)
def test_a_call_is_refused_as_the_platform_refuses_it(
    stage: Stage, kind: str, method: str, path: str, status: int, code: str, error: str
) -> None:
    stage.set(kind, times=1)
    answer = stage.http.request(method, path, content=b'{"model_input": 1}')
    assert (answer.status_code, answer.json()["error_code"]) == (status, code)
    assert error in answer.json()["error"]
    assert answer.json()["detail"] == f"fault: {kind}"
    assert len(answer.headers["x-baseten-request-id"]) == 32
    again = stage.http.request(method, path, content=b'{"model_input": 1}')
    assert again.status_code != status


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("sync_full", "/production/async_predict"),
        ("capacity_exceeded", "/production/predict"),
        ("development_scaled_to_zero", "/production/predict"),
        ("not_set_up", "/production/predict"),
    ],
)
def test_a_fault_of_calls_strikes_only_those_that_the_platform_refuses_so(
    stage: Stage, kind: str, path: str
) -> None:
    stage.set(kind)
    assert stage.http.post(path, json={"model_input": 1}).status_code in (200, 201)
    assert stage.harness.faults.all()[0].struck == 0
