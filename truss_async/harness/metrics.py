"""The platform's metrics, under its names and labels, for what one harness does."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from ..contract import ErrorCode

if TYPE_CHECKING:
    from ..replicas.settings import DeploymentSettings

Key = TypeVar("Key")

_DEPLOYMENT = ("model_id", "model_name", "deployment_id", "environment", "rollout_phase")
_INFERENCE = (*_DEPLOYMENT, "status", "is_async")
_WEBHOOK = (*_DEPLOYMENT, "status")
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1200, 3600, 86400, 259200)
_BYTES = tuple(4.0**power for power in range(3, 14))  # 64 B … 64 MiB
NO_ANSWER = "error"
"""The status of a delivery attempt that got none."""

_STATUS_OF_FAILURE = {
    ErrorCode.MODEL_NOT_READY: 503,
    ErrorCode.MODEL_DOES_NOT_EXIST: 404,
    ErrorCode.MODEL_INVALID_INPUT: 422,
    ErrorCode.MODEL_UNAVAILABLE: 502,
    ErrorCode.MODEL_PREDICT_TIMEOUT: 504,
    ErrorCode.ASYNC_REQUEST_NOT_SUPPORTED: 400,
}


def status_of(error_code: str | None) -> int:
    """The status under which an async request counts; None: it succeeded."""
    return 200 if error_code is None else _STATUS_OF_FAILURE.get(ErrorCode(error_code), 500)


class _Kept(dict[Key, tuple[Counter, Histogram]]):
    """Series by their labels: looking them up in the registry costs more than counting."""

    def __init__(self, make: Callable[[Key], tuple[Counter, Histogram]]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, key: Key) -> tuple[Counter, Histogram]:
        self[key] = made = self._make(key)
        return made


class Metrics:
    """The metrics of all deployments; each harness has a registry of its own."""

    def __init__(self, deployments: Iterable[DeploymentSettings]) -> None:
        self._registry = CollectorRegistry()
        self._families = _Families(self._registry)
        self._of = {
            each.deployment_id: DeploymentMetrics(
                self._families,
                model_id=each.model_id,
                model_name=each.name,
                deployment_id=each.deployment_id,
                environment=each.environment,
            )
            for each in deployments
        }

    def of(self, deployment_id: str) -> DeploymentMetrics:
        """Those of one deployment; of one that is no longer served only the id is known."""
        if deployment_id not in self._of:
            self._of[deployment_id] = DeploymentMetrics(
                self._families, model_id="", model_name="", deployment_id=deployment_id, environment=""
            )
        return self._of[deployment_id]

    def exposition(self) -> bytes:
        """All of it as Prometheus reads it."""
        return generate_latest(self._registry)


class _Families:
    """Every metric, before it is told apart by deployment."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def histogram(
            name: str, text: str, labels: tuple[str, ...], buckets: tuple[float, ...] = _SECONDS
        ) -> Histogram:
            return Histogram(name, text, labels, registry=registry, buckets=buckets)

        def gauge(name: str, text: str) -> Gauge:
            return Gauge(name, text, _DEPLOYMENT, registry=registry)

        self.requests = Counter(
            "baseten_inference_requests", "Inference requests that are over.", _INFERENCE, registry=registry
        )
        self.response_time = histogram(
            "baseten_end_to_end_response_time_seconds",
            "From the arrival of a request to the end of inference.",
            _INFERENCE,
        )
        self.webhooks = Counter(
            "baseten_async_webhook_requests", "Delivery attempts.", _WEBHOOK, registry=registry
        )
        self.webhook_latency = histogram(
            "baseten_async_webhook_latency_seconds", "How long a delivery attempt took.", _WEBHOOK
        )
        self.time_in_queue = histogram(
            "baseten_time_in_async_queue_seconds",
            "From acceptance to the first inference attempt.",
            _DEPLOYMENT,
        )
        self.request_size = histogram("baseten_request_size_bytes", "Size of a request.", _DEPLOYMENT, _BYTES)
        self.response_size = histogram(
            "baseten_response_size_bytes", "Size of an output.", _DEPLOYMENT, _BYTES
        )
        self.queue_size = gauge("baseten_async_queue_size", "Async requests that wait.")
        self.concurrent = gauge("baseten_concurrent_requests", "Requests that the model works on.")
        self.active = gauge("baseten_replicas_active", "Replicas that take requests.")
        self.starting = gauge("baseten_replicas_starting", "Replicas that do not take requests yet.")


class DeploymentMetrics:
    """Counts and measures what one deployment does."""

    def __init__(self, families: _Families, **labels: str) -> None:
        self._families = families
        self._labels = {**labels, "rollout_phase": "stable"}
        self._inference = _Kept(self._inference_series)
        self._deliveries = _Kept(self._delivery_series)
        self._time_in_queue = families.time_in_queue.labels(**self._labels)
        self._request_size = families.request_size.labels(**self._labels)
        self._response_size = families.response_size.labels(**self._labels)
        self._gauges = [
            family.labels(**self._labels)
            for family in (families.queue_size, families.concurrent, families.active, families.starting)
        ]

    def inference_over(
        self, *, status: int, is_async: bool, took: timedelta, response_bytes: int | None
    ) -> None:
        """A request was answered, or an async one has its result."""
        requests, response_time = self._inference[status, is_async]
        requests.inc()
        response_time.observe(took.total_seconds())
        if response_bytes is not None:
            self._response_size.observe(response_bytes)

    def request_came(self, *, size_bytes: int) -> None:
        """A request was taken in."""
        self._request_size.observe(size_bytes)

    def left_the_queue(self, *, after: timedelta) -> None:
        """An async request was started for the first time."""
        self._time_in_queue.observe(after.total_seconds())

    def delivery_attempted(self, *, status_code: int | None, took_seconds: float) -> None:
        """A webhook was sent."""
        attempts, latency = self._deliveries[status_code]
        attempts.inc()
        latency.observe(took_seconds)

    def at_this_moment(
        self, *, queue_size: int, concurrent_requests: int, replicas_active: int, replicas_starting: int
    ) -> None:
        """What is so now, to be shown next."""
        values = (queue_size, concurrent_requests, replicas_active, replicas_starting)
        for gauge, value in zip(self._gauges, values, strict=True):
            gauge.set(value)

    def _inference_series(self, key: tuple[int, bool]) -> tuple[Counter, Histogram]:
        status, is_async = key
        labels = {**self._labels, "status": str(status), "is_async": str(is_async).lower()}
        return self._families.requests.labels(**labels), self._families.response_time.labels(**labels)

    def _delivery_series(self, status_code: int | None) -> tuple[Counter, Histogram]:
        labels = {**self._labels, "status": NO_ANSWER if status_code is None else str(status_code)}
        return self._families.webhooks.labels(**labels), self._families.webhook_latency.labels(**labels)
