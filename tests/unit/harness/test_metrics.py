from __future__ import annotations

from datetime import timedelta

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client import Histogram as Reference
from prometheus_client.parser import text_string_to_metric_families

from truss_async.harness.metrics import Metrics, Moment
from truss_async.harness.series import Family, Histogram
from truss_async.replicas.settings import DeploymentSettings

MANY = 200
AT_REST = Moment(
    queue_size=0,
    concurrent_requests=0,
    open_websockets=0,
    replicas_active=1,
    replicas_starting=0,
    replicas_unready=0,
    restarts=0,
    usage={},
)


def settings(number: int) -> DeploymentSettings:
    return DeploymentSettings(model_url="http://localhost", model_id=f"m{number}", deployment_id=f"d{number}")


def test_series_that_are_empty_are_not_written_and_every_metric_is_described() -> None:
    metrics = Metrics(map(settings, range(MANY)))
    for number in range(MANY):
        metrics.of(f"d{number}").at(AT_REST)
    metrics.of("d7").inference_over(
        status=200, is_async=True, took=timedelta(seconds=1), request_bytes=1, response_bytes=None
    )
    families = {each.name: each for each in text_string_to_metric_families(metrics.exposition().decode())}
    assert len(families) == 21  # four of them the harness's own
    assert all(each.documentation and each.type != "unknown" for each in families.values())
    written = {name: len(each.samples) for name, each in families.items() if each.samples}
    assert written == {
        "baseten_inference_requests": 1,
        "baseten_end_to_end_response_time_seconds": 21,
        "baseten_request_size_bytes": 14,
        "baseten_async_queue_size": MANY,
        "baseten_concurrent_requests": MANY,
        "baseten_replicas_active": MANY,
        "baseten_replicas_starting": MANY,
        "baseten_ongoing_websocket_connections": MANY,
        "baseten_container_restarts": MANY,
        "baseten_pod_readiness": 3 * MANY,
    }


@pytest.mark.parametrize("value", [0, 0.001, 0.5, 1, 7, 1e9])
def test_a_histogram_is_written_as_the_usual_library_writes_it(value: float) -> None:
    buckets = (0.001, 0.5, 1, 4096.0, 67108864.0)
    labels = {"z": 'a "quoted"\\ name\n', "a": "1"}
    ours = Family(Histogram, "name", "histogram", "Some text.", buckets=buckets)
    ours.of(labels).observe(value)
    registry = CollectorRegistry()
    reference = Reference("name", "Some text.", sorted(labels), registry=registry, buckets=buckets)
    reference.labels(**labels).observe(value)
    expected = next(iter(text_string_to_metric_families(generate_latest(registry).decode())))
    assert list(text_string_to_metric_families("".join(ours.lines()))) == [expected]
