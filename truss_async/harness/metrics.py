"""The platform's metrics, under its names and labels, for what one harness does; under names of its own, how it is itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING

from ..contract import ErrorCode
from .series import Family, Histogram, Value

if TYPE_CHECKING:
    from ..contract.harness_calls import QueueHealth
    from ..replicas.settings import DeploymentSettings
    from ..replicas.usage import Usage

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1200, 3600, 86400, 259200)
_BYTES = tuple(4.0**power for power in range(3, 14))  # 64 B … 64 MiB
READY_CONDITIONS = ("true", "false", "unknown")
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
        self._add_those_of_requests()
        self._add_those_of_replicas()
        self._add_those_of_the_queue()

    def _add_those_of_requests(self) -> None:
        self.requests = self._value(
            "baseten_inference_requests_total", "counter", "Inference requests that are over."
        )
        self.response_time = self._histogram(
            "baseten_end_to_end_response_time_seconds",
            "From the arrival of a request to the end of inference.",
        )
        self.first_byte = self._histogram(
            "baseten_time_to_first_byte_seconds",
            "From the arrival of a sync call to the first of its answer.",
        )
        self.request_size = self._histogram("baseten_request_size_bytes", "Size of a request.", _BYTES)
        self.response_size = self._histogram("baseten_response_size_bytes", "Size of an output.", _BYTES)
        self.webhooks = self._value("baseten_async_webhook_requests_total", "counter", "Delivery attempts.")
        self.webhook_latency = self._histogram(
            "baseten_async_webhook_latency_seconds", "How long a delivery attempt took."
        )
        self.time_in_queue = self._histogram(
            "baseten_time_in_async_queue_seconds", "From acceptance to the first inference attempt."
        )
        self.queue_size = self._value("baseten_async_queue_size", "gauge", "Async requests that wait.")
        self.concurrent = self._value(
            "baseten_concurrent_requests",
            "gauge",
            "Sync calls and websockets that are served or wait, and no async requests.",
        )

    def _add_those_of_replicas(self) -> None:
        self.active = self._value("baseten_replicas_active", "gauge", "Replicas that take requests.")
        self.starting = self._value(
            "baseten_replicas_starting", "gauge", "Replicas that do not take requests yet."
        )
        self.websockets = self._value(
            "baseten_ongoing_websocket_connections", "gauge", "Websockets that are open now."
        )
        self.restarts = self._value(
            "baseten_container_restarts_total",
            "counter",
            "Replicas that were started again, as they had ended.",
        )
        self.readiness = self._value(
            "baseten_pod_readiness", "gauge", "Replicas by whether they are ready to take requests."
        )
        self.cpu = self._value(
            "baseten_container_cpu_usage_seconds_total", "counter", "Processor time of a replica's processes."
        )
        self.memory = self._value(
            "baseten_container_cpu_memory_working_set_bytes",
            "gauge",
            "Memory that a replica's processes hold.",
        )

    def _add_those_of_the_queue(self) -> None:
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """How a deployment stands. ``replicas_unready`` start, fail their health checks or shut down; ``usage`` is by replica."""

    queue_size: int
    concurrent_requests: int
    open_websockets: int
    replicas_active: int
    replicas_starting: int
    replicas_unready: int
    restarts: int
    usage: Mapping[str, Usage]


@dataclass(frozen=True, slots=True)
class _Inferences:
    """The series of those that ended alike."""

    requests: Value
    response_time: Histogram
    first_byte: Histogram
    request_size: Histogram
    response_size: Histogram


class DeploymentMetrics:
    """Counts and measures what one deployment does; ``environment`` is empty for one of none."""

    def __init__(self, families: _Families, *, environment: str, **labels: str) -> None:
        self._families = families
        self._labels = {
            **labels,
            "environment": environment,
            "rollout_phase": "stable" if environment else "",
        }
        self._inferences: dict[tuple[int, bool], _Inferences] = {}

    def inference_over(
        self,
        *,
        status: int,
        is_async: bool,
        took: timedelta,
        request_bytes: int,
        response_bytes: int | None,
        first_byte_after: timedelta | None = None,
    ) -> None:
        """A request was answered, or an async one has its result."""
        series = self._inferences.get((status, is_async)) or self._ended_so(status, is_async=is_async)
        series.requests.value += 1
        series.response_time.observe(took.total_seconds())
        series.request_size.observe(request_bytes)
        if response_bytes is not None:
            series.response_size.observe(response_bytes)
        if first_byte_after is not None:
            series.first_byte.observe(first_byte_after.total_seconds())

    def left_the_queue(self, *, after: timedelta) -> None:
        """An async request was started for the first time."""
        self._time_in_queue.observe(after.total_seconds())

    def delivery_attempted(self, *, took_seconds: float) -> None:
        """A webhook was sent."""
        self._webhooks.value += 1
        self._webhook_latency.observe(took_seconds)

    def at(self, moment: Moment) -> None:
        """What is so now, to be shown next."""
        known, labels = self._families, self._labels
        known.queue_size.of(labels).value = moment.queue_size
        known.concurrent.of(labels).value = moment.concurrent_requests
        known.active.of(labels).value = moment.replicas_active
        known.starting.of(labels).value = moment.replicas_starting
        known.websockets.of(labels).value = moment.open_websockets
        known.restarts.of(labels).value = moment.restarts
        ready = (moment.replicas_active, moment.replicas_unready, 0)
        for condition, count in zip(READY_CONDITIONS, ready, strict=True):
            known.readiness.of({**labels, "condition": condition}).value = count
        for replica, usage in moment.usage.items():
            known.cpu.of({**labels, "replica": replica}).value = usage.cpu_seconds
            known.memory.of({**labels, "replica": replica}).value = usage.memory_bytes

    def _ended_so(self, status: int, *, is_async: bool) -> _Inferences:
        # The documentation names the label so in one version, and so in another.
        labels = {
            **self._labels,
            "status": str(status),
            "status_code": str(status),
            "is_async": str(is_async).lower(),
        }
        known = self._families
        made = _Inferences(
            known.requests.of(labels),
            known.response_time.of(labels),
            known.first_byte.of(labels),
            known.request_size.of(labels),
            known.response_size.of(labels),
        )
        self._inferences[status, is_async] = made
        return made

    @cached_property
    def _time_in_queue(self) -> Histogram:
        return self._families.time_in_queue.of(self._labels)

    @cached_property
    def _webhooks(self) -> Value:
        return self._families.webhooks.of(self._labels)

    @cached_property
    def _webhook_latency(self) -> Histogram:
        return self._families.webhook_latency.of(self._labels)
