"""The platform's metrics, under its names and labels, for what one harness does; under names of its own, how it is itself."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING

from ..contract import ErrorCode
from .series import Family, Histogram, Value

if TYPE_CHECKING:
    from ..contract.harness_calls import QueueHealth
    from ..replicas.settings import DeploymentSettings

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


class Metrics:
    """The metrics of all deployments; each harness has a registry of its own."""

    def __init__(self, deployments: Iterable[DeploymentSettings]) -> None:
        self._families = _Families()
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

    def queue_at_this_moment(self, health: QueueHealth) -> None:
        """How the queue is now, to be shown next."""
        own = self._families
        own.queue_usable.of({}).value = float(health.error is None)
        for what, count in health.damaged_requests.items():
            own.damaged_requests.of({"damaged": what}).value = count
        own.lost_log_pages.of({}).value = health.lost_log_pages
        own.files_kept_aside.of({}).value = len(health.kept_aside)

    def exposition(self) -> bytes:
        """All of it as Prometheus reads it."""
        return "".join(line for family in self._families.all for line in family.lines()).encode()


class _Families:
    """Every metric, before it is told apart by deployment."""

    def __init__(self) -> None:
        self.all: list[Family[Value] | Family[Histogram]] = []
        self.requests = self._value(
            "baseten_inference_requests_total", "counter", "Inference requests that are over."
        )
        self.response_time = self._histogram(
            "baseten_end_to_end_response_time_seconds",
            "From the arrival of a request to the end of inference.",
        )
        self.webhooks = self._value("baseten_async_webhook_requests_total", "counter", "Delivery attempts.")
        self.webhook_latency = self._histogram(
            "baseten_async_webhook_latency_seconds", "How long a delivery attempt took."
        )
        self.time_in_queue = self._histogram(
            "baseten_time_in_async_queue_seconds", "From acceptance to the first inference attempt."
        )
        self.request_size = self._histogram("baseten_request_size_bytes", "Size of a request.", _BYTES)
        self.response_size = self._histogram("baseten_response_size_bytes", "Size of an output.", _BYTES)
        self.queue_size = self._value("baseten_async_queue_size", "gauge", "Async requests that wait.")
        self.concurrent = self._value(
            "baseten_concurrent_requests", "gauge", "Requests that the model works on."
        )
        self.active = self._value("baseten_replicas_active", "gauge", "Replicas that take requests.")
        self.starting = self._value(
            "baseten_replicas_starting", "gauge", "Replicas that do not take requests yet."
        )
        self.queue_usable = self._value(
            "truss_async_queue_usable", "gauge", "Whether the request queue can be read and written."
        )
        self.damaged_requests = self._value(
            "truss_async_damaged_requests_total", "counter", "Requests that the disk of the harness damaged."
        )
        self.lost_log_pages = self._value(
            "truss_async_lost_log_pages_total", "counter", "Pages of the queue's log that were lost."
        )
        self.files_kept_aside = self._value(
            "truss_async_damaged_files", "gauge", "Damaged files of the queue that were kept aside."
        )

    def _value(self, name: str, type_name: str, text: str) -> Family[Value]:
        family = Family(Value, name, type_name, text)
        self.all.append(family)
        return family

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...] = _SECONDS) -> Family[Histogram]:
        family = Family(Histogram, name, "histogram", text, buckets=buckets)
        self.all.append(family)
        return family


class DeploymentMetrics:
    """Counts and measures what one deployment does."""

    def __init__(self, families: _Families, **labels: str) -> None:
        self._families = families
        self._labels = {**labels, "rollout_phase": "stable"}
        self._inference: dict[tuple[int, bool], tuple[Value, Histogram]] = {}
        self._deliveries: dict[int | None, tuple[Value, Histogram]] = {}

    def inference_over(
        self, *, status: int, is_async: bool, took: timedelta, response_bytes: int | None
    ) -> None:
        """A request was answered, or an async one has its result."""
        if (status, is_async) not in self._inference:
            labels = {**self._labels, "status": str(status), "is_async": str(is_async).lower()}
            self._inference[status, is_async] = (
                self._families.requests.of(labels),
                self._families.response_time.of(labels),
            )
        requests, response_time = self._inference[status, is_async]
        requests.value += 1
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
        if status_code not in self._deliveries:
            labels = {**self._labels, "status": NO_ANSWER if status_code is None else str(status_code)}
            self._deliveries[status_code] = (
                self._families.webhooks.of(labels),
                self._families.webhook_latency.of(labels),
            )
        attempts, latency = self._deliveries[status_code]
        attempts.value += 1
        latency.observe(took_seconds)

    def at_this_moment(
        self, *, queue_size: int, concurrent_requests: int, replicas_active: int, replicas_starting: int
    ) -> None:
        """What is so now, to be shown next."""
        values = (queue_size, concurrent_requests, replicas_active, replicas_starting)
        for gauge, value in zip(self._gauges, values, strict=True):
            gauge.value = value

    @cached_property
    def _gauges(self) -> list[Value]:
        known = self._families
        families = (known.queue_size, known.concurrent, known.active, known.starting)
        return [family.of(self._labels) for family in families]

    @cached_property
    def _time_in_queue(self) -> Histogram:
        return self._families.time_in_queue.of(self._labels)

    @cached_property
    def _request_size(self) -> Histogram:
        return self._families.request_size.of(self._labels)

    @cached_property
    def _response_size(self) -> Histogram:
        return self._families.response_size.of(self._labels)
