import json
import threading
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

import httpx
import pytest

from tests.integration.harness.conftest import SECRET
from tests.integration.harness.gate import Gate, outcome
from tests.integration.harness.model_server import Answer, ModelServer
from truss_async.client import HarnessClient, PlatformClient
from truss_async.clock import ManualClock
from truss_async.contract import AsyncPredictResult
from truss_async.errors import ApiError
from truss_async.harness.harness import Harness
from truss_async.webhooks import verify_webhook
from truss_async.webhooks.receiver import WebhookReceiver

NO_WAIT = {"initial_delay_ms": 0, "max_delay_ms": 0}
IMPATIENT = 0.05


def test_a_request_ends_in_a_signed_webhook(
    client: PlatformClient, receiver: WebhookReceiver, model: ModelServer
) -> None:
    model_input = {"text": "Grüße, 世界", "number": 0.1 + 0.2}
    request_id = client.submit(model_input=model_input, webhook_endpoint=receiver.url).request_id
    assert outcome(client.wait(request_id, timeout_seconds=30)) == ("SUCCEEDED", "SUCCEEDED")
    delivery = receiver.wait_for(request_id)
    assert delivery.verdict == "valid"
    assert delivery.headers["x-baseten-request-id"] == request_id
    assert delivery.headers["content-type"] == "application/json"
    assert delivery.result is not None
    assert delivery.result.data == {"echo": model_input}
    assert (delivery.result.model_id, delivery.result.deployment_id) == ("local", "local1")
    assert delivery.result.errors == []
    assert model.calls == [(request_id, model_input)]


def test_a_webhook_verifies_both_documented_ways_with_each_of_two_secrets(
    serve: Callable[..., Harness], model: ModelServer
) -> None:
    older = "whsec_" + "z9Y8" * 9
    output = {"é": "naïve — 日本", "floats": [0.1, 1e-7, 1e22, 3.0, -0.0], "big": 2**70}
    model.behave = lambda _: Answer(body=json.dumps(output).encode())
    harness = serve(webhook_secrets=(SECRET, older))
    with WebhookReceiver() as receiver, PlatformClient(harness.url, api_key="any") as client:
        request_id = client.submit(model_input=1, webhook_endpoint=receiver.url).request_id
        delivery = receiver.wait_for(request_id)
    assert delivery.headers["x-baseten-signature"].count("v1=") == 2
    for secret in (SECRET, older):
        assert verify_webhook(delivery.body, delivery.headers, [secret]).data == output
        dumped = AsyncPredictResult.model_validate_json(delivery.body).model_dump_json().encode()
        assert dumped == delivery.body
    assert b" " not in delivery.body.replace("naïve — 日本".encode(), b"")


def test_without_a_secret_there_is_no_signature(serve: Callable[..., Harness]) -> None:
    harness = serve(webhook_secrets=())
    with WebhookReceiver() as receiver, PlatformClient(harness.url, api_key="any") as client:
        request_id = client.submit(model_input=1, webhook_endpoint=receiver.url).request_id
        assert "x-baseten-signature" not in receiver.wait_for(request_id).headers


def test_a_failure_is_delivered_too(
    client: PlatformClient, receiver: WebhookReceiver, model: ModelServer
) -> None:
    model.behave = lambda _: Answer(422, b'{"error": "no such page"}')
    request_id = client.submit(model_input=1, webhook_endpoint=receiver.url).request_id
    status = client.wait(request_id, timeout_seconds=30)
    assert outcome(status) == ("FAILED", "SUCCEEDED")
    result = receiver.wait_for(request_id).result
    assert result is not None
    assert (result.type, result.data) == ("async_request_completed", None)
    assert result.errors == status.errors
    assert (status.errors[0].code, status.errors[0].message) == ("MODEL_INVALID_INPUT", "no such page")
    assert len(model.calls) == 1


def test_a_retryable_failure_is_tried_again(client: PlatformClient, model: ModelServer) -> None:
    answers = iter([Answer(500), Answer(is_cut=True), Answer(body=b'"at last"')])
    model.behave = lambda _: next(answers)
    request_id = client.submit(model_input=1, inference_retry_config=NO_WAIT).request_id
    assert outcome(client.wait(request_id, timeout_seconds=30)) == ("SUCCEEDED", "NO_WEBHOOK_PROVIDED")
    assert [call[0] for call in model.calls] == [request_id] * 3


def test_attempts_end_at_the_configured_number(client: PlatformClient, model: ModelServer) -> None:
    model.behave = lambda _: Answer(500, b'{"error": "broken"}')
    request_id = client.submit(
        model_input=1, inference_retry_config={**NO_WAIT, "max_attempts": 4}
    ).request_id
    status = client.wait(request_id, timeout_seconds=30)
    assert outcome(status) == ("FAILED", "NO_WEBHOOK_PROVIDED")
    assert [error.code for error in status.errors] == ["MODEL_PREDICT_ERROR"]
    assert len(model.calls) == 4


def test_a_busy_model_costs_no_attempt(client: PlatformClient, model: ModelServer) -> None:
    answers = iter([Answer(429)] * 3 + [Answer(body=b"1")])
    model.behave = lambda _: next(answers)
    retry = {**NO_WAIT, "max_attempts": 1}
    request_id = client.submit(model_input=1, inference_retry_config=retry).request_id
    assert outcome(client.wait(request_id, timeout_seconds=30)) == ("SUCCEEDED", "NO_WEBHOOK_PROVIDED")
    assert len(model.calls) == 4


def test_a_streaming_model_is_refused(client: PlatformClient, model: ModelServer) -> None:
    model.behave = lambda _: Answer(headers={"Content-Type": "application/octet-stream"}, chunks=[b"a", b"b"])
    request_id = client.submit(model_input=1).request_id
    status = client.wait(request_id, timeout_seconds=30)
    assert (status.status.value, status.errors[0].code) == ("FAILED", "ASYNC_REQUEST_NOT_SUPPORTED")


def test_lower_priority_numbers_run_first(client: PlatformClient, gate: Gate, model: ModelServer) -> None:
    client.submit(model_input="holds the only slot")
    assert gate.entered.acquire(timeout=30)
    ids = [client.submit(model_input=name, priority=priority).request_id
           for name, priority in [("a", 2), ("b", 1), ("c", 0), ("d", 1), ("e", 0)]]  # fmt: skip
    gate.opened.set()
    for request_id in ids:
        client.wait(request_id, timeout_seconds=30)
    assert [model_input for _, model_input in model.calls[1:]] == ["c", "e", "b", "d", "a"]


def test_a_sync_call_goes_before_queued_requests(
    client: PlatformClient, http: httpx.Client, gate: Gate, model: ModelServer
) -> None:
    client.submit(model_input="holds the only slot")
    assert gate.entered.acquire(timeout=30)
    last = [client.submit(model_input="async").request_id for _ in range(3)][-1]
    answers: list[httpx.Response] = []
    caller = threading.Thread(target=lambda: answers.append(http.post("/production/predict", json="sync")))
    caller.start()
    # The status call shares the API's loop with the sync call before it: once answered, that one waits for its slot.
    client.status(last)
    gate.opened.set()
    caller.join(30)
    client.wait(last, timeout_seconds=30)
    assert answers[0].json() == {"echo": "sync"}
    order = [model_input for _, model_input in model.calls]
    assert order.index("sync") < len(order) - 1


def test_only_queued_requests_are_cancelled(client: PlatformClient, gate: Gate, model: ModelServer) -> None:
    running = client.submit(model_input="runs").request_id
    assert gate.entered.acquire(timeout=30)
    queued = client.submit(model_input="waits").request_id
    cancelled, refused = client.cancel(queued), client.cancel(running)
    assert (cancelled.canceled, refused.canceled) == (True, False)
    assert "IN_PROGRESS" in refused.message
    assert outcome(client.status(queued)) == ("CANCELED", "NO_WEBHOOK_PROVIDED")
    gate.opened.set()
    assert outcome(client.wait(running, timeout_seconds=30)) == ("SUCCEEDED", "NO_WEBHOOK_PROVIDED")
    assert [model_input for _, model_input in model.calls] == ["runs"]


@pytest.mark.parametrize(
    ("answers", "expected", "attempts"),
    [
        ([503], ("SUCCEEDED", "SUCCEEDED"), [503, 200]),
        ([503, 500], ("WEBHOOK_FAILED", "FAILED"), [503, 500]),
        ([404], ("WEBHOOK_FAILED", "FAILED"), [404]),
        ([301], ("WEBHOOK_FAILED", "FAILED"), [301]),
    ],
)
def test_delivery_follows_the_platforms_rule(
    serve: Callable[..., Harness],
    answers: list[int],
    expected: tuple[str, str],
    attempts: list[int],
) -> None:
    clock = ManualClock(datetime.now(timezone.utc))
    with (
        WebhookReceiver(secrets=(SECRET,), respond_with=answers) as receiver,
        HarnessClient(serve(clock=clock).url, api_key="any") as client,
    ):
        request_id = client.submit(model_input=1, webhook_endpoint=receiver.url).request_id
        receiver.wait_for_count(1)
        clock.advance(2)
        assert outcome(client.wait(request_id, timeout_seconds=30)) == expected
        bodies = [json.loads(delivery.body) for delivery in receiver.deliveries]
        assert [sent.status_code for sent in client.deliveries(request_id)] == attempts
    assert len({body["time"] for body in bodies}) == len(bodies)
    assert {json.dumps(body["data"]) for body in bodies} == {'{"echo": 1}'}


def test_an_endpoint_nobody_listens_on_fails_the_webhook(
    serve: Callable[..., Harness], model: ModelServer, reports: list[str]
) -> None:
    clock = ManualClock(datetime.now(timezone.utc))
    with WebhookReceiver() as gone:
        url = gone.url
    with PlatformClient(serve(clock=clock).url, api_key="any") as client:
        request_id = client.submit(model_input=1, webhook_endpoint=url).request_id
        model.wait_for_a_call()
        clock.advance(2)
        assert outcome(client.wait(request_id, timeout_seconds=30)) == ("WEBHOOK_FAILED", "FAILED")
    assert any(request_id in line and url in line for line in reports)


def test_input_and_output_leave_no_trace_when_it_is_over(
    client: PlatformClient, receiver: WebhookReceiver, harness: Harness, tmp_path: Path, model: ModelServer
) -> None:
    model.behave = lambda _: Answer(body=b'"OUTPUT-9c1d"')
    done = client.submit(model_input="INPUT-7f3a", webhook_endpoint=receiver.url).request_id
    client.wait(done, timeout_seconds=30)
    state = tmp_path / "state"

    def left() -> bytes:
        return b"".join(file.read_bytes() for file in state.iterdir())

    ticks = threading.Event()
    for _ in range(200):  # the log is truncated once the queue has been idle for a moment
        if b"INPUT-7f3a" not in left() and b"OUTPUT-9c1d" not in left():
            break
        ticks.wait(0.05)
    assert b"INPUT-7f3a" not in left()
    assert b"OUTPUT-9c1d" not in left()
    assert outcome(client.status(done)) == ("SUCCEEDED", "SUCCEEDED")


def test_the_state_folder_is_readable_by_its_owner_only(harness: Harness, tmp_path: Path) -> None:
    state = tmp_path / "state"
    assert state.stat().st_mode & 0o077 == 0
    assert all(file.stat().st_mode & 0o077 == 0 for file in state.iterdir() if file.name != "lock")


def test_a_restart_completes_what_was_accepted(
    serve: Callable[..., Harness], receiver: WebhookReceiver, gate: Gate, model: ModelServer
) -> None:
    first = serve()
    with PlatformClient(first.url, api_key="any") as client:
        ids = [client.submit(model_input=n, webhook_endpoint=receiver.url).request_id for n in range(3)]
    assert gate.entered.acquire(timeout=30)
    first.close()
    gate.opened.set()
    second = serve()
    with PlatformClient(second.url, api_key="any") as client:
        for request_id in ids:
            assert outcome(client.wait(request_id, timeout_seconds=30)) == ("SUCCEEDED", "SUCCEEDED")
    assert {delivery.request_id for delivery in receiver.deliveries} == set(ids)


def test_a_late_request_expires_and_is_never_dispatched(
    serve: Callable[..., Harness], gate: Gate, model: ModelServer
) -> None:
    clock = ManualClock(datetime.now(timezone.utc))
    harness = serve(clock=clock)
    with PlatformClient(harness.url, api_key="any") as client:
        running = client.submit(model_input="runs").request_id
        assert gate.entered.acquire(timeout=30)
        late = client.submit(model_input="late", max_time_in_queue_seconds=60).request_id
        clock.advance(seconds=61, patience_seconds=IMPATIENT)
        assert outcome(client.wait(late, timeout_seconds=30)) == ("EXPIRED", "NO_WEBHOOK_PROVIDED")
        gate.opened.set()
        assert outcome(client.wait(running, timeout_seconds=30)) == ("SUCCEEDED", "NO_WEBHOOK_PROVIDED")
    assert [model_input for _, model_input in model.calls] == ["runs"]


def test_a_status_is_gone_an_hour_after_completion(serve: Callable[..., Harness]) -> None:
    clock = ManualClock(datetime.now(timezone.utc))
    harness = serve(clock=clock)
    with PlatformClient(harness.url, api_key="any") as client:
        request_id = client.submit(model_input=1).request_id
        client.wait(request_id, timeout_seconds=30)
        clock.advance(minutes=59)
        assert client.status(request_id).status.value == "SUCCEEDED"
        clock.advance(minutes=1)
        with pytest.raises(ApiError) as caught:
            client.status(request_id)
    assert caught.value.status_code == 404


def test_an_attempt_over_an_hour_is_a_timeout(serve: Callable[..., Harness], gate: Gate) -> None:
    clock = ManualClock(datetime.now(timezone.utc))
    harness = serve(clock=clock)
    with PlatformClient(harness.url, api_key="any") as client:
        request_id = client.submit(model_input=1, inference_retry_config={"max_attempts": 1}).request_id
        assert gate.entered.acquire(timeout=30)
        clock.advance(hours=1, patience_seconds=IMPATIENT)
        status = client.wait(request_id, timeout_seconds=30)
    assert (status.status.value, status.errors[0].code) == ("FAILED", "MODEL_PREDICT_TIMEOUT")


def test_a_caller_that_leaves_lets_go_of_the_model(
    http: httpx.Client, client: PlatformClient, gate: Gate
) -> None:
    with pytest.raises(httpx.ReadTimeout):
        http.post("/production/predict", json=1, timeout=0.3)
    gate.opened.set()
    request_id = client.submit(model_input=2).request_id
    assert outcome(client.wait(request_id, timeout_seconds=30)) == ("SUCCEEDED", "NO_WEBHOOK_PROVIDED")
