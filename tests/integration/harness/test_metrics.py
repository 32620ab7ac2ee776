"""``GET /metrics``: the platform's names, types, labels and meaning, series by series."""

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
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
from truss_async.harness.settings import HarnessSettings
from truss_async.webhooks import WebhookReceiver

LABELS = {
    "model_id": "local",
    "model_name": "local",
    "deployment_id": "local1",
    "environment": "production",
    "rollout_phase": "stable",
}
KEY = {"Authorization": "Api-Key any"}
Families = Mapping[str, Metric]


def scrape(harness: Harness) -> Families:
    """What a scraper gets, which sends no key."""
    answer = httpx.get(f"{harness.url}/metrics", timeout=30)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return {family.name: family for family in text_string_to_metric_families(answer.text)}


def value(harness: Harness, sample_name: str, **labels: str) -> float | None:
    return value_in(scrape(harness), sample_name, **labels)


def value_in(families: Families, sample_name: str, **labels: str) -> float | None:
    if "status" in labels:
        labels["status_code"] = labels["status"]
    found = [
        sample.value
        for family in families.values()
        for sample in family.samples
        if sample.name == sample_name and sample.labels == {**LABELS, **labels}
    ]
    return found[0] if found else None


OF_PROCESSES = {
    "baseten_container_cpu_usage_seconds": "counter",
    "baseten_container_cpu_memory_working_set_bytes": "gauge",
}
SYNC_BODY = b'"0123456789"'
ENDED = {"status", "status_code", "is_async"}
SYNC = {"status": "200", "is_async": "false"}
ASYNC = {"status": "200", "is_async": "true"}


@dataclass(frozen=True)
class Series:
    """A metric, and what its samples tell while two async requests and a sync call are there, or when they are over."""

    name: str
    type: str
    told: list[tuple[str, dict[str, str], float]]
    labels: frozenset[str] = frozenset()
    when: str = "after"


def counter(name: str, *told: tuple[dict[str, str], float], labels: set[str] | None = None) -> Series:
    return Series(name, "counter", [("_total", *each) for each in told], frozenset(labels or ()))


def gauge(name: str, *told: tuple[dict[str, str], float], labels: set[str] | None = None) -> Series:
    return Series(name, "gauge", [("", *each) for each in told], frozenset(labels or ()), when="during")


def histogram(
    name: str, *told: tuple[dict[str, str], int, float | None], labels: set[str] | None = None
) -> Series:
    """Each is how many were observed, and their sum where that is known."""
    counts = [("_count", which, float(count)) for which, count, _ in told]
    sums = [("_sum", which, total) for which, _, total in told if total is not None]
    return Series(name, "histogram", [*counts, *sums], frozenset(labels or ()))


SERIES = [
    counter("baseten_inference_requests", (SYNC, 1), (ASYNC, 2), labels=ENDED),
    histogram("baseten_end_to_end_response_time_seconds", (SYNC, 1, 7.0), (ASYNC, 2, 14.0), labels=ENDED),
    histogram("baseten_time_to_first_byte_seconds", (SYNC, 1, 7.0), labels=ENDED),
    histogram("baseten_request_size_bytes", (SYNC, 1, 12.0), (ASYNC, 2, 2.0), labels=ENDED),
    histogram("baseten_response_size_bytes", (SYNC, 1, 22.0), (ASYNC, 2, 20.0), labels=ENDED),
    histogram("baseten_time_in_async_queue_seconds", ({}, 2, 7.0)),
    gauge("baseten_async_queue_size", ({}, 1)),
    counter("baseten_async_webhook_requests", ({}, 2)),
    histogram("baseten_async_webhook_latency_seconds", ({}, 2, None)),
    gauge("baseten_concurrent_requests", ({}, 1)),
    gauge("baseten_replicas_active", ({}, 1)),
    gauge("baseten_replicas_starting", ({}, 0)),
    gauge("baseten_ongoing_websocket_connections", ({}, 0)),
    counter("baseten_container_restarts", ({}, 0)),
    gauge(
        "baseten_pod_readiness",
        ({"condition": "true"}, 1),
        ({"condition": "false"}, 0),
        ({"condition": "unknown"}, 0),
        labels={"condition"},
    ),
]


@pytest.fixture(scope="module")
def seen() -> Iterator[dict[str, Families]]:
    """The metrics while an async request runs, another one and a sync call wait; and when all are over."""
    gate = Gate()
    clock = ManualClock(SYSTEM_CLOCK.now())
    with ExitStack() as ends:
        model = ends.enter_context(ModelServer(gate))
        receiver = ends.enter_context(WebhookReceiver(secrets=("whsec_1",)))
        settings = HarnessSettings(
            model_url=model.url, model_id="local", port=0, webhook_secrets=("whsec_1",)
        )
        harness = ends.enter_context(Harness(settings, clock=clock))
        client = ends.enter_context(PlatformClient(harness.url, api_key="any"))
        callers = ends.enter_context(ThreadPoolExecutor(1))
        ids = [client.submit(model_input=each, webhook_endpoint=receiver.url).request_id for each in (1, 2)]
        assert gate.entered.acquire(timeout=30)
        url = f"{harness.url}/production/predict"
        sync = callers.submit(httpx.post, url, content=SYNC_BODY, headers=KEY, timeout=30)
        pause = threading.Event()
        for _ in range(3000):
            if value(harness, "baseten_concurrent_requests") == 1:
                break
            pause.wait(0.01)
        else:
            raise AssertionError("the sync call is not counted")
        during = scrape(harness)
        clock.advance(7, patience_seconds=0.05)
        gate.opened.set()
        assert sync.result(30).status_code == 200
        for each in ids:
            assert receiver.wait_for(each, timeout_seconds=30).result is not None
            client.wait(each, timeout_seconds=30)
        yield {"during": during, "after": scrape(harness)}


@pytest.mark.parametrize("series", SERIES, ids=lambda series: series.name)
def test_a_series_has_the_platforms_name_type_labels_and_meaning(
    seen: dict[str, Families], series: Series
) -> None:
    family = seen[series.when][series.name]
    assert family.type == series.type
    assert family.samples
    for sample in family.samples:
        assert sample.labels.keys() - {"le"} == LABELS.keys() | series.labels, sample
    for suffix, labels, expected in series.told:
        assert value_in(seen[series.when], f"{series.name}{suffix}", **labels) == expected, (suffix, labels)


def test_no_other_series_is_there_but_those_of_processes(seen: dict[str, Families]) -> None:
    of_the_platform = {name for name in seen["after"] if not name.startswith("truss_async_")}
    assert of_the_platform == {each.name for each in SERIES} | OF_PROCESSES.keys()
    assert [seen["after"][name].samples for name in OF_PROCESSES] == [[], []]  # the model has none of ours


def test_a_deployment_of_no_environment_has_no_rollout_phase_either(serve: Callable[..., Harness]) -> None:
    harness = serve(environment="")
    assert httpx.post(f"{harness.url}/deployment/local1/predict", json=1, headers=KEY).status_code == 200
    assert httpx.post(f"{harness.url}/production/predict", json=1, headers=KEY).status_code == 404
    families = scrape(harness)
    samples = [
        sample
        for name, family in families.items()
        for sample in family.samples
        if name.startswith("baseten_")
    ]
    assert {(each.labels["environment"], each.labels["rollout_phase"]) for each in samples} == {("", "")}


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
    assert value(harness, "baseten_request_size_bytes_sum", **labels) == 24
    assert value(harness, "baseten_response_size_bytes_sum", **labels) == 16
    assert value(harness, "baseten_time_to_first_byte_seconds_count", **labels) == 2


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
