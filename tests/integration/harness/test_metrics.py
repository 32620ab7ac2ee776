"""``GET /metrics``: the platform's names, types and labels, and that they count what happens."""

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from tests.integration.harness.gate import Gate
from tests.integration.harness.model_server import Answer, ModelServer
from truss_async.client import PlatformClient
from truss_async.clock import SYSTEM_CLOCK, ManualClock
from truss_async.harness.harness import Harness
from truss_async.webhooks import WebhookReceiver

LABELS = {
    "model_id": "local",
    "model_name": "local",
    "deployment_id": "local1",
    "environment": "production",
    "rollout_phase": "stable",
}
TYPES = {
    "baseten_inference_requests": "counter",
    "baseten_end_to_end_response_time_seconds": "histogram",
    "baseten_time_in_async_queue_seconds": "histogram",
    "baseten_async_queue_size": "gauge",
    "baseten_async_webhook_requests": "counter",
    "baseten_async_webhook_latency_seconds": "histogram",
    "baseten_request_size_bytes": "histogram",
    "baseten_response_size_bytes": "histogram",
    "baseten_concurrent_requests": "gauge",
    "baseten_replicas_active": "gauge",
    "baseten_replicas_starting": "gauge",
}


def scrape(harness: Harness) -> dict[str, Metric]:
    """What a scraper gets, which sends no key."""
    answer = httpx.get(f"{harness.url}/metrics", timeout=30)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return {family.name: family for family in text_string_to_metric_families(answer.text)}


def value(harness: Harness, sample_name: str, **labels: str) -> float | None:
    found = [
        sample.value
        for family in scrape(harness).values()
        for sample in family.samples
        if sample.name == sample_name and sample.labels == {**LABELS, **labels}
    ]
    return found[0] if found else None


def test_every_metric_has_the_platforms_name_and_type(harness: Harness) -> None:
    families = scrape(harness)
    assert {name: families[name].type for name in TYPES} == TYPES


def test_every_series_has_the_platforms_labels_and_those_of_requests_tell_status_and_is_async(
    harness: Harness, client: PlatformClient, http: httpx.Client, receiver: WebhookReceiver
) -> None:
    http.post("/production/predict", json=1)
    client.wait(client.submit(model_input=1, webhook_endpoint=receiver.url).request_id, timeout_seconds=30)
    more = {
        "baseten_inference_requests": {"status", "is_async"},
        "baseten_end_to_end_response_time_seconds": {"status", "is_async"},
        "baseten_async_webhook_requests": {"status"},
        "baseten_async_webhook_latency_seconds": {"status"},
    }
    families = scrape(harness)
    for name in TYPES:
        assert families[name].samples, name
        for sample in families[name].samples:
            assert sample.labels.keys() - {"le"} == LABELS.keys() | more.get(name, set()), sample


@pytest.mark.parametrize("status", [200, 500])
def test_sync_calls_are_counted_with_their_status(
    harness: Harness, client: PlatformClient, http: httpx.Client, model: ModelServer, status: int
) -> None:
    model.behave = lambda _: Answer(status, b"12345678")
    for path in ("/production/predict", "/production/sync/v1/own"):
        http.post(path, content=b'"0123456789"')
    http.get("/nowhere")
    http.get("/production/async_queue_status")
    labels = {"status": str(status), "is_async": "false"}
    assert value(harness, "baseten_inference_requests_total", **labels) == 2
    assert value(harness, "baseten_end_to_end_response_time_seconds_count", **labels) == 2
    assert value(harness, "baseten_request_size_bytes_sum") == 24
    assert value(harness, "baseten_response_size_bytes_sum") == 16


def test_async_requests_count_in_volume_latency_and_time_in_queue(
    serve: Callable[..., Harness], gate: Gate, receiver: WebhookReceiver
) -> None:
    clock = ManualClock(SYSTEM_CLOCK.now())
    harness = serve(clock=clock)
    with PlatformClient(harness.url, api_key="any") as client:
        ids = [
            client.submit(model_input=number, webhook_endpoint=receiver.url).request_id for number in range(2)
        ]
        assert gate.entered.acquire(timeout=30)
        assert value(harness, "baseten_async_queue_size") == 1
        assert value(harness, "baseten_concurrent_requests") == 0
        assert value(harness, "baseten_replicas_active") == 1
        assert value(harness, "baseten_replicas_starting") == 0
        clock.advance(7, patience_seconds=0.05)
        gate.opened.set()
        for request_id in ids:
            assert receiver.wait_for(request_id, timeout_seconds=30).result is not None
            client.wait(request_id, timeout_seconds=30)
    labels = {"status": "200", "is_async": "true"}
    assert value(harness, "baseten_inference_requests_total", **labels) == 2
    assert value(harness, "baseten_end_to_end_response_time_seconds_sum", **labels) == 14
    assert value(harness, "baseten_time_in_async_queue_seconds_count") == 2
    assert value(harness, "baseten_time_in_async_queue_seconds_sum") == 7
    assert value(harness, "baseten_async_webhook_requests_total", status="200") == 2
    assert value(harness, "baseten_async_webhook_latency_seconds_count", status="200") == 2
    assert value(harness, "baseten_async_queue_size") == 0


def test_an_async_request_that_fails_counts_as_failed(
    harness: Harness, client: PlatformClient, model: ModelServer
) -> None:
    model.behave = lambda _: Answer(422, b'{"error": "no"}')
    request_id = client.submit(model_input=1).request_id
    client.wait(request_id, timeout_seconds=30)
    assert value(harness, "baseten_inference_requests_total", status="422", is_async="true") == 1


def test_each_harness_counts_for_itself(
    harness: Harness, http: httpx.Client, serve: Callable[..., Harness], tmp_path: Path
) -> None:
    other = serve(state_dir=tmp_path / "other")
    http.post("/production/predict", json=1)
    labels = {"status": "200", "is_async": "false"}
    assert value(harness, "baseten_inference_requests_total", **labels) == 1
    assert value(other, "baseten_inference_requests_total", **labels) is None
