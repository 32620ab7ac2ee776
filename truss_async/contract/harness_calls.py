"""What the harness's own calls carry, under ``/_harness/``: nothing of it exists on the platform."""

from datetime import datetime
from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from .faults import Strike
from .requests import InferenceRetryConfig
from .results import ErrorDetail
from .statuses import AsyncRequestStatus, RequestStatus, Told, WebhookStatus

ModelState = Literal["starting", "ready", "failed", "scaled_to_zero"]
SignatureVerdict = Literal["valid", "unsigned", "wrong", "too old"]
"""What a receiver that has the harness's secrets must think of a webhook; the last two are made by faults."""


class DeploymentHealth(Told):
    """How a deployment's model is.

    ``error`` is why a replica last failed, or what one waits for that starts; None once all is well again.
    """

    model: ModelState
    replicas_ready: int = Field(ge=0)
    error: str | None


class QueueHealth(Told):
    """How the request queue is. ``error`` keeps it from working until somebody sees to it; None: it works.

    The rest is what the disk has damaged. Counted since the start: the requests that failed of it, or whose result could
    not be sent, by what of them was damaged, and the pages of the write-ahead log that were lost. ``kept_aside`` are the
    damaged files in the state folder, by name, until somebody removes them.
    """

    error: str | None
    damaged_requests: dict[str, int]
    lost_log_pages: int = Field(ge=0)
    kept_aside: list[str]


class Health(Told):
    """That the harness answers, how the worst of its models is, how its queue is, and how each of its deployments is, by its id."""

    status: Literal["ok"] = "ok"
    model: ModelState
    replicas_ready: int = Field(ge=0)
    error: str | None
    queue: QueueHealth
    deployments: dict[str, DeploymentHealth]


class DeliveryOutcome(Told):
    """How one POST of a result went; ``status_code`` is None when no answer came."""

    sent_at: datetime
    latency_ms: float
    status_code: int | None
    error: str | None
    signature: SignatureVerdict | None = None


class RequestRecord(AsyncRequestStatus):
    """Where a request stands, its times, its attempts, and the faults that struck it."""

    priority: int
    inference_attempts: int
    started_at: datetime | None
    finished_at: datetime | None
    deliveries: list[DeliveryOutcome]
    faults: list[Strike]


class DeliveryAttemptRecord(Told):
    """One POST of a result to its webhook endpoint; ``status_code`` is None when no answer came.

    ``request_headers`` are those that it was sent with, of the latest attempts since the start; a login is masked.
    """

    request_id: str
    attempt: int
    webhook_endpoint: str
    sent_at: datetime
    latency_ms: float
    status_code: int | None
    error: str | None
    signature: SignatureVerdict | None = None
    request_headers: dict[str, str] | None = None


class RedeliveryTarget(BaseModel):
    """Where a kept result is sent again; None: to the webhook endpoint of its request."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    webhook_endpoint: str | None = None


class KeptResult(Told):
    """A result that can be sent again until ``erase_at``. ``size_bytes`` is the output's, None when the request failed."""

    request_id: str
    deployment_id: str
    webhook_endpoint: str | None
    webhook_status: WebhookStatus
    over_at: datetime
    erase_at: datetime
    size_bytes: int | None
    errors: list[ErrorDetail] = Field(default_factory=list)


class KeptResults(Told):
    """Results that are kept, the latest first."""

    results: list[KeptResult]


class DeliveryAttempts(Told):
    """Those of one request in their order, or the latest ones of all requests, newest first."""

    deliveries: list[DeliveryAttemptRecord]


class RequestStatusWithDeliveries(AsyncRequestStatus):
    """Where a request stands, and every POST of its result."""

    deliveries: list[DeliveryAttemptRecord]


class RequestSummary(Told):
    """A request in a list. Seconds are None until they are known: it left the queue, its inference is over."""

    request_id: str
    deployment_id: str
    status: RequestStatus
    webhook_status: WebhookStatus
    priority: int
    inference_attempts: int
    created_at: datetime
    status_at: datetime
    queue_seconds: float | None
    model_seconds: float | None
    errors: list[ErrorDetail] = Field(default_factory=list)


class RequestList(Told):
    """Requests, the latest first; how many there are of each status, on this page or not; and what ``after`` goes on with."""

    requests: list[RequestSummary]
    counts: dict[str, int]
    next: str | None


class LogLine(Told):
    """A line that a replica wrote. ``number`` counts them, from 1."""

    number: int
    at: datetime
    replica: str
    level: str
    message: str
    request_id: str | None


class LogLines(Told):
    """The latest lines, oldest first; ``next`` is what ``after`` goes on with."""

    lines: list[LogLine]
    next: int


class StoryEntry(Told):
    """Something that happened to a request."""

    at: datetime
    what: str


class RequestView(Told):
    """All that a harness knows of a request. ``output_url`` is where its model saves outputs, as far as its config tells."""

    request: RequestRecord
    story: list[StoryEntry]
    deliveries: list[DeliveryAttemptRecord]
    lines: list[LogLine]
    output_url: str | None


class Submission(Told):
    """What an async request was submitted with."""

    request_id: str
    deployment_id: str
    model_input: Any
    webhook_endpoint: str | None
    priority: int
    max_time_in_queue_seconds: int
    inference_retry_config: InferenceRetryConfig


class BulkAction(BaseModel):
    """What is to happen to all requests that the filter lets through, the latest first.

    ``cancel`` is of those that are queued, ``again`` submits those that failed as new ones. ``accepted_until`` leaves
    out what came later; with ``counts_only``, nothing happens but that they are counted.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    action: Literal["cancel", "again"]
    webhook_status: WebhookStatus | None = None
    priority: int | None = Field(default=None, strict=True, ge=0, le=2)
    deployment: str | None = None
    since: str | None = None
    accepted_until: AwareDatetime | None = Field(default=None, strict=True)
    counts_only: bool = Field(default=False, strict=True)


class BulkDone(Told):
    """How many were found at that moment, and of how many it was done.

    ``has_more``: no more are looked at in one call. ``problem``: why it ended early.
    """

    at: datetime
    found: int
    done: int
    has_more: bool
    problem: str | None


class DeploymentQueue(Told):
    """What waits and runs of a deployment.

    ``path`` is where it is called, before ``/async_predict`` and the like; ``output_url`` is where its model saves
    outputs, as far as its config tells.
    """

    deployment_id: str
    path: str
    model: ModelState
    replicas_ready: int
    queued: int
    in_progress: int
    output_url: str | None = None


class OldestRequest(Told):
    """Of all requests that are queued or in progress the one that was accepted first, and how long ago."""

    request_id: str
    deployment_id: str
    status: RequestStatus
    created_at: datetime
    age_seconds: float


class UsedLimit(Told):
    """How much of a limit is used at this moment: of so many calls in a while, or of so many things at once."""

    what: str
    used: int
    limit: int


class QueueState(Told):
    """Every deployment's queue; while it is paused, requests are accepted and none is begun.

    ``limits`` are those that the harness holds callers to.
    """

    is_paused: bool
    deployments: list[DeploymentQueue]
    oldest_open: OldestRequest | None = None
    limits: list[UsedLimit] = Field(default_factory=list)


class Dispatch(BaseModel):
    """Whether requests are to wait: they are accepted, and no inference attempt begins."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    paused: bool = Field(strict=True)


class WebhookSecretInfo(Told):
    """An active webhook secret, masked. ``ends_at`` is None until it was rotated."""

    id: str
    masked: str
    created_at: datetime
    ends_at: datetime | None
    is_persisted: bool


class WebhookSecretList(Told):
    """Every active webhook secret, newest first."""

    secrets: list[WebhookSecretInfo]


class NewWebhookSecret(Told):
    """A webhook secret in full: shown this once. ``replaces`` is the one that was rotated."""

    id: str
    secret: str
    created_at: datetime
    replaces: WebhookSecretInfo | None = None


class RemovedWebhookSecret(Told):
    """The webhook secret that signs nothing any more."""

    id: str


class ClockAdvance(BaseModel):
    """How far the virtual clock moves, and how long an answer from outside is awaited meanwhile, in real time."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    advance_seconds: float = Field(ge=0, le=366 * 86_400)
    patience_seconds: float = Field(default=1.0, ge=0, le=60)


class ClockReading(Told):
    """What the harness's clock shows."""

    now: datetime
